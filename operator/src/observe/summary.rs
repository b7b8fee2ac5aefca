//! What is kept of children that have a state of their own: the few figures that conditions are made of. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use super::kinds::ChildKind;
use super::meta::text;
use crate::build::{CONTROLLER_ANNOTATION, SECRETS_HASH_ANNOTATION};
use crate::drains::Marks;

/// Longest message that is kept: they come from elsewhere.
const LONGEST_MESSAGE: usize = 512;

/// A condition of somebody else's object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TheirCondition {
    /// `True`, `False`, `Unknown`.
    pub status: String,
    /// Its reason.
    pub reason: String,
    /// Its message, cut.
    pub message: String,
}

impl TheirCondition {
    /// Whether its status is `True`.
    #[must_use]
    pub fn is_true(&self) -> bool {
        self.status == "True"
    }
}

/// What is kept of a child beside its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Of the Deployment.
    Deployment(DeploymentSeen),
    /// Of the Ingress.
    Ingress(IngressSeen),
    /// Of the HTTPRoute.
    Route(RouteSeen),
    /// Of the HorizontalPodAutoscaler.
    Autoscaler(AutoscalerSeen),
    /// Of the PersistentVolumeClaim: the size it asks for.
    Claim(String),
}

impl Detail {
    /// What is kept of an object of this kind beside its metadata.
    #[must_use]
    pub fn of(kind: ChildKind, object: &Value) -> Option<Box<Self>> {
        let detail = match kind {
            ChildKind::Deployment => Self::Deployment(DeploymentSeen::of(object)),
            ChildKind::Ingress => Self::Ingress(IngressSeen::of(object)),
            ChildKind::HttpRoute => Self::Route(RouteSeen::of(object)),
            ChildKind::HorizontalPodAutoscaler => Self::Autoscaler(AutoscalerSeen::of(object)),
            ChildKind::PersistentVolumeClaim => {
                Self::Claim(text(&object["spec"]["resources"]["requests"]["storage"]).to_owned())
            }
            _ => return None,
        };
        Some(Box::new(detail))
    }
}

/// The Deployment's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeploymentSeen {
    /// `metadata.generation`.
    pub generation: i64,
    /// `status.observedGeneration`.
    pub observed_generation: i64,
    /// `spec.replicas`.
    pub desired: i32,
    /// `status.replicas`, of all its ReplicaSets.
    pub replicas: i32,
    /// `status.updatedReplicas`.
    pub updated: i32,
    /// `status.readyReplicas`.
    pub ready: i32,
    /// `status.availableReplicas`.
    pub available: i32,
    /// Condition `Progressing`.
    pub progressing: TheirCondition,
    /// Condition `ReplicaFailure`.
    pub replica_failure: TheirCondition,
    /// When the newest rollout was through, in seconds since 1970; none while one is under way.
    pub rolled_out: Option<u64>,
    /// The digest of rolling secrets on the pod template.
    pub secrets_digest: Option<String>,
}

/// The Ingress's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IngressSeen {
    /// The class's controller when it was last built.
    pub controller: Option<String>,
    /// Whether a load balancer has an address for it.
    pub has_address: bool,
}

/// The HTTPRoute's state: each parent that said something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteSeen {
    /// The parents, in the route's order.
    pub parents: Vec<ParentSeen>,
}

/// One parent of an HTTPRoute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParentSeen {
    /// `namespace/name`, or the name alone.
    pub name: String,
    /// Condition `Accepted`.
    pub accepted: TheirCondition,
    /// Condition `ResolvedRefs`.
    pub resolved: TheirCondition,
}

/// The HorizontalPodAutoscaler's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AutoscalerSeen {
    /// `status.desiredReplicas`.
    pub desired: i32,
    /// Condition `ScalingActive`.
    pub active: TheirCondition,
}

impl DeploymentSeen {
    /// What is kept of a Deployment.
    #[must_use]
    pub fn of(object: &Value) -> Self {
        let status = &object["status"];
        let annotations = &object["spec"]["template"]["metadata"]["annotations"];
        Self {
            generation: object["metadata"]["generation"].as_i64().unwrap_or(0),
            observed_generation: status["observedGeneration"].as_i64().unwrap_or(0),
            desired: number(&object["spec"]["replicas"]).unwrap_or(1),
            replicas: number(&status["replicas"]).unwrap_or(0),
            updated: number(&status["updatedReplicas"]).unwrap_or(0),
            ready: number(&status["readyReplicas"]).unwrap_or(0),
            available: number(&status["availableReplicas"]).unwrap_or(0),
            progressing: condition(status, "Progressing"),
            replica_failure: condition(status, "ReplicaFailure"),
            rolled_out: rolled_out(status),
            secrets_digest: annotations[SECRETS_HASH_ANNOTATION]
                .as_str()
                .map(str::to_owned),
        }
    }
}

