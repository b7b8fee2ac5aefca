//! Who has which host and path: two clusters on one address take each other's clients. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::key::ClusterKey;
use crate::api::NoticeCluster;

/// The path when a spec names none.
const DEFAULT_PATH: &str = "/notice";

/// The addresses that clusters claim, and since when each cluster exists.
#[derive(Debug, Default)]
pub struct Hosts {
    claims: BTreeMap<String, BTreeSet<ClusterKey>>,
    clusters: HashMap<ClusterKey, (String, BTreeSet<String>)>,
}

impl Hosts {
    /// From now on `key`, which exists since `since`, claims these addresses and no others. Says whose conflicts may have
    /// changed.
    pub fn claim(&mut self, key: &ClusterKey, since: String, addresses: BTreeSet<String>) -> Vec<ClusterKey> {
        if self.clusters.get(key).is_some_and(|(_, before)| *before == addresses) {
            return Vec::new();
        }
        let mut touched = self.release(key);
        for address in &addresses {
            let holders = self.claims.entry(address.clone()).or_default();
            touched.extend(holders.iter().cloned());
            holders.insert(key.clone());
        }
        if !addresses.is_empty() {
            self.clusters.insert(key.clone(), (since, addresses));
        }
        touched
    }

    /// `key` claims nothing any more. Says whose conflicts may have changed.
    pub fn release(&mut self, key: &ClusterKey) -> Vec<ClusterKey> {
        let Some((_, addresses)) = self.clusters.remove(key) else {
            return Vec::new();
        };
        let mut touched = Vec::new();
        for address in addresses {
            if let Some(holders) = self.claims.get_mut(&address) {
                holders.remove(key);
                touched.extend(holders.iter().cloned());
                if holders.is_empty() {
                    self.claims.remove(&address);
                }
            }
        }
        touched
    }

    /// The other cluster that had an address of `key`'s before it, and the address.
    #[must_use]
    pub fn conflict(&self, key: &ClusterKey) -> Option<(ClusterKey, String)> {
        let (_, addresses) = self.clusters.get(key)?;
        addresses.iter().find_map(|address| {
            let holders = self.claims.get(address)?;
            let first = holders.iter().min_by_key(|it| self.order(it))?;
            (first != key).then(|| (first.clone(), address.clone()))
        })
    }

    fn order<'a>(&'a self, key: &'a ClusterKey) -> (&'a str, &'a ClusterKey) {
        (self.clusters.get(key).map_or("", |(since, _)| since), key)
    }
}

/// The addresses that a spec claims: `host/path` for its Ingress and its HTTPRoute apart, since those are different ways in.
#[must_use]
pub fn claims(cluster: &NoticeCluster) -> BTreeSet<String> {
    let spec = &cluster.spec;
    let ingress = spec.ingress.as_ref();
    let path = ingress.and_then(|it| it.path.as_deref()).unwrap_or(DEFAULT_PATH);
    let mut claims = BTreeSet::new();
    if let Some(host) = ingress.and_then(|it| it.host.as_deref()) {
        let class = ingress.and_then(|it| it.class_name.as_deref()).unwrap_or_default();
        claims.insert(address(class, host, path));
    }
    for gateway in &spec.gateway {
        for parent in &gateway.parent_refs {
            let namespace = parent.namespace.as_deref().or(cluster.metadata.namespace.as_deref());
            let through = format!("Gateway {}/{}", namespace.unwrap_or_default(), parent.name);
            claims.extend(gateway.hostnames.iter().map(|host| address(&through, host, path)));
        }
    }
    claims
}

fn address(through: &str, host: &str, path: &str) -> String {
    if through.is_empty() {
        format!("{host}{path}")
    } else {
        format!("{host}{path} ({through})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(addresses: &[&str]) -> BTreeSet<String> {
        addresses.iter().map(|&it| it.to_owned()).collect()
    }

    #[test]
    fn the_older_cluster_keeps_its_address_and_the_younger_is_told() {
        let (old, young) = (ClusterKey::new("b", "old"), ClusterKey::new("a", "young"));
        let mut hosts = Hosts::default();
        assert!(hosts.claim(&young, "2026-02".into(), set(&["x/notice"])).is_empty());
        assert_eq!(hosts.claim(&old, "2026-01".into(), set(&["x/notice", "y/notice"])), [young.clone()]);
        assert_eq!(hosts.conflict(&old), None);
        assert_eq!(hosts.conflict(&young), Some((old.clone(), "x/notice".into())));
        assert_eq!(hosts.release(&old), [young.clone()]);
        assert_eq!(hosts.conflict(&young), None);
    }

    #[test]
    fn a_changed_address_tells_those_of_the_old_and_of_the_new_one() {
        let keys: Vec<_> = ["a", "b", "c"].map(|name| ClusterKey::new("n", name)).into();
        let mut hosts = Hosts::default();
        hosts.claim(&keys[0], "1".into(), set(&["x/"]));
        hosts.claim(&keys[1], "2".into(), set(&["y/"]));
        hosts.claim(&keys[2], "3".into(), set(&["x/"]));
        assert_eq!(hosts.claim(&keys[2], "3".into(), set(&["y/"])), [keys[0].clone(), keys[1].clone()]);
        assert!(hosts.claim(&keys[2], "3".into(), set(&["y/"])).is_empty(), "nothing has changed");
    }
}
