//! How far a cluster is: the one judgement behind `Ready`, `Reconciling` and `Stalled`. Pure.

use crate::apply::Done;
use crate::observe::{DeploymentSeen, Observed, PodSeen};
use crate::reconcile::outcome::Outcome;

/// A reason and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// In CamelCase.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Everything is as the spec says.
    Done(Why),
    /// It gets there by itself.
    Working(Why),
    /// Somebody must do something.
    Stuck(Why),
}

fn why(reason: &'static str, message: impl Into<String>) -> Why {
    Why {
        reason,
        message: message.into(),
    }
}

/// The judgement.
#[must_use]
pub fn progress(observed: &Observed, outcome: &Outcome) -> Progress {
    refusal(outcome)
        .or_else(|| waiting(observed, outcome))
        .unwrap_or_else(|| rollout(observed, outcome))
}

fn refusal(outcome: &Outcome) -> Option<Progress> {
    if let Err(findings) = &outcome.spec {
        let texts: Vec<_> = findings.iter().map(ToString::to_string).collect();
        return Some(Progress::Stuck(why("InvalidSpec", texts.join(". "))));
    }
    let foreign = outcome.find(|done| match done {
        Done::NotOurs(who) => Some(who.clone()),
        _ => None,
    });
    if let Some((kind, name, who)) = foreign {
        let message = format!(
            "{kind} {name} belongs to {who} and is not touched: rename or delete it, or give the NoticeCluster another name"
        );
        return Some(Progress::Stuck(why("NameConflict", message)));
    }
    let rejected = outcome.find(|done| match done {
        Done::Rejected(message) => Some(message.clone()),
        _ => None,
    });
    rejected.map(|(kind, name, message)| {
        Progress::Stuck(why(
            "ApplyRejected",
            format!("the API server refuses {kind} {name}: {message} (tried again each minute)"),
        ))
    })
}

fn waiting(observed: &Observed, outcome: &Outcome) -> Option<Progress> {
    if outcome.spec.as_ref().is_ok_and(|it| it.paused) {
        return None;
    }
    let waits = outcome.find(|done| match done {
        Done::Waits(for_what) => Some(for_what.clone()),
        _ => None,
    });
    if let Some((kind, name, for_what)) = waits {
        return Some(Progress::Working(why(
            "WaitingForDeletion",
            format!("{kind} {name}: {for_what}"),
        )));
    }
    if outcome.needs.lacks_something() || !outcome.needs.unknown.is_empty() {
        let pods = if observed.deployment().is_some() {
            "the pods stay as they are"
        } else {
            "no pod is made"
        };
        return Some(Progress::Working(why(
            "WaitingForSecrets",
            format!("{pods} until the Secrets are there: see DependenciesReady"),
        )));
    }
    None
}

fn rollout(observed: &Observed, outcome: &Outcome) -> Progress {
    let paused = outcome.spec.as_ref().is_ok_and(|it| it.paused);
    let Some(deployment) = observed.deployment() else {
        return if paused {
            Progress::Stuck(why(
                "Paused",
                "spec.paused is true, and there is no Deployment yet: set it to false",
            ))
        } else {
            Progress::Working(why("Creating", "the Deployment is being made"))
        };
    };
    if let Some(progress) = trouble(deployment, &observed.pods) {
        return progress;
    }
    let wanted = deployment.desired;
    // A pod that is emptied to go is not ready, and not missed.
    let leaves = |pod: &&PodSeen| !pod.deleting && pod.life.marks.leaving.is_some();
    let leaving = observed.pods.iter().filter(leaves).count();
    let leaving = i32::try_from(leaving).unwrap_or(i32::MAX);
    let settled = deployment.observed_generation >= deployment.generation
        && deployment.updated >= wanted
        && deployment.replicas <= deployment.updated
        && deployment.available.saturating_add(leaving) >= wanted;
    match (settled, wanted) {
        (true, _) if paused => Progress::Done(why(
            "Paused",
            "spec.paused is true: the children are left as they are",
        )),
        (true, 0) => Progress::Done(why("ScaledToZero", "spec.replicas is 0: there are no pods")),
        (true, _) => Progress::Done(why(
            "PodsReady",
            format!("{wanted} of {wanted} pods are ready"),
        )),
        (false, _) => Progress::Working(why("RollingOut", rolling(deployment, &observed.pods))),
    }
}

fn trouble(deployment: &DeploymentSeen, pods: &[PodSeen]) -> Option<Progress> {
    if deployment.progressing.reason == "ProgressDeadlineExceeded" {
        return Some(Progress::Stuck(why(
            "ProgressDeadlineExceeded",
            rolling(deployment, pods),
        )));
    }
    deployment.replica_failure.is_true().then(|| {
        Progress::Working(why(
            "PodsRefused",
            format!("pods can't be made: {}", deployment.replica_failure.message),
        ))
    })
}

fn rolling(deployment: &DeploymentSeen, pods: &[PodSeen]) -> String {
    let mut message = format!(
        "{} of {} pods are of this spec, {} are available",
        deployment.updated.min(deployment.desired),
        deployment.desired,
        deployment.available
    );
    if let Some((pod, trouble)) = pods
        .iter()
        .find_map(|pod| Some((pod, pod.trouble.as_ref()?)))
    {
        message.push_str(&format!("; pod {}: {}", pod.name, trouble.reason));
        if !trouble.message.is_empty() {
            message.push_str(&format!(" ({})", trouble.message));
        }
    }
    message
}
