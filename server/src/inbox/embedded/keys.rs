//! The keys of the store's tables, and the keyed hashes that they are made of.
//!
//! Every hash is a SipHash under a random key that each store makes for itself, so nobody outside can look
//! for accounts or idempotency keys that collide.

use std::hash::{BuildHasherDefault, Hash, Hasher};

use siphasher::sip128::{Hasher128, SipHasher24};

use crate::clock::Millis;
use crate::domain::{AccountId, Digest, Draft, NoticeId};

/// A notice's place in the tables: the account's hash, then what orders its notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key(u128);

impl Key {
    pub(super) fn of(id: NoticeId) -> Self {
        Self::at(id.tail(), id.order())
    }

    /// The place of an account's notice of this order.
    pub(super) fn at(tail: u64, order: u64) -> Self {
        Self((u128::from(tail) << 64) | u128::from(order))
    }

    pub(super) fn id(self) -> NoticeId {
        NoticeId::from_bits(self.0.rotate_left(64))
    }

    #[allow(clippy::cast_possible_truncation, reason = "the upper half is meant")]
    pub(super) fn tail(self) -> u64 {
        (self.0 >> 64) as u64
    }

    #[allow(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    pub(super) fn order(self) -> u64 {
        self.0 as u64
    }

    pub(super) fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The key of these bytes; none when they aren't 16.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self(u128::from_be_bytes(bytes.try_into().ok()?)))
    }
}

/// An account as the store knows it. Its upper half is in keys and ids, the lower one tells apart the
/// accounts that share the upper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct AccountHash(u128);

impl AccountHash {
    #[allow(clippy::cast_possible_truncation, reason = "the upper half is meant")]
    pub(super) fn tail(self) -> u64 {
        (self.0 >> 64) as u64
    }

    #[allow(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    pub(super) fn check(self) -> u64 {
        self.0 as u64
    }

    pub(super) fn of_parts(tail: u64, check: u64) -> Self {
        Self((u128::from(tail) << 64) | u128::from(check))
    }

    /// The account's place in the tables, at or after `order`.
    pub(super) fn key(self, order: u64) -> Key {
        Key::at(self.tail(), order)
    }

    /// Whether an id can be one of this account's notices.
    pub(super) fn may_own(self, id: NoticeId) -> bool {
        id.tail() == self.tail()
    }
}

/// The store's own random key.
#[derive(Clone, Copy)]
pub(super) struct Secret(pub(super) [u8; 16]);

/// What a hash is for: hashes of one text for two purposes must differ.
#[derive(Clone, Copy)]
enum Purpose {
    Account = 1,
    IdempotencyKey = 2,
    Body = 3,
    Collapse = 4,
}

impl Secret {
    fn hasher(&self, purpose: Purpose) -> SipHasher24 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write_u8(purpose as u8);
        hasher
    }

    pub(super) fn account(&self, account: &AccountId) -> AccountHash {
        let mut hasher = self.hasher(Purpose::Account);
        hasher.write(account.as_str().as_bytes());
        AccountHash(hasher.finish128().as_u128())
    }

    /// The digests of the draft's idempotency key and of its body, if it has a key.
    pub(super) fn idempotency(&self, draft: &Draft) -> Option<(Digest, Digest)> {
        let mut key = self.hasher(Purpose::IdempotencyKey);
        if !draft.hash_idempotency_key(&mut key) {
            return None;
        }
        let mut body = self.hasher(Purpose::Body);
        draft.hash_body(&mut body);
        Some((key.finish128().as_u128(), body.finish128().as_u128()))
    }

    /// The digest of the scope in which the draft replaces an older notice, if it does.
    pub(super) fn collapse(&self, draft: &Draft) -> Option<Digest> {
        let mut hasher = self.hasher(Purpose::Collapse);
        draft
            .hash_collapse_scope(&mut hasher)
            .then(|| hasher.finish128().as_u128())
    }
}

/// A row of the idempotency table: the day it was made, so that old days go as one range, and the digest.
pub(super) fn idempotency_key(day: u32, digest: Digest) -> [u8; 20] {
    let mut key = [0; 20];
    key[..4].copy_from_slice(&day.to_be_bytes());
    key[4..].copy_from_slice(&digest.to_be_bytes());
    key
}

/// A row of the expiry table: when, then which notice.
pub(super) fn expiry_key(expires: Millis, key: Key) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&expires.to_be_bytes());
    bytes[8..].copy_from_slice(&key.bytes());
    bytes
}

/// The parts of an expiry row's key; none when it is none.
pub(super) fn read_expiry_key(bytes: &[u8]) -> Option<(Millis, Key)> {
    let (expires, key) = bytes.split_at_checked(8)?;
    Some((
        Millis::from_be_bytes(expires.try_into().ok()?),
        Key::read(key)?,
    ))
}

const DAY: Millis = 24 * 3600 * 1000;

/// The day of a time, counted from the epoch.
pub(super) fn day(at: Millis) -> u32 {
    u32::try_from(at / DAY).unwrap_or(u32::MAX)
}

/// For maps whose keys are made of keyed hashes already: hashing them once more gains nothing.
#[derive(Default)]
pub(super) struct Folded(u64);

impl Hasher for Folded {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    #[allow(clippy::cast_possible_truncation, reason = "each half on its own")]
    fn write_u128(&mut self, word: u128) {
        self.write_u64(word as u64);
        self.write_u64((word >> 64) as u64);
    }
}

/// A map by keys that are hashes.
pub(super) type HashedMap<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<Folded>>;

/// The row of a denied token, in the table of the tokens: one byte longer than a session token's, so never one of
/// those.
pub(super) fn denied_key(token: &crate::tokens::TokenDigest) -> [u8; 33] {
    let mut key = [0; 33];
    key[..32].copy_from_slice(&token.0);
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_key_reads_back_to_its_id_and_sorts_by_account_then_order(a: u128, b: u128) {
            let (a, b) = (NoticeId::from_bits(a), NoticeId::from_bits(b));
            prop_assert_eq!(Key::of(a).id(), a);
            prop_assert_eq!(Key::read(&Key::of(a).bytes()), Some(Key::of(a)));
            let by_parts = (a.tail(), a.order()).cmp(&(b.tail(), b.order()));
            prop_assert_eq!(Key::of(a).bytes().cmp(&Key::of(b).bytes()), by_parts);
        }
    }

    #[test]
    fn one_text_hashes_differently_for_each_store() {
        let account = AccountId::trusted("u1");
        let (one, other) = (
            Secret([1; 16]).account(&account),
            Secret([2; 16]).account(&account),
        );
        assert_ne!(one, other);
    }
}
