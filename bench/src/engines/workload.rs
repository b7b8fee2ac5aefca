//! The groups that the engines commit, made from sequence numbers alone.
//!
//! As everything follows from the number, another process can tell after a crash what must be
//! there, without a list.

use std::ops::Range;

use super::store::{Group, Key};
use crate::random::mix;

/// Accounts that notices go to.
const ACCOUNTS: u64 = 10_000;

/// An account whose notices are never read.
pub(crate) const HOT_ACCOUNT: [u8; 8] = [0x77; 8];

/// How many unread notices that account has.
pub(crate) const HOT_UNREAD: usize = 100;

const START_MS: u64 = 1_790_000_000_000;
const NOTICES_PER_MS: u64 = 20;

/// The key of a notice: a hash of its account, its time, and its number within that time.
pub(crate) fn key(sequence: u64) -> Key {
    let account = mix(mix(sequence) % ACCOUNTS);
    key_of(account.to_be_bytes(), sequence)
}

/// The group that stages `staged` and marks `read` as read.
pub(crate) fn group(staged: Range<u64>, read: Range<u64>) -> Group {
    let mut group = Group::default();
    for sequence in staged {
        let key = key(sequence);
        group.records.push((key, record(sequence)));
        group.unread.push((key, sequence.to_be_bytes()));
    }
    for sequence in read {
        let key = key(sequence);
        let mut mark = [0; 20];
        mark[..8].copy_from_slice(&sequence.to_be_bytes());
        group.read.push(key);
        group.marks.push((key, mark));
    }
    group
}

/// The unread notices of the account that reads none.
pub(crate) fn hot_account_group() -> Group {
    let mut group = Group::default();
    for sequence in 0..HOT_UNREAD as u64 {
        let key = key_of(HOT_ACCOUNT, sequence);
        group.records.push((key, record(sequence)));
        group.unread.push((key, sequence.to_be_bytes()));
    }
    group
}

fn key_of(account: [u8; 8], sequence: u64) -> Key {
    let time = (START_MS + sequence / NOTICES_PER_MS).to_be_bytes();
    let counter = (sequence % NOTICES_PER_MS).to_be_bytes();
    let mut key = [0; 16];
    key[..8].copy_from_slice(&account);
    key[8..14].copy_from_slice(&time[2..]);
    key[14..].copy_from_slice(&counter[6..]);
    key
}

/// A notice as stored: the frame of its fields, and a text that does not compress well.
fn record(sequence: u64) -> [u8; 150] {
    const FRAME: &[u8] = br#"{"receiverId":"u000000","senderId":"s000000","message":"#;
    const ALPHABET: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.";
    let mut record = [b' '; 150];
    record[..FRAME.len()].copy_from_slice(FRAME);
    let mut state = sequence;
    for chunk in record[FRAME.len()..].chunks_mut(8) {
        state = mix(state);
        for (byte, random) in chunk.iter_mut().zip(state.to_le_bytes()) {
            *byte = ALPHABET[usize::from(random & 63)];
        }
    }
    record
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn keys_differ_and_repeat_from_run_to_run() {
        let keys: HashSet<Key> = (0..100_000).map(key).collect();
        assert_eq!(keys.len(), 100_000);
        assert_eq!(key(7), key(7));
    }

    #[test]
    fn a_group_holds_what_was_staged_and_what_was_read() {
        let group = group(10..13, 5..7);
        assert_eq!((group.records.len(), group.unread.len()), (3, 3));
        assert_eq!((group.read.len(), group.marks.len()), (2, 2));
        assert_eq!(group.records[0].0, key(10));
        assert_eq!(group.read[1], key(6));
    }
}
