//! What the operator says about a cluster: computed from what was observed and done, compared, and written only on a
//! difference. Computing is pure; the write is one function.

pub mod conditions;
pub mod dependencies;
pub mod edge;
pub mod progress;

#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Client;
use kube::core::params::{Patch, PatchParams};
use kube::core::request::Request;
use serde_json::{Value, json};

use crate::api::{AutoscalingMode, AutoscalingStatus, MOST_PODS, NoticeClusterStatus, PodStatus};
use crate::apply::within;
use crate::build::selector_text;
use crate::observe::kinds::resource_path;
use crate::observe::{ClusterKey, Observed};
use crate::reconcile::outcome::Outcome;
use crate::sessions::figures::{Figures, Load, WRITE_EVERY};
use crate::validate::Validated;

/// The field manager of status.
pub const STATUS_MANAGER: &str = "notice-operator-status";

/// What status should be, and when to look again for figures that are not due yet.
#[derive(Debug, PartialEq)]
pub struct Wanted {
    /// The status.
    pub status: NoticeClusterStatus,
    /// Whether it has measured figures that differ from those told before.
    pub new_figures: bool,
    /// Figures wait so long until they may be told.
    pub again: Option<Duration>,
}

/// What status should be. `since_told` is how long ago measured figures were written last.
#[must_use]
pub fn wanted(
    observed: &Observed,
    outcome: &Outcome,
    since_told: Option<Duration>,
    now: Timestamp,
) -> Wanted {
    let before = observed
        .cluster
        .object
        .as_ref()
        .ok()
        .and_then(|it| it.status.clone())
        .unwrap_or_default();
    let drafts = conditions::conditions(observed, outcome);
    let stamped = conditions::stamp(drafts, &before.conditions, observed.cluster.generation, now);
    let Ok(spec) = &outcome.spec else {
        return invalid(before, stamped, observed);
    };
    let told = told_before(&before);
    let (figures, new_figures, again) = figures_to_tell(observed, outcome, &told, since_told);
    let deployment = observed.deployment();
    let status = NoticeClusterStatus {
        observed_generation: Some(observed.cluster.generation),
        conditions: stamped,
        replicas: Some(deployment.map_or(0, |it| it.replicas)),
        ready_replicas: Some(deployment.map_or(0, |it| it.ready)),
        selector: Some(selector_text(&spec.owner)),
        online_sessions: online(&figures, &before, outcome, new_figures),
        url: spec.url.clone(),
        autoscaling: sizing(spec, outcome, &before),
        pods: pods(&figures, observed),
    };
    Wanted {
        status,
        new_figures,
        again,
    }
}

/// A spec that makes no sense: what is known of the pods stays, and what is said about the spec is new.
fn invalid(
    mut before: NoticeClusterStatus,
    stamped: Vec<k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition>,
    observed: &Observed,
) -> Wanted {
    before.observed_generation = Some(observed.cluster.generation);
    before
        .conditions
        .retain(|old| stamped.iter().all(|new| new.type_ != old.type_));
    before.conditions.extend(stamped);
    before.conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
    if let Some(deployment) = observed.deployment() {
        before.replicas = Some(deployment.replicas);
        before.ready_replicas = Some(deployment.ready);
    }
    Wanted {
        status: before,
        new_figures: false,
        again: None,
    }
}

/// The figures in a status.
#[must_use]
pub fn told_before(status: &NoticeClusterStatus) -> Figures {
    let load = |pod: &PodStatus| {
        pod.sessions.map(|sessions| Load {
            sessions,
            draining: pod.draining.unwrap_or(false),
        })
    };
    Figures {
        pods: status
            .pods
            .iter()
            .map(|pod| (pod.name.clone(), load(pod)))
            .collect(),
    }
}

/// Which figures to tell: new ones when they are worth it and not too soon, else those told before, of the pods there are.
fn figures_to_tell(
    observed: &Observed,
    outcome: &Outcome,
    told: &Figures,
    since_told: Option<Duration>,
) -> (Figures, bool, Option<Duration>) {
    let kept = || Figures {
        pods: observed
            .pods
            .iter()
            .map(|pod| {
                (
                    pod.name.clone(),
                    told.pods.get(&pod.name).copied().flatten(),
                )
            })
            .collect(),
    };
    let Some(fresh) = &outcome.figures else {
        return (kept(), false, None);
    };
    if !fresh.worth_telling(told) {
        return (kept(), false, None);
    }
    // A drain is what a person watches: its begin and its end are told at once.
    let pods_changed = !fresh.pods.keys().eq(told.pods.keys()) || fresh.drains() != told.drains();
    let wait = since_told
        .and_then(|since| WRITE_EVERY.checked_sub(since))
        .filter(|it| !it.is_zero());
    match wait {
        Some(wait) if !pods_changed => (kept(), false, Some(wait)),
        _ => (fresh.clone(), true, None),
    }
}

/// The sum; before pods were asked, what stood there.
fn online(
    figures: &Figures,
    before: &NoticeClusterStatus,
    outcome: &Outcome,
    new: bool,
) -> Option<i64> {
    if outcome.figures.is_none() && !new {
        return before.online_sessions;
    }
    figures.total()
}

/// The last decision; before the first one of this operator, that of the one before.
fn sizing(
    spec: &Validated,
    outcome: &Outcome,
    before: &NoticeClusterStatus,
) -> Option<AutoscalingStatus> {
    let decides = spec
        .autoscaling
        .is_some_and(|it| it.mode == AutoscalingMode::Operator);
    let decision = outcome
        .sizing
        .decision
        .clone()
        .or_else(|| before.autoscaling.clone());
    decision.filter(|_| decides)
}

fn pods(figures: &Figures, observed: &Observed) -> Vec<PodStatus> {
    let pod = |(name, load): (&String, &Option<Load>)| PodStatus {
        name: name.clone(),
        sessions: load.map(|it| it.sessions),
        draining: load.map(|it| it.draining),
        drain_eta: drain_eta(observed, name),
    };
    figures.pods.iter().take(MOST_PODS).map(pod).collect()
}

fn drain_eta(observed: &Observed, name: &str) -> Option<Time> {
    let pod = observed.pods.iter().find(|pod| pod.name == name)?;
    let eta = i64::try_from(pod.life.marks.leaving?.eta()).ok()?;
    Timestamp::from_second(eta).ok().map(Time)
}

/// Writes a status; the object as it is then.
///
/// # Errors
/// That of the call.
pub async fn write(
    client: &Client,
    key: &ClusterKey,
    status: &NoticeClusterStatus,
) -> Result<Value, kube::Error> {
    let body = json!({
        "apiVersion": "noticecluster.dev/v1alpha1",
        "kind": "NoticeCluster",
        "metadata": {"name": &*key.name, "namespace": &*key.namespace},
        "status": status,
    });
    let path = resource_path(
        "noticecluster.dev/v1alpha1",
        "noticeclusters",
        Some(&key.namespace),
    );
    let params = PatchParams::apply(STATUS_MANAGER).force();
    let request = Request::new(path)
        .patch_subresource("status", &key.name, &params, &Patch::Apply(&body))
        .map_err(kube::Error::BuildRequest)?;
    within(client.request(request)).await
}
