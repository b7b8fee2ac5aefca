//! The work queue: which clusters want a reconcile, and when.
//!
//! A key is worked on by one worker at a time; what comes meanwhile makes one more turn afterwards. A burst of changes
//! is one turn (`DEBOUNCE`). Failures come back with growing pauses; nothing comes back by itself. It holds one
//! entry a cluster at most, so the number of clusters is its bound.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long a change waits for others that come with it.
pub const DEBOUNCE: Duration = Duration::from_millis(100);
/// The first pause after a failure.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause after failures.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The pure core: what is due, on a clock that is handed in.
#[derive(Debug)]
pub struct Schedule<K> {
    due: HashMap<K, Instant>,
    busy: HashMap<K, Instant>,
    failures: HashMap<K, u32>,
}

impl<K> Default for Schedule<K> {
    fn default() -> Self {
        Self {
            due: HashMap::new(),
            busy: HashMap::new(),
            failures: HashMap::new(),
        }
    }
}

/// What [`Schedule::next`] says.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<K> {
    /// This key's turn. It is busy until [`Schedule::done`].
    Work(K),
    /// Nothing before then.
    At(Instant),
    /// Nothing until something is added.
    Idle,
}

impl<K: Clone + Eq + Hash> Schedule<K> {
    /// `key` wants a turn at `when`, or earlier if it is due earlier already.
    pub fn add(&mut self, key: K, when: Instant) {
        let due = self.due.entry(key).or_insert(when);
        *due = (*due).min(when);
    }

    /// Whose turn it is.
    pub fn next(&mut self, now: Instant) -> Next<K> {
        let first = self
            .due
            .iter()
            .filter(|(key, _)| !self.busy.contains_key(*key))
            .min_by_key(|(_, when)| **when)
            .map(|(key, when)| (key.clone(), *when));
        match first {
            None => Next::Idle,
            Some((_, when)) if when > now => Next::At(when),
            Some((key, _)) => {
                self.due.remove(&key);
                self.busy.insert(key.clone(), now);
                Next::Work(key)
            }
        }
    }

    /// The turn is over, well.
    pub fn done(&mut self, key: &K) {
        self.busy.remove(key);
        self.failures.remove(key);
    }

    /// The turn failed: another one after a pause that doubles. `chance` is in 0..1 and spreads those who fail together.
    pub fn failed(&mut self, key: &K, now: Instant, chance: f64) -> Duration {
        self.busy.remove(key);
        let failures = self.failures.entry(key.clone()).or_insert(0);
        let pause = pause_after(*failures, chance);
        *failures = failures.saturating_add(1);
        self.add(key.clone(), now + pause);
        pause
    }

    /// How many wait or are worked on.
    #[must_use]
    pub fn len(&self) -> usize {
        self.due.len() + self.busy.len()
    }

    /// Whether nothing waits and nothing is worked on.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// For how long the oldest turn has been due without being taken, or has been taken without an end.
    #[must_use]
    pub fn overdue(&self, now: Instant) -> Duration {
        let waiting = self.due.iter().filter(|(key, _)| !self.busy.contains_key(*key));
        let oldest = waiting.map(|(_, when)| *when).chain(self.busy.values().copied()).min();
        oldest.map_or(Duration::ZERO, |when| now.saturating_duration_since(when))
    }
}

/// The pause after so many failures in a row: doubling, capped, and at least half of it certain.
#[must_use]
pub fn pause_after(failures: u32, chance: f64) -> Duration {
    let whole = FIRST_PAUSE
        .saturating_mul(1_u32.checked_shl(failures.min(16)).unwrap_or(u32::MAX))
        .min(LONGEST_PAUSE);
    whole.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
}

/// The queue that workers wait on.
#[derive(Debug)]
pub struct Queue<K> {
    schedule: Mutex<Schedule<K>>,
    changed: Notify,
}

impl<K> Default for Queue<K> {
    fn default() -> Self {
        Self {
            schedule: Mutex::new(Schedule::default()),
            changed: Notify::new(),
        }
    }
}

impl<K: Clone + Eq + Hash> Queue<K> {
    /// A queue to share.
    #[must_use]
    pub fn shared() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Something about `key` has changed.
    pub fn touch(&self, key: K) {
        self.add_after(key, DEBOUNCE);
    }

    /// `key` wants a turn after `pause`.
    pub fn add_after(&self, key: K, pause: Duration) {
        self.schedule.lock().add(key, Instant::now() + pause);
        self.changed.notify_one();
    }

    /// Waits for the next turn.
    pub async fn next(&self) -> K {
        loop {
            let changed = self.changed.notified();
            let next = self.schedule.lock().next(Instant::now());
            match next {
                Next::Work(key) => {
                    // One note wakes one worker; the next key may be due as well.
                    self.changed.notify_one();
                    return key;
                }
                Next::At(when) => {
                    tokio::select! {
                        () = changed => {}
                        () = tokio::time::sleep_until(when) => {}
                    }
                }
                Next::Idle => changed.await,
            }
        }
    }

