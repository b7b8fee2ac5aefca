//! The ServiceMonitor of the Prometheus operator.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::meta::{Component, label_selector, named};
use super::service::METRICS_PORT_NAME;
use crate::api::foreign::{Endpoint, ServiceMonitor, ServiceMonitorSpec};
use crate::validate::Validated;

pub(super) fn build(cluster: &Validated) -> Option<ServiceMonitor> {
    let wish = cluster.service_monitor.as_ref()?;
    let mut metadata = named(cluster, cluster.owner.name.clone(), Component::Metrics);
    let labels = metadata.labels.get_or_insert_default();
    for (key, value) in &wish.labels {
        labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    Some(ServiceMonitor {
        metadata,
        spec: ServiceMonitorSpec {
            selector: metrics_service(cluster),
            endpoints: vec![Endpoint {
                port: METRICS_PORT_NAME.to_owned(),
                path: "/metrics".to_owned(),
                interval: wish.interval.clone(),
            }],
            target_labels: vec!["app.kubernetes.io/instance".to_owned()],
        },
    })
}

/// Not the Service for clients: each pod would be scraped twice.
fn metrics_service(cluster: &Validated) -> LabelSelector {
    let mut selector = label_selector(&cluster.owner);
    let component = (
        "app.kubernetes.io/component".to_owned(),
        "metrics".to_owned(),
    );
    selector
        .match_labels
        .get_or_insert_default()
        .extend([component]);
    selector
}
