//! What is refused at admission, and in which words. The rules are evaluated here as an API server does.

mod support;

use std::collections::BTreeSet;

use notice_operator::api::crd;
use notice_operator::validate::admission::{admit, admit_change};
use notice_operator::validate::{Facts, validate};
use serde_json::{Value, json};
use support::{cluster, manifest, with, without};

fn embedded() -> Value {
    manifest("examples/embedded.yaml")
}

fn shared() -> Value {
    manifest("examples/ingress.yaml")
}

fn said(findings: Vec<notice_operator::validate::Finding>) -> Vec<String> {
    findings
        .into_iter()
        .map(|finding| finding.to_string())
        .collect()
}

/// Every manifest that breaks one rule, and a part of what is said.
fn broken() -> Vec<(Value, &'static str)> {
    let jwt = json!({"jwksUrl": "https://a.example/", "issuer": "i", "audience": "a", "algorithms": ["RS256"]});
    let jwt = with(&shared(), "spec.auth.jwt", jwt);
    let key = json!({"name": "jwt", "key": "key"});
    let auto = |value| with(&shared(), "spec.autoscaling", value);
    let delivery = |value| with(&shared(), "spec.delivery", value);
    vec![
        (
            with(&embedded(), "metadata.name", json!("Rides")),
            "metadata.name must begin with a letter",
        ),
        (
            with(&embedded(), "metadata.name", json!("a".repeat(47))),
            "at most 46 characters",
        ),
        (without(&embedded(), "spec.storage"), "no place for notices"),
        (
            with(&shared(), "spec.storage", json!({"size": "1Gi"})),
            "remove one of the two",
        ),
        (
            with(&embedded(), "spec.replicas", json!(2)),
            "set replicas to 1 at most, or set mongodb",
        ),
        (
            with(&embedded(), "spec.autoscaling", json!({})),
            "remove autoscaling, or set mongodb",
        ),
        (
            with(&embedded(), "spec.storage.size", json!("1Mi")),
            "at least 512Mi",
        ),
        (
            with(&embedded(), "spec.storage.size", json!("much")),
            "must be a quantity",
        ),
        (
            auto(json!({"targetSessionsPerPod": 20_001})),
            "lower the first or raise the second",
        ),
        (
            with(
                &auto(json!({"targetSessionsPerPod": 11})),
                "spec.capacity.maxSessionsPerPod",
                json!(10),
            ),
            "no pod could reach it",
        ),
        (
            auto(json!({"minReplicas": 3, "maxReplicas": 2})),
            "autoscaling.minReplicas is more than autoscaling.maxReplicas",
        ),
        (
            with(&jwt, "spec.auth.jwt.keySecretRef", key.clone()),
            "exactly one source of keys",
        ),
        (
            without(&jwt, "spec.auth.jwt.jwksUrl"),
            "exactly one source of keys",
        ),
        (
            with(&jwt, "spec.auth.jwt.algorithms", json!(["HS256"])),
            "set auth.jwt.keySecretRef, or list RS256 or ES256",
        ),
        (
            with(
                &with(
                    &without(&jwt, "spec.auth.jwt.jwksUrl"),
                    "spec.auth.jwt.keySecretRef",
                    key,
                ),
                "spec.auth.jwt.algorithms",
                json!(["HS256", "RS256"]),
            ),
            "is for one algorithm",
        ),
        (
            without(&jwt, "spec.auth.jwt.issuer"),
            "needs issuer and audience",
        ),
        (
            without(&jwt, "spec.auth.jwt.audience"),
            "needs issuer and audience",
        ),
        (
            without(&jwt, "spec.auth.jwt.algorithms"),
            "list what your issuer signs with",
        ),
        (
            with(&shared(), "spec.gateway", json!({})),
            "must name the Gateway",
        ),
        (
            with(&shared(), "spec.trustedProxies", json!(["10.0.0.1/8"])),
            "without bits behind their prefix",
        ),
        (
            with(&shared(), "spec.trustedProxies", json!(["localhost"])),
            "or single addresses",
        ),
        (
            delivery(json!({"pingSeconds": 5})),
            "a pong must come before the next ping",
        ),
        (
            delivery(json!({"pollBusyMilliseconds": 2000})),
            "must not poll less often",
        ),
        (
            delivery(json!({"sessions": {"defaultTtlSeconds": 9_999_999}})),
            "is more than maxTtlSeconds",
        ),
        (
            delivery(json!({"limits": {"messageBytes": 1_048_576, "bodyBytes": 2_000_000}})),
            "at least twice messageBytes",
        ),
    ]
}

