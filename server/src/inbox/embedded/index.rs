//! How many unread notices each account has, and from where on: in memory, so that whoever has none is
//! answered without a read, and the limit costs none.
//!
//! The writer changes it, after the commit and before the change is told. So a reader that takes the count
//! first and then looks at the tables finds at least everything that was told before it began. Readers only
//! raise a floor to what their scan found.
//! An account with unread notices costs about 70 bytes (a 32-byte entry, and the map's spare room); one
//! without costs none.

use super::keys::{AccountHash, HashedMap};

/// The unread notices of one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// How many there are.
    pub(super) count: u32,
    /// No unread one has a lower order, so a scan needn't walk over what was removed below it.
    pub(super) floor: u64,
}

/// One notice that became unread, or ceased to be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    Added(AccountHash, u64),
    Removed(AccountHash, u64),
}

#[derive(Debug, Default)]
pub(super) struct Index {
    accounts: HashedMap<AccountHash, Entry>,
}

impl Index {
    pub(super) fn get(&self, account: AccountHash) -> Option<Entry> {
        self.accounts.get(&account).copied()
    }

    pub(super) fn count(&self, account: AccountHash) -> u64 {
        self.get(account).map_or(0, |entry| entry.count.into())
    }

    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Added(account, order) => {
                let entry = self.accounts.entry(account).or_insert(Entry {
                    count: 0,
                    floor: order,
                });
                entry.count = entry.count.saturating_add(1);
                entry.floor = entry.floor.min(order);
            }
            Change::Removed(account, order) => self.remove(account, order),
        }
    }

    /// Notes that no unread notice of the account is older than `order`. It stays true: what was read is
    /// never unread again, and newer notices have higher orders.
    pub(super) fn raise_floor(&mut self, account: AccountHash, order: u64) {
        if let Some(entry) = self.accounts.get_mut(&account) {
            entry.floor = entry.floor.max(order);
        }
    }

    fn remove(&mut self, account: AccountHash, order: u64) {
        let Some(entry) = self.accounts.get_mut(&account) else {
            return;
        };
        entry.count = entry.count.saturating_sub(1);
        if entry.count == 0 {
            self.accounts.remove(&account);
        } else if order == entry.floor {
            entry.floor = order.saturating_add(1);
        }
    }

    /// Gives back the room that a passed crowd took.
    pub(super) fn shrink(&mut self) {
        if self.accounts.capacity() > 8 * self.accounts.len().max(1024) {
            self.accounts.shrink_to(2 * self.accounts.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn the_floor_never_passes_an_unread_notice_and_the_count_is_exact(
            removals in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
            added in 1_u64..40,
        ) {
            let account = AccountHash::of_parts(1, 2);
            let (mut index, mut model) = (Index::default(), BTreeSet::new());
            for order in 0..added {
                index.apply(Change::Added(account, order));
                model.insert(order);
            }
            for removal in removals {
                let Some(&order) = model.iter().nth(removal.index(model.len().max(1))) else { break };
                model.remove(&order);
                index.apply(Change::Removed(account, order));
                match (index.get(account), model.first()) {
                    (None, None) => {}
                    (Some(entry), Some(&oldest)) => {
                        prop_assert!(entry.floor <= oldest);
                        prop_assert_eq!(u64::from(entry.count), model.len() as u64);
                    }
                    other => prop_assert!(false, "{:?}", other),
                }
            }
        }
    }
}
