//! The number of pods, made so where the operator decides it: what pods say goes to the pure decisions of
//! [`crate::autoscaling`] and [`crate::drains`], and what they decide is done.
//!
//! Each cluster has a desk with what is remembered between two turns. A reconcile brings the spec to it and takes the size
//! of the Deployment from it; the turns here write no Deployment. Lost memory costs nothing but a window's patience: the
//! marks on pods are what a next operator goes on from.

mod act;
mod see;
mod verbs;

pub use act::Hands;
pub use verbs::Verbs;

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::api::{AutoscalingMode, AutoscalingStatus};
use crate::autoscaling::{Autoscaler, Decision, Limit, Reason, Rules, Tolerance, Windows};
use crate::drains::{self, Action, Drains, Rebalance, Settings, Verdict};
use crate::observe::{ClusterKey, Observed};
use crate::sessions::figures::Figures;
use crate::validate::Validated;

/// How often clusters are looked at.
pub const PERIOD: Duration = Duration::from_secs(5);

/// As long as more pods take from the moment when they are needed until clients are on them: a reading, a turn, a start.
const AHEAD: Duration = Duration::from_secs(60);

/// A drain may take so much longer than its window. A client has 5 s to move, and a reading is 10 s old at most.
const MARGIN: Duration = Duration::from_secs(30);

/// All clusters whose size the operator decides. Shared.
#[derive(Debug, Default)]
pub struct Scaling {
    desks: Mutex<HashMap<ClusterKey, Desk>>,
}

/// What is known and remembered of one cluster.
#[derive(Debug)]
struct Desk {
    rules: Rules,
    settings: Settings,
    paused: bool,
    memory: Option<Memory>,
}

#[derive(Debug)]
struct Memory {
    autoscaler: Autoscaler,
    drains: Drains,
    rebalance: Rebalance,
    /// Pods that should serve.
    wanted: u32,
    /// The Deployment's replicas.
    size: u32,
    told: Option<Told>,
}

/// What status says, until something else is decided.
#[derive(Clone, Debug)]
struct Told {
    of: (u32, Reason, Option<Limit>),
    status: AutoscalingStatus,
}

/// What a turn asks to be done.
#[derive(Debug, Default)]
pub struct Todo {
    /// Of the pods, in this order.
    pub actions: Vec<Action>,
    /// Sessions that are asked to move.
    pub rebalance: Option<Verdict>,
    /// The size or what is said about it has changed: a reconcile writes it.
    pub reconcile: bool,
}

impl Scaling {
    /// A spec as it is now. One whose size somebody else decides has no desk.
    pub fn learn(&self, key: &ClusterKey, spec: &Validated) {
        let mut desks = self.desks.lock();
        let Some(rules) = rules(spec) else {
            desks.remove(key);
            return;
        };
        let desk = desks.entry(key.clone()).or_insert_with(|| Desk {
            rules,
            settings: settings(spec),
            paused: spec.paused,
            memory: None,
        });
        (desk.rules, desk.settings, desk.paused) = (rules, settings(spec), spec.paused);
    }

    /// A cluster is gone.
    pub fn forget(&self, key: &ClusterKey) {
        self.desks.lock().remove(key);
    }

    /// What the Deployment's replicas should be; as they are before the first turn.
    #[must_use]
    pub fn size(&self, observed: &Observed) -> Option<i32> {
        let decided = self
            .desks
            .lock()
            .get(&observed.key)
            .and_then(|desk| Some(desk.memory.as_ref()?.size));
        let decided = decided.and_then(|size| i32::try_from(size).ok());
        decided
            .or_else(|| observed.deployment().map(|it| it.desired))
            .filter(|size| *size > 0)
    }

    /// The last decision, for status.
    #[must_use]
    pub fn status(&self, key: &ClusterKey) -> Option<AutoscalingStatus> {
        let desks = self.desks.lock();
        let told = desks.get(key)?.memory.as_ref()?.told.as_ref()?;
        Some(told.status.clone())
    }

    /// Whether the last decision had nothing to go by; `None` before the first.
    #[must_use]
    pub fn is_blind(&self, key: &ClusterKey) -> Option<bool> {
        let desks = self.desks.lock();
        let told = desks.get(key)?.memory.as_ref()?.told.as_ref()?;
        Some(told.of.1 == Reason::LoadUnknown)
    }

    /// The clusters that have a desk.
    #[must_use]
    pub fn clusters(&self) -> Vec<ClusterKey> {
        self.desks.lock().keys().cloned().collect()
    }

