//! The index, fed as watches feed it.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::secrets::Digester;

fn cluster(name: &str, version: u64, replicas: i64) -> Value {
    json!({
        "apiVersion": "noticecluster.dev/v1alpha1", "kind": "NoticeCluster",
        "metadata": {"name": name, "namespace": "a", "uid": format!("uid-{name}"), "generation": replicas,
                     "resourceVersion": version.to_string(), "managedFields": [{"manager": "x"}]},
        "spec": {"replicas": replicas, "mongodb": {"uriSecretRef": {"name": "m", "key": "uri"}}}
    })
}

fn child(cluster: &str, version: u64, replicas: i64) -> Value {
    json!({
        "metadata": {"name": cluster, "namespace": "a", "uid": "u", "resourceVersion": version.to_string(),
            "labels": {meta::MANAGED_BY: meta::OPERATOR, INSTANCE: cluster}},
        "spec": {"replicas": replicas}
    })
}

fn pod(name: &str, ready: bool) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "a", "labels": {INSTANCE: "rides"}},
        "status": {"phase": "Running", "podIP": "10.0.0.1",
                   "conditions": [{"type": "Ready", "status": if ready {"True"} else {"False"}}]}
    })
}

fn rides() -> ClusterKey {
    ClusterKey::new("a", "rides")
}

#[test]
fn a_change_touches_its_cluster_and_a_repeat_touches_nobody() {
    let mut index = Index::default();
    assert_eq!(index.cluster_seen(cluster("rides", 1, 2), 1), [rides()]);
    assert!(index.cluster_seen(cluster("rides", 1, 2), 2).is_empty());
    assert_eq!(index.child_seen(ChildKind::Deployment, &child("rides", 2, 1), 1), [rides()]);
    assert!(index.child_seen(ChildKind::Deployment, &child("rides", 3, 1), 1).is_empty());
    assert_eq!(index.child_seen(ChildKind::Deployment, &child("rides", 4, 9), 1), [rides()]);
    assert_eq!(index.pod_seen(&pod("p", false), 1), [rides()]);
    assert!(index.pod_seen(&pod("p", false), 1).is_empty());
    assert_eq!(index.pod_seen(&pod("p", true), 1), [rides()]);
}

#[test]
fn a_watch_that_lags_behind_an_answer_changes_nothing() {
    let mut index = Index::default();
    index.cluster_seen(cluster("rides", 7, 3), 1);
    assert!(index.cluster_seen(cluster("rides", 6, 2), 1).is_empty());
    let object = index.cluster(&rides()).unwrap().object.clone().unwrap();
    assert_eq!(object.spec.replicas, 3);
    index.child_seen(ChildKind::Deployment, &child("rides", 7, 3), 1);
    assert!(index.child_seen(ChildKind::Deployment, &child("rides", 6, 1), 1).is_empty());
    assert_eq!(index.observe(&rides()).unwrap().deployment().unwrap().desired, 3);
}

#[test]
fn what_a_new_list_does_not_name_is_gone() {
    let mut index = Index::default();
    index.cluster_seen(cluster("rides", 1, 2), 1);
    index.cluster_seen(cluster("food", 1, 2), 1);
    index.child_seen(ChildKind::Service, &child("rides", 1, 0), 1);
    index.pod_seen(&pod("p", true), 1);
    assert!(index.clusters_listed(None, 1).is_empty());
    index.cluster_seen(cluster("rides", 1, 2), 2);
    assert!(index.clusters_listed(Some("b"), 2).is_empty(), "another namespace's list");
    assert_eq!(index.clusters_listed(Some("a"), 2), [ClusterKey::new("a", "food")]);
    assert_eq!(index.children_listed(ChildKind::Service, None, 2), [rides()]);
    assert_eq!(index.pods_listed(None, 2), [rides()]);
    let observed = index.observe(&rides()).unwrap();
    assert!(observed.children.is_empty() && observed.pods.is_empty());
}

#[test]
fn a_spec_that_cannot_be_understood_is_kept_as_such() {
    let mut index = Index::default();
    let mut odd = cluster("rides", 1, 1);
    odd["spec"]["replicas"] = json!("many");
    assert_eq!(index.cluster_seen(odd, 1), [rides()]);
    assert!(index.cluster(&rides()).unwrap().object.as_ref().unwrap_err().contains("many"));
}

#[test]
fn a_secret_touches_only_those_who_use_the_key_that_changed() {
    let digester = Digester::new([1; 32]);
    let secret = |uri: &str, other: &str| {
        SecretSeen::Present(digester.secret(&json!({"data": {"uri": uri, "other": other}})))
    };
    let mut index = Index::default();
    index.set_wanted(&rides(), [SecretKey { name: "m".into(), key: "uri".into() }].into());
    assert_eq!(index.wanted_secrets().len(), 1);
    assert_eq!(index.secret_seen("a", "m", SecretSeen::Missing), [rides()]);
    assert_eq!(index.secret_seen("a", "m", secret("YQ==", "YQ==")), [rides()]);
    assert!(index.secret_seen("a", "m", secret("YQ==", "Yg==")).is_empty());
    assert_eq!(index.secret_seen("a", "m", secret("Yg==", "Yg==")), [rides()]);
    assert!(index.secret_seen("b", "m", SecretSeen::Missing).is_empty());
}

#[test]
fn an_optional_kind_that_goes_takes_its_children_and_tells_everybody() {
    let mut index = Index::default();
    index.cluster_seen(cluster("rides", 1, 2), 1);
    assert_eq!(index.kind_served(ChildKind::HttpRoute, Served::Yes), [rides()]);
    index.child_seen(ChildKind::HttpRoute, &child("rides", 1, 0), 1);
    assert!(index.kind_served(ChildKind::HttpRoute, Served::Yes).is_empty());
    assert_eq!(index.kind_served(ChildKind::HttpRoute, Served::No), [rides()]);
    assert!(index.observe(&rides()).unwrap().children.is_empty());
}

#[test]
fn a_cluster_that_is_gone_is_not_observed_and_wants_no_secrets() {
    let mut index = Index::default();
    index.cluster_seen(cluster("rides", 1, 2), 1);
    index.set_wanted(&rides(), [SecretKey { name: "m".into(), key: "uri".into() }].into());
    assert_eq!(index.cluster_gone(&rides()), [rides()]);
    assert!(index.observe(&rides()).is_none());
    assert!(index.wanted_secrets().is_empty());
}

proptest! {
    /// Whatever order events and lists come in: after a list the index holds exactly what the list named.
    #[test]
    fn after_a_list_the_index_holds_what_the_list_named(
        events in prop::collection::vec((0_u8..5, any::<bool>()), 0..40),
        listed in prop::collection::btree_set(0_u8..5, 0..5),
    ) {
        let mut index = Index::default();
        for (version, (name, there)) in events.into_iter().enumerate() {
            let object = child(&format!("c{name}"), version as u64 + 1, version as i64);
            if there {
                index.child_seen(ChildKind::Service, &object, 1);
            } else {
                index.child_gone(ChildKind::Service, &object);
            }
        }
        for name in &listed {
            index.child_seen(ChildKind::Service, &child(&format!("c{name}"), 100, 0), 2);
        }
        index.children_listed(ChildKind::Service, None, 2);
        let held: BTreeSet<_> = index.children.keys().map(|id| id.name.to_string()).collect();
        let wanted: BTreeSet<_> = listed.iter().map(|it| format!("c{it}")).collect();
        prop_assert_eq!(held, wanted);
    }
}
