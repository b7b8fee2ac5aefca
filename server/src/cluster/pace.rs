//! How fast the sweep goes. Pure: times in, pauses out.

use std::time::Duration;

/// The pace of the sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepPace {
    /// Each account is looked at once in so long while wake-ups work.
    pub round: Duration,
    /// The pause between two rounds without wake-ups, when the last one found something.
    pub busy: Duration,
    /// The same, when it found nothing.
    pub idle: Duration,
}

/// A sweep that found what a wake-up should have brought goes on this much faster.
const HASTE: u32 = 8;

/// How many rounds it takes to calm down again.
const CALM_AFTER: u32 = 3;

/// A round that was asked for, after a break or a failure, is spread over so long: nodes that share a store would
/// otherwise read all of it in one moment.
pub(super) const HURRY: Duration = Duration::from_secs(2);

/// What the last round came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Round {
    /// Whether it found a notice that no wake-up had brought.
    pub(super) found: bool,
}

/// Goes faster when wake-ups get lost, and calms down when none do.
#[derive(Debug)]
pub(super) struct Pacer {
    pace: SweepPace,
    haste: u32,
}

impl Pacer {
    pub(super) fn new(pace: SweepPace) -> Self {
        Self { pace, haste: 0 }
    }

    /// Something was found: from now on it goes faster.
    pub(super) fn found(&mut self) {
        self.haste = CALM_AFTER;
    }

    /// A round is over.
    pub(super) fn round_over(&mut self, round: Round) {
        if !round.found {
            self.haste = self.haste.saturating_sub(1);
        }
    }

    /// How long the next round takes while wake-ups work.
    pub(super) fn round(&self) -> Duration {
        if self.haste > 0 {
            self.pace.round / HASTE
        } else {
            self.pace.round
        }
    }

    /// The pause before the next round while none work.
    pub(super) fn pause(&self, last: Round) -> Duration {
        if last.found {
            self.pace.busy
        } else {
            self.pace.idle
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: SweepPace = SweepPace {
        round: Duration::from_secs(32),
        busy: Duration::from_millis(100),
        idle: Duration::from_millis(1000),
    };

    #[test]
    fn a_sweep_that_finds_something_hurries_for_a_while_and_calms_down() {
        let mut pacer = Pacer::new(PACE);
        assert_eq!(pacer.round(), PACE.round);
        pacer.found();
        assert_eq!(pacer.round(), PACE.round / HASTE);
        pacer.round_over(Round { found: true });
        for _ in 0..CALM_AFTER {
            assert_eq!(pacer.round(), PACE.round / HASTE);
            pacer.round_over(Round { found: false });
        }
        assert_eq!(pacer.round(), PACE.round);
    }

    #[test]
    fn without_wake_ups_it_polls_at_the_two_paces_of_the_source_design() {
        let pacer = Pacer::new(PACE);
        assert_eq!(pacer.pause(Round { found: true }), PACE.busy);
        assert_eq!(pacer.pause(Round { found: false }), PACE.idle);
    }
}
