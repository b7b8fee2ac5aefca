//! From what watches see to the index, and from there to the queue.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::{Blind, Sink};
use crate::observe::meta::text;
use crate::observe::{ChildKind, Classes, ClusterKey, Index, SharedIndex, Touched, classes_when};
use crate::queue::Queue;
use crate::secrets::{Digester, SecretSeen};

/// The index, and the queue of those whose clusters are touched.
#[derive(Clone, Debug)]
pub struct Feed {
    /// What is known.
    pub index: SharedIndex,
    /// Whose turn it is.
    pub queue: Arc<Queue<ClusterKey>>,
}

impl Feed {
    /// Changes the index and touches whom it concerns.
    pub fn tell(&self, change: impl FnOnce(&mut Index) -> Touched) {
        let touched = change(&mut self.index.lock());
        touched.into_iter().for_each(|key| self.queue.touch(key));
    }
}

/// What is listed, and in which list it was named last.
#[derive(Debug)]
struct Listing {
    namespace: Option<String>,
    epoch: u64,
}

impl Listing {
    const fn new(namespace: Option<String>) -> Self {
        // 0 is for what no list named: answers to writes.
        Self { namespace, epoch: 1 }
    }
}

/// Takes `NoticeCluster`s.
#[derive(Debug)]
pub struct ClusterSink {
    feed: Feed,
    listing: Listing,
}

impl ClusterSink {
    /// Of one namespace, or of all.
    #[must_use]
    pub const fn new(feed: Feed, namespace: Option<String>) -> Self {
        Self {
            feed,
            listing: Listing::new(namespace),
        }
    }
}

impl Sink for ClusterSink {
    fn restart(&mut self) {
        self.listing.epoch += 1;
    }

    fn seen(&mut self, object: Value) {
        self.feed.tell(|index| index.cluster_seen(object, self.listing.epoch));
    }

    fn gone(&mut self, object: Value) {
        let meta = &object["metadata"];
        let key = ClusterKey::new(text(&meta["namespace"]), text(&meta["name"]));
        self.feed.tell(|index| index.cluster_gone(&key));
    }

    fn listed(&mut self) {
        let Listing { namespace, epoch } = &self.listing;
        self.feed.tell(|index| index.clusters_listed(namespace.as_deref(), *epoch));
    }

    fn blind(&mut self, _: &Blind) {}
}

/// Takes children of one kind.
#[derive(Debug)]
pub struct ChildSink {
    feed: Feed,
    kind: ChildKind,
    listing: Listing,
}

impl ChildSink {
    /// Of one namespace, or of all.
    #[must_use]
    pub const fn new(feed: Feed, kind: ChildKind, namespace: Option<String>) -> Self {
        Self {
            feed,
            kind,
            listing: Listing::new(namespace),
        }
    }
}

impl Sink for ChildSink {
    fn restart(&mut self) {
        self.listing.epoch += 1;
    }

    fn seen(&mut self, object: Value) {
        self.feed.tell(|index| index.child_seen(self.kind, &object, self.listing.epoch));
    }

    fn gone(&mut self, object: Value) {
        self.feed.tell(|index| index.child_gone(self.kind, &object));
    }

    fn listed(&mut self) {
        let Listing { namespace, epoch } = &self.listing;
        self.feed.tell(|index| index.children_listed(self.kind, namespace.as_deref(), *epoch));
    }

    fn blind(&mut self, _: &Blind) {}
}

/// Takes pods.
#[derive(Debug)]
pub struct PodSink {
    feed: Feed,
    listing: Listing,
}

impl PodSink {
    /// Of one namespace, or of all.
    #[must_use]
    pub const fn new(feed: Feed, namespace: Option<String>) -> Self {
        Self {
            feed,
            listing: Listing::new(namespace),
        }
    }
}

impl Sink for PodSink {
    fn restart(&mut self) {
        self.listing.epoch += 1;
    }

    fn seen(&mut self, object: Value) {
        self.feed.tell(|index| index.pod_seen(&object, self.listing.epoch));
    }

    fn gone(&mut self, object: Value) {
        self.feed.tell(|index| index.pod_gone(&object));
    }

    fn listed(&mut self) {
        let Listing { namespace, epoch } = &self.listing;
        self.feed.tell(|index| index.pods_listed(namespace.as_deref(), *epoch));
    }

    fn blind(&mut self, _: &Blind) {}
}

/// Takes `IngressClass`es. There are few, and all are kept.
#[derive(Debug)]
pub struct ClassSink {
    feed: Feed,
    classes: BTreeMap<String, (String, bool)>,
    listed: bool,
}

impl ClassSink {
    /// Knows nothing yet.
    #[must_use]
    pub const fn new(feed: Feed) -> Self {
        Self {
            feed,
            classes: BTreeMap::new(),
            listed: false,
        }
    }

    fn tell(&self) {
        if self.listed {
            let classes = Classes::Known(self.classes.clone());
            self.feed.tell(|index| index.classes_seen(classes));
        }
    }
}

impl Sink for ClassSink {
    fn restart(&mut self) {
        self.classes.clear();
        self.listed = false;
    }

    fn seen(&mut self, object: Value) {
        let meta = &object["metadata"];
        let default = text(&meta["annotations"]["ingressclass.kubernetes.io/is-default-class"]) == "true";
        let class = (text(&object["spec"]["controller"]).to_owned(), default);
        self.classes.insert(text(&meta["name"]).to_owned(), class);
        self.tell();
    }

    fn gone(&mut self, object: Value) {
        self.classes.remove(text(&object["metadata"]["name"]));
        self.tell();
    }

    fn listed(&mut self) {
        self.listed = true;
        self.tell();
    }

    fn blind(&mut self, why: &Blind) {
        if let Some(classes) = classes_when(why) {
            self.feed.tell(|index| index.classes_seen(classes));
        }
    }
}

/// Takes one Secret.
#[derive(Debug)]
pub struct SecretSink {
    feed: Feed,
    digester: Digester,
    namespace: String,
    name: String,
    found: bool,
}

impl SecretSink {
    /// The one of this name.
    #[must_use]
    pub const fn new(feed: Feed, digester: Digester, namespace: String, name: String) -> Self {
        Self {
            feed,
            digester,
            namespace,
            name,
            found: false,
        }
    }

    fn tell(&self, seen: SecretSeen) {
        self.feed.tell(|index| index.secret_seen(&self.namespace, &self.name, seen));
    }
}

impl Sink for SecretSink {
    fn restart(&mut self) {
        self.found = false;
    }

    fn seen(&mut self, object: Value) {
        self.found = true;
        self.tell(SecretSeen::Present(self.digester.secret(&object)));
    }

    fn gone(&mut self, _: Value) {
        self.tell(SecretSeen::Missing);
    }

    fn listed(&mut self) {
        if !self.found {
            self.tell(SecretSeen::Missing);
        }
    }

    fn blind(&mut self, why: &Blind) {
        match why {
            Blind::Denied => self.tell(SecretSeen::Denied),
            // What was known stays: an API server that is away says nothing about a Secret.
            Blind::NotServed | Blind::Failing(_) => {}
        }
    }
}
