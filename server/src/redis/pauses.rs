//! Pauses between attempts: growing, and jittered so that the nodes of a cluster don't come back all at once. Pure but
//! for the dice.

use std::time::Duration;

use crate::chance;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);
/// A link that held this long was a good one: the next attempt comes soon.
const GOOD: Duration = Duration::from_secs(10);

/// The pauses of one thing that connects again and again.
#[derive(Debug)]
pub(super) struct Pauses {
    next: Duration,
}

impl Pauses {
    pub(super) fn new() -> Self {
        Self { next: FIRST }
    }

    /// The pause after a link, or an attempt, that held this long.
    pub(super) fn after(&mut self, held: Duration) -> Duration {
        if held >= GOOD {
            self.next = FIRST;
        }
        let pause = self.next;
        self.next = (2 * pause).min(LONGEST);
        // Between half of it and all of it.
        pause.mul_f64(0.5 + 0.5 * chance::roll().unwrap_or(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_two_seconds_and_begin_again_after_a_good_link() {
        let mut pauses = Pauses::new();
        for whole in [50, 100, 200, 400, 800, 1600, 2000, 2000] {
            let whole = Duration::from_millis(whole);
            let pause = pauses.after(Duration::ZERO);
            assert!(pause >= whole / 2 && pause <= whole, "{pause:?}");
        }
        assert!(pauses.after(GOOD) <= FIRST);
    }
}
