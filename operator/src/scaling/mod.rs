//! The number of pods, and the way there: what pods say goes to the pure decisions of [`crate::autoscaling`] and
//! [`crate::drains`], and what they decide is done. Where somebody else decides the number (a person, or Kubernetes'
//! autoscaler, by `spec.replicas`), the way there is the same: pods are emptied before they go.
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
use crate::reconcile::outcome::Sizing;
use crate::sessions::figures::Figures;
use crate::validate::{Autoscaling, Validated};

/// How often clusters are looked at.
pub const PERIOD: Duration = Duration::from_secs(5);

/// As long as more pods take from the moment when they are needed until clients are on them: a reading, a turn, a start.
const AHEAD: Duration = Duration::from_secs(60);

/// A drain may take so much longer than its window. A client has 5 s to move, and a reading is 10 s old at most.
const MARGIN: Duration = Duration::from_secs(30);

/// All clusters. Shared.
#[derive(Debug, Default)]
pub struct Scaling {
    desks: Mutex<HashMap<ClusterKey, Desk>>,
}

/// What is known and remembered of one cluster.
#[derive(Debug)]
struct Desk {
    by: By,
    settings: Settings,
    paused: bool,
    memory: Option<Memory>,
}

/// Who decides how many pods serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// The operator, by the sessions.
    Sessions(Rules),
    /// Whoever writes `spec.replicas`.
    Spec(u32),
}

#[derive(Debug)]
struct Memory {
    autoscaler: Autoscaler,
    drains: Drains,
    rebalance: Rebalance,
    /// Pods that should serve.
    wanted: u32,
    /// The replicas that the last turn asked for, if it asked for others.
    size: Option<u32>,
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
    /// A spec as it is now.
    pub fn learn(&self, key: &ClusterKey, spec: &Validated) {
        let (by, settings, paused) = (By::of(spec), settings(spec), spec.paused);
        let mut desks = self.desks.lock();
        let desk = desks.entry(key.clone()).or_insert_with(|| Desk {
            by,
            settings,
            paused,
            memory: None,
        });
        (desk.by, desk.settings, desk.paused) = (by, settings, paused);
    }

    /// A cluster is gone.
    pub fn forget(&self, key: &ClusterKey) {
        self.desks.lock().remove(key);
    }

    /// What the Deployment's replicas should be, where it is there: as they are, until a turn asks for others.
    #[must_use]
    pub fn size(&self, observed: &Observed) -> Option<i32> {
        let decided = self
            .desks
            .lock()
            .get(&observed.key)
            .and_then(|desk| desk.memory.as_ref()?.size);
        let decided = decided.and_then(|size| i32::try_from(size).ok());
        decided
            .or_else(|| observed.deployment().map(|it| it.desired))
            .filter(|size| *size > 0)
    }

    /// What status says of it.
    #[must_use]
    pub fn told(&self, key: &ClusterKey) -> Sizing {
        let desks = self.desks.lock();
        let Some(memory) = desks.get(key).and_then(|desk| desk.memory.as_ref()) else {
            return Sizing::default();
        };
        let told = memory.told.as_ref();
        Sizing {
            decision: told.map(|told| told.status.clone()),
            blind: told.map(|told| told.of.1 == Reason::LoadUnknown),
            blocked: memory.drains.blocked(),
        }
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
        if replicas == 0 {
            desk.memory = None;
        }
        if desk.paused || replicas == 0 {
            return Todo::default();
        }
        let instant = Instant::now().into_std();
        let Desk {
            by,
            settings,
            memory,
            ..
        } = desk;
        let memory = memory.get_or_insert_with(|| Memory::begin(observed, replicas, instant));
        let (growth, told) = memory.decide(*by, observed, figures, instant);
        let seen = see::pods(observed, figures, deployment, memory.wanted, growth);
        let before = memory.drains.blocked();
        let (drains, actions) =
            drains::step(std::mem::take(&mut memory.drains), &seen, settings, now);
        memory.drains = drains;
        let blocked = memory.drains.blocked() != before;
        let rebalance = std::mem::take(&mut memory.rebalance);
        let (rebalance, verdict) = rebalance.judge(&seen, settings, now);
        memory.rebalance = rebalance;
        let resized = memory.resize(*by, &actions, replicas);
        Todo {
            actions,
            rebalance: Some(verdict).filter(|it| *it != Verdict::Rest),
            reconcile: resized || told || blocked,
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
            size: None,
            told: None,
        }
    }

    /// How many pods should serve. New sessions a second, and whether there is something new to tell.
    fn decide(
        &mut self,
        by: By,
        observed: &Observed,
        figures: &Figures,
        now: std::time::Instant,
    ) -> (u64, bool) {
        match by {
            By::Sessions(rules) => {
                let loads = see::loads(observed, figures, self.wanted);
                let decision = self.autoscaler.decide(&loads, &rules, now);
                self.wanted = decision.desired;
                (decision.growth, self.tell(&decision))
            }
            By::Spec(replicas) => {
                self.wanted = replicas;
                self.told = None;
                (0, false)
            }
        }
    }

    /// The size that the actions ask for; the Deployment's own where they ask for none, so that what a person did to it
    /// is seen first and brought back in good order.
    ///
    /// Pods of which none tells its sessions can't be emptied. Who asks for fewer gets fewer all the same: a pod that is
    /// deleted moves its sessions by itself.
    fn resize(&mut self, by: By, actions: &[Action], replicas: u32) -> bool {
        let asked = actions.iter().find_map(|action| match action {
            Action::Resize(size) => Some(*size),
            _ => None,
        });
        let unreadable = self.drains.blocked() == Some(drains::Blocked::LoadUnknown);
        let blindly = matches!(by, By::Spec(_)) && unreadable;
        let asked = asked.or(blindly.then_some(self.wanted));
        self.size = asked.filter(|it| *it != replicas);
        self.size.is_some()
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

impl By {
    fn of(spec: &Validated) -> Self {
        let operator = |auto: &Autoscaling| auto.mode == AutoscalingMode::Operator;
        match spec.autoscaling.filter(operator) {
            Some(auto) => Self::Sessions(rules(&auto, spec)),
            None => Self::Spec(u32::try_from(spec.wanted_replicas).unwrap_or(0)),
        }
    }
}

fn rules(auto: &Autoscaling, spec: &Validated) -> Rules {
    let number = |value: i32| u32::try_from(value).unwrap_or(1).max(1);
    let seconds = |value: i32| Duration::from_secs(u64::try_from(value).unwrap_or(0));
    Rules {
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
    }
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
