//! Unread notices that have no row in the unread table yet.
//!
//! Most notices are read within moments. Until a notice is [`SETTLED_AFTER`] old, that it is unread stands here
//! only; then it gets its row, unless it was read meanwhile: then it never has one, which halves what the engine
//! must write for it. Nothing is lost with the memory: a row of `meta` says from which order on notices may be
//! missing in the unread table, and recovery walks over the notices from there (they lie in the order of their ids)
//! and takes those without a mark as unread.
//!
//! The writer changes it, after the commit and before the change is told. A notice goes from here to the unread
//! table or to the marks, never back, so whoever looks here first finds it in one of the three. Within an account
//! notices settle in order: its rows in the table are older than those here.

use std::collections::BTreeMap;

use parking_lot::RwLock;

use super::keys::{AccountHash, Key};
use super::record::UnreadRow;
use crate::clock::Millis;

/// How old a notice gets without a row in the unread table.
pub(super) const SETTLED_AFTER: Millis = 5_000;

/// Above so many, notices settle at once: 64 bytes each, and what recovery walks over.
pub(super) const CROWD: usize = 65_536;

/// One change, in the order of changes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    Put(Key, UnreadRow),
    Remove(Key),
}

#[derive(Debug, Default)]
pub(super) struct Young(RwLock<BTreeMap<Key, UnreadRow>>);

impl Young {
    pub(super) fn new(rows: BTreeMap<Key, UnreadRow>) -> Self {
        Self(RwLock::new(rows))
    }

    pub(super) fn get(&self, key: Key) -> Option<UnreadRow> {
        self.0.read().get(&key).copied()
    }

    pub(super) fn is_crowded(&self) -> bool {
        self.0.read().len() > CROWD
    }

    /// The account's, in order, from `from` on and below `below`.
    pub(super) fn of(&self, account: AccountHash, from: u64, below: u64) -> Vec<(Key, UnreadRow)> {
        let rows = self.0.read();
        let of_account = rows.range(account.key(from)..account.key(below.max(from)));
        of_account
            .filter(|(_, row)| row.belongs_to(account))
            .map(|(key, row)| (*key, *row))
            .collect()
    }

    /// At most `most` of those whose order is below `order`, each account's oldest first.
    pub(super) fn older_than(&self, order: u64, most: usize) -> Vec<(Key, UnreadRow)> {
        let rows = self.0.read();
        let older = rows.iter().filter(|(key, _)| key.order() < order);
        older.take(most).map(|(key, row)| (*key, *row)).collect()
    }

    pub(super) fn apply(&self, changes: impl Iterator<Item = Change>) {
        let mut rows = self.0.write();
        for change in changes {
            match change {
                Change::Put(key, row) => drop(rows.insert(key, row)),
                Change::Remove(key) => drop(rows.remove(&key)),
            }
        }
    }

    /// Starts over with what recovery found.
    pub(super) fn replace(&self, young: Self) {
        *self.0.write() = young.0.into_inner();
    }
}
