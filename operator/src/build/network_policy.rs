//! The NetworkPolicy: everyone may connect as a client, few may reach the admin port.

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::meta::{Component, MANAGED_BY, label_selector, object};
use crate::validate::Validated;

pub(super) fn build(cluster: &Validated) -> Option<NetworkPolicy> {
    let admin_from = cluster.network_policy.as_ref()?;
    let mut admin = vec![pods_named(MANAGED_BY)];
    match admin_from.is_empty() {
        true => admin.push(pods_named("prometheus")),
        false => admin.extend(admin_from.iter().cloned()),
    }
    Some(NetworkPolicy {
        metadata: object(cluster, Component::Server),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(label_selector(&cluster.owner)),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(vec![rule("http", None), rule("admin", Some(admin))]),
            egress: None,
        }),
    })
}

fn rule(port: &str, from: Option<Vec<NetworkPolicyPeer>>) -> NetworkPolicyIngressRule {
    NetworkPolicyIngressRule {
        from,
        ports: Some(vec![NetworkPolicyPort {
            port: Some(IntOrString::String(port.to_owned())),
            protocol: Some("TCP".to_owned()),
            end_port: None,
        }]),
    }
}

/// Pods of any namespace with this name. An empty selector matches every namespace, a missing one only the own.
fn pods_named(name: &str) -> NetworkPolicyPeer {
    let name = ("app.kubernetes.io/name".to_owned(), name.to_owned());
    NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector::default()),
        pod_selector: Some(LabelSelector {
            match_labels: Some([name].into()),
            ..LabelSelector::default()
        }),
        ip_block: None,
    }
}
