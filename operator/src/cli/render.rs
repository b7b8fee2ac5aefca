//! `render`: the children that a manifest would make, as YAML documents.

use serde::Serialize;

use crate::build::{Children, edge};

/// The documents, in the order in which they are applied, and what should be known about the edge.
pub(super) fn documents(
    children: Children,
) -> Result<(Vec<String>, Vec<edge::Note>), serde_yaml_ng::Error> {
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
        edge_notes,
    } = children;
    let documents = [
        document(Some(service_account)),
        document(volume_claim),
        document(Some(config_map)),
        document(network_policy),
        document(Some(service)),
        document(Some(metrics_service)),
        document(ingress),
        document(http_route),
        document(pod_disruption_budget),
        document(horizontal_pod_autoscaler),
        document(service_monitor),
        document(prometheus_rule),
        document(dashboard),
        document(Some(deployment)),
    ];
    let documents = documents.into_iter().filter_map(Result::transpose);
    Ok((documents.collect::<Result<_, _>>()?, edge_notes))
}

fn document<T: Serialize>(child: Option<T>) -> Result<Option<String>, serde_yaml_ng::Error> {
    child
        .map(|child| serde_yaml_ng::to_string(&child))
        .transpose()
}
