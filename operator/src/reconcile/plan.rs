//! From builders' objects to what is written, in the order in which it is written. Pure.

use serde::Serialize;
use serde_json::Value;

use crate::apply::Wanted;
use crate::build::Children;
use crate::observe::ChildKind;

/// A child that should be, or should not be.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// It should be so.
    Apply(Wanted),
    /// It should be, whatever it looks like.
    Keep(Wanted),
    /// It should not be.
    Remove(ChildKind, String),
}

/// What is written, in order. The configuration and the Deployment come last and together: they are of one making.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What does not depend on Secrets.
    pub free: Vec<Step>,
    /// What must wait until all Secrets are there.
    pub held_by_secrets: Vec<Step>,
}

/// The plan for these children of the cluster `name`.
///
/// # Errors
/// An object can't be written as JSON.
pub fn plan(name: &str, children: &Children) -> Result<Plan, serde_json::Error> {
    // Exhaustive, so that no child is forgotten.
    let Children {
        service_account,
        config_map,
        volume_claim,
        deployment,
        service,
        metrics_service,
        ingress,
        http_route,
        pod_disruption_budget,
        horizontal_pod_autoscaler,
        network_policy,
        service_monitor,
        prometheus_rule,
        dashboard,
        edge_notes: _,
    } = children;
    let metrics = format!("{name}-metrics");
    let dashboard_name = format!("{name}-dashboard");
    let mut free = vec![
        step(ChildKind::ServiceAccount, name, Some(service_account))?,
        step(ChildKind::NetworkPolicy, name, network_policy.as_ref())?,
        step(ChildKind::Service, name, Some(service))?,
        step(ChildKind::Service, &metrics, Some(metrics_service))?,
        step(ChildKind::PodDisruptionBudget, name, pod_disruption_budget.as_ref())?,
        step(ChildKind::HorizontalPodAutoscaler, name, horizontal_pod_autoscaler.as_ref())?,
        step(ChildKind::Ingress, name, ingress.as_ref())?,
        step(ChildKind::HttpRoute, name, http_route.as_ref())?,
        step(ChildKind::ServiceMonitor, name, service_monitor.as_ref())?,
        step(ChildKind::PrometheusRule, name, prometheus_rule.as_ref())?,
        step(ChildKind::ConfigMap, &dashboard_name, dashboard.as_ref())?,
    ];
    // A claim is never removed: it holds notices.
    if let Some(claim) = volume_claim {
        free.push(Step::Keep(wanted(ChildKind::PersistentVolumeClaim, name, claim)?));
    }
    Ok(Plan {
        free,
        held_by_secrets: vec![
            step(ChildKind::ConfigMap, name, Some(config_map))?,
            step(ChildKind::Deployment, name, Some(deployment))?,
        ],
    })
}

fn step<T: Serialize>(kind: ChildKind, name: &str, object: Option<&T>) -> Result<Step, serde_json::Error> {
    Ok(match object {
        Some(object) => Step::Apply(wanted(kind, name, object)?),
        None => Step::Remove(kind, name.to_owned()),
    })
}

fn wanted<T: Serialize>(kind: ChildKind, name: &str, object: &T) -> Result<Wanted, serde_json::Error> {
    let mut object = serde_json::to_value(object)?;
    // Status is not ours to write here, and a null would be.
    if let Some(fields) = object.as_object_mut() {
        fields.retain(|_, value| *value != Value::Null);
    }
    Ok(Wanted {
        kind,
        name: name.to_owned(),
        object,
    })
}
