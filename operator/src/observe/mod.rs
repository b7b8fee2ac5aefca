//! The index: what is known of the API server, in small summaries. Synchronous and pure: watches feed it, and each call
//! says which clusters are affected.
//!
//! It keeps no object but the `NoticeCluster`s themselves. Of children there are versions and a few figures, of Secrets
//! digests, of pods a handful of fields.

pub mod hosts;
pub mod key;
pub mod kinds;
pub mod meta;
pub mod summary;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;

use crate::api::NoticeCluster;
use crate::secrets::{SecretKey, SecretSeen};
use crate::watch::Blind;
use hosts::Hosts;
pub use key::ClusterKey;
pub use kinds::ChildKind;
pub use meta::ChildSeen;
use meta::{INSTANCE, older, text, version};
pub use summary::{DeploymentSeen, Detail, Life, PodSeen};

/// Which clusters a change is about.
pub type Touched = Vec<ClusterKey>;

/// Where one child is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChildId {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its kind.
    pub kind: ChildKind,
    /// Its name.
    pub name: Arc<str>,
}

/// One child, as last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// Metadata.
    pub seen: ChildSeen,
    /// What conditions need of it.
    pub detail: Option<Box<Detail>>,
}

/// A `NoticeCluster`, as last seen.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// The object, or why it can't be understood.
    pub object: Result<Arc<NoticeCluster>, String>,
    /// Its uid.
    pub uid: String,
    /// Its spec's generation.
    pub generation: i64,
    /// It is going away.
    pub deleting: bool,
    version: u64,
    epoch: u64,
}

/// What is known of IngressClasses.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Classes {
    /// Nothing yet, or they may not be read.
    #[default]
    Unknown,
    /// All of them: name to controller and whether it is the default.
    Known(BTreeMap<String, (String, bool)>),
}

/// Whether an optional kind can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Served {
    /// Not yet asked.
    #[default]
    Unknown,
    /// The cluster has it.
    Yes,
    /// It has not.
    No,
}

/// Everything that a reconcile of one cluster looks at.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Which.
    pub key: ClusterKey,
    /// The object.
    pub cluster: Cluster,
    /// Its children, by kind and name.
    pub children: BTreeMap<(ChildKind, Arc<str>), Child>,
    /// Its pods, by name, without those that have ended.
    pub pods: Vec<PodSeen>,
    /// The Secrets that it wants, by name.
    pub secrets: BTreeMap<String, SecretSeen>,
    /// IngressClasses.
    pub classes: Classes,
    /// Optional kinds.
    pub served: BTreeMap<ChildKind, Served>,
    /// Another, older cluster that has the same host and path: its key and the address.
    pub host_conflict: Option<(ClusterKey, String)>,
}

impl Observed {
    /// The child of this kind and name.
    #[must_use]
    pub fn child(&self, kind: ChildKind, name: &str) -> Option<&Child> {
        self.children.get(&(kind, name.into()))
    }

    /// The Deployment's state.
    #[must_use]
    pub fn deployment(&self) -> Option<&DeploymentSeen> {
        let child = self.child(ChildKind::Deployment, &self.key.name)?;
        match child.detail.as_deref() {
            Some(Detail::Deployment(seen)) => Some(seen),
            _ => None,
        }
    }
}

/// The index. See the module.
#[derive(Debug, Default)]
pub struct Index {
    clusters: HashMap<ClusterKey, Cluster>,
    children: HashMap<ChildId, (Child, u64)>,
    pods: HashMap<ClusterKey, BTreeMap<Arc<str>, (PodSeen, u64)>>,
    wanted: HashMap<ClusterKey, BTreeSet<SecretKey>>,
    secrets: HashMap<(Arc<str>, Arc<str>), SecretSeen>,
    classes: Classes,
    served: BTreeMap<ChildKind, Served>,
    hosts: Hosts,
}

/// The index, as its users share it.
pub type SharedIndex = Arc<Mutex<Index>>;

/// A list's range: all of a kind, in one namespace or in all.
pub type Range<'a> = Option<&'a str>;

impl Index {
    // --- NoticeClusters ---------------------------------------------------------------------

    /// A `NoticeCluster` is there, in this state. `epoch` is the list that named it.
    pub fn cluster_seen(&mut self, object: Value, epoch: u64) -> Touched {
        let Some(key) = key_of(&object) else {
            return Vec::new();
        };
        let incoming = cluster_of(object, epoch);
        let before = self.clusters.get_mut(&key);
        if let Some(before) = before {
            before.epoch = epoch;
            if before.uid == incoming.uid && older(incoming.version, before.version) {
                return Vec::new();
            }
        }
        let before = self.clusters.insert(key.clone(), incoming);
        let now = self.clusters.get(&key);
        let same = before
            .zip(now)
            .is_some_and(|(before, now)| before.same(now));
        if same {
            return Vec::new();
        }
        self.claim_hosts(key)
    }

