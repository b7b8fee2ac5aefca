//! Children: made, kept, left, removed.

use std::time::Instant;

use notice_operator::observe::ChildKind;
use serde_json::{Value, json};

use crate::scene::{Scene, children_of_two, cluster_of_two, condition};

#[tokio::test]
async fn a_manifest_becomes_all_its_children_within_two_seconds() {
    let scene = Scene::new("made").await;
    scene.create_secrets().await;
    // The operator is up once it has made a first cluster.
    scene.create_cluster("first", json!({"storage": {"size": "1Gi"}})).await;
    scene.wait_child(ChildKind::Deployment, "first").await;
    let started = Instant::now();
    scene.create_cluster("rides", cluster_of_two()).await;
    for (kind, name) in children_of_two() {
        scene.wait_child(kind, name).await;
    }
    let took = started.elapsed();
    println!("all children after {took:?}");
    assert!(took.as_millis() < 2000, "{took:?}");
    let deployment = scene.child(ChildKind::Deployment, "rides").await.unwrap();
    assert_eq!(deployment["spec"]["replicas"], 2);
    let managers: Vec<_> = deployment["metadata"]["managedFields"].as_array().unwrap().iter().map(|it| &it["manager"]).collect();
    assert!(managers.contains(&&json!("notice-operator")), "{managers:?}");
}

#[tokio::test]
async fn an_edit_of_each_child_comes_back_and_what_others_add_stays() {
    let scene = Scene::new("edited").await;
    scene.create_secrets().await;
    scene.create_cluster("rides", cluster_of_two()).await;
    for (kind, name) in children_of_two() {
        scene.wait_child(kind, name).await;
    }
    for (kind, name) in children_of_two() {
        let path = scene.child_path(kind, name);
        let before = scene.get(&path).await.unwrap();
        let (pointer, change) = edit_of(kind, &before);
        let mut change = change;
        change["metadata"]["annotations"]["example.com/added"] = json!("yes");
        change["metadata"]["labels"]["app.kubernetes.io/part-of"] = json!("something-else");
        scene.edit(&path, change).await;
        scene
            .wait(&format!("{kind} {name} is as it was at {pointer}"), || async {
                let now = scene.get(&path).await?;
                let back = now.pointer(pointer) == before.pointer(pointer)
                    && now["metadata"]["labels"]["app.kubernetes.io/part-of"] == "notice";
                back.then_some(())
            })
            .await;
        let now = scene.get(&path).await.unwrap();
        assert_eq!(now["metadata"]["annotations"]["example.com/added"], "yes", "{kind} {name}");
    }
}

/// An edit of a field that we own, and where it is.
fn edit_of(kind: ChildKind, before: &Value) -> (&'static str, Value) {
    match kind {
        ChildKind::Deployment => ("/spec/replicas", json!({"spec": {"replicas": 7}})),
        ChildKind::ConfigMap => {
            let key = before["data"].as_object().unwrap().keys().next().unwrap();
            ("/data", json!({"data": {key: "edited"}}))
        }
        ChildKind::Service => ("/spec/selector", json!({"spec": {"selector": {"app.kubernetes.io/instance": "other"}}})),
        ChildKind::Ingress => ("/spec/rules/0/host", json!({"spec": {"rules": [{"host": "other.example.com"}]}})),
        ChildKind::PodDisruptionBudget => ("/spec/maxUnavailable", json!({"spec": {"maxUnavailable": 2}})),
        ChildKind::NetworkPolicy => ("/spec/podSelector", json!({"spec": {"podSelector": {"matchLabels": {"app.kubernetes.io/instance": "x"}}}})),
        ChildKind::ServiceAccount => ("/automountServiceAccountToken", json!({"automountServiceAccountToken": true})),
        other => panic!("no edit of {other}"),
    }
}

