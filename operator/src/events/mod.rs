//! Events: one for each thing that a person would want to know. What is told follows from how a status changed, so that
//! neither a repeat nor a restart of the operator tells anything twice. Choosing is pure; telling is one function.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};

use crate::api::{NoticeCluster, NoticeClusterStatus};
use crate::apply::{Done, within};
use crate::observe::{ChildKind, Observed};
use crate::reconcile::outcome::Outcome;

/// The longest note that the API server takes is 1 kB.
const LONGEST_NOTE: usize = 1000;

/// Something to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telling {
    /// Whether somebody should do something about it.
    pub warning: bool,
    /// In CamelCase.
    pub reason: String,
    /// What was done, or is being done about it.
    pub action: &'static str,
    /// A sentence.
    pub note: String,
}

/// What is to be told when a status becomes another one.
#[must_use]
pub fn tellings(
    observed: &Observed,
    outcome: &Outcome,
    before: &NoticeClusterStatus,
    now: &NoticeClusterStatus,
) -> Vec<Telling> {
    let mut tellings = Vec::new();
    tellings.extend(created(outcome));
    tellings.extend(scaled(observed, outcome));
    for condition in &now.conditions {
        let old = before
            .conditions
            .iter()
            .find(|it| it.type_ == condition.type_);
        tellings.extend(turned(old, condition));
    }
    tellings.extend(notes(outcome, before));
    tellings
}

fn created(outcome: &Outcome) -> Option<Telling> {
    let made = |(kind, _, done): &&(ChildKind, String, Done)| {
        *kind == ChildKind::Deployment && *done == Done::Created
    };
    let (_, name, _) = outcome.children.iter().find(made)?;
    Some(Telling {
        warning: false,
        reason: "Created".into(),
        action: "Create",
        note: format!("the Deployment {name} and what belongs to it were made"),
    })
}

fn scaled(observed: &Observed, outcome: &Outcome) -> Option<Telling> {
    let from = observed.deployment()?.desired;
    let to = outcome.spec.as_ref().ok()?.replicas;
    let written = outcome
        .children
        .iter()
        .any(|(kind, _, done)| *kind == ChildKind::Deployment && *done == Done::Written);
    (written && from != to).then(|| Telling {
        warning: false,
        reason: "Scaled".into(),
        action: "Scale",
        note: format!("from {from} to {to} pods{}", why_scaled(outcome)),
    })
}

/// The operator's own decision, where it decides.
fn why_scaled(outcome: &Outcome) -> String {
    let decision = outcome
        .sizing
        .decision
        .as_ref()
        .and_then(|it| it.reason.as_deref());
    decision.map_or_else(
        || ", as spec.replicas says".to_owned(),
        |reason| format!(": {reason}"),
    )
}

/// A condition that turned: told when its status or its reason changed, and somebody would want to know.
fn turned(old: Option<&Condition>, new: &Condition) -> Option<Telling> {
    let same = old.is_some_and(|old| old.status == new.status && old.reason == new.reason);
    if same {
        return None;
    }
    let bad_before = old.is_some_and(|old| old.status != "True");
    let (warning, action) = match (new.type_.as_str(), new.status.as_str()) {
        ("Ready", "True") => (false, "Reconcile"),
        ("Stalled", "True") => (true, "Reconcile"),
        ("DependenciesReady", "False") => (true, "Wait"),
        ("DependenciesReady", "Unknown") if new.reason == "SecretAccessDenied" => {
            (true, "Reconcile")
        }
        ("DependenciesReady", "True") if bad_before => (false, "Reconcile"),
        ("EdgeReady", "False") => (true, "Publish"),
        ("EdgeReady", "True") => (false, "Publish"),
        ("AutoscalingActive", "False") => (true, "Scale"),
        ("Draining", "True") => (false, "Drain"),
        _ => return None,
    };
    Some(Telling {
        warning,
        reason: new.reason.clone(),
        action,
        note: format!("{}: {}", new.type_, new.message),
    })
}

/// What the administrator of the edge must know, once.
fn notes(outcome: &Outcome, before: &NoticeClusterStatus) -> Vec<Telling> {
    let edge = before.conditions.iter().find(|it| it.type_ == "EdgeReady");
    let told = |message: &str| edge.is_some_and(|it| it.message.contains(message));
    let fresh = outcome.notes.iter().filter(|note| !told(&note.message));
    fresh
        .map(|note| Telling {
            warning: true,
            reason: note.reason.to_owned(),
            action: "Publish",
            note: note.message.clone(),
        })
        .collect()
}

/// Tells.
#[derive(Clone)]
pub struct Teller {
    recorder: Recorder,
}

impl std::fmt::Debug for Teller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Teller").finish_non_exhaustive()
    }
}

impl Teller {
    /// Tells in the name of this pod.
    #[must_use]
    pub fn new(client: Client, pod: &str) -> Self {
        let reporter = Reporter {
            controller: "notice-operator".into(),
            instance: Some(pod.to_owned()),
        };
        Self {
            recorder: Recorder::new(client, reporter),
        }
    }

    /// Tells all of them about this cluster. An event that can't be written is logged and lost.
    pub async fn tell(&self, cluster: &NoticeCluster, tellings: Vec<Telling>) {
        let reference: ObjectReference = cluster.object_ref(&());
        for telling in tellings {
            let event = Event {
                type_: if telling.warning {
                    EventType::Warning
                } else {
                    EventType::Normal
                },
                reason: telling.reason,
                note: Some(telling.note.chars().take(LONGEST_NOTE).collect()),
                action: telling.action.into(),
                secondary: None,
            };
            if let Err(error) = within(self.recorder.publish(&event, &reference)).await {
                tracing::warn!(
                    "an event could not be written: {}",
                    crate::failure::chain(&error)
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    fn condition(kind: &str, status: &str, reason: &str) -> Condition {
        Condition {
            type_: kind.into(),
            status: status.into(),
            reason: reason.into(),
            message: "why".into(),
            observed_generation: Some(1),
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
        }
    }

    #[test]
    fn a_condition_that_stays_is_not_told_again() {
        let old = condition("Stalled", "True", "NameConflict");
        assert_eq!(turned(Some(&old), &old), None);
        assert!(turned(None, &old).unwrap().warning);
        let other = condition("Stalled", "True", "ApplyRejected");
        assert_eq!(turned(Some(&old), &other).unwrap().reason, "ApplyRejected");
    }

    #[test]
    fn a_dependency_that_comes_back_is_told_and_one_that_was_always_there_is_not() {
        let there = condition("DependenciesReady", "True", "AllPresent");
        assert_eq!(turned(None, &there), None);
        let missing = condition("DependenciesReady", "False", "SecretNotFound");
        assert!(turned(Some(&there), &missing).unwrap().warning);
        assert!(!turned(Some(&missing), &there).unwrap().warning);
    }
}