    /// A `NoticeCluster` is so, as a write was answered.
    pub fn cluster_answered(&mut self, object: Value) -> Touched {
        let known = key_of(&object).and_then(|key| self.clusters.get(&key));
        // One that a list or a watch has not named, or has named as gone, is not brought back by an answer.
        known
            .map(|it| it.epoch)
            .map_or_else(Vec::new, |epoch| self.cluster_seen(object, epoch))
    }

    /// A `NoticeCluster` is gone.
    pub fn cluster_gone(&mut self, key: &ClusterKey) -> Touched {
        self.clusters.remove(key);
        self.wanted.remove(key);
        let mut touched = self.hosts.release(key);
        touched.push(key.clone());
        touched
    }

    fn claim_hosts(&mut self, key: ClusterKey) -> Touched {
        let claims = match self.clusters.get(&key).map(|it| &it.object) {
            Some(Ok(object)) => hosts::claims(object),
            _ => BTreeSet::new(),
        };
        let since = self
            .clusters
            .get(&key)
            .and_then(Cluster::created)
            .unwrap_or_default();
        let mut touched = self.hosts.claim(&key, since, claims);
        touched.push(key);
        touched
    }

    /// A list of `NoticeCluster`s is over: those it did not name are gone.
    pub fn clusters_listed(&mut self, range: Range<'_>, epoch: u64) -> Touched {
        let stale: Vec<_> = self
            .clusters
            .iter()
            .filter(|(key, it)| it.epoch != epoch && within(range, &key.namespace))
            .map(|(key, _)| key.clone())
            .collect();
        stale
            .iter()
            .flat_map(|key| self.cluster_gone(key))
            .collect()
    }

    /// Looks at one `NoticeCluster`.
    #[must_use]
    pub fn cluster(&self, key: &ClusterKey) -> Option<&Cluster> {
        self.clusters.get(key)
    }

    /// All of them.
    pub fn clusters(&self) -> impl Iterator<Item = (&ClusterKey, &Cluster)> {
        self.clusters.iter()
    }

    // --- children ---------------------------------------------------------------------------

    /// The Deployment's state.
    #[must_use]
    pub fn deployment(&self, key: &ClusterKey) -> Option<Box<Detail>> {
        let id = ChildId {
            namespace: Arc::clone(&key.namespace),
            kind: ChildKind::Deployment,
            name: Arc::clone(&key.name),
        };
        self.children
            .get(&id)
            .and_then(|(child, _)| child.detail.clone())
    }

    /// A child is there, in this state.
    pub fn child_seen(&mut self, kind: ChildKind, object: &Value, epoch: u64) -> Touched {
        let Some(id) = child_id(kind, object) else {
            return Vec::new();
        };
        let child = Child {
            seen: ChildSeen::of(object),
            detail: Detail::of(kind, object),
        };
        let mut touched = Vec::new();
        if let Some((before, at)) = self.children.get_mut(&id) {
            *at = epoch;
            if before.seen.uid == child.seen.uid && older(child.seen.version, before.seen.version) {
                return Vec::new();
            }
            if before.matters_as(&child) {
                before.seen.version = child.seen.version;
                return Vec::new();
            }
            touched.extend(before.seen.cluster(&id.namespace));
        }
        let cluster = child.seen.cluster(&id.namespace);
        touched.extend(cluster.filter(|it| !touched.contains(it)));
        self.children.insert(id, (child, epoch));
        touched
    }

    /// A child is gone.
    pub fn child_gone(&mut self, kind: ChildKind, object: &Value) -> Touched {
        child_id(kind, object).map_or_else(Vec::new, |id| self.forget_child(&id))
    }

    fn forget_child(&mut self, id: &ChildId) -> Touched {
        let gone = self.children.remove(id);
        gone.and_then(|(child, _)| child.seen.cluster(&id.namespace))
            .into_iter()
            .collect()
    }

    /// A list of children is over.
    pub fn children_listed(&mut self, kind: ChildKind, range: Range<'_>, epoch: u64) -> Touched {
        let stale: Vec<_> = self
            .children
            .iter()
            .filter(|(id, (_, at))| id.kind == kind && *at != epoch && within(range, &id.namespace))
            .map(|(id, _)| id.clone())
            .collect();
        stale.iter().flat_map(|id| self.forget_child(id)).collect()
    }

    /// An optional kind is served, or is not: then its children are gone too.
    pub fn kind_served(&mut self, kind: ChildKind, served: Served) -> Touched {
        if self.served.insert(kind, served) == Some(served) {
            return Vec::new();
        }
        if served == Served::No {
            self.children.retain(|id, _| id.kind != kind);
        }
        self.clusters.keys().cloned().collect()
    }

