//! The lease's rules. Pure: what is seen on the Lease and a clock go in, what to do comes out.
//!
//! The clocks of two machines are never compared: who does not hold the lease measures, on its own clock, for how long
//! it has not moved. The holder stops before anybody else may start:
//!
//! ```text
//! renewed ............ RENEW_EVERY ...... STOP_AFTER (holder stops) ...... DURATION (others may take it)
//! ```

use std::time::Duration;

use tokio::time::Instant;

/// For how long a lease holds after it moved.
pub const DURATION: Duration = Duration::from_secs(12);
/// How often its holder renews it.
pub const RENEW_EVERY: Duration = Duration::from_secs(4);
/// The holder stops acting when it could not renew for so long, counted from the start of the last renewal that worked.
pub const STOP_AFTER: Duration = Duration::from_secs(8);
/// How often others look at it.
pub const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What a Lease says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Who holds it; empty when it was given back.
    pub holder: String,
    /// Moves with each write of it.
    pub version: String,
    /// How often it changed hands.
    pub transitions: i32,
    /// For how long its holder says that it holds, in seconds.
    pub seconds: i32,
}

/// What to do about the lease.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Make it, or write oneself into it, with these transitions.
    Take(i32),
    /// Write it anew: we hold it.
    Renew(i32),
    /// Somebody else holds it.
    Wait,
}

/// What a candidate remembers of the lease.
#[derive(Debug)]
pub struct Candidate {
    identity: String,
    seen: Option<(Record, Instant)>,
}

impl Candidate {
    /// A candidate of this name, which no other may have.
    #[must_use]
    pub const fn new(identity: String) -> Self {
        Self {
            identity,
            seen: None,
        }
    }

    /// Its name.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// What to do, now that the lease (or that there is none) was seen.
    pub fn decide(&mut self, record: Option<&Record>, now: Instant) -> Step {
        let Some(record) = record else {
            self.seen = None;
            return Step::Take(0);
        };
        if record.holder == self.identity {
            return Step::Renew(record.transitions);
        }
        let since = match &self.seen {
            Some((seen, since)) if seen == record => *since,
            _ => {
                self.seen = Some((record.clone(), now));
                now
            }
        };
        let holds = Duration::from_secs(u64::try_from(record.seconds).unwrap_or(0)).max(DURATION);
        let over = now.saturating_duration_since(since) >= holds;
        if record.holder.is_empty() || over {
            Step::Take(record.transitions.saturating_add(1))
        } else {
            Step::Wait
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(holder: &str, version: &str) -> Record {
        Record {
            holder: holder.into(),
            version: version.into(),
            transitions: 3,
            seconds: 12,
        }
    }

    #[test]
    fn who_holds_it_stops_before_another_may_start() {
        assert!(RENEW_EVERY < STOP_AFTER);
        assert!(STOP_AFTER + Duration::from_secs(3) < DURATION);
        assert!(DURATION + LOOK_EVERY * 2 < Duration::from_secs(20), "taken over within 20 s");
    }

    #[test]
    fn a_lease_that_moves_is_left_and_one_that_stands_still_is_taken() {
        let start = Instant::now();
        let mut candidate = Candidate::new("b".into());
        assert_eq!(candidate.decide(Some(&record("a", "1")), start), Step::Wait);
        let later = start + DURATION - Duration::from_millis(1);
        assert_eq!(candidate.decide(Some(&record("a", "2")), later), Step::Wait);
        assert_eq!(candidate.decide(Some(&record("a", "2")), later + DURATION / 2), Step::Wait);
        assert_eq!(candidate.decide(Some(&record("a", "2")), later + DURATION), Step::Take(4));
    }

    #[test]
    fn none_and_one_given_back_are_taken_at_once_and_ones_own_is_renewed() {
        let now = Instant::now();
        let mut candidate = Candidate::new("b".into());
        assert_eq!(candidate.decide(None, now), Step::Take(0));
        assert_eq!(candidate.decide(Some(&record("", "1")), now), Step::Take(4));
        assert_eq!(candidate.decide(Some(&record("b", "1")), now), Step::Renew(3));
    }

    #[test]
    fn a_longer_lease_of_another_release_is_believed() {
        let start = Instant::now();
        let mut candidate = Candidate::new("b".into());
        let long = Record { seconds: 60, ..record("a", "1") };
        assert_eq!(candidate.decide(Some(&long), start), Step::Wait);
        assert_eq!(candidate.decide(Some(&long), start + DURATION * 2), Step::Wait);
        assert_eq!(candidate.decide(Some(&long), start + Duration::from_secs(60)), Step::Take(4));
    }

    proptest! {
        /// However the looks fall: nobody takes a lease within its time of a move that it has seen.
        #[test]
        fn nobody_takes_a_lease_that_moved_lately(looks in prop::collection::vec((0_u64..4000, any::<bool>()), 1..60)) {
            let mut now = Instant::now();
            let mut moved = now;
            let mut version = 0;
            let mut candidate = Candidate::new("b".into());
            for (pause, moves) in looks {
                now += Duration::from_millis(pause);
                if moves { version += 1; moved = now; }
                let step = candidate.decide(Some(&record("a", &version.to_string())), now);
                if matches!(step, Step::Take(_)) {
                    prop_assert!(now.duration_since(moved) >= DURATION);
                }
            }
        }
    }
}
