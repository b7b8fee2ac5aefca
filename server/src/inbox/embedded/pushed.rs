//! Which notices a transport has taken, until the tables know it.
//!
//! The contract allows a mark to lag 2 s and a crash to forget it, so it waits here: until its notice is read
//! (most are, within moments, and then it costs no write of its own), or until the writer's next pass.

use parking_lot::Mutex;

use super::keys::{HashedMap, Key};
use crate::clock::Millis;

/// At the bound a mark is given up and counted: the notice just shows as staged, or not as redelivered.
const MOST: usize = 65_536;

#[derive(Debug, Default)]
pub(super) struct PushedMarks(Mutex<HashedMap<Key, Millis>>);

impl PushedMarks {
    /// Notes a mark unless there is one; false when it had to be given up.
    pub(super) fn note(&self, key: Key, at: Millis) -> bool {
        let mut marks = self.0.lock();
        if marks.len() >= MOST && !marks.contains_key(&key) {
            return false;
        }
        marks.entry(key).or_insert(at);
        true
    }

    pub(super) fn get(&self, key: Key) -> Option<Millis> {
        self.0.lock().get(&key).copied()
    }

    pub(super) fn forget(&self, keys: impl Iterator<Item = Key>) {
        let mut marks = self.0.lock();
        for key in keys {
            marks.remove(&key);
        }
    }

    /// At most `most` marks. They stay until they are forgotten, so that readers never miss one between
    /// here and the tables.
    pub(super) fn some(&self, most: usize) -> Vec<(Key, Millis)> {
        self.0
            .lock()
            .iter()
            .take(most)
            .map(|(&key, &at)| (key, at))
            .collect()
    }

    /// Gives back the room that a passed crowd took.
    pub(super) fn shrink(&self) {
        let mut marks = self.0.lock();
        if marks.capacity() > 8 * marks.len().max(512) {
            let room = 2 * marks.len();
            marks.shrink_to(room);
        }
    }
}
