//! The decision: the formula, what is ahead and what is needed, then windows, pace and bounds; and why.

use std::time::{Duration, Instant};

use super::growth::Growth;
use super::limits::{DEFAULT_SCALE_UP, ScaleEvents};
use super::stabilize::{Recommendations, Windows};
use super::usage::{Sample, Tolerance, replicas_by_usage};
use super::words;

/// What a person has asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The fewest pods.
    pub min: u32,
    /// The most pods.
    pub max: u32,
    /// Sessions that a pod should have.
    pub target: u64,
    /// Sessions that a pod takes at most.
    pub capacity: u64,
    /// How far from the target nothing is done.
    pub tolerance: Tolerance,
    /// How long recommendations count.
    pub windows: Windows,
    /// As long as it takes from the moment when more pods are needed until clients are on them: a look, a start.
    pub ahead: Duration,
}

/// What a pod is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It runs and is to go on; with its sessions, where they could be read.
    Serving(Option<u64>),
    /// It is being emptied or ends: its sessions will be the others' soon.
    Leaving(Option<u64>),
    /// It does not run yet.
    Pending,
    /// It has failed, or ended.
    Gone,
}

impl Standing {
    fn sessions(self) -> Option<u64> {
        match self {
            Self::Serving(sessions) | Self::Leaving(sessions) => sessions,
            Self::Pending | Self::Gone => None,
        }
    }
}

/// One pod as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// What it is good for.
    pub standing: Standing,
}

/// What is known at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// The pods that are wanted now: the Deployment's replicas without those that leave.
    pub size: u32,
    /// Those that exist.
    pub pods: Vec<Pod>,
}

/// Why a number is recommended. A closed set: it labels metrics and reasons of conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The mean is near the target.
    WithinTolerance,
    /// The mean is above the target.
    AboveTarget,
    /// The mean is below the target.
    BelowTarget,
    /// At the rate of connecting the pods would be full before new ones are there.
    ConnectingFast,
    /// The present sessions would not fit on fewer.
    NeededBySessions,
    /// No pod's load could be read: nothing is changed.
    LoadUnknown,
}

/// What kept the number from being the recommended one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Fewer were recommended within the window.
    WaitsToGrow,
    /// More were recommended within the window.
    WaitsToShrink,
    /// It may not grow faster.
    Pace,
    /// `maxReplicas`.
    Maximum,
    /// `minReplicas`.
    Minimum,
}

/// How many pods there should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Always within the bounds.
    pub desired: u32,
    /// What the sessions speak for, before windows, pace and bounds.
    pub recommended: u32,
    /// Why that.
    pub reason: Reason,
    /// Why not that.
    pub limit: Option<Limit>,
    /// All sessions, those last reported by pods that don't answer now included.
    pub sessions: u64,
    /// New sessions a second.
    pub growth: u64,
    /// The same for people.
    pub message: String,
}

/// What must be remembered from one decision to the next, for one cluster.
#[derive(Debug, Clone)]
pub struct Autoscaler {
    recommendations: Recommendations,
    events: ScaleEvents,
    growth: Growth,
}

impl Autoscaler {
    /// That of a cluster which is seen for the first time, with the size that it was found with.
    #[must_use]
    pub fn new(size: u32, now: Instant) -> Self {
        Self {
            recommendations: Recommendations::starting_with(size, now),
            events: ScaleEvents::default(),
            growth: Growth::default(),
        }
    }

    /// Decides. The caller brings the cluster to what is desired; the change counts from now on for the pace.
    pub fn decide(&mut self, observation: &Observation, rules: &Rules, now: Instant) -> Decision {
        let seen = observation.pods.iter();
        let seen = seen.filter(|pod| pod.standing != Standing::Gone);
        let sessions = self.growth.observe(
            seen.map(|pod| (pod.name.as_str(), pod.standing.sessions())),
            now,
        );
        let growth = self.growth.per_second();
        let (recommended, reason) = recommend(observation, rules, sessions, growth);
        let (desired, limit) = self.admit(observation.size, recommended, sessions, rules, now);
        self.events.record(observation.size, desired, now);
        let mut decision = Decision {
            desired,
            recommended,
            reason,
            limit,
            sessions,
            growth,
            message: String::new(),
        };
        decision.message = words::explain(&decision, observation, rules);
        decision
    }

    /// What of a recommendation is done now, and what keeps the rest.
    fn admit(
        &mut self,
        size: u32,
        recommended: u32,
        sessions: u64,
        rules: &Rules,
        now: Instant,
    ) -> (u32, Option<Limit>) {
        let steady = self
            .recommendations
            .stabilize(size, recommended, rules.windows, now)
            .max(needed(sessions, rules.capacity));
        let most = self.events.most(size, &DEFAULT_SCALE_UP, now);
        let paced = steady.min(most);
        let desired = paced.min(rules.max).max(rules.min);
        let limit = if desired == recommended {
            None
        } else if desired < paced || (desired == rules.max && recommended > desired) {
            Some(Limit::Maximum)
        } else if desired > paced || (desired == rules.min && recommended < desired) {
            Some(Limit::Minimum)
        } else if paced < steady {
            Some(Limit::Pace)
        } else if desired < recommended {
            Some(Limit::WaitsToGrow)
        } else {
            Some(Limit::WaitsToShrink)
        };
        (desired, limit)
    }
}

/// The pods that so many sessions need at the very least.
fn needed(sessions: u64, capacity: u64) -> u32 {
    u32::try_from(sessions.div_ceil(capacity.max(1))).unwrap_or(u32::MAX)
}

/// What the sessions speak for.
fn recommend(
    observation: &Observation,
    rules: &Rules,
    sessions: u64,
    growth: u64,
) -> (u32, Reason) {
    let size = observation.size;
    let (mut pods, mut reason) = match by_usage(observation, rules) {
        None => (size, Reason::LoadUnknown),
        Some(pods) if pods == size => (pods, Reason::WithinTolerance),
        Some(pods) if pods > size => (pods, Reason::AboveTarget),
        Some(pods) => (pods, Reason::BelowTarget),
    };
    let coming = growth.saturating_mul(rules.ahead.as_secs());
    let ahead = needed(sessions.saturating_add(coming), rules.capacity);
    if ahead > pods {
        (pods, reason) = (ahead, Reason::ConnectingFast);
    }
    let need = needed(sessions, rules.capacity);
    if need >= pods && need > size {
        (pods, reason) = (need, Reason::NeededBySessions);
    }
    (pods, reason)
}

fn by_usage(observation: &Observation, rules: &Rules) -> Option<u32> {
    let sample = |pod: &Pod| match pod.standing {
        Standing::Serving(Some(sessions)) => Sample::Sessions(sessions),
        Standing::Serving(None) => Sample::Missing,
        Standing::Pending => Sample::Pending,
        Standing::Leaving(_) | Standing::Gone => Sample::Ignored,
    };
    let samples: Vec<_> = observation.pods.iter().map(sample).collect();
    let leaving = observation
        .pods
        .iter()
        .filter_map(|pod| match pod.standing {
            Standing::Leaving(sessions) => sessions,
            _ => None,
        });
    let adrift = leaving.fold(0, u64::saturating_add);
    let found = replicas_by_usage(
        observation.size,
        rules.target,
        rules.tolerance,
        &samples,
        adrift,
    );
    found.map(|(pods, _)| pods)
}

#[cfg(test)]
#[path = "decision_tests.rs"]
mod tests;