    /// One turn for a cluster: what is to be done now. Nothing for one that is paused, or has no pods yet.
    pub fn turn(&self, observed: &Observed, figures: &Figures, now: u64) -> Todo {
        let mut desks = self.desks.lock();
        let (Some(desk), Some(deployment)) = (desks.get_mut(&observed.key), observed.deployment())
        else {
            return Todo::default();
        };
        let replicas = u32::try_from(deployment.desired).unwrap_or(0);
        if desk.paused || replicas == 0 {
            return Todo::default();
        }
        let instant = Instant::now().into_std();
        let Desk {
            rules,
            settings,
            memory,
            ..
        } = desk;
        let memory = memory.get_or_insert_with(|| Memory::begin(observed, replicas, instant));
        let decision = memory.autoscaler.decide(
            &see::loads(observed, figures, memory.wanted),
            rules,
            instant,
        );
        memory.wanted = decision.desired;
        let seen = see::pods(observed, figures, deployment, &decision);
        let (drains, actions) =
            drains::step(std::mem::take(&mut memory.drains), &seen, settings, now);
        memory.drains = drains;
        let rebalance = std::mem::take(&mut memory.rebalance);
        let (rebalance, verdict) = rebalance.judge(&seen, settings, now);
        memory.rebalance = rebalance;
        let resized = memory.resize(&actions, replicas);
        let told = memory.tell(&decision);
        Todo {
            actions,
            rebalance: Some(verdict).filter(|it| *it != Verdict::Rest),
            reconcile: resized || told,
        }
    }
}

impl Memory {
    /// As the cluster is found: what leaves already is not wanted.
    fn begin(observed: &Observed, replicas: u32, now: std::time::Instant) -> Self {
        let leaving = observed
            .pods
            .iter()
            .filter(|pod| !pod.deleting && pod.life.marks.leaving.is_some());
        let leaving = u32::try_from(leaving.count()).unwrap_or(u32::MAX);
        let wanted = replicas.saturating_sub(leaving).max(1);
        Self {
            autoscaler: Autoscaler::new(wanted, now),
            drains: Drains::default(),
            rebalance: Rebalance::default(),
            wanted,
            size: replicas,
            told: None,
        }
    }

    /// The size that the actions ask for; the Deployment's own where they ask for none, so that what a person did to it
    /// is seen first and brought back in good order.
    fn resize(&mut self, actions: &[Action], replicas: u32) -> bool {
        let asked = actions.iter().find_map(|action| match action {
            Action::Resize(size) => Some(*size),
            _ => None,
        });
        self.size = asked.unwrap_or(replicas);
        asked.is_some()
    }

    /// Notes a decision that differs from the one that was told. Figures alone are no difference.
    fn tell(&mut self, decision: &Decision) -> bool {
        let of = (decision.desired, decision.reason, decision.limit);
        if self.told.as_ref().is_some_and(|told| told.of == of) {
            return false;
        }
        let now = crate::clock::now();
        let sampled = jiff::Timestamp::from_second(now.as_second()).unwrap_or(now);
        self.told = Some(Told {
            of,
            status: AutoscalingStatus {
                desired_replicas: i32::try_from(decision.desired).ok(),
                reason: Some(decision.message.clone()),
                sampled_at: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
                    sampled,
                )),
            },
        });
        true
    }
}

/// The rules of a spec whose size the operator decides.
fn rules(spec: &Validated) -> Option<Rules> {
    let auto = spec
        .autoscaling
        .filter(|auto| auto.mode == AutoscalingMode::Operator)?;
    let number = |value: i32| u32::try_from(value).unwrap_or(1).max(1);
    let seconds = |value: i32| Duration::from_secs(u64::try_from(value).unwrap_or(0));
    Some(Rules {
        min: number(auto.min_replicas),
        max: number(auto.max_replicas),
        target: u64::from(number(auto.target_sessions)),
        capacity: u64::from(number(spec.capacity.max_sessions)),
        tolerance: Tolerance::default(),
        windows: Windows {
            up: seconds(auto.up_stabilization_seconds),
            down: seconds(auto.down_stabilization_seconds),
        },
        ahead: AHEAD,
    })
}

fn settings(spec: &Validated) -> Settings {
    let number = |value: i32| u64::try_from(value).unwrap_or(1).max(1);
    Settings {
        capacity: number(spec.capacity.max_sessions),
        connect_rate: number(spec.capacity.connect_rate),
        window: Duration::from_secs(u64::try_from(spec.drain_window_seconds).unwrap_or(0)),
        margin: MARGIN,
    }
}

#[cfg(test)]
mod tests;