impl IngressSeen {
    /// What is kept of an Ingress.
    #[must_use]
    pub fn of(object: &Value) -> Self {
        let addresses = object["status"]["loadBalancer"]["ingress"].as_array();
        Self {
            controller: object["metadata"]["annotations"][CONTROLLER_ANNOTATION]
                .as_str()
                .map(str::to_owned),
            has_address: addresses.is_some_and(|it| !it.is_empty()),
        }
    }
}

impl RouteSeen {
    /// What is kept of an HTTPRoute.
    #[must_use]
    pub fn of(object: &Value) -> Self {
        let parents = object["status"]["parents"].as_array();
        Self {
            parents: parents.into_iter().flatten().take(32).map(parent).collect(),
        }
    }
}

fn parent(value: &Value) -> ParentSeen {
    let reference = &value["parentRef"];
    let name = text(&reference["name"]);
    ParentSeen {
        name: match reference["namespace"].as_str() {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name.to_owned(),
        },
        accepted: condition(value, "Accepted"),
        resolved: condition(value, "ResolvedRefs"),
    }
}

impl AutoscalerSeen {
    /// What is kept of a HorizontalPodAutoscaler.
    #[must_use]
    pub fn of(object: &Value) -> Self {
        let status = &object["status"];
        Self {
            desired: number(&status["desiredReplicas"]).unwrap_or(0),
            active: condition(status, "ScalingActive"),
        }
    }
}

/// A pod of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSeen {
    /// Its name.
    pub name: String,
    /// Its address, once it has one.
    pub ip: Option<std::net::IpAddr>,
    /// Condition `Ready`.
    pub ready: bool,
    /// It has been asked to end.
    pub deleting: bool,
    /// It has ended, whether well or not.
    pub ended: bool,
    /// Why it does not run, if it says so: `ImagePullBackOff`, `CrashLoopBackOff`, `Unschedulable`...
    pub trouble: Option<Trouble>,
    /// Its labels, by which autoscalers select it.
    pub labels: BTreeMap<String, String>,
    /// What scale-in needs to know of it.
    pub life: Life,
}

/// What scale-in needs to know of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Life {
    /// It does not run yet.
    pub pending: bool,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// The hash of the template that it was made from.
    pub revision: String,
    /// Our annotations on it, and a person's.
    pub marks: Marks,
}

impl Life {
    fn of(object: &Value) -> Self {
        let created = unix_seconds(&object["metadata"]["creationTimestamp"]).unwrap_or(0);
        let annotations = object["metadata"]["annotations"]
            .as_object()
            .into_iter()
            .flatten();
        let annotations =
            annotations.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)));
        Self {
            pending: text(&object["status"]["phase"]) == "Pending",
            created,
            revision: text(&object["metadata"]["labels"]["pod-template-hash"]).to_owned(),
            marks: Marks::of(annotations, created),
        }
    }
}

/// Why a pod does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// A word.
    pub reason: String,
    /// A sentence, cut; may be empty.
    pub message: String,
}

/// Waiting reasons that pass by themselves in a moment, and are no trouble.
const IN_PASSING: [&str; 2] = ["ContainerCreating", "PodInitializing"];

impl PodSeen {
    /// What is kept of a Pod.
    #[must_use]
    pub fn of(object: &Value) -> Self {
        let status = &object["status"];
        Self {
            name: text(&object["metadata"]["name"]).to_owned(),
            ip: text(&status["podIP"]).parse().ok(),
            ready: condition(status, "Ready").is_true(),
            deleting: !object["metadata"]["deletionTimestamp"].is_null(),
            ended: ["Succeeded", "Failed"].contains(&text(&status["phase"])),
            trouble: trouble(status),
            labels: labels(&object["metadata"]["labels"]),
            life: Life::of(object),
        }
    }

    /// Whether it counts: it has not ended.
    #[must_use]
    pub const fn counts(&self) -> bool {
        !self.ended
    }
}

fn labels(labels: &Value) -> BTreeMap<String, String> {
    let labels = labels.as_object().into_iter().flatten();
    labels
        .map(|(name, value)| (name.clone(), text(value).to_owned()))
        .collect()
}

