//! What all children have in common: names, labels, the owner.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, OwnerReference};
use kube::Resource;
use kube::api::ObjectMeta;

use crate::api::NoticeCluster;
use crate::validate::{Owner, Validated};

/// The value of `app.kubernetes.io/managed-by`.
pub const MANAGED_BY: &str = "notice-operator";

const NAME: &str = "app.kubernetes.io/name";
const INSTANCE: &str = "app.kubernetes.io/instance";

/// The value of `app.kubernetes.io/component`.
#[derive(Clone, Copy)]
pub(super) enum Component {
    Server,
    Metrics,
    Dashboard,
}

impl Component {
    fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Metrics => "metrics",
            Self::Dashboard => "dashboard",
        }
    }
}

pub(super) type Labels = BTreeMap<String, String>;

fn labels_of<const N: usize>(pairs: [(&str, &str); N]) -> Labels {
    pairs
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// The labels by which the pods of a cluster are selected. They never change.
#[must_use]
pub fn selector(owner: &Owner) -> Labels {
    labels_of([(NAME, "notice-server"), (INSTANCE, &owner.name)])
}

/// The same as the text that the scale subresource wants.
#[must_use]
pub fn selector_text(owner: &Owner) -> String {
    let pairs = selector(owner);
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    pairs.join(",")
}

pub(super) fn label_selector(owner: &Owner) -> LabelSelector {
    LabelSelector {
        match_labels: Some(selector(owner)),
        ..LabelSelector::default()
    }
}

pub(super) fn labels(cluster: &Validated, component: Component) -> Labels {
    let mut labels = selector(&cluster.owner);
    labels.extend(labels_of([
        ("app.kubernetes.io/component", component.name()),
        ("app.kubernetes.io/part-of", "notice"),
        ("app.kubernetes.io/managed-by", MANAGED_BY),
    ]));
    if let Some(version) = &cluster.image.version {
        labels.insert("app.kubernetes.io/version".to_owned(), version.clone());
    }
    labels
}

/// The metadata of a child that carries the cluster's own name.
pub(super) fn object(cluster: &Validated, component: Component) -> ObjectMeta {
    named(cluster, cluster.owner.name.clone(), component)
}

pub(super) fn named(cluster: &Validated, name: String, component: Component) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(cluster.owner.namespace.clone()),
        labels: Some(labels(cluster, component)),
        owner_references: owner_reference(&cluster.owner).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    }
}

/// None offline, where the cluster has no uid.
fn owner_reference(owner: &Owner) -> Option<OwnerReference> {
    (!owner.uid.is_empty()).then(|| OwnerReference {
        api_version: NoticeCluster::api_version(&()).into_owned(),
        kind: NoticeCluster::kind(&()).into_owned(),
        name: owner.name.clone(),
        uid: owner.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    })
}

/// No empty map is sent: it would be owned.
pub(super) fn some(map: Labels) -> Option<Labels> {
    (!map.is_empty()).then_some(map)
}