    // --- pods -------------------------------------------------------------------------------

    /// A pod is there, in this state.
    pub fn pod_seen(&mut self, object: &Value, epoch: u64) -> Touched {
        let Some(key) = pod_cluster(object) else {
            return Vec::new();
        };
        let pod = PodSeen::of(object);
        let pods = self.pods.entry(key.clone()).or_default();
        let before = pods.insert(pod.name.as_str().into(), (pod.clone(), epoch));
        if before.is_some_and(|(before, _)| before == pod) {
            return Vec::new();
        }
        vec![key]
    }

    /// A pod is gone.
    pub fn pod_gone(&mut self, object: &Value) -> Touched {
        let Some(key) = pod_cluster(object) else {
            return Vec::new();
        };
        if let Some(pods) = self.pods.get_mut(&key) {
            pods.remove(text(&object["metadata"]["name"]));
            if pods.is_empty() {
                self.pods.remove(&key);
            }
        }
        vec![key]
    }

    /// A list of pods is over.
    pub fn pods_listed(&mut self, range: Range<'_>, epoch: u64) -> Touched {
        let mut touched = Vec::new();
        for (key, pods) in &mut self.pods {
            let before = pods.len();
            if within(range, &key.namespace) {
                pods.retain(|_, (_, at)| *at == epoch);
            }
            if pods.len() != before {
                touched.push(key.clone());
            }
        }
        self.pods.retain(|_, pods| !pods.is_empty());
        touched
    }

    /// The pods of all clusters that have not ended, with their addresses.
    pub fn pods(&self) -> impl Iterator<Item = (&ClusterKey, &PodSeen)> {
        let all = self.pods.iter();
        all.flat_map(|(key, pods)| pods.values().map(move |(pod, _)| (key, pod)))
            .filter(|(_, pod)| pod.counts())
    }

    // --- secrets ----------------------------------------------------------------------------

    /// The values that a cluster uses, from now on.
    pub fn set_wanted(&mut self, key: &ClusterKey, wanted: BTreeSet<SecretKey>) {
        if wanted.is_empty() {
            self.wanted.remove(key);
        } else {
            self.wanted.insert(key.clone(), wanted);
        }
    }

    /// All Secrets that clusters use, by namespace and name.
    #[must_use]
    pub fn wanted_secrets(&self) -> BTreeSet<(Arc<str>, String)> {
        let all = self.wanted.iter();
        all.flat_map(|(key, wanted)| {
            wanted
                .iter()
                .map(|it| (Arc::clone(&key.namespace), it.name.clone()))
        })
        .collect()
    }

    /// What is known of a Secret has changed, perhaps.
    pub fn secret_seen(&mut self, namespace: &str, name: &str, seen: SecretSeen) -> Touched {
        let at = (Arc::from(namespace), Arc::from(name));
        let before = self.secrets.get(&at);
        let used = |key: &ClusterKey, wanted: &BTreeSet<SecretKey>| {
            *key.namespace == *namespace
                && wanted
                    .iter()
                    .any(|it| it.name == name && differs(before, &seen, &it.key))
        };
        let touched = self
            .wanted
            .iter()
            .filter(|(key, wanted)| used(key, wanted))
            .map(|(key, _)| key.clone())
            .collect();
        self.secrets.insert(at, seen);
        touched
    }

    /// A Secret is not watched any more.
    pub fn secret_forgotten(&mut self, namespace: &str, name: &str) {
        self.secrets
            .remove(&(Arc::from(namespace), Arc::from(name)));
    }

    // --- the cluster's own ------------------------------------------------------------------

    /// What is known of IngressClasses has changed, perhaps.
    pub fn classes_seen(&mut self, classes: Classes) -> Touched {
        if self.classes == classes {
            return Vec::new();
        }
        self.classes = classes;
        let with_ingress = self.clusters.iter().filter(|(_, it)| it.has_ingress());
        with_ingress.map(|(key, _)| key.clone()).collect()
    }

    /// Everything that a reconcile of this cluster looks at; `None` when it is gone.
    #[must_use]
    pub fn observe(&self, key: &ClusterKey) -> Option<Observed> {
        let cluster = self.clusters.get(key)?.clone();
        Some(Observed {
            key: key.clone(),
            cluster,
            children: self.children_of(key),
            pods: self.pods_of(key),
            secrets: self.secrets_of(key),
            classes: self.classes.clone(),
            served: self.served.clone(),
            host_conflict: self.hosts.conflict(key),
        })
    }

    fn children_of(&self, key: &ClusterKey) -> BTreeMap<(ChildKind, Arc<str>), Child> {
        let mut children = BTreeMap::new();
        for kind in ChildKind::ALL {
            for name in names_of(&key.name) {
                let id = ChildId {
                    namespace: Arc::clone(&key.namespace),
                    kind,
                    name,
                };
                if let Some((child, _)) = self.children.get(&id) {
                    children.insert((kind, id.name), child.clone());
                }
            }
        }
        children
    }

