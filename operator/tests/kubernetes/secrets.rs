//! Secrets: missing, coming, changed.

use std::time::Duration;

use notice_operator::build::SECRETS_HASH_ANNOTATION;
use notice_operator::observe::ChildKind;
use serde_json::{Value, json};

use crate::scene::{Scene, cluster_of_two};

async fn digest(scene: &Scene) -> Value {
    let deployment = scene.child(ChildKind::Deployment, "rides").await.unwrap();
    deployment["spec"]["template"]["metadata"]["annotations"][SECRETS_HASH_ANNOTATION].clone()
}

#[tokio::test]
async fn a_missing_secret_and_a_missing_key_hold_the_pods_back_until_they_come() {
    let scene = Scene::new("missing").await;
    scene.create_secret("redis", json!({"uri": "redis://redis:6379"})).await;
    scene.create_secret("keys", json!({"wrong": "x"})).await;
    scene.create_cluster("rides", cluster_of_two()).await;
    let told = scene.wait_condition("rides", "DependenciesReady", "False", "SecretNotFound").await;
    let message = told["message"].as_str().unwrap();
    assert!(message.contains("Secret mongo is missing") && message.contains("Secret keys has no key keys"), "{message}");
    scene.wait_condition("rides", "Reconciling", "True", "WaitingForSecrets").await;
    scene.wait_child(ChildKind::Service, "rides").await;
    assert!(scene.child(ChildKind::Deployment, "rides").await.is_none(), "no half-configured pod");
    assert!(scene.child(ChildKind::ConfigMap, "rides").await.is_none());

    scene.create_secret("mongo", json!({"uri": "mongodb://mongo:27017"})).await;
    scene.edit(&scene.secret_path("keys"), json!({"stringData": {"keys": "a:0123456789abcdef"}})).await;
    scene.wait_child(ChildKind::Deployment, "rides").await;
    scene
        .wait("the dependencies are there", || async {
            let cluster = scene.cluster("rides").await;
            crate::scene::condition(&cluster, "DependenciesReady").filter(|it| it["status"] == "True")
        })
        .await;
    let events = scene.get(&format!("/apis/events.k8s.io/v1/namespaces/{}/events", scene.namespace)).await.unwrap();
    let told = events["items"].as_array().unwrap().iter().filter(|it| it["reason"] == "SecretNotFound").count();
    assert_eq!(told, 1, "told once, not in a stream");
}

#[tokio::test]
async fn only_a_changed_key_that_is_used_and_not_reloaded_rolls_the_pods() {
    let scene = Scene::new("rotated").await;
    scene.create_secrets().await;
    scene.create_cluster("rides", cluster_of_two()).await;
    scene.wait_child(ChildKind::Deployment, "rides").await;
    let before = digest(&scene).await;
    assert!(before.is_string());
    scene.wait_settled("rides").await;

    // A key that nobody uses, and one that the servers read anew: then, as a mark that both were seen, one that counts.
    scene.edit(&scene.secret_path("mongo"), json!({"stringData": {"other": "2"}})).await;
    scene.edit(&scene.secret_path("keys"), json!({"stringData": {"keys": "rides:fedcba9876543210"}})).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let deployment = scene.child(ChildKind::Deployment, "rides").await.unwrap();
    assert_eq!(digest(&scene).await, before);
    assert_eq!(deployment["metadata"]["generation"], 1, "the Deployment was not changed at all");

    scene.edit(&scene.secret_path("mongo"), json!({"stringData": {"uri": "mongodb://elsewhere:27017"}})).await;
    scene
        .wait("the pods roll", || async { (digest(&scene).await != before).then_some(()) })
        .await;
}

#[tokio::test]
async fn a_secret_that_goes_leaves_the_running_pods_and_their_configuration() {
    let scene = Scene::new("gone").await;
    scene.create_secrets().await;
    scene.create_cluster("rides", cluster_of_two()).await;
    let deployment = scene.wait_child(ChildKind::Deployment, "rides").await;
    let config = scene.wait_child(ChildKind::ConfigMap, "rides").await;
    scene.delete(&scene.secret_path("redis")).await;
    scene.wait_condition("rides", "DependenciesReady", "False", "SecretNotFound").await;
    // A change of the configuration waits with the Deployment.
    scene.edit(&scene.cluster_path("rides"), json!({"spec": {"drain": {"windowSeconds": 90}}})).await;
    scene.wait_settled("rides").await;
    let now = scene.child(ChildKind::ConfigMap, "rides").await.unwrap();
    assert_eq!(now["data"], config["data"]);
    let now = scene.child(ChildKind::Deployment, "rides").await.unwrap();
    assert_eq!(now["metadata"]["generation"], deployment["metadata"]["generation"]);
    scene.create_secret("redis", json!({"uri": "redis://redis:6379"})).await;
    scene
        .wait("the configuration follows", || async {
            (scene.child(ChildKind::ConfigMap, "rides").await?["data"] != config["data"]).then_some(())
        })
        .await;
}
