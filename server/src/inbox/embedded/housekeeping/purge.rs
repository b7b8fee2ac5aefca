//! Deletes idempotency keys and session tokens that are of no use any more.

use std::ops::Bound;

use fjall::{Keyspace, UserKey};

use super::super::group::Group;
use super::super::keys::{day, idempotency_key};
use super::super::record;
use super::super::tables::TableError;
use super::{Progress, SLICE, Slice};

/// A walk over one table.
#[derive(Default)]
pub(super) struct Purge {
    /// The last key that was looked at.
    last: Option<UserKey>,
    /// No key of a day before this one is left, so a pass needn't walk over what was deleted.
    first_day: u32,
}

impl Purge {
    /// Begins a new walk.
    pub(super) fn restart(&mut self) {
        self.last = None;
    }

    /// Deletes the keys of all days that are wholly past.
    pub(super) fn idempotency_slice(&mut self, group: &mut Group<'_>) -> Slice {
        let oldest = group
            .time_of_ids()
            .saturating_sub(group.shared.limits.idempotency_kept);
        let until = Bound::Excluded(UserKey::from(idempotency_key(day(oldest), 0)));
        let first = UserKey::from(idempotency_key(self.first_day.min(day(oldest)), 0));
        self.last.get_or_insert(first);
        let progress = self.walk(group, |tables| &tables.idempotency, until, |_| Ok(true))?;
        if progress == Progress::Done {
            self.first_day = day(oldest);
        }
        Ok(progress)
    }

    /// Deletes the tokens that have expired.
    pub(super) fn token_slice(&mut self, group: &mut Group<'_>) -> Slice {
        let now = group.now;
        let expired = |row: &[u8]| record::read_token(row).map(|(expires, _)| expires <= now);
        self.walk(group, |tables| &tables.tokens, Bound::Unbounded, expired)
    }

    fn walk(
        &mut self,
        group: &mut Group<'_>,
        table: impl Fn(&super::super::tables::Tables) -> &Keyspace,
        until: Bound<UserKey>,
        useless: impl Fn(&[u8]) -> Result<bool, record::BadRow>,
    ) -> Slice {
        let table = table(group.tables);
        let from = self.last.take().map_or(Bound::Unbounded, Bound::Excluded);
        let mut looked = 0;
        for row in table.range::<UserKey, _>((from, until)) {
            let (key, value) = row.into_inner().map_err(TableError::from)?;
            if useless(&value)? {
                group.delete(table, key.clone());
            }
            looked += 1;
            if looked == SLICE {
                self.last = Some(key);
                return Ok(Progress::More);
            }
        }
        Ok(Progress::Done)
    }
}