#[test]
fn every_broken_rule_says_what_to_change() {
    for (manifest, words) in broken() {
        let said = said(admit(&manifest).unwrap());
        assert!(
            said.len() == 1 && said[0].contains(words),
            "{words:?} was wanted, this was said: {said:#?}\n{manifest}"
        );
    }
}

#[test]
fn storage_can_t_be_changed() {
    let old = embedded();
    for (at, value) in [("size", "20Gi"), ("storageClassName", "fast")] {
        let new = with(&old, &format!("spec.storage.{at}"), json!(value));
        let said = said(admit_change(&old, &new).unwrap());
        assert!(
            said.len() == 1 && said[0].contains("storage can't be changed"),
            "{said:#?}"
        );
    }
    assert_eq!(
        said(admit_change(&old, &with(&old, "spec.replicas", json!(0))).unwrap()),
        [""; 0]
    );
}

/// A rule without a test would be a rule that nobody has seen at work.
#[test]
fn every_rule_of_the_schema_is_broken_by_a_test() {
    fn messages(schema: &Value, found: &mut BTreeSet<String>) {
        for rule in schema["x-kubernetes-validations"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let message = rule["message"]
                .as_str()
                .unwrap_or_else(|| panic!("no message: {rule}"));
            assert!(message.len() > 40, "{message} does not say what to change");
            found.insert(message.to_owned());
        }
        let children = schema["properties"]
            .as_object()
            .into_iter()
            .flat_map(|map| map.values());
        let children = children.chain([&schema["items"], &schema["additionalProperties"]]);
        children.for_each(|child| messages(child, found));
    }
    let mut rules = BTreeSet::new();
    messages(&crd::schema().unwrap(), &mut rules);
    for (manifest, _) in broken() {
        for said in said(admit(&manifest).unwrap()) {
            rules.retain(|message| !said.contains(&message.replacen(": ", "; ", 1)));
        }
    }
    rules.retain(|message| !message.starts_with("storage can't be changed"));
    assert!(rules.is_empty(), "no test breaks these: {rules:#?}");
}

#[test]
fn what_stands_in_the_examples_and_manifests_is_admitted() {
    for file in [
        "examples/embedded.yaml",
        "examples/ingress.yaml",
        "examples/gateway.yaml",
        "tests/manifests/full.yaml",
        "tests/manifests/root.yaml",
    ] {
        assert_eq!(said(admit(&manifest(file)).unwrap()), [""; 0], "{file}");
    }
}

#[test]
fn replicas_are_free_whatever_autoscaling_says() {
    for replicas in [0, 1, 50] {
        let manifest = with(
            &manifest("examples/gateway.yaml"),
            "spec.replicas",
            json!(replicas),
        );
        assert_eq!(said(admit(&manifest).unwrap()), [""; 0], "{replicas}");
    }
}

