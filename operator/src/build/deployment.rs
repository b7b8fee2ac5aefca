//! The Deployment.

use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment,
};
use k8s_openapi::api::core::v1::{ConfigMap, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::ObjectMeta;
use sha2::{Digest, Sha256};

use super::config_map::CONFIG_KEY;
use super::meta::{Component, Labels, label_selector, labels, object};
use super::pod;
use crate::validate::{Facts, Validated};

/// On the pods: a digest of the server's configuration. A change rolls them.
pub const CONFIG_HASH_ANNOTATION: &str = "noticecluster.dev/config-hash";

/// On the pods: a digest of those values of Secrets that the servers can't read again. A change rolls them.
pub const SECRETS_HASH_ANNOTATION: &str = "noticecluster.dev/secrets-hash";

/// How long a rollout may stand still before it counts as stuck, besides the time that a pod must be ready.
const STUCK_SECONDS: i32 = 600;

/// Superseded revisions that are kept.
const REVISIONS: i32 = 3;

pub(super) fn build(cluster: &Validated, facts: &Facts, config: &ConfigMap) -> Deployment {
    let min_ready = cluster.rollout.min_ready_seconds;
    Deployment {
        metadata: object(cluster, Component::Server),
        spec: Some(DeploymentSpec {
            replicas: Some(cluster.replicas),
            selector: label_selector(&cluster.owner),
            strategy: Some(strategy(cluster)),
            min_ready_seconds: Some(min_ready),
            progress_deadline_seconds: Some(min_ready + STUCK_SECONDS),
            revision_history_limit: Some(REVISIONS),
            template: PodTemplateSpec {
                metadata: Some(template_meta(cluster, facts, config)),
                spec: Some(pod::spec(cluster, facts)),
            },
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    }
}

/// The embedded store can't be open twice, so its pod goes before the next one comes.
fn strategy(cluster: &Validated) -> DeploymentStrategy {
    if cluster.is_embedded() {
        return DeploymentStrategy {
            type_: Some("Recreate".to_owned()),
            rolling_update: None,
        };
    }
    DeploymentStrategy {
        type_: Some("RollingUpdate".to_owned()),
        rolling_update: Some(RollingUpdateDeployment {
            max_surge: Some(cluster.rollout.max_surge.clone()),
            max_unavailable: Some(IntOrString::Int(0)),
        }),
    }
}

/// What we set goes over what a person added: the selector must match.
fn template_meta(cluster: &Validated, facts: &Facts, config: &ConfigMap) -> ObjectMeta {
    let added = cluster.pod_template.clone();
    let mut pod_labels = added.labels;
    pod_labels.extend(labels(cluster, Component::Server));
    let mut annotations = added.annotations;
    annotations.extend(hashes(facts, config));
    ObjectMeta {
        labels: Some(pod_labels),
        annotations: Some(annotations),
        ..ObjectMeta::default()
    }
}

fn hashes(facts: &Facts, config: &ConfigMap) -> Labels {
    let text = config.data.as_ref().and_then(|data| data.get(CONFIG_KEY));
    let digest = digest(text.map_or("", String::as_str));
    let config = (CONFIG_HASH_ANNOTATION.to_owned(), digest);
    let secrets = facts.secrets_digest.clone();
    let secrets = secrets.map(|digest| (SECRETS_HASH_ANNOTATION.to_owned(), digest));
    [config].into_iter().chain(secrets).collect()
}

/// 64 bits of SHA-256 as hexadecimal digits: changes must differ, nobody attacks it.
fn digest(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::digest;

    proptest! {
        #[test]
        fn other_configurations_have_other_digests(a in "\\PC{0,40}", b in "\\PC{0,40}") {
            prop_assert_eq!(digest(&a).len(), 16);
            prop_assert_eq!(a == b, digest(&a) == digest(&b));
        }
    }
}
