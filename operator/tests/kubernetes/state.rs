//! Status: Ready and its pods, sessions, scale, conditions.

use std::time::Duration;

use notice_operator::observe::ChildKind;
use serde_json::json;

use crate::farm::Server;
use crate::scene::{Scene, cluster_of_two, condition};

#[tokio::test]
async fn a_cluster_is_ready_when_its_pods_are_and_kstatus_reads_it_so() {
    let scene = Scene::new("ready").await;
    scene.create_secrets().await;
    let mut spec = cluster_of_two();
    spec["rollout"] = json!({"minReadySeconds": 0});
    scene.create_cluster("rides", spec).await;
    scene
        .wait_condition("rides", "Reconciling", "True", "RollingOut")
        .await;
    let pods = scene.wait_pods(2).await;
    for (pod, ip) in pods.iter().zip(["127.66.1.1", "127.66.1.2"]) {
        scene.run_pod(pod, ip).await;
    }
    scene
        .wait_condition("rides", "Ready", "True", "PodsReady")
        .await;
    let cluster = scene.cluster("rides").await;
    for kind in ["Reconciling", "Stalled"] {
        assert_eq!(
            condition(&cluster, kind).unwrap()["status"],
            "False",
            "{kind}"
        );
    }
    for it in cluster["status"]["conditions"].as_array().unwrap() {
        assert_eq!(
            it["observedGeneration"], cluster["metadata"]["generation"],
            "{it}"
        );
        assert!(
            it["reason"].as_str().is_some_and(|it| !it.is_empty()),
            "{it}"
        );
    }
    assert_eq!(cluster["status"]["readyReplicas"], 2);
    assert_eq!(cluster["status"]["url"], "http://im.example.com/notice");
    // Ready does not wait for the edge, which has no controller here.
    let edge = condition(&cluster, "EdgeReady").unwrap();
    assert_ne!(edge["status"], "True");
    assert_eq!(edge["reason"], "IngressClassNotFound");
}

#[tokio::test]
async fn scaling_by_the_subresource_reaches_the_deployment_and_the_selector_finds_its_pods() {
    let scene = Scene::new("scale").await;
    scene.create_secrets().await;
    scene.create_cluster("rides", cluster_of_two()).await;
    scene.wait_child(ChildKind::Deployment, "rides").await;
    let path = format!("{}/scale", scene.cluster_path("rides"));
    scene.edit(&path, json!({"spec": {"replicas": 3}})).await;
    scene
        .wait("the Deployment has three", || async {
            let deployment = scene.child(ChildKind::Deployment, "rides").await?;
            (deployment["spec"]["replicas"] == 3).then_some(())
        })
        .await;
    scene.wait_pods(3).await;
    let scale = scene
        .wait("the scale counts three", || async {
            let scale = scene.get(&path).await?;
            (scale["status"]["replicas"] == 3).then_some(scale)
        })
        .await;
    let selector = scale["status"]["selector"]
        .as_str()
        .unwrap()
        .replace('=', "%3D")
        .replace(',', "%2C");
    let found = scene
        .get(&format!(
            "/api/v1/namespaces/{}/pods?labelSelector={selector}",
            scene.namespace
        ))
        .await
        .unwrap();
    assert_eq!(found["items"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn sessions_are_read_from_the_pods_and_left_out_when_they_cannot_be() {
    let scene = Scene::new("sessions").await;
    let mut spec = json!({"storage": {"size": "1Gi"}});
    spec["rollout"] = json!({"minReadySeconds": 0});
    scene.create_cluster("rides", spec).await;
    let pods = scene.wait_pods(1).await;
    let server = Server::at(&scene, "rides", "127.66.2.1".parse().unwrap()).await;
    scene.run_pod(&pods[0], "127.66.2.1").await;
    scene
        // Measured fields are written every 30 s at most.
        .wait_for(Duration::from_secs(60), "the sessions are told", || async {
            let status = scene.cluster("rides").await["status"].clone();
            let pod = &status["pods"][0];
            let told = pod["sessions"] == 0 && pod["draining"] == false;
            (told && status["onlineSessions"] == 0).then_some(())
        })
        .await;
    server.end().await;
    scene
        .wait_for(Duration::from_secs(90), "they are left out", || async {
            let status = scene.cluster("rides").await["status"].clone();
            (status["onlineSessions"].is_null() && status["pods"][0]["sessions"].is_null())
                .then_some(())
        })
        .await;
    let draining = condition(&scene.cluster("rides").await, "Draining").unwrap();
    assert_eq!(
        (draining["status"].as_str(), draining["reason"].as_str()),
        (Some("Unknown"), Some("LoadNotRead"))
    );
}

#[tokio::test]
async fn two_clusters_on_one_address_are_told_to_the_younger() {
    let scene = Scene::new("hosts").await;
    let spec = json!({"storage": {"size": "1Gi"}, "ingress": {"host": "im.example.com"}});
    scene.create_cluster("older", spec.clone()).await;
    scene.wait_child(ChildKind::Ingress, "older").await;
    tokio::time::sleep(Duration::from_millis(1100)).await; // creation times have whole seconds
    scene.create_cluster("younger", spec).await;
    scene
        .wait_condition("younger", "EdgeReady", "False", "HostConflict")
        .await;
    assert_ne!(
        condition(&scene.cluster("older").await, "EdgeReady").unwrap()["reason"],
        "HostConflict"
    );
    scene
        .edit(
            &scene.cluster_path("younger"),
            json!({"spec": {"ingress": {"path": "/other"}}}),
        )
        .await;
    scene
        .wait("the conflict is over", || async {
            let edge = condition(&scene.cluster("younger").await, "EdgeReady")?;
            (edge["reason"] != "HostConflict").then_some(())
        })
        .await;
}