    /// The turn went well; another one after `again`, if something is to be looked at later.
    pub fn done(&self, key: &K, again: Option<Duration>) {
        let mut schedule = self.schedule.lock();
        schedule.done(key);
        if let Some(pause) = again {
            schedule.add(key.clone(), Instant::now() + pause);
        }
        drop(schedule);
        self.changed.notify_one();
    }

    /// The turn failed.
    pub fn failed(&self, key: &K, chance: f64) -> Duration {
        let pause = self.schedule.lock().failed(key, Instant::now(), chance);
        self.changed.notify_one();
        pause
    }

    /// Work begins now: what was due before has not been late.
    pub fn begin(&self) {
        let now = Instant::now();
        let mut schedule = self.schedule.lock();
        schedule.due.values_mut().for_each(|when| *when = (*when).max(now));
    }

    /// How many wait or are worked on.
    #[must_use]
    pub fn len(&self) -> usize {
        self.schedule.lock().len()
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// For how long the oldest turn has not been taken or ended.
    #[must_use]
    pub fn overdue(&self) -> Duration {
        self.schedule.lock().overdue(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use proptest::prelude::*;

    #[test]
    fn a_key_that_is_worked_on_waits_for_its_end() {
        let now = Instant::now();
        let mut schedule = Schedule::default();
        schedule.add("a", now);
        assert_eq!(schedule.next(now), Next::Work("a"));
        schedule.add("a", now);
        assert_eq!(schedule.next(now), Next::Idle);
        schedule.done(&"a");
        assert_eq!(schedule.next(now), Next::Work("a"));
    }

    #[test]
    fn many_changes_are_one_turn_at_the_earliest_time() {
        let now = Instant::now();
        let mut schedule = Schedule::default();
        schedule.add("a", now + LONGEST_PAUSE);
        schedule.add("a", now + DEBOUNCE);
        schedule.add("a", now + DEBOUNCE * 2);
        assert_eq!(schedule.next(now), Next::At(now + DEBOUNCE));
        assert_eq!(schedule.next(now + DEBOUNCE), Next::Work("a"));
        schedule.done(&"a");
        assert!(schedule.is_empty());
    }

    #[test]
    fn a_success_forgets_the_failures() {
        let now = Instant::now();
        let mut schedule = Schedule::default();
        for expected in [500_u64, 1000, 2000] {
            schedule.add("a", now);
            assert_eq!(schedule.next(now), Next::Work("a"));
            assert_eq!(schedule.failed(&"a", now, 1.0), Duration::from_millis(expected));
            assert_eq!(schedule.next(now + LONGEST_PAUSE), Next::Work("a"));
            schedule.busy.clear();
        }
        schedule.done(&"a");
        schedule.add("a", now);
        let _ = schedule.next(now);
        assert_eq!(schedule.failed(&"a", now, 1.0), Duration::from_millis(500));
    }

    proptest! {
        #[test]
        fn pauses_grow_up_to_the_longest_and_never_vanish(failures in 0_u32..200, chance in 0.0_f64..1.0) {
            let pause = pause_after(failures, chance);
            prop_assert!(pause >= FIRST_PAUSE / 2);
            prop_assert!(pause <= LONGEST_PAUSE);
            prop_assert!(pause_after(failures + 1, chance) >= pause);
        }

        /// Whatever is added, taken and ended in whatever order: no key is twice at work, and none is lost.
        #[test]
        fn no_key_is_twice_at_work_and_none_is_lost(steps in prop::collection::vec((0_u8..4, 0_u8..3), 1..200)) {
            let start = Instant::now();
            let mut now = start;
            let mut schedule = Schedule::default();
            let mut at_work = HashSet::new();
            let mut wanted = HashSet::new();
            for (key, step) in steps {
                now += Duration::from_millis(50);
                match step {
                    0 => { schedule.add(key, now); wanted.insert(key); }
                    1 => if let Next::Work(key) = schedule.next(now) {
                        prop_assert!(at_work.insert(key));
                        wanted.remove(&key);
                    },
                    _ => if at_work.remove(&key) { schedule.done(&key); },
                }
            }
            for key in at_work.drain() { schedule.done(&key); }
            while let Next::Work(key) = schedule.next(now) {
                schedule.done(&key);
                wanted.remove(&key);
            }
            prop_assert!(wanted.is_empty());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_gets_what_is_touched_after_the_debounce() {
        let queue = Queue::shared();
        let started = Instant::now();
        let other = Arc::clone(&queue);
        let worker = tokio::spawn(async move { other.next().await });
        queue.touch(1);
        queue.touch(1);
        assert_eq!(worker.await.unwrap(), 1);
        assert!(started.elapsed() >= DEBOUNCE);
        queue.done(&1, None);
        assert!(queue.is_empty());
    }
}
