//! Which watches there are: of `NoticeCluster`s, children, pods and `IngressClass`es, in each namespace apart when the
//! operator is told some, so that one that may not be read stops no other.

use super::sinks::{ChildSink, ClassSink, ClusterSink, Feed, PodSink};
use super::{Followed, Freshness, Target, follow};
use crate::client::Clients;
use crate::observe::ChildKind;
use crate::observe::kinds::resource_path;
use crate::observe::meta::{MANAGED_BY, OPERATOR};

/// Everything that a watch needs.
#[derive(Clone, Debug)]
pub struct Watching {
    /// Ways to the API server.
    pub clients: Clients,
    /// Where watches tell how fresh they are.
    pub freshness: Freshness,
    /// Where what they see goes.
    pub feed: Feed,
    /// The namespaces; empty for all.
    pub namespaces: Vec<String>,
}

impl Watching {
    /// The ranges that are listed: all, or each namespace.
    #[must_use]
    pub fn ranges(&self) -> Vec<Option<String>> {
        if self.namespaces.is_empty() {
            vec![None]
        } else {
            self.namespaces.iter().cloned().map(Some).collect()
        }
    }

    /// Starts all watches but those of optional kinds and Secrets.
    #[must_use]
    pub fn start(&self) -> Vec<Followed> {
        let mut watches = vec![self.classes()];
        for range in self.ranges() {
            watches.push(self.clusters(range.clone()));
            watches.push(self.pods(range.clone()));
            let always = ChildKind::ALL.into_iter().filter(|kind| kind.definition().is_none());
            watches.extend(always.map(|kind| self.children(kind, range.clone())));
        }
        watches
    }

    fn clusters(&self, range: Option<String>) -> Followed {
        let path = resource_path("noticecluster.dev/v1alpha1", "noticeclusters", range.as_deref());
        let target = Target {
            name: "noticeclusters",
            path,
            labels: String::new(),
            fields: String::new(),
            metadata_only: false,
        };
        let sink = ClusterSink::new(self.feed.clone(), range);
        follow(&self.clients, &self.freshness, target, false, sink)
    }

    fn pods(&self, range: Option<String>) -> Followed {
        let target = ours("pods", resource_path("v1", "pods", range.as_deref()));
        let sink = PodSink::new(self.feed.clone(), range);
        follow(&self.clients, &self.freshness, target, false, sink)
    }

    /// Children of one kind, in one range.
    #[must_use]
    pub fn children(&self, kind: ChildKind, range: Option<String>) -> Followed {
        let target = ours(kind.plural(), kind.path(range.as_deref()));
        let sink = ChildSink::new(self.feed.clone(), kind, range);
        follow(&self.clients, &self.freshness, target, kind.definition().is_some(), sink)
    }

    fn classes(&self) -> Followed {
        let target = Target {
            name: "ingressclasses",
            path: resource_path("networking.k8s.io/v1", "ingressclasses", None),
            labels: String::new(),
            fields: String::new(),
            metadata_only: false,
        };
        let sink = ClassSink::new(self.feed.clone());
        follow(&self.clients, &self.freshness, target, true, sink)
    }
}

/// What carries our label.
fn ours(name: &'static str, path: String) -> Target {
    Target {
        name,
        path,
        labels: format!("{MANAGED_BY}={OPERATOR}"),
        fields: String::new(),
        metadata_only: false,
    }
}
