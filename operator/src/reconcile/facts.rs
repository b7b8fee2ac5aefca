//! What builders need to know, out of what was observed. Pure.

use std::collections::BTreeSet;

use crate::api::NoticeCluster;
use crate::observe::{ChildKind, Classes, Detail, Observed, Served};
use crate::secrets::{Digester, SecretKey, SecretSeen, rolling_digest};
use crate::validate::{Facts, OptionalKinds, SecretUse};

/// What is the same for all clusters.
#[derive(Clone, Debug)]
pub struct Common {
    /// The image of a NoticeCluster that names none.
    pub server_image: String,
    /// The public half of the operator's key.
    pub drain_public_key: String,
    /// Makes digests of Secrets' values.
    pub digester: Digester,
}

/// Facts before it is known which Secrets the spec uses.
#[must_use]
pub fn without_secrets(common: &Common, observed: &Observed, cluster: &NoticeCluster) -> Facts {
    let served = |kind| observed.served.get(&kind) == Some(&Served::Yes);
    Facts {
        server_image: common.server_image.clone(),
        ingress_controller: ingress_controller(observed, cluster),
        kinds: OptionalKinds {
            http_route: served(ChildKind::HttpRoute),
            service_monitor: served(ChildKind::ServiceMonitor),
            prometheus_rule: served(ChildKind::PrometheusRule),
        },
        drain_public_key: Some(common.drain_public_key.clone()),
        secrets_digest: None,
        size: None,
        claim_bytes: claim_bytes(observed),
    }
}

/// The class's controller; as it was last known where the class can't be read or is gone, so that a live Ingress is never
/// stripped.
fn ingress_controller(observed: &Observed, cluster: &NoticeCluster) -> Option<String> {
    let ingress = cluster.spec.ingress.as_ref()?;
    let by_class = match (&observed.classes, &ingress.class_name) {
        (Classes::Unknown, _) => None,
        (Classes::Known(classes), Some(name)) => {
            classes.get(name).map(|(controller, _)| controller.clone())
        }
        (Classes::Known(classes), None) => classes
            .values()
            .find(|(_, default)| *default)
            .map(|(controller, _)| controller.clone()),
    };
    by_class.or_else(|| {
        let child = observed.child(ChildKind::Ingress, &observed.key.name)?;
        match child.detail.as_deref() {
            Some(Detail::Ingress(seen)) => seen.controller.clone(),
            _ => None,
        }
    })
}

fn claim_bytes(observed: &Observed) -> Option<u64> {
    let child = observed.child(ChildKind::PersistentVolumeClaim, &observed.key.name)?;
    match child.detail.as_deref() {
        Some(Detail::Claim(size)) => crate::validate::quantity::bytes(size),
        _ => None,
    }
}

/// The values of Secrets that a spec uses.
#[must_use]
pub fn wanted_keys(uses: &[SecretUse]) -> BTreeSet<SecretKey> {
    uses.iter().map(key_of).collect()
}

fn key_of(used: &SecretUse) -> SecretKey {
    SecretKey {
        name: used.reference.name.clone(),
        key: used.reference.key.clone(),
    }
}

/// The digest of those values that roll the pods. Where one of them can't be read, that on the running pods stays.
#[must_use]
pub fn secrets_digest(common: &Common, observed: &Observed, uses: &[SecretUse]) -> Option<String> {
    let rolling: BTreeSet<_> = uses.iter().filter(|it| it.rolls()).map(key_of).collect();
    if rolling.is_empty() {
        return None;
    }
    let look = |name: &str| {
        observed
            .secrets
            .get(name)
            .cloned()
            .unwrap_or(SecretSeen::Unknown)
    };
    rolling_digest(&common.digester, &rolling, look).or_else(|| {
        observed
            .deployment()
            .and_then(|it| it.secrets_digest.clone())
    })
}
