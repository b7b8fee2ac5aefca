//! How fast the number of pods may grow: a mistaken reading must not fill a cluster at once. The same as upstream's
//! `calculateScaleUpLimitWithScalingRules` with the policy `Max`.
//!
//! There is no such limit downwards, since upstream's default has none (100 % in 15 s), and since pods go one after
//! another anyway, as fast as their sessions find room elsewhere.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// So much may be added within a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// So many pods.
    Pods(u32, Duration),
    /// So many in a hundred of those that there were.
    Percent(u32, Duration),
}

/// Four pods, or twice as many, in 15 s: whichever is more. The default of a HorizontalPodAutoscaler.
pub const DEFAULT_SCALE_UP: [Policy; 2] = [
    Policy::Pods(4, Duration::from_secs(15)),
    Policy::Percent(100, Duration::from_secs(15)),
];

impl Policy {
    fn period(self) -> Duration {
        match self {
            Self::Pods(_, period) | Self::Percent(_, period) => period,
        }
    }

    fn most(self, at_its_start: u64) -> u64 {
        match self {
            Self::Pods(pods, _) => at_its_start + u64::from(pods),
            Self::Percent(percent, _) => (at_its_start * (100 + u64::from(percent))).div_ceil(100),
        }
    }
}

/// The changes of the last while.
#[derive(Debug, Clone, Default)]
pub struct ScaleEvents(VecDeque<(Instant, i64)>);

impl ScaleEvents {
    /// The size went from one to another.
    pub fn record(&mut self, from: u32, to: u32, at: Instant) {
        if from != to {
            self.0.push_back((at, i64::from(to) - i64::from(from)));
        }
    }

    /// The most pods that there may be now; never fewer than there are.
    pub fn most(&mut self, current: u32, policies: &[Policy], now: Instant) -> u32 {
        let longest = policies.iter().map(|policy| policy.period()).max();
        self.forget(longest.unwrap_or_default(), now);
        let most = policies.iter().map(|policy| {
            let at_its_start = i64::from(current) - self.changed(policy.period(), now);
            policy.most(u64::try_from(at_its_start).unwrap_or(0))
        });
        let most = most.max().unwrap_or(u64::from(u32::MAX));
        u32::try_from(most).unwrap_or(u32::MAX).max(current)
    }

    fn changed(&self, period: Duration, now: Instant) -> i64 {
        let recent = self
            .0
            .iter()
            .filter(|it| now.saturating_duration_since(it.0) < period);
        recent.map(|it| it.1).sum()
    }

    fn forget(&mut self, longest: Duration, now: Instant) {
        while let Some(it) = self.0.front()
            && now.saturating_duration_since(it.0) >= longest
        {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
