//! Deletes the notices that are older than the retention, read or not.
//!
//! Notices lie in the order of their ids, so what is old is at the beginning.

use super::super::group::Group;
use super::super::keys::Key;
use super::super::record::{self, BadRow};
use super::super::tables::TableError;
use super::{Progress, SLICE, Slice};
use crate::domain::NoticeId;
use crate::inbox::Withdrawal;

#[derive(Default)]
pub(super) struct Retention {
    /// No older notice is left, so a pass needn't walk over what was deleted.
    next: u128,
}

impl Retention {
    pub(super) fn slice(&mut self, group: &mut Group<'_>) -> Slice {
        let cut = group.now.saturating_sub(group.shared.limits.retention);
        let until = NoticeId::new(cut, 0, 0).bits();
        if self.next >= until {
            return Ok(Progress::Done);
        }
        let old = self.next.to_be_bytes()..until.to_be_bytes();
        for (deleted, row) in group.tables.notices.range(old).enumerate() {
            if deleted == SLICE {
                return Ok(Progress::More);
            }
            let (id, row) = row.into_inner().map_err(TableError::from)?;
            let id = <[u8; 16]>::try_from(&*id).map_err(|_| BadRow { table: "notices" })?;
            let id = NoticeId::from_bits(u128::from_be_bytes(id));
            // A broken row must not keep all that follow it.
            if let Err(error) = delete(group, id, &row) {
                tracing::error!(%id, %error, "an old notice could not be deleted wholly");
            }
            self.next = id.bits().saturating_add(1);
        }
        Ok(Progress::Done)
    }
}

/// Deletes every row of a notice. One that was unread is told as expired.
fn delete(group: &mut Group<'_>, id: NoticeId, row: &[u8]) -> Result<(), TableError> {
    let key = Key::of(id);
    group.delete(&group.tables.notices, id.bits().to_be_bytes());
    match group.unread(key)? {
        Some(unread) => {
            group.remove_unread(key, unread);
            group.withdraw(record::receiver(row)?, id, Withdrawal::Expired);
        }
        None => group.delete(&group.tables.marks, key.bytes()),
    }
    forget_scope(group, key, row)
}

/// Deletes the scope's pointer to the newest notice, when it is this one.
fn forget_scope(group: &mut Group<'_>, key: Key, row: &[u8]) -> Result<(), TableError> {
    let draft = record::draft_of(record::read_notice(key.id(), row)?);
    let Some(scope) = group.shared.secret.collapse(&draft) else {
        return Ok(());
    };
    let scope = scope.to_be_bytes();
    let newest = group.tables.collapse.get(scope)?;
    if newest.is_some_and(|newest| Key::read(&newest) == Some(key)) {
        group.delete(&group.tables.collapse, scope);
    }
    Ok(())
}