    fn pods_of(&self, key: &ClusterKey) -> Vec<PodSeen> {
        let pods = self.pods.get(key).into_iter().flat_map(BTreeMap::values);
        pods.map(|(pod, _)| pod.clone())
            .filter(PodSeen::counts)
            .collect()
    }

    fn secrets_of(&self, key: &ClusterKey) -> BTreeMap<String, SecretSeen> {
        let wanted = self.wanted.get(key).into_iter().flatten();
        wanted
            .map(|it| {
                let at = (Arc::clone(&key.namespace), Arc::from(it.name.as_str()));
                (
                    it.name.clone(),
                    self.secrets.get(&at).cloned().unwrap_or_default(),
                )
            })
            .collect()
    }
}

impl Child {
    /// Whether nothing has changed that anybody looks at.
    fn matters_as(&self, other: &Self) -> bool {
        let (a, b) = (&self.seen, &other.seen);
        a.uid == b.uid
            && a.fingerprint == b.fingerprint
            && a.owner == b.owner
            && a.instance == b.instance
            && a.deleting == b.deleting
            && self.detail == other.detail
    }
}

impl Cluster {
    /// Whether nothing has changed that a reconcile looks at: spec, status, labels, annotations, going away.
    fn same(&self, other: &Self) -> bool {
        self.uid == other.uid
            && self.deleting == other.deleting
            && match (&self.object, &other.object) {
                (Ok(a), Ok(b)) => {
                    a.spec == b.spec
                        && a.status == b.status
                        && a.metadata.labels == b.metadata.labels
                        && a.metadata.annotations == b.metadata.annotations
                        && a.metadata.generation == b.metadata.generation
                }
                (Err(a), Err(b)) => a == b && self.generation == other.generation,
                _ => false,
            }
    }

    fn created(&self) -> Option<String> {
        let object = self.object.as_ref().ok()?;
        let created = object.metadata.creation_timestamp.as_ref()?;
        Some(created.0.to_string())
    }

    fn has_ingress(&self) -> bool {
        self.object
            .as_ref()
            .is_ok_and(|it| it.spec.ingress.is_some())
    }
}

/// Whether what one cluster uses of a Secret has changed.
fn differs(before: Option<&SecretSeen>, now: &SecretSeen, key: &str) -> bool {
    match (before, now) {
        (Some(SecretSeen::Present(a)), SecretSeen::Present(b)) => a.get(key) != b.get(key),
        (Some(a), b) => a != b,
        (None, _) => true,
    }
}

/// The names that a cluster's children may have.
fn names_of(name: &str) -> [Arc<str>; 3] {
    [
        name.into(),
        format!("{name}-metrics").into(),
        format!("{name}-dashboard").into(),
    ]
}

fn within(range: Range<'_>, namespace: &str) -> bool {
    range.is_none_or(|it| it == namespace)
}

fn key_of(object: &Value) -> Option<ClusterKey> {
    let meta = &object["metadata"];
    Some(ClusterKey::new(
        meta["namespace"].as_str()?,
        meta["name"].as_str()?,
    ))
}

fn child_id(kind: ChildKind, object: &Value) -> Option<ChildId> {
    let ClusterKey { namespace, name } = key_of(object)?;
    Some(ChildId {
        namespace,
        kind,
        name,
    })
}

fn pod_cluster(object: &Value) -> Option<ClusterKey> {
    let meta = &object["metadata"];
    let instance = meta["labels"][INSTANCE].as_str()?;
    Some(ClusterKey::new(meta["namespace"].as_str()?, instance))
}

fn cluster_of(mut object: Value, epoch: u64) -> Cluster {
    let version = version(&object);
    let meta = &mut object["metadata"];
    let (uid, generation) = (
        text(&meta["uid"]).to_owned(),
        meta["generation"].as_i64().unwrap_or(0),
    );
    let deleting = !meta["deletionTimestamp"].is_null();
    if let Some(meta) = meta.as_object_mut() {
        // Nobody looks at them, and they are most of an object's bytes.
        meta.remove("managedFields");
        if let Some(annotations) = meta.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
    }
    Cluster {
        object: serde_json::from_value(object)
            .map(Arc::new)
            .map_err(|error| error.to_string()),
        uid,
        generation,
        deleting,
        version,
        epoch,
    }
}

/// What a refusal of the IngressClass watch means.
#[must_use]
pub fn classes_when(blind: &Blind) -> Option<Classes> {
    match blind {
        Blind::Denied | Blind::NotServed => Some(Classes::Unknown),
        Blind::Failing(_) => None,
    }
}
