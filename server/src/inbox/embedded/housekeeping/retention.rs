//! Deletes the notices that are older than the retention, read or not.
//!
//! A pass goes from account to account by seeking: of each it looks only at what is old, plus one row.

use std::ops::Bound;

use super::super::group::Group;
use super::super::keys::Key;
use super::super::record::{self, BadRow};
use super::super::tables::TableError;
use super::{Progress, SLICE, Slice};
use crate::domain::NoticeId;
use crate::inbox::Withdrawal;

#[derive(Default)]
pub(super) struct Retention {
    /// Where the pass goes on.
    next: Option<Key>,
}

impl Retention {
    pub(super) fn slice(&mut self, group: &mut Group<'_>) -> Slice {
        let cut = group.now.saturating_sub(group.shared.limits.retention);
        let mut from = self.next.unwrap_or(Key::at(0, 0));
        let mut looked = 0;
        while looked < SLICE {
            let Some((key, row)) = first_at(group, from)? else {
                self.next = None;
                return Ok(Progress::Done);
            };
            looked += 1;
            if key.id().millis() < cut {
                // The pass comes past every account, so a broken row must not end it.
                if let Err(error) = delete(group, key, &row) {
                    tracing::error!(id = %key.id(), %error, "an old notice could not be deleted");
                }
                from = Key::at(key.tail(), key.order().saturating_add(1));
            } else if let Some(tail) = key.tail().checked_add(1) {
                from = Key::at(tail, 0);
            } else {
                self.next = None;
                return Ok(Progress::Done);
            }
            self.next = Some(from);
        }
        Ok(Progress::More)
    }
}

fn first_at(group: &Group<'_>, from: Key) -> Result<Option<(Key, fjall::UserValue)>, TableError> {
    let range = (Bound::Included(from.bytes()), Bound::Unbounded);
    let Some(row) = group.tables.notices.range::<[u8; 16], _>(range).next() else {
        return Ok(None);
    };
    let (key, row) = row.into_inner()?;
    let key = Key::read(&key).ok_or(BadRow { table: "notices" })?;
    Ok(Some((key, row)))
}

/// Deletes every row of a notice. One that was unread is told as expired.
fn delete(group: &mut Group<'_>, key: Key, row: &[u8]) -> Result<(), TableError> {
    group.delete(&group.tables.notices, key.bytes());
    group.delete(&group.tables.marks, key.bytes());
    if let Some(unread) = group.unread(key)? {
        group.remove_unread(key, unread);
        group.withdraw(record::receiver(row)?, key.id(), Withdrawal::Expired);
    }
    forget_scope(group, key, row)
}

/// Deletes the scope's pointer to the newest notice, when it is this one.
fn forget_scope(group: &mut Group<'_>, key: Key, row: &[u8]) -> Result<(), TableError> {
    let id: NoticeId = key.id();
    let Some(scope) = group
        .shared
        .secret
        .collapse(&record::draft_of(record::read_notice(id, row)?))
    else {
        return Ok(());
    };
    let scope = scope.to_be_bytes();
    if group
        .tables
        .collapse
        .get(scope)?
        .is_some_and(|newest| Key::read(&newest) == Some(key))
    {
        group.delete(&group.tables.collapse, scope);
    }
    Ok(())
}
