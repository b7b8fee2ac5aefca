//! The ids of this node, and whose they are.
//!
//! The tail of an id of ours: 40 bits of a keyed hash of its account, then 24 random bits of this process's life.
//! The key is the same for every node (it lies in the database), so an id alone tells whether it can belong to an
//! account, without a query. Old notices' `ObjectId`s tell nothing: they are asked for together with their account.

use std::hash::Hasher as _;

use parking_lot::Mutex;
use siphasher::sip::SipHasher24;

use crate::clock::Millis;
use crate::domain::{AccountId, IdSource, NoticeId};

const LIFE_BITS: u32 = 24;

/// The key under which accounts are hashed.
pub(super) type AccountKey = [u8; 16];

pub(super) struct Ids {
    key: AccountKey,
    life: u64,
    source: Mutex<IdSource>,
}

impl Ids {
    /// Ids that come after `last`, of a process with these random bits.
    pub(super) fn new(key: AccountKey, life: u64, last: u64) -> Self {
        Self {
            key,
            life: life & ((1 << LIFE_BITS) - 1),
            source: Mutex::new(IdSource::after(last)),
        }
    }

    /// The account's part of a tail.
    pub(super) fn part_of(&self, account: &AccountId) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(account.as_str().as_bytes());
        hasher.finish() >> LIFE_BITS
    }

    /// Whether an id can be of the account; for an `ObjectId` only a query knows.
    pub(super) fn may_own(&self, part: u64, id: NoticeId) -> bool {
        id.object_id().is_some() || id.tail() >> LIFE_BITS == part
    }

    /// The order of the newest id.
    pub(super) fn newest(&self) -> u64 {
        self.source.lock().last()
    }

    /// The next id. Never lower than one that was made before.
    pub(super) fn next(&self, now: Millis, part: u64) -> NoticeId {
        let tail = (part << LIFE_BITS) | self.life;
        self.source.lock().next(now, tail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_is_of_its_account_on_every_node_and_of_no_other(name in ".{1,40}", life: u64, now in 0_u64..1 << 40) {
            let (one, other) = (Ids::new([7; 16], life, 0), Ids::new([7; 16], !life, 0));
            let account = AccountId::trusted(&name);
            let id = one.next(now, one.part_of(&account));
            prop_assert!(other.may_own(other.part_of(&account), id));
            let stranger = AccountId::trusted(&format!("{name}x"));
            prop_assert!(!other.may_own(other.part_of(&stranger), id));
            prop_assert_ne!(id, other.next(now, other.part_of(&account)), "two lives make two ids");
        }
    }

    #[test]
    fn the_hash_is_the_same_for_ever() {
        let ids = Ids::new([7; 16], 0, 0);
        assert_eq!(ids.part_of(&AccountId::trusted("u1")), 498_745_989_928);
    }
}