#[test]
fn shapes_are_refused_with_the_path_and_what_to_write() {
    let all = [
        (
            "spec.replica",
            json!(2),
            "spec.replica: there is no such field; did you mean replicas?",
        ),
        (
            "spec.Ingress",
            json!({}),
            "spec.Ingress: there is no such field; did you mean ingress?",
        ),
        (
            "spec.zzzzzz",
            json!(2),
            "spec.zzzzzz: there is no such field; take it out; fields here are",
        ),
        (
            "spec.replicas",
            json!("2"),
            "spec.replicas: this is a text; write a whole number",
        ),
        (
            "spec.replicas",
            json!(-1),
            "spec.replicas: it is too small; write 0 or more",
        ),
        (
            "spec.replicas",
            json!(1001),
            "spec.replicas: it is too large; write 1000 or less",
        ),
        (
            "spec.paused",
            json!("yes"),
            "spec.paused: this is a text; write true or false",
        ),
        (
            "spec.imagePullPolicy",
            json!("Sometimes"),
            "write one of Always, IfNotPresent, Never",
        ),
        (
            "spec.ingress.path",
            json!("notice"),
            "spec.ingress.path: \"notice\" has the wrong form",
        ),
        (
            "spec.ingress.path",
            json!("/notice/"),
            "spec.ingress.path: \"/notice/\" has the wrong form",
        ),
        ("spec.ingress.path", json!("/a/../b"), "has the wrong form"),
        (
            "spec.ingress.host",
            json!("https://im.example.com"),
            "has the wrong form",
        ),
        ("spec.image", json!(""), "spec.image: it is too short"),
        (
            "spec.mongodb",
            json!({}),
            "spec.mongodb.uriSecretRef: it is missing; set it",
        ),
        (
            "spec.mongodb.uriSecretRef",
            json!({"name": "a"}),
            "spec.mongodb.uriSecretRef.key: it is missing; set it",
        ),
        (
            "spec.rollout.maxSurge",
            json!(0),
            "spec.rollout.maxSurge: it is too small; write 1 or more",
        ),
        (
            "spec.rollout.maxSurge",
            json!("0%"),
            "spec.rollout.maxSurge: \"0%\" has the wrong form",
        ),
        (
            "spec.auth.jwt",
            json!({"jwksUrl": "http://a.example/"}),
            "spec.auth.jwt.jwksUrl: \"http://a.example/\" has the wrong form",
        ),
        (
            "spec.scheduling.tolerations",
            json!([{"operater": "Exists"}]),
            "spec.scheduling.tolerations[0].operater: there is no such field; did you mean operator?",
        ),
        (
            "spec.trustedProxies",
            json!(vec!["10.0.0.0/8"; 65]),
            "spec.trustedProxies: it is too long; make it 64 or shorter",
        ),
    ];
    for (at, value, words) in all {
        let said = said(admit(&with(&shared(), at, value)).unwrap());
        assert!(
            said.iter().any(|said| said.contains(words)),
            "{words:?} was wanted, this was said: {said:#?}"
        );
    }
}

/// An older object may break a newer rule: the operator says so, and does not fall over.
#[test]
fn a_spec_that_admission_would_refuse_now_is_found_by_the_operator_too() {
    let all = [
        (without(&embedded(), "spec.storage"), "NoStore"),
        (
            with(&embedded(), "spec.replicas", json!(2)),
            "StoreNotShared",
        ),
        (
            with(&embedded(), "spec.autoscaling", json!({})),
            "StoreNotShared",
        ),
        (
            with(&embedded(), "spec.storage.size", json!("much")),
            "BadQuantity",
        ),
        (
            with(
                &shared(),
                "spec.autoscaling",
                json!({"minReplicas": 3, "maxReplicas": 2}),
            ),
            "BadRange",
        ),
        (
            with(
                &shared(),
                "spec.autoscaling",
                json!({"targetSessionsPerPod": 20_001}),
            ),
            "BadTarget",
        ),
        (
            with(&shared(), "spec.rollout", json!({"maxSurge": 0})),
            "BadSurge",
        ),
        (
            with(
                &shared(),
                "spec.resources",
                json!({"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}),
            ),
            "BadResources",
        ),
    ];
    for (manifest, reason) in all {
        let wrong = validate(&cluster(&manifest), &Facts::offline()).unwrap_err();
        assert!(
            wrong.iter().any(|finding| finding.reason == reason),
            "{reason}: {wrong:#?}"
        );
    }
}

#[test]
fn what_is_allowed_but_odd_is_told() {
    let all = [
        (without(&shared(), "spec.redis"), "Polling"),
        (
            without(&shared(), "spec.auth.apiKeysSecretRef"),
            "NoApiKeys",
        ),
        (
            with(&shared(), "spec.trustedProxies", json!(["0.0.0.0/0"])),
            "EveryoneTrusted",
        ),
        (
            with(
                &with(&shared(), "spec.ingress.readTimeoutSeconds", json!(30)),
                "spec.delivery.pingSeconds",
                json!(60),
            ),
            "ReadTimeoutTooShort",
        ),
        (without(&shared(), "spec.ingress"), "OnlyInsideTheCluster"),
    ];
    for (manifest, reason) in all {
        assert_eq!(said(admit(&manifest).unwrap()), [""; 0]);
        let told = support::validated(&manifest).told;
        let reasons: Vec<_> = told.iter().map(|finding| finding.reason).collect();
        assert_eq!(reasons, [reason]);
    }
    assert!(support::validated(&shared()).told.is_empty());
}
