//! The PodDisruptionBudget: one pod at a time. None at one replica, where it would only block the drain of a node.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::meta::{Component, label_selector, object};
use crate::validate::Validated;

pub(super) fn build(cluster: &Validated) -> Option<PodDisruptionBudget> {
    (cluster.replicas > 1).then(|| PodDisruptionBudget {
        metadata: object(cluster, Component::Server),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(label_selector(&cluster.owner)),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    })
}
