//! At rest nothing is written, and nothing is read but watches and the lease.

use std::time::Duration;

use notice_operator::observe::ChildKind;
use serde_json::json;

use crate::scene::{Scene, children_of_two, cluster_of_two};

/// What is allowed at rest.
fn allowed(request: &str) -> bool {
    request.starts_with("watch ") || request == "get leases" || request == "update leases"
}

async fn is_quiet_for(name: &str, rest: Duration) {
    let scene = Scene::new(name).await;
    scene.create_secrets().await;
    let mut spec = cluster_of_two();
    spec["rollout"] = json!({"minReadySeconds": 0});
    scene.create_cluster("rides", spec).await;
    for (kind, name) in children_of_two() {
        scene.wait_child(kind, name).await;
    }
    for (pod, ip) in scene
        .wait_pods(2)
        .await
        .iter()
        .zip(["127.66.3.1", "127.66.3.2"])
    {
        scene.run_pod(pod, ip).await;
    }
    scene
        .wait_condition("rides", "Ready", "True", "PodsReady")
        .await;
    // Pods that can't be asked are known to be so after one round.
    scene
        .wait_condition("rides", "Draining", "Unknown", "LoadNotRead")
        .await;
    // Measured figures are written every 30 s at most: here, that there are none.
    scene
        .wait_for(Duration::from_secs(60), "no sessions are told", || async {
            let status = scene.cluster("rides").await["status"].clone();
            let pods = status["pods"].as_array().cloned().unwrap_or_default();
            let unknown = pods.iter().all(|pod| pod["sessions"].is_null());
            (pods.len() == 2 && unknown && status["onlineSessions"].is_null()).then_some(())
        })
        .await;
    scene
        .create_cluster("second", json!({"storage": {"size": "1Gi"}}))
        .await;
    scene.wait_child(ChildKind::Deployment, "second").await;
    scene.wait_pods(3).await;
    scene.wait_settled("second").await;
    scene
        .wait("the second one's pod is told", || async {
            let status = &scene.cluster("second").await["status"];
            (status["pods"].as_array().is_some_and(|it| it.len() == 1)).then_some(())
        })
        .await;
    // What the audit log shows late, and the Deployment controller's last words.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = scene.requests().len();
    tokio::time::sleep(rest).await;
    let requests = scene.requests();
    let loud: Vec<_> = requests[before..]
        .iter()
        .filter(|it| !allowed(it))
        .collect();
    println!(
        "{} requests in {rest:?}, {} of them not at rest",
        requests.len() - before,
        loud.len()
    );
    assert!(
        requests.len() > before,
        "the lease is renewed: the audit log is read rightly"
    );
    assert!(loud.is_empty(), "{loud:?}");
}

#[tokio::test]
async fn at_rest_nothing_is_written_and_nothing_read_but_watches_and_the_lease() {
    is_quiet_for("quiet", Duration::from_secs(30)).await;
}

#[tokio::test]
#[ignore = "ten minutes"]
async fn at_rest_nothing_is_written_for_ten_minutes() {
    is_quiet_for("quiet-long", Duration::from_secs(600)).await;
}
