//! Conditions, as kstatus and people read them. Pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::dependencies::dependencies;
use super::edge::edge;
use super::progress::{Progress, Why, progress};
use crate::api::AutoscalingMode;
use crate::drains::Blocked;
use crate::observe::{ChildKind, Detail, Observed};
use crate::reconcile::outcome::Outcome;

/// A condition before it has times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Its type.
    pub kind: &'static str,
    /// `True`, `False` or `Unknown`.
    pub status: &'static str,
    /// In CamelCase.
    pub reason: String,
    /// For people.
    pub message: String,
}

impl Draft {
    /// A condition.
    #[must_use]
    pub fn new(
        kind: &'static str,
        status: &'static str,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            status,
            reason: reason.into(),
            message: message.into(),
        }
    }
}

/// All conditions of a cluster. Of a spec that makes no sense only those about it: the others stay as they were.
#[must_use]
pub fn conditions(observed: &Observed, outcome: &Outcome) -> Vec<Draft> {
    let mut drafts = kstatus(progress(observed, outcome));
    if let Ok(spec) = &outcome.spec {
        drafts.push(dependencies(&observed.key, outcome));
        drafts.extend(edge(observed, outcome, spec));
        drafts.extend(
            spec.autoscaling
                .map(|it| autoscaling(observed, outcome, it.mode)),
        );
        drafts.push(draining(observed, outcome));
    }
    drafts
}

/// Ready, and the two that are only true when something is unusual.
fn kstatus(progress: Progress) -> Vec<Draft> {
    let (ready, reconciling, stalled, Why { reason, message }) = match progress {
        Progress::Done(why) => ("True", "False", "False", why),
        Progress::Working(why) => ("False", "True", "False", why),
        Progress::Stuck(why) => ("False", "False", "True", why),
    };
    let draft = |kind, status: &'static str, idle: &str| {
        if kind == "Ready" || status == "True" {
            Draft::new(kind, status, reason, message.clone())
        } else {
            Draft::new(kind, status, idle, "")
        }
    };
    vec![
        draft("Ready", ready, ""),
        draft("Reconciling", reconciling, "Settled"),
        draft("Stalled", stalled, "NotStalled"),
    ]
}

fn autoscaling(observed: &Observed, outcome: &Outcome, mode: AutoscalingMode) -> Draft {
    const KIND: &str = "AutoscalingActive";
    if mode == AutoscalingMode::Operator {
        return match outcome.sizing.blind {
            None => Draft::new(
                KIND,
                "Unknown",
                "NotYetEvaluated",
                "the pods are asked for their sessions first",
            ),
            Some(true) => Draft::new(
                KIND,
                "False",
                "LoadUnknown",
                "no pod tells its sessions, so the number of pods stays: can the operator reach the pods' port 9090?",
            ),
            Some(false) => Draft::new(
                KIND,
                "True",
                "ReplicasIgnored",
                "the operator sizes the cluster by its sessions: spec.replicas counts at creation only",
            ),
        };
    }
    let child = observed.child(ChildKind::HorizontalPodAutoscaler, &observed.key.name);
    let Some(Detail::Autoscaler(seen)) = child.and_then(|it| it.detail.as_deref()) else {
        return Draft::new(
            KIND,
            "Unknown",
            "Creating",
            "the HorizontalPodAutoscaler is not there yet",
        );
    };
    let status = match seen.active.status.as_str() {
        "True" => "True",
        "False" => "False",
        _ => "Unknown",
    };
    let reason = if seen.active.reason.is_empty() {
        "NotYetEvaluated"
    } else {
        &seen.active.reason
    };
    Draft::new(KIND, status, reason, seen.active.message.clone())
}

/// There are more pods than wanted, and none is emptied.
fn not_emptied(kind: &'static str, blocked: Blocked) -> Draft {
    let (status, reason, message) = match blocked {
        Blocked::NoRoom => (
            "False",
            "NoRoom",
            "there are more pods than asked for, but the others have no room for their sessions: they stay until there is",
        ),
        Blocked::Rolling => (
            "False",
            "RolloutFirst",
            "there are more pods than asked for: they are emptied when the rollout has ended",
        ),
        Blocked::LoadUnknown => (
            "Unknown",
            "LoadNotRead",
            "there are more pods than asked for, but none of them tells its sessions: can the operator reach the pods' port 9090?",
        ),
    };
    Draft::new(kind, status, reason, message)
}

fn draining(observed: &Observed, outcome: &Outcome) -> Draft {
    const KIND: &str = "Draining";
    let leaving = |name: &str| {
        let load = outcome
            .figures
            .as_ref()
            .and_then(|it| it.pods.get(name).copied().flatten());
        load.is_some_and(|it| it.draining)
    };
    let names: Vec<_> = observed
        .pods
        .iter()
        .filter(|pod| pod.deleting || leaving(&pod.name))
        .map(|pod| pod.name.as_str())
        .take(10)
        .collect();
    if !names.is_empty() {
        return Draft::new(
            KIND,
            "True",
            "PodsDrain",
            format!("being emptied: {}", names.join(", ")),
        );
    }
    if let Some(blocked) = outcome.sizing.blocked {
        return not_emptied(KIND, blocked);
    }
    let unread = outcome
        .figures
        .as_ref()
        .and_then(|it| it.pods.iter().find(|(_, load)| load.is_none()));
    match unread {
        Some((pod, _)) => Draft::new(
            KIND,
            "Unknown",
            "LoadNotRead",
            format!(
                "pod {pod} does not tell its sessions: can the operator reach the pods' port 9090?"
            ),
        ),
        None => Draft::new(KIND, "False", "NoPodDrains", ""),
    }
}

/// Gives drafts their times: `lastTransitionTime` moves only when the status does.
#[must_use]
pub fn stamp(
    drafts: Vec<Draft>,
    before: &[Condition],
    generation: i64,
    now: Timestamp,
) -> Vec<Condition> {
    let mut conditions: Vec<_> = drafts
        .into_iter()
        .map(|draft| one(draft, before, generation, now))
        .collect();
    conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
    conditions
}

fn one(draft: Draft, before: &[Condition], generation: i64, now: Timestamp) -> Condition {
    let same = before
        .iter()
        .find(|it| it.type_ == draft.kind && it.status == draft.status);
    // Whole seconds, as the API server keeps them.
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    Condition {
        last_transition_time: same.map_or(Time(now), |it| it.last_transition_time.clone()),
        type_: draft.kind.to_owned(),
        status: draft.status.to_owned(),
        reason: draft.reason,
        message: draft.message.chars().take(32_000).collect(),
        observed_generation: Some(generation),
    }
}
