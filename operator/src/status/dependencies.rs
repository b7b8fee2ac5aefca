//! `DependenciesReady`: what the pods need and the operator does not make. Pure.

use std::collections::BTreeSet;

use super::conditions::Draft;
use crate::observe::{ChildKind, ClusterKey};
use crate::reconcile::outcome::Outcome;
use crate::validate::{Finding, SecretUse};

const KIND: &str = "DependenciesReady";

/// The condition.
#[must_use]
pub fn dependencies(key: &ClusterKey, outcome: &Outcome) -> Draft {
    missing(key, outcome)
        .or_else(|| denied(key, outcome))
        .or_else(|| not_read(outcome))
        .or_else(|| not_served(outcome))
        .unwrap_or_else(|| present(outcome))
}

fn missing(key: &ClusterKey, outcome: &Outcome) -> Option<Draft> {
    let needs = &outcome.needs;
    let mut texts = Vec::new();
    for name in &needs.missing {
        let keys: BTreeSet<_> = uses(outcome, name).map(|it| it.reference.key.as_str()).collect();
        let keys: Vec<_> = keys.into_iter().collect();
        texts.push(format!(
            "Secret {name} is missing in namespace {} ({}): create it with {}",
            key.namespace,
            paths(outcome, name),
            keys.join(", ")
        ));
    }
    for at in &needs.missing_keys {
        texts.push(format!("Secret {} has no key {} ({}): add it", at.name, at.key, paths(outcome, &at.name)));
    }
    (!texts.is_empty()).then(|| Draft::new(KIND, "False", "SecretNotFound", texts.join("; ")))
}

fn uses<'a>(outcome: &'a Outcome, name: &'a str) -> impl Iterator<Item = &'a SecretUse> {
    outcome.secrets.iter().filter(move |it| it.reference.name == name)
}

fn paths(outcome: &Outcome, name: &str) -> String {
    let paths: Vec<_> = uses(outcome, name).map(|it| it.purpose.path()).collect();
    paths.join(", ")
}

fn denied(key: &ClusterKey, outcome: &Outcome) -> Option<Draft> {
    let denied = &outcome.needs.denied;
    if denied.is_empty() {
        return None;
    }
    let all: BTreeSet<_> = outcome.secrets.iter().map(|it| it.reference.name.as_str()).collect();
    let names: Vec<_> = denied.iter().map(String::as_str).collect();
    let message = format!(
        "the operator may not read {}, so a changed value does not reach the pods; apply this Role, and a RoleBinding from it to the operator's ServiceAccount:\n{}",
        names.join(", "),
        role(key, &all)
    );
    Some(Draft::new(KIND, "Unknown", "SecretAccessDenied", message))
}

/// The Role with which the operator may read these Secrets and no others.
#[must_use]
pub fn role(key: &ClusterKey, names: &BTreeSet<&str>) -> String {
    let names: Vec<_> = names.iter().copied().collect();
    format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: {}-notice-operator-secrets, namespace: {}}}\nrules:\n- apiGroups: [\"\"]\n  resources: [secrets]\n  resourceNames: [{}]\n  verbs: [get, list, watch]",
        key.name,
        key.namespace,
        names.join(", ")
    )
}

fn not_read(outcome: &Outcome) -> Option<Draft> {
    let names: Vec<_> = outcome.needs.unknown.iter().map(String::as_str).collect();
    (!names.is_empty()).then(|| {
        Draft::new(KIND, "Unknown", "SecretsNotRead", format!("not read yet: {}", names.join(", ")))
    })
}

fn not_served(outcome: &Outcome) -> Option<Draft> {
    let kinds: BTreeSet<_> = outcome.not_served().filter(|kind| *kind != ChildKind::HttpRoute).collect();
    let texts: Vec<_> = kinds
        .iter()
        .map(|kind| {
            let definition = kind.definition().unwrap_or_default();
            format!("the cluster has no {kind}: install the CustomResourceDefinition {definition}, or turn it off in spec.monitoring")
        })
        .collect();
    (!texts.is_empty()).then(|| Draft::new(KIND, "False", "KindNotServed", texts.join("; ")))
}

/// All is there; what is allowed but should be known is said as well.
fn present(outcome: &Outcome) -> Draft {
    let told = outcome.spec.as_ref().map(|it| it.told.as_slice()).unwrap_or_default();
    let told: Vec<_> = told.iter().filter(|it| !about_the_edge(it)).collect();
    match told.first() {
        None => Draft::new(KIND, "True", "AllPresent", "everything that the spec refers to is there"),
        Some(first) => {
            let texts: Vec<_> = told.iter().map(ToString::to_string).collect();
            Draft::new(KIND, "True", first.reason, texts.join(". "))
        }
    }
}

/// Whether a finding belongs to `EdgeReady`.
#[must_use]
pub fn about_the_edge(finding: &Finding) -> bool {
    ["spec.ingress", "spec.gateway"].iter().any(|it| finding.path.starts_with(it))
}