#[tokio::test]
async fn a_child_that_is_deleted_or_loses_its_label_comes_back() {
    let scene = Scene::new("deleted").await;
    scene.create_secrets().await;
    scene.create_cluster("rides", cluster_of_two()).await;
    let service = scene.wait_child(ChildKind::Service, "rides").await;
    let path = scene.child_path(ChildKind::Service, "rides");
    scene.delete(&path).await;
    scene
        .wait("another Service is there", || async {
            let now = scene.get(&path).await?;
            (now["metadata"]["uid"] != service["metadata"]["uid"]).then_some(())
        })
        .await;
    scene.edit(&path, json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": null}}})).await;
    scene
        .wait("the label is back", || async {
            let now = scene.get(&path).await?;
            (now["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "notice-operator").then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_part_that_is_turned_off_takes_its_object_along() {
    let scene = Scene::new("off").await;
    scene.create_secrets().await;
    scene.create_cluster("rides", cluster_of_two()).await;
    for (kind, name) in children_of_two() {
        scene.wait_child(kind, name).await;
    }
    let off = json!({"spec": {"ingress": null, "monitoring": null, "networkPolicy": null, "replicas": 1}});
    scene.edit(&scene.cluster_path("rides"), off).await;
    for (kind, name) in [
        (ChildKind::Ingress, "rides"),
        (ChildKind::ConfigMap, "rides-dashboard"),
        (ChildKind::NetworkPolicy, "rides"),
        (ChildKind::PodDisruptionBudget, "rides"),
    ] {
        scene.wait_gone(kind, name).await;
    }
    assert!(scene.child(ChildKind::Deployment, "rides").await.is_some());
}

#[tokio::test]
async fn a_foreign_object_of_the_same_name_is_not_touched_and_told() {
    let scene = Scene::new("foreign").await;
    scene.create_secrets().await;
    let path = ChildKind::ConfigMap.path(Some(&scene.namespace));
    let theirs = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "rides-dashboard"}, "data": {"a": "b"}});
    scene.post(&path, &theirs).await;
    scene.create_cluster("rides", cluster_of_two()).await;
    let stalled = scene.wait_condition("rides", "Stalled", "True", "NameConflict").await;
    assert!(stalled["message"].as_str().unwrap().contains("ConfigMap rides-dashboard"), "{stalled}");
    let kept = scene.child(ChildKind::ConfigMap, "rides-dashboard").await.unwrap();
    assert_eq!(kept["data"], json!({"a": "b"}));
    assert!(kept["metadata"]["ownerReferences"].is_null());
    // The rest is there all the same.
    scene.wait_child(ChildKind::Deployment, "rides").await;
    let events = scene.get(&format!("/apis/events.k8s.io/v1/namespaces/{}/events", scene.namespace)).await.unwrap();
    let told = events["items"].as_array().unwrap().iter().filter(|it| it["reason"] == "NameConflict").count();
    assert_eq!(told, 1);
}

#[tokio::test]
async fn the_embedded_store_has_one_pod_and_a_volume_that_outlives_the_cluster() {
    let scene = Scene::new("embedded").await;
    scene.create_secrets().await;
    let spec = json!({"storage": {"size": "1Gi"}, "auth": {"apiKeysSecretRef": {"name": "keys", "key": "keys"}}});
    scene.create_cluster("rides", spec).await;
    let deployment = scene.wait_child(ChildKind::Deployment, "rides").await;
    assert_eq!(deployment["spec"]["strategy"]["type"], "Recreate");
    let claim = scene.wait_child(ChildKind::PersistentVolumeClaim, "rides").await;
    assert!(claim["metadata"]["ownerReferences"].is_null());
    assert!(scene.child(ChildKind::PodDisruptionBudget, "rides").await.is_none());
    scene.delete(&scene.cluster_path("rides")).await;
    for kind in [ChildKind::Deployment, ChildKind::Service, ChildKind::ConfigMap, ChildKind::ServiceAccount] {
        scene.wait_gone(kind, "rides").await;
    }
    let kept = scene.child(ChildKind::PersistentVolumeClaim, "rides").await.unwrap();
    assert_eq!(kept["metadata"]["uid"], claim["metadata"]["uid"]);
    assert!(kept["metadata"]["deletionTimestamp"].is_null());
    // And the next cluster of this name has its notices.
    scene.create_cluster("rides", json!({"storage": {"size": "1Gi"}})).await;
    scene.wait_child(ChildKind::Deployment, "rides").await;
    scene.wait_settled("rides").await;
    let stalled = condition(&scene.cluster("rides").await, "Stalled").unwrap();
    assert_eq!(stalled["status"], "False", "{stalled}");
}

#[tokio::test]
async fn a_paused_cluster_is_left_as_it_is() {
    let scene = Scene::new("paused").await;
    scene.create_secrets().await;
    scene.create_cluster("rides", cluster_of_two()).await;
    scene.wait_child(ChildKind::Deployment, "rides").await;
    scene.edit(&scene.cluster_path("rides"), json!({"spec": {"paused": true}})).await;
    scene.wait_settled("rides").await;
    let path = scene.child_path(ChildKind::Deployment, "rides");
    scene.edit(&path, json!({"spec": {"replicas": 5}})).await;
    // Status is still kept, and shows that the operator has seen the edit.
    scene.wait_condition("rides", "Reconciling", "True", "RollingOut").await;
    scene
        .wait("five pods are counted", || async {
            (scene.cluster("rides").await["status"]["replicas"] == 5).then_some(())
        })
        .await;
    assert_eq!(scene.get(&path).await.unwrap()["spec"]["replicas"], 5);
    scene.edit(&scene.cluster_path("rides"), json!({"spec": {"paused": false}})).await;
    scene
        .wait("the edit is undone", || async { (scene.get(&path).await?["spec"]["replicas"] == 2).then_some(()) })
        .await;
}
