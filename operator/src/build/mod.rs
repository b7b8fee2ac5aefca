//! From a [`Validated`] cluster to its children, one file a child. Pure: the same input gives the same objects, byte for
//! byte.
//!
//! An object holds only the fields that we mean to own: server-side apply takes over each field that is sent, defaults
//! included, and whoever else sets one of them is overruled.

mod config_map;
mod dashboard;
mod deployment;
pub mod edge;
mod horizontal_pod_autoscaler;
mod http_route;
mod ingress;
mod meta;
mod network_policy;
mod paths;
mod pod;
mod pod_disruption_budget;
mod prometheus_rule;
pub mod server_config;
mod service;
mod service_account;
mod service_monitor;
mod volume_claim;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

pub use deployment::{CONFIG_HASH_ANNOTATION, SECRETS_HASH_ANNOTATION};
pub use ingress::CONTROLLER_ANNOTATION;
pub use meta::{MANAGED_BY, selector, selector_text};
pub use pod::{ADMIN_PORT, CONTAINER, HTTP_PORT};

use crate::api::foreign::{HTTPRoute, PrometheusRule, ServiceMonitor};
use crate::validate::{Facts, Validated};

/// Everything that a NoticeCluster becomes. Destructure it exhaustively where it is applied, so that no child is forgotten;
/// `None` means that there must be none.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names are the kinds")]
pub struct Children {
    pub service_account: ServiceAccount,
    /// The server's configuration; it changes together with the Deployment.
    pub config_map: ConfigMap,
    /// Created where it is missing, and never changed: a person may grow it, and it outlives the cluster (no owner).
    pub volume_claim: Option<PersistentVolumeClaim>,
    pub deployment: Deployment,
    /// For clients and services.
    pub service: Service,
    /// Headless, for Prometheus: `<name>-metrics`.
    pub metrics_service: Service,
    pub ingress: Option<Ingress>,
    pub http_route: Option<HTTPRoute>,
    pub pod_disruption_budget: Option<PodDisruptionBudget>,
    pub horizontal_pod_autoscaler: Option<HorizontalPodAutoscaler>,
    pub network_policy: Option<NetworkPolicy>,
    pub service_monitor: Option<ServiceMonitor>,
    pub prometheus_rule: Option<PrometheusRule>,
    /// `<name>-dashboard`.
    pub dashboard: Option<ConfigMap>,
    /// What the Ingress can't say by itself: for an event and a condition.
    pub edge_notes: Vec<edge::Note>,
}

/// The children of `cluster`.
#[must_use]
pub fn children(cluster: &Validated, facts: &Facts) -> Children {
    let edge = edge::plan(cluster, facts);
    let config_map = config_map::build(cluster, facts);
    Children {
        service_account: service_account::build(cluster),
        deployment: deployment::build(cluster, facts, &config_map),
        config_map,
        volume_claim: volume_claim::build(cluster),
        service: service::clients(cluster, &edge),
        metrics_service: service::metrics(cluster),
        ingress: ingress::build(cluster, facts, &edge),
        http_route: http_route::build(cluster),
        pod_disruption_budget: pod_disruption_budget::build(cluster),
        horizontal_pod_autoscaler: horizontal_pod_autoscaler::build(cluster),
        network_policy: network_policy::build(cluster),
        service_monitor: service_monitor::build(cluster),
        prometheus_rule: prometheus_rule::build(cluster),
        dashboard: dashboard::build(cluster),
        edge_notes: edge.notes,
    }
}
