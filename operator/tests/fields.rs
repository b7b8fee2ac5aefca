//! Each field of the contract changes the children that it should, and no other.

#![cfg(test)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use notice_operator::build;
use notice_operator::validate::{Facts, validate};
use serde_json::{Value, json};
use support::{as_values, cluster, facts, manifest, with};

fn by_kind(manifest: &Value, facts: &Facts) -> BTreeMap<&'static str, Value> {
    let validated = validate(&cluster(manifest), facts).unwrap();
    as_values(build::children(&validated, facts))
        .into_iter()
        .collect()
}

/// The kinds that differ, appeared or went.
fn changed(
    before: &BTreeMap<&'static str, Value>,
    after: &BTreeMap<&'static str, Value>,
) -> BTreeSet<&'static str> {
    let kinds: BTreeSet<_> = before.keys().chain(after.keys()).copied().collect();
    kinds
        .into_iter()
        .filter(|kind| before.get(kind) != after.get(kind))
        .collect()
}

/// The configuration, and the digest of it that rolls the pods.
const CONFIG: &[&str] = &["config-map", "deployment"];
const POD: &[&str] = &["deployment"];
/// What carries the version as a label.
const IMAGE: &[&str] = &[
    "config-map",
    "deployment",
    "ingress",
    "metrics-service",
    "pod-disruption-budget",
    "service",
    "service-account",
];

#[test]
fn each_field_changes_its_children_and_no_others() {
    let base = with(
        &manifest("examples/ingress.yaml"),
        "spec.monitoring",
        json!({}),
    );
    let base = with(&base, "spec.networkPolicy", json!({}));
    let fields: Vec<(&str, Value, &[&str])> = vec![
        ("image", json!("registry.example/notice-server:9"), IMAGE),
        (
            "image",
            json!("registry.example/notice-server@sha256:abc"),
            IMAGE,
        ),
        ("imagePullPolicy", json!("Always"), POD),
        ("imagePullSecrets", json!([{"name": "registry"}]), POD),
        ("replicas", json!(3), POD),
        (
            "replicas",
            json!(1),
            &["deployment", "pod-disruption-budget"],
        ),
        (
            "replicas",
            json!(0),
            &["deployment", "pod-disruption-budget"],
        ),
        ("mongodb.uriSecretRef.key", json!("other"), CONFIG),
        ("mongodb.uriSecretRef.name", json!("other"), POD),
        ("mongodb.database", json!("other"), CONFIG),
        (
            "mongodb.caSecretRef",
            json!({"name": "ca", "key": "ca.crt"}),
            POD,
        ),
        ("redis.uriSecretRef.key", json!("other"), CONFIG),
        ("redis.keyPrefix", json!("s:"), CONFIG),
        ("redis.namespace", json!("n:"), CONFIG),
        (
            "redis.caSecretRef",
            json!({"name": "ca", "key": "ca.crt"}),
            CONFIG,
        ),
        ("auth.apiKeysSecretRef.name", json!("other"), POD),
        (
            "auth.jwt",
            json!({"jwksUrl": "https://a.example/", "issuer": "i", "audience": "a", "algorithms": ["ES256"]}),
            CONFIG,
        ),
        (
            "auth.allowedOrigins",
            json!(["https://app.example.com"]),
            CONFIG,
        ),
        ("ingress.className", json!("other"), &["ingress"]),
        ("ingress.host", json!("other.example.com"), &["ingress"]),
        (
            "ingress.path",
            json!("/other"),
            &["config-map", "deployment", "ingress"],
        ),
        ("ingress.exposeServiceApi", json!(true), &["ingress"]),
        ("ingress.tls", json!({"secretName": "other"}), &["ingress"]),
        ("ingress.connectTimeoutSeconds", json!(11), &["ingress"]),
        ("ingress.readTimeoutSeconds", json!(7201), &["ingress"]),
        ("ingress.sendTimeoutSeconds", json!(11), &["ingress"]),
        (
            "ingress.annotations",
            json!({"a.example/b": "c"}),
            &["ingress"],
        ),
        (
            "gateway",
            json!({"parentRefs": [{"name": "edge"}]}),
            &["http-route"],
        ),
        ("trustedProxies", json!(["192.0.2.1"]), CONFIG),
        ("capacity.maxSessionsPerPod", json!(50_000), CONFIG),
        ("capacity.connectRatePerSecond", json!(10), CONFIG),
        (
            "autoscaling",
            json!({"maxReplicas": 5, "mode": "HorizontalPodAutoscaler"}),
            &["horizontal-pod-autoscaler"],
        ),
        (
            "autoscaling",
            json!({"maxReplicas": 5, "mode": "Operator"}),
            &[],
        ),
        ("autoscaling", json!({"minReplicas": 4}), POD),
        ("rollout.maxSurge", json!("50%"), POD),
        ("rollout.minReadySeconds", json!(6), POD),
        ("drain.windowSeconds", json!(30), CONFIG),
        ("delivery.ackWindow", json!(1), CONFIG),
        ("delivery.limits.messageBytes", json!(1024), CONFIG),
        (
            "delivery.limits.messageBytes",
            json!(1_000_000),
            &["config-map", "deployment", "ingress"],
        ),
        ("delivery.retention.noticesDays", json!(1), CONFIG),
        ("log.level", json!("debug"), CONFIG),
        (
            "monitoring.serviceMonitor.enabled",
            json!(true),
            &["service-monitor"],
        ),
        (
            "monitoring.prometheusRule.enabled",
            json!(true),
            &["prometheus-rule"],
        ),
        ("monitoring.dashboard.enabled", json!(true), &["dashboard"]),
        ("networkPolicy.enabled", json!(true), &["network-policy"]),
        ("resources", json!({"requests": {"cpu": "2"}}), POD),
        ("scheduling.nodeSelector", json!({"a": "b"}), POD),
        (
            "scheduling.tolerations",
            json!([{"operator": "Exists"}]),
            POD,
        ),
        ("scheduling.affinity", json!({"podAffinity": {}}), POD),
        (
            "scheduling.topologySpreadConstraints",
            json!([{"maxSkew": 1, "topologyKey": "r", "whenUnsatisfiable": "DoNotSchedule"}]),
            POD,
        ),
        ("scheduling.priorityClassName", json!("high"), POD),
        ("podTemplate.labels", json!({"a": "b"}), POD),
        ("podTemplate.annotations", json!({"a": "b"}), POD),
        ("paused", json!(true), &[]),
    ];
    let before = by_kind(&base, &facts());
    for (field, value, kinds) in fields {
        let after = by_kind(
            &with(&base, &format!("spec.{field}"), value.clone()),
            &facts(),
        );
        let expected: BTreeSet<_> = kinds.iter().copied().collect();
        assert_eq!(changed(&before, &after), expected, "{field}: {value}");
    }
}

