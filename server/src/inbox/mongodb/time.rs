//! MongoDB's clock, by which notices are dated: every node reckons by the same, whatever its own wall clock says.
//!
//! The server's time is asked for every few seconds, and carried on between by this machine's monotonic clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::clock::{Clock, Millis};

/// One answer to the question what time it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) asked: Instant,
    pub(super) answered: Instant,
    pub(super) said: Millis,
}

impl Sample {
    fn round_trip(&self) -> Duration {
        self.answered.saturating_duration_since(self.asked)
    }
}

/// A time of the server's clock, and when it was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Anchor {
    at: Instant,
    time: Millis,
}

impl Anchor {
    /// The best of several samples is the one with the least round trip: the server read its clock within it, so
    /// its middle is wrong by half of that at most (and by the clock's own millisecond).
    fn best(samples: &[Sample]) -> Option<Self> {
        let best = samples.iter().min_by_key(|sample| sample.round_trip())?;
        Some(Self {
            at: best.asked + best.round_trip() / 2,
            time: best.said,
        })
    }

    fn time_at(&self, now: Instant) -> Millis {
        let since = now.saturating_duration_since(self.at).as_millis();
        self.time
            .saturating_add(Millis::try_from(since).unwrap_or(Millis::MAX))
    }
}

/// The store's clock. It never goes back.
pub(super) enum StoreTime {
    /// MongoDB's.
    Server {
        anchor: Mutex<Option<Anchor>>,
        latest: AtomicU64,
    },
    /// A test's own.
    Own(Clock),
}

impl StoreTime {
    /// A clock that must be set once before it is read.
    pub(super) fn of_the_server() -> Self {
        Self::Server {
            anchor: Mutex::new(None),
            latest: AtomicU64::new(0),
        }
    }

    /// Takes over what the server said.
    pub(super) fn set(&self, samples: &[Sample]) {
        if let (Self::Server { anchor, .. }, Some(best)) = (self, Anchor::best(samples)) {
            *anchor.lock() = Some(best);
        }
    }

    /// The time now.
    pub(super) fn now(&self) -> Millis {
        match self {
            Self::Own(clock) => clock.now(),
            Self::Server { anchor, latest } => {
                let now = Instant::now();
                let time = anchor
                    .lock()
                    .as_ref()
                    .map_or(0, |anchor| anchor.time_at(now));
                latest.fetch_max(time, Ordering::AcqRel).max(time)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_estimate_is_wrong_by_half_of_the_least_round_trip_at_most(
            truth in 1_000_000_u64..2_000_000,
            trips in prop::collection::vec((0_u64..500, 0_u64..500, 0_u64..1000), 1..10),
            later in 0_u64..100_000,
        ) {
            let start = Instant::now();
            let millis = Duration::from_millis;
            let samples: Vec<_> = trips.iter().map(|&(there, back, at)| Sample {
                asked: start + millis(at),
                answered: start + millis(at + there + back),
                said: truth + at + there,
            }).collect();
            let least = trips.iter().map(|(there, back, _)| there + back).min().unwrap_or(0);
            let anchor = Anchor::best(&samples).expect("samples");
            let told = anchor.time_at(start + millis(2000 + later));
            prop_assert!(told.abs_diff(truth + 2000 + later) <= least / 2 + 1);
        }
    }

    #[test]
    fn it_never_goes_back_when_the_server_does() {
        let time = StoreTime::of_the_server();
        let sample = |said| Sample {
            asked: Instant::now(),
            answered: Instant::now(),
            said,
        };
        time.set(&[sample(5000)]);
        let before = time.now();
        assert!((5000..6000).contains(&before));
        time.set(&[sample(1000)]);
        assert!(time.now() >= before);
        time.set(&[sample(9000)]);
        assert!(time.now() >= 9000);
    }
}
