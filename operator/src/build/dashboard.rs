//! The dashboard's ConfigMap, for the sidecar of Grafana. One dashboard serves all clusters: it has variables.

use k8s_openapi::api::core::v1::ConfigMap;

use super::meta::{Component, named};
use crate::validate::Validated;

/// The dashboard of the operator's chart.
const DASHBOARD: &str =
    include_str!("../../../charts/notice-operator/dashboards/notice-cluster.json");

pub(super) fn build(cluster: &Validated) -> Option<ConfigMap> {
    let wish = cluster.dashboard.as_ref()?;
    let name = format!("{}-dashboard", cluster.owner.name);
    let mut metadata = named(cluster, name, Component::Dashboard);
    let labels = metadata.labels.get_or_insert_default();
    for (key, value) in wish {
        labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    Some(ConfigMap {
        metadata,
        data: Some([("notice-cluster.json".to_owned(), DASHBOARD.to_owned())].into()),
        ..ConfigMap::default()
    })
}