#[test]
fn each_fact_changes_its_children_and_no_others() {
    let base = manifest("examples/ingress.yaml");
    let before = by_kind(&base, &facts());
    let all: Vec<(Facts, &[&str])> = vec![
        (
            Facts {
                ingress_controller: Some("traefik.io/ingress-controller".to_owned()),
                ..facts()
            },
            &["edge-notes", "ingress"],
        ),
        (
            Facts {
                drain_public_key: Some("another".to_owned()),
                ..facts()
            },
            &["config-map"],
        ),
        (
            Facts {
                secrets_digest: Some("another".to_owned()),
                ..facts()
            },
            POD,
        ),
        (
            Facts {
                size: Some(9),
                ..facts()
            },
            &["deployment"],
        ),
        (
            Facts {
                claim_bytes: Some(1 << 40),
                ..facts()
            },
            &[],
        ),
    ];
    for (facts, kinds) in all {
        let expected: BTreeSet<_> = kinds.iter().copied().collect();
        assert_eq!(
            changed(&before, &by_kind(&base, &facts)),
            expected,
            "{facts:?}"
        );
    }
}

#[test]
fn where_the_operator_decides_its_number_goes_before_the_specs() {
    let manifest = with(
        &manifest("examples/gateway.yaml"),
        "spec.replicas",
        json!(3),
    );
    let replicas = |facts: &Facts| validate(&cluster(&manifest), facts).unwrap().replicas;
    assert_eq!(replicas(&facts()), 3);
    assert_eq!(
        replicas(&Facts {
            size: Some(7),
            ..facts()
        }),
        7
    );
    // Pods above a bound that was lowered are emptied before they go.
    assert_eq!(
        replicas(&Facts {
            size: Some(99),
            ..facts()
        }),
        99
    );
}

