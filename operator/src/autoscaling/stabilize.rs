//! Stabilization windows: a smaller size is taken only when nothing larger was recommended for a while, and a larger
//! one only when nothing smaller was. The same as upstream's `stabilizeRecommendationWithBehaviors`.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// For how long recommendations count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// Of those, the lowest counts when more pods are wanted.
    pub up: Duration,
    /// Of those, the highest counts when fewer are wanted.
    pub down: Duration,
}

/// What was recommended lately.
///
/// Each queue keeps only what can still be an answer: values that no later one outdoes, so it holds at most as many
/// entries as there are different sizes.
#[derive(Debug, Clone, Default)]
pub struct Recommendations {
    /// Falling: the first is the highest.
    highest: VecDeque<(Instant, u32)>,
    /// Rising: the first is the lowest.
    lowest: VecDeque<(Instant, u32)>,
}

impl Recommendations {
    /// Those of an operator that has just begun to look: the size it found, so that a restart never shrinks a cluster
    /// before a whole window was seen.
    #[must_use]
    pub fn starting_with(size: u32, now: Instant) -> Self {
        let mut recommendations = Self::default();
        recommendations.record(size, now);
        recommendations
    }

    /// Notes a recommendation and answers with the size that is steady enough, where `current` pods are wanted now.
    pub fn stabilize(
        &mut self,
        current: u32,
        recommended: u32,
        windows: Windows,
        now: Instant,
    ) -> u32 {
        self.forget(windows, now);
        let lowest = self.lowest.front().map_or(recommended, |it| it.1);
        let highest = self.highest.front().map_or(recommended, |it| it.1);
        self.record(recommended, now);
        let at_least = lowest.min(recommended);
        let at_most = highest.max(recommended);
        current.max(at_least).min(at_most)
    }

    fn forget(&mut self, windows: Windows, now: Instant) {
        let is_over = |at: Instant, window| now.saturating_duration_since(at) >= window;
        while self
            .lowest
            .front()
            .is_some_and(|it| is_over(it.0, windows.up))
        {
            self.lowest.pop_front();
        }
        while self
            .highest
            .front()
            .is_some_and(|it| is_over(it.0, windows.down))
        {
            self.highest.pop_front();
        }
    }

    fn record(&mut self, size: u32, at: Instant) {
        while self.highest.back().is_some_and(|it| it.1 <= size) {
            self.highest.pop_back();
        }
        self.highest.push_back((at, size));
        while self.lowest.back().is_some_and(|it| it.1 >= size) {
            self.lowest.pop_back();
        }
        self.lowest.push_back((at, size));
    }
}

#[cfg(test)]
#[path = "stabilize_tests.rs"]
mod tests;
