//! How fast clients connect, over all pods: what lies above the highest number of sessions of the last minute.
//!
//! Counting from the highest keeps those who only come back out of it: clients that move from a pod to another are
//! missing for a moment, and are no growth when they are there again.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// So far back peaks are remembered.
const MEMORY: Duration = Duration::from_secs(60);

/// Over a shorter time than this a rate is noise.
const SHORTEST: Duration = Duration::from_secs(1);

/// The sessions of all pods over the last minute.
#[derive(Debug, Clone, Default)]
pub struct Growth {
    /// What each pod that still exists last reported: a pod whose load can't be read has not lost its sessions.
    last: BTreeMap<String, u64>,
    /// Falling: only those that no later one reaches.
    peaks: VecDeque<(Instant, u64)>,
    rate: u64,
}

impl Growth {
    /// Notes what the pods that exist report, and answers with all sessions: those of a pod that reports nothing are
    /// what it reported before.
    pub fn observe<'a>(
        &mut self,
        pods: impl Iterator<Item = (&'a str, Option<u64>)>,
        now: Instant,
    ) -> u64 {
        let mut last = BTreeMap::new();
        for (name, sessions) in pods {
            let known = sessions.or_else(|| self.last.get(name).copied());
            if let Some(sessions) = known {
                last.insert(name.to_owned(), sessions);
            }
        }
        self.last = last;
        let total = self.last.values().copied().fold(0, u64::saturating_add);
        self.note(total, now);
        total
    }

    /// New sessions a second, rounded up, as last observed.
    #[must_use]
    pub fn per_second(&self) -> u64 {
        self.rate
    }

    fn note(&mut self, total: u64, now: Instant) {
        let age = |at: Instant| now.saturating_duration_since(at);
        if let Some(newest) = self.peaks.back()
            && age(newest.0) < SHORTEST
        {
            return;
        }
        while self.peaks.front().is_some_and(|it| age(it.0) > MEMORY) {
            self.peaks.pop_front();
        }
        self.rate = self.peaks.front().map_or(0, |&(at, peak)| {
            let millis = u64::try_from(age(at).as_millis())
                .unwrap_or(u64::MAX)
                .max(1);
            let grown = total.saturating_sub(peak);
            grown.saturating_mul(1000).div_ceil(millis)
        });
        while self.peaks.back().is_some_and(|it| it.1 <= total) {
            self.peaks.pop_back();
        }
        self.peaks.push_back((now, total));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(begun: Instant, second: u64) -> Instant {
        begun + Duration::from_secs(second)
    }

    #[test]
    fn a_storm_is_seen_at_the_second_look() {
        let (begun, mut growth) = (Instant::now(), Growth::default());
        let mut look = |second, sessions| {
            growth.observe([("a", Some(sessions))].into_iter(), at(begun, second));
            growth.per_second()
        };
        assert_eq!(look(0, 1000), 0, "one look shows no change");
        assert_eq!(look(10, 1000), 0);
        assert_eq!(look(20, 6000), 500);
        assert_eq!(look(30, 11_000), 500);
        assert_eq!(look(40, 11_000), 0, "it is over");
    }

    #[test]
    fn those_who_come_back_are_no_growth() {
        let (begun, mut growth) = (Instant::now(), Growth::default());
        for (second, sessions) in [(0, 10_000), (10, 7000), (20, 9000), (30, 10_000)] {
            growth.observe([("a", Some(sessions))].into_iter(), at(begun, second));
            assert_eq!(growth.per_second(), 0);
        }
        growth.observe([("a", Some(10_500))].into_iter(), at(begun, 40));
        assert_eq!(growth.per_second(), 50);
    }

    #[test]
    fn a_pod_that_does_not_answer_keeps_its_sessions_and_one_that_is_gone_does_not() {
        let (begun, mut growth) = (Instant::now(), Growth::default());
        let mut look = |second, pods: &[(&str, Option<u64>)]| {
            let total = growth.observe(pods.iter().copied(), at(begun, second));
            (total, growth.per_second())
        };
        assert_eq!(look(0, &[("a", Some(100)), ("b", Some(50))]), (150, 0));
        assert_eq!(look(10, &[("a", Some(100)), ("b", None)]), (150, 0));
        assert_eq!(look(20, &[("a", Some(100)), ("b", Some(50))]), (150, 0));
        assert_eq!(look(30, &[("a", Some(100))]), (100, 0));
        assert_eq!(look(40, &[("a", Some(100)), ("c", None)]), (100, 0));
    }

    proptest! {
        #[test]
        fn steady_growth_is_measured_as_it_is(rate in 0_u64..5000, first in 0_u64..100_000, every in 1_u64..30) {
            let (begun, mut growth) = (Instant::now(), Growth::default());
            for look in 0..10 {
                let second = look * every;
                growth.observe([("a", Some(first + rate * second))].into_iter(), at(begun, second));
                prop_assert_eq!(growth.per_second(), if look == 0 { 0 } else { rate });
            }
        }

        #[test]
        fn moving_sessions_between_pods_is_no_growth(moves in prop::collection::vec((0_usize..4, 0_usize..4, 0_u64..100), 1..50)) {
            let (begun, mut growth) = (Instant::now(), Growth::default());
            let names = ["a", "b", "c", "d"];
            let mut sessions = [1000_u64; 4];
            for (second, (from, to, count)) in (0_u64..).step_by(10).zip(moves) {
                let count = count.min(sessions[from]);
                sessions[from] -= count;
                sessions[to] += count;
                let pods = names.into_iter().zip(sessions.map(Some));
                prop_assert_eq!(growth.observe(pods, at(begun, second)), 4000);
                prop_assert_eq!(growth.per_second(), 0);
            }
        }
    }
}
