//! What the tests of specs share.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::path::{Path, PathBuf};

use notice_operator::api::NoticeCluster;
use notice_operator::build::{self, Children};
use notice_operator::validate::{Facts, OptionalKinds, Validated, validate};
use serde_json::{Value, json};

/// A public key, as the operator's own would look.
pub const DRAIN_KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
                             MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
                             -----END PUBLIC KEY-----\n";

pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

pub fn manifest(path: &str) -> Value {
    let path = folder(path);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_yaml_ng::from_str(&text).unwrap()
}

pub fn cluster(manifest: &Value) -> NoticeCluster {
    serde_json::from_value(manifest.clone()).unwrap()
}

/// What an operator knows in a cluster with everything.
pub fn facts() -> Facts {
    Facts {
        server_image: "ghcr.io/notice/notice-server:0.0.0".to_owned(),
        ingress_controller: Some("k8s.io/ingress-nginx".to_owned()),
        kinds: OptionalKinds::ALL,
        drain_public_key: Some(DRAIN_KEY.to_owned()),
        secrets_digest: Some("0123456789abcdef".to_owned()),
        size: None,
        claim_bytes: None,
    }
}

pub fn validated(manifest: &Value) -> Validated {
    validate(&cluster(manifest), &facts()).unwrap()
}

pub fn children(manifest: &Value) -> Children {
    build::children(&validated(manifest), &facts())
}

/// `base` with the value at the dotted path `at` set.
pub fn with(base: &Value, at: &str, value: Value) -> Value {
    let mut changed = base.clone();
    let mut here = &mut changed;
    for key in at.split('.') {
        here = here
            .as_object_mut()
            .unwrap()
            .entry(key)
            .or_insert_with(|| json!({}));
    }
    *here = value;
    changed
}

/// `base` without what is at the dotted path `at`.
pub fn without(base: &Value, at: &str) -> Value {
    let mut changed = base.clone();
    let pointer = format!("/{}", at.replace('.', "/"));
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    changed
        .pointer_mut(parent)
        .unwrap()
        .as_object_mut()
        .unwrap()
        .remove(key)
        .unwrap();
    changed
}

/// Each child by its kind, as it is sent.
pub fn as_values(children: Children) -> Vec<(&'static str, Value)> {
    fn value<T: serde::Serialize>(child: T) -> Value {
        serde_json::to_value(child).unwrap()
    }
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
    let notes: Vec<String> = edge_notes
        .into_iter()
        .map(|n| format!("{}: {}", n.reason, n.message))
        .collect();
    let all = [
        ("service-account", value(service_account)),
        ("config-map", value(config_map)),
        ("volume-claim", value(volume_claim)),
        ("deployment", value(deployment)),
        ("service", value(service)),
        ("metrics-service", value(metrics_service)),
        ("ingress", value(ingress)),
        ("http-route", value(http_route)),
        ("pod-disruption-budget", value(pod_disruption_budget)),
        (
            "horizontal-pod-autoscaler",
            value(horizontal_pod_autoscaler),
        ),
        ("network-policy", value(network_policy)),
        ("service-monitor", value(service_monitor)),
        ("prometheus-rule", value(prometheus_rule)),
        ("dashboard", value(dashboard)),
        ("edge-notes", value(notes)),
    ];
    all.into_iter()
        .filter(|(_, value)| !value.is_null())
        .collect()
}
