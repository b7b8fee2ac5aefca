//! When notices were first taken by a transport, until that is stored. Pure.
//!
//! Marks gather for a second and go into a few updates, each with one time for all that were taken within a tenth of a
//! second: the latest, so that none was taken before it was created.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::clock::Millis;
use crate::domain::NoticeId;

/// Marks in memory: two seconds of a busy node. Above it a mark is given up.
const MOST: usize = 65_536;

/// How far apart the times of one update may be.
const SPAN: Millis = 100;

/// Ids in one update.
const IN_ONE: usize = 1000;

#[derive(Default)]
pub(super) struct PushedMarks(Mutex<HashMap<NoticeId, Millis>>);

impl PushedMarks {
    /// Notes a mark, unless there is one; false when there is no room.
    pub(super) fn note(&self, id: NoticeId, at: Millis) -> bool {
        let mut marks = self.0.lock();
        if marks.len() >= MOST && !marks.contains_key(&id) {
            return false;
        }
        let mark = marks.entry(id).or_insert(at);
        *mark = at.min(*mark);
        true
    }

    pub(super) fn get(&self, id: NoticeId) -> Option<Millis> {
        self.0.lock().get(&id).copied()
    }

    /// All marks. They stay until they are forgotten: readers see them meanwhile.
    pub(super) fn all(&self) -> Vec<(NoticeId, Millis)> {
        self.0.lock().iter().map(|(id, at)| (*id, *at)).collect()
    }

    /// Marks that are stored.
    pub(super) fn forget<'a>(&self, ids: impl IntoIterator<Item = &'a NoticeId>) {
        let mut marks = self.0.lock();
        for id in ids {
            marks.remove(id);
        }
        if marks.capacity() > 4096 && marks.len() < marks.capacity() / 4 {
            marks.shrink_to(4096);
        }
    }
}

/// Sorts marks into as few updates as their times allow.
pub(super) fn in_updates(mut marks: Vec<(NoticeId, Millis)>) -> Vec<(Millis, Vec<NoticeId>)> {
    marks.sort_by_key(|(_, at)| *at);
    let mut updates: Vec<(Millis, Vec<NoticeId>)> = Vec::new();
    let mut first = 0;
    for (id, at) in marks {
        match updates.last_mut() {
            Some((latest, ids)) if at - first <= SPAN && ids.len() < IN_ONE => {
                *latest = at;
                ids.push(id);
            }
            _ => {
                first = at;
                updates.push((at, vec![id]));
            }
        }
    }
    updates
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_mark_is_in_one_update_of_about_its_time(times in prop::collection::vec(0_u64..2000, 0..300)) {
            let marks: Vec<_> = times.iter().enumerate()
                .map(|(n, at)| (NoticeId::from_bits(n as u128), *at)).collect();
            let updates = in_updates(marks);
            let mut seen = 0;
            for (at, ids) in &updates {
                for id in ids {
                    let own = times[usize::try_from(id.bits()).expect("small")];
                    prop_assert!(own <= *at && at - own <= SPAN);
                    seen += 1;
                }
            }
            prop_assert_eq!(seen, times.len());
            prop_assert!(updates.len() <= 20);
        }
    }

    #[test]
    fn the_first_mark_counts_and_at_the_bound_marks_are_given_up() {
        let marks = PushedMarks::default();
        for n in 0..MOST as u128 {
            assert!(marks.note(NoticeId::from_bits(n), 5));
        }
        assert!(!marks.note(NoticeId::from_bits(u128::MAX), 5));
        assert!(marks.note(NoticeId::from_bits(7), 6));
        assert_eq!(marks.get(NoticeId::from_bits(7)), Some(5));
        marks.forget(&[NoticeId::from_bits(7)]);
        assert_eq!(marks.get(NoticeId::from_bits(7)), None);
    }
}