fn trouble(status: &Value) -> Option<Trouble> {
    let scheduled = condition(status, "PodScheduled");
    if scheduled.status == "False" {
        return Some(Trouble {
            reason: scheduled.reason,
            message: scheduled.message,
        });
    }
    let containers = status["containerStatuses"].as_array();
    let waiting = containers
        .into_iter()
        .flatten()
        .map(|it| &it["state"]["waiting"])
        .find(|it| !it.is_null() && !IN_PASSING.contains(&text(&it["reason"])))?;
    Some(Trouble {
        reason: text(&waiting["reason"]).to_owned(),
        message: String::new(),
    })
}

/// The Deployment controller touches the condition when a rollout begins and when it is through, and not when the
/// replicas change.
fn rolled_out(status: &Value) -> Option<u64> {
    let progressing = condition_object(status, "Progressing")?;
    let through = progressing["reason"] == "NewReplicaSetAvailable";
    unix_seconds(&progressing["lastUpdateTime"]).filter(|_| through)
}

fn unix_seconds(time: &Value) -> Option<u64> {
    let time = text(time).parse::<jiff::Timestamp>().ok()?;
    u64::try_from(time.as_second()).ok()
}

fn condition_object<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = status["conditions"].as_array();
    conditions?.iter().find(|it| it["type"] == kind)
}

fn condition(status: &Value, kind: &str) -> TheirCondition {
    condition_object(status, kind).map_or_else(TheirCondition::default, |it| TheirCondition {
        status: text(&it["status"]).to_owned(),
        reason: text(&it["reason"]).to_owned(),
        message: cut(text(&it["message"])),
    })
}

fn cut(message: &str) -> String {
    message.chars().take(LONGEST_MESSAGE).collect()
}

fn number(value: &Value) -> Option<i32> {
    value.as_i64().and_then(|it| i32::try_from(it).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_deployment_without_status_has_nothing_ready() {
        let seen =
            DeploymentSeen::of(&json!({"metadata": {"generation": 2}, "spec": {"replicas": 3}}));
        assert_eq!((seen.generation, seen.desired, seen.ready), (2, 3, 0));
        assert_eq!(seen.progressing, TheirCondition::default());
    }

    #[test]
    fn a_deployment_says_when_its_rollout_was_through() {
        let seen = |reason: &str| {
            let progressing = json!({"type": "Progressing", "status": "True", "reason": reason,
                "lastUpdateTime": "1970-01-01T00:01:40Z", "lastTransitionTime": "1970-01-01T00:00:01Z"});
            DeploymentSeen::of(&json!({"status": {"conditions": [progressing]}})).rolled_out
        };
        assert_eq!(seen("NewReplicaSetAvailable"), Some(100));
        assert_eq!(seen("ReplicaSetUpdated"), None);
    }

    #[test]
    fn a_pod_says_why_it_does_not_run() {
        let pod =
            |status: Value| PodSeen::of(&json!({"metadata": {"name": "a"}, "status": status}));
        let waiting = |reason: &str| {
            pod(
                json!({"containerStatuses": [{"state": {"waiting": {"reason": reason, "message": "id 17"}}}]}),
            )
        };
        assert_eq!(
            waiting("ImagePullBackOff").trouble.unwrap().reason,
            "ImagePullBackOff"
        );
        assert_eq!(waiting("ContainerCreating").trouble, None);
        let unscheduled = pod(json!({"conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
        ]}));
        assert_eq!(unscheduled.trouble.unwrap().message, "0/3 nodes");
    }

    #[test]
    fn an_ended_pod_does_not_count() {
        for (phase, counts) in [
            ("Running", true),
            ("Pending", true),
            ("Failed", false),
            ("Succeeded", false),
        ] {
            let pod = PodSeen::of(&json!({"metadata": {"name": "a"}, "status": {"phase": phase}}));
            assert_eq!(pod.counts(), counts, "{phase}");
        }
    }

    #[test]
    fn a_routes_parents_are_known_by_name() {
        let seen = RouteSeen::of(&json!({"status": {"parents": [
            {"parentRef": {"name": "edge", "namespace": "infra"},
             "conditions": [{"type": "Accepted", "status": "False", "reason": "NoMatchingListenerHostname"}]}
        ]}}));
        assert_eq!(seen.parents[0].name, "infra/edge");
        assert_eq!(
            seen.parents[0].accepted.reason,
            "NoMatchingListenerHostname"
        );
    }
}
