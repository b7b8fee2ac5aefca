//! Ends the notices whose time is over.
//!
//! The sweep goes on from where it was (`Memory::swept`), so it doesn't walk over what it deleted.

use super::super::group::Group;
use super::super::keys::{Key, expiry_key, read_expiry_key};
use super::super::record::{BadRow, Fate, Mark};
use super::super::tables::TableError;
use super::{Progress, SLICE, Slice};
use crate::inbox::Withdrawal;

pub(super) fn slice(group: &mut Group<'_>) -> Slice {
    if group.memory.swept > group.now {
        return Ok(Progress::Done);
    }
    let from = expiry_key(group.memory.swept, Key::at(0, 0));
    let until = expiry_key(group.now.saturating_add(1), Key::at(0, 0));
    for (ended, row) in group.tables.expiry.range(from..until).enumerate() {
        if ended == SLICE {
            return Ok(Progress::More);
        }
        let row = row.key().map_err(TableError::from)?;
        let (at, key) = read_expiry_key(&row).ok_or(BadRow { table: "expiry" })?;
        group.delete(&group.tables.expiry, row);
        end(group, key)?;
        group.memory.swept = at;
    }
    group.memory.swept = group.now.saturating_add(1);
    Ok(Progress::Done)
}

fn end(group: &mut Group<'_>, key: Key) -> Result<(), TableError> {
    let Some(row) = group.unread(key)?.filter(|row| row.expired(group.now)) else {
        return Ok(());
    };
    let receiver = group.receiver(key)?;
    group.retire(key, row, |pushed| Mark {
        fate: Fate::Expired,
        pushed,
        read: None,
    });
    if let Some(receiver) = receiver {
        group.withdraw(receiver, key.id(), Withdrawal::Expired);
    }
    Ok(())
}