#[test]
fn a_volume_that_somebody_has_grown_lets_the_store_grow() {
    let manifest = manifest("examples/embedded.yaml");
    let grown = Facts {
        claim_bytes: Some(20 << 30),
        ..facts()
    };
    let before = by_kind(&manifest, &facts());
    let after = by_kind(&manifest, &grown);
    assert_eq!(changed(&before, &after), CONFIG.iter().copied().collect());
    let config = after["config-map"]["data"]["notice-server.toml"]
        .as_str()
        .unwrap();
    assert!(
        config.contains(&format!("max_bytes = {}", 20u64 << 30)),
        "{config}"
    );
}

#[test]
fn names_labels_and_owners_are_those_of_the_contract() {
    for file in ["tests/manifests/full.yaml", "tests/manifests/root.yaml"] {
        let manifest = manifest(file);
        let name = manifest["metadata"]["name"].as_str().unwrap();
        for (kind, child) in as_values(support::children(&manifest)) {
            if kind == "edge-notes" {
                continue;
            }
            let expected = match kind {
                "metrics-service" => format!("{name}-metrics"),
                "dashboard" => format!("{name}-dashboard"),
                _ => name.to_owned(),
            };
            let meta = &child["metadata"];
            assert_eq!(meta["name"], json!(expected), "{kind}");
            assert_eq!(meta["namespace"], json!("im"), "{kind}");
            for (label, value) in [
                ("name", "notice-server"),
                ("instance", name),
                ("part-of", "notice"),
                ("managed-by", "notice-operator"),
            ] {
                assert_eq!(
                    meta["labels"][format!("app.kubernetes.io/{label}")],
                    json!(value),
                    "{kind} {label}"
                );
            }
            let owners = &meta["ownerReferences"];
            if kind == "volume-claim" {
                assert!(owners.is_null(), "a volume outlives the cluster");
            } else {
                assert_eq!(owners[0]["uid"], manifest["metadata"]["uid"], "{kind}");
                assert_eq!(owners[0]["controller"], json!(true), "{kind}");
            }
        }
    }
}

#[test]
fn labels_of_a_person_never_replace_those_that_select_the_pods() {
    let deployment = &by_kind(&manifest("tests/manifests/full.yaml"), &facts())["deployment"];
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    assert_eq!(labels["team"], "rides");
    for (key, value) in deployment["spec"]["selector"]["matchLabels"]
        .as_object()
        .unwrap()
    {
        assert_eq!(&labels[key], value, "{key}");
    }
}

#[test]
fn nothing_empty_is_sent_since_it_would_be_owned() {
    fn empty(value: &Value, path: &str, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) if fields.is_empty() => found.push(path.to_owned()),
            Value::Array(items) if items.is_empty() => found.push(path.to_owned()),
            Value::Null => found.push(path.to_owned()),
            Value::Object(fields) => fields
                .iter()
                .for_each(|(key, value)| empty(value, &format!("{path}.{key}"), found)),
            Value::Array(items) => items
                .iter()
                .for_each(|value| empty(value, &format!("{path}[]"), found)),
            _ => {}
        }
    }
    for file in [
        "examples/embedded.yaml",
        "examples/ingress.yaml",
        "examples/gateway.yaml",
        "tests/manifests/root.yaml",
    ] {
        for (kind, child) in as_values(support::children(&manifest(file))) {
            let mut found = Vec::new();
            empty(&child, kind, &mut found);
            // "Every namespace" is written as an empty selector.
            found.retain(|path| !path.ends_with(".namespaceSelector") && path != "edge-notes");
            assert!(found.is_empty(), "{file}: {found:?}");
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(32))]

    /// A pod's host name is its own name only within 63 characters: the server proves who it is by it.
    #[test]
    fn every_name_that_is_admitted_fits_children_and_pods(name in "[a-z]([-a-z0-9]{0,44}[a-z0-9])?") {
        let manifest = with(&manifest("tests/manifests/full.yaml"), "metadata.name", json!(name));
        proptest::prop_assert!(notice_operator::validate::admission::admit(&manifest).unwrap().is_empty());
        let pod = format!("{name}-{}-{}", "0123456789", "abcde");
        proptest::prop_assert!(pod.len() <= 63);
        for (kind, child) in as_values(support::children(&manifest)) {
            if let Some(child) = child["metadata"]["name"].as_str() {
                proptest::prop_assert!(child.len() <= 63 && child.starts_with(&name), "{kind} {child}");
            }
        }
    }
}
