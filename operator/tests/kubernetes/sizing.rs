//! Sizes, drains and rebalancing, with real servers as pods and clients that hold sessions (`farm.rs`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use notice_operator::observe::ChildKind;
use serde_json::{Value, json};

use crate::farm::Farm;
use crate::scene::{Account, Scene, cluster_of_two, condition};

/// Readings are 10 s old at most, a turn comes every 5 s, and a drain takes its window.
const PATIENCE: Duration = Duration::from_secs(120);

fn spec(replicas: u32, autoscaling: Value) -> Value {
    let mut spec = cluster_of_two();
    spec["replicas"] = json!(replicas);
    spec["rollout"] = json!({"minReadySeconds": 0});
    spec["drain"] = json!({"windowSeconds": 5});
    spec["capacity"] = json!({"maxSessionsPerPod": 100, "connectRatePerSecond": 100});
    if !autoscaling.is_null() {
        spec["autoscaling"] = autoscaling;
    }
    spec
}

/// One pod per five sessions, between these sizes, decided at once.
fn by_sessions(min: u32, max: u32) -> Value {
    json!({
        "minReplicas": min, "maxReplicas": max, "targetSessionsPerPod": 5, "mode": "Operator",
        "scaleUp": {"stabilizationSeconds": 0}, "scaleDown": {"stabilizationSeconds": 0},
    })
}

/// A cluster whose pods run.
async fn world(name: &str, network: (u8, u8), spec: Value) -> (Arc<Scene>, Farm) {
    let scene = Arc::new(Scene::new(name).await);
    scene.create_secrets().await;
    let replicas = spec["replicas"].as_i64().unwrap();
    scene.create_cluster("rides", spec).await;
    scene.wait_child(ChildKind::Deployment, "rides").await;
    let farm = Farm::start(&scene, network);
    ready(&scene, replicas).await;
    (scene, farm)
}

async fn ready(scene: &Scene, count: i64) {
    scene
        .wait_for(
            PATIENCE,
            &format!("{count} pods are ready, no more and no fewer"),
            || async {
                let deployment = scene.child(ChildKind::Deployment, "rides").await?;
                let is = |of: &str| deployment["status"][of].as_i64().unwrap_or(0) == count;
                let asked = deployment["spec"]["replicas"] == count;
                (asked && is("readyReplicas") && is("replicas")).then_some(())
            },
        )
        .await;
}

async fn online(scene: &Scene, farm: &Farm, count: u64) {
    scene
        .wait_for(
            PATIENCE,
            &format!("{count} sessions are online"),
            || async {
                let sessions = farm.sessions().await;
                (sessions.values().sum::<u64>() == count).then_some(())
            },
        )
        .await;
}

/// The pod with the fewest sessions, and how many.
async fn emptiest(farm: &Farm) -> (String, u64) {
    let sessions = farm.sessions().await;
    let least = sessions.into_iter().min_by_key(|(_, count)| *count);
    least.unwrap()
}

/// Waits until a pod is marked as leaving; its name.
async fn leaving(scene: &Scene) -> String {
    scene
        .wait_for(PATIENCE, "a pod is marked as leaving", || async {
            let pods = scene.pods().await;
            let marked = |pod: &&Value| {
                pod["metadata"]["annotations"]["noticecluster.dev/leaving"].is_string()
            };
            let pod = pods.iter().find(marked)?;
            Some(pod["metadata"]["name"].as_str()?.to_owned())
        })
        .await
}

/// Waits until nothing of ours is on any pod.
async fn unmarked(scene: &Scene) {
    scene
        .wait_for(PATIENCE, "no pod is marked", || async {
            let pods = scene.pods().await;
            let marked = |pod: &Value| {
                let annotations = &pod["metadata"]["annotations"];
                let ours = [
                    "noticecluster.dev/leaving",
                    "controller.kubernetes.io/pod-deletion-cost",
                ];
                ours.iter().any(|name| annotations[name].is_string())
            };
            (!pods.iter().any(marked)).then_some(())
        })
        .await;
}

async fn replicas(scene: &Scene, count: u32) {
    let path = format!("{}/scale", scene.cluster_path("rides"));
    scene
        .edit(&path, json!({"spec": {"replicas": count}}))
        .await;
}

/// Waits until so many pods went; their names.
async fn went(scene: &Scene, farm: &Farm, count: usize) -> Vec<String> {
    scene
        .wait_for(PATIENCE, &format!("{count} pods went"), || async {
            let gone = farm.gone();
            (gone.len() >= count).then(|| gone.into_iter().map(|gone| gone.name).collect())
        })
        .await
}

/// Waits for an event of this reason.
async fn told(scene: &Scene, reason: &str) {
    scene
        .wait_for(PATIENCE, &format!("an event {reason}"), || async {
            let reasons = scene.reasons().await;
            reasons.iter().any(|it| it == reason).then_some(())
        })
        .await;
}

/// Nobody was cut off, and who went was empty.
fn nobody_lost(farm: &Farm) {
    assert_eq!(
        farm.tally.cut.load(Ordering::Relaxed),
        0,
        "streams were cut"
    );
    for gone in farm.gone() {
        assert_eq!(gone.sessions, 0, "{gone:?}");
    }
}

#[tokio::test]
async fn more_sessions_bring_more_pods_and_fewer_let_the_emptiest_go_until_the_minimum() {
    let (scene, mut farm) = world("grows", (70, 1), spec(2, by_sessions(2, 5))).await;
    farm.clients(8);
    online(&scene, &farm, 8).await;
    farm.clients(22);
    ready(&scene, 5).await;
    online(&scene, &farm, 22).await;
    let cluster = scene
        .wait_for(PATIENCE, "status tells it", || async {
            let cluster = scene.cluster("rides").await;
            let status = &cluster["status"];
            let told =
                status["autoscaling"]["desiredReplicas"] == 5 && status["onlineSessions"] == 22;
            told.then_some(cluster)
        })
        .await;
    let active = condition(&cluster, "AutoscalingActive").unwrap();
    assert_eq!(
        (&active["status"], &active["reason"]),
        (&json!("True"), &json!("ReplicasIgnored"))
    );
    let reason = cluster["status"]["autoscaling"]["reason"].as_str().unwrap();
    assert!(reason.contains("22 sessions"), "{reason}");
    nobody_lost(&farm);

    farm.clients(3);
    ready(&scene, 2).await;
    online(&scene, &farm, 3).await;
    assert_eq!(went(&scene, &farm, 3).await.len(), 3);
    nobody_lost(&farm);
    unmarked(&scene).await;
    for reason in ["DrainStarted", "PodRemoved"] {
        told(&scene, reason).await;
    }
}

#[tokio::test]
async fn when_a_person_lowers_replicas_the_emptiest_pod_is_drained_and_that_one_goes() {
    let mut spec = spec(3, Value::Null);
    spec["drain"] = json!({"windowSeconds": 15});
    let (scene, mut farm) = world("lowers", (70, 2), spec).await;
    farm.clients(8);
    online(&scene, &farm, 8).await;
    let (least, _) = emptiest(&farm).await;
    let before = scene.pods().await.len();
    replicas(&scene, 2).await;
    assert_eq!((leaving(&scene).await, before), (least.clone(), 3));
    let drains = scene
        .wait_for(PATIENCE, "status tells the drain", || async {
            let cluster = scene.cluster("rides").await;
            let pods = cluster["status"]["pods"].as_array()?.clone();
            let pod = pods.into_iter().find(|pod| pod["name"] == least.as_str())?;
            (pod["draining"] == true).then_some(pod)
        })
        .await;
    assert!(drains["drainEta"].is_string(), "{drains}");
    ready(&scene, 2).await;
    assert_eq!(went(&scene, &farm, 1).await, [least]);
    nobody_lost(&farm);
    online(&scene, &farm, 8).await;
    // Each client of the pod that went was asked once, and nobody else.
    assert!(
        farm.tally.moves.load(Ordering::Relaxed) <= 3,
        "{:?}",
        farm.tally
    );
}

#[tokio::test]
async fn a_drain_is_stopped_when_its_pod_is_needed_again_and_the_pod_serves_on() {
    let mut slow = spec(3, Value::Null);
    slow["drain"] = json!({"windowSeconds": 60});
    let (scene, mut farm) = world("stops", (70, 3), slow).await;
    farm.clients(30);
    online(&scene, &farm, 30).await;
    replicas(&scene, 2).await;
    let name = leaving(&scene).await;
    scene
        .wait_condition("rides", "Draining", "True", "PodsDrain")
        .await;
    replicas(&scene, 3).await;
    unmarked(&scene).await;
    ready(&scene, 3).await;
    assert!(farm.gone().is_empty(), "{:?}", farm.gone());
    assert!(farm.sessions().await.contains_key(&name));
    nobody_lost(&farm);
    told(&scene, "DrainStopped").await;
}

#[tokio::test]
async fn an_operator_that_takes_over_in_the_middle_of_a_drain_brings_it_to_its_end() {
    let scene = Arc::new(Scene::empty("resumes").await);
    let options = || {
        let mut options = scene.options();
        options.leader_elect = false;
        options
    };
    let first = scene.run_operator(options(), Account::Master).await;
    scene.create_secrets().await;
    let mut slow = spec(3, Value::Null);
    slow["drain"] = json!({"windowSeconds": 20});
    scene.create_cluster("rides", slow).await;
    scene.wait_child(ChildKind::Deployment, "rides").await;
    let mut farm = Farm::start(&scene, (70, 4));
    ready(&scene, 3).await;
    farm.clients(12);
    online(&scene, &farm, 12).await;
    replicas(&scene, 2).await;
    let name = leaving(&scene).await;
    drop(first);
    let _second = scene.run_operator(options(), Account::Master).await;
    ready(&scene, 2).await;
    assert_eq!(went(&scene, &farm, 1).await, [name]);
    nobody_lost(&farm);
}

#[tokio::test]
async fn a_pod_that_does_not_answer_is_not_chosen_and_holds_nobody_else_up() {
    let (scene, mut farm) = world("silent", (70, 5), spec(3, Value::Null)).await;
    farm.clients(6);
    online(&scene, &farm, 6).await;
    let silent = emptiest(&farm).await.0;
    farm.silence(&silent).await;
    scene
        .wait_for(PATIENCE, "the silent pod is told", || async {
            let cluster = scene.cluster("rides").await;
            let pods = cluster["status"]["pods"].as_array()?.clone();
            let pod = pods
                .into_iter()
                .find(|pod| pod["name"] == silent.as_str())?;
            (pod["sessions"].is_null() || pod["sessions"] == 0).then_some(())
        })
        .await;
    replicas(&scene, 2).await;
    went(&scene, &farm, 1).await;
    assert_eq!(scene.pods().await.len(), 2);
}

#[tokio::test]
async fn a_person_has_a_pod_emptied_by_an_annotation_and_gets_another_in_its_place() {
    let (scene, mut farm) = world("asks", (70, 6), spec(2, Value::Null)).await;
    farm.clients(10);
    online(&scene, &farm, 10).await;
    let name = emptiest(&farm).await.0;
    scene
        .annotate_pod(&name, json!({"noticecluster.dev/drain": "true"}))
        .await;
    scene
        .wait_for(PATIENCE, "it is empty, and two others serve", || async {
            let sessions = farm.sessions().await;
            (sessions.len() == 3 && sessions.get(&name) == Some(&0)).then_some(())
        })
        .await;
    nobody_lost(&farm);
    scene
        .annotate_pod(&name, json!({"noticecluster.dev/drain": null}))
        .await;
    ready(&scene, 2).await;
    online(&scene, &farm, 10).await;
    nobody_lost(&farm);
}

#[tokio::test]
async fn pods_that_are_new_are_filled_until_the_fullest_has_at_most_a_quarter_more_than_the_mean() {
    let (scene, mut farm) = world("fills", (70, 7), spec(2, Value::Null)).await;
    farm.clients(80);
    online(&scene, &farm, 80).await;
    replicas(&scene, 4).await;
    ready(&scene, 4).await;
    let spread = |sessions: &BTreeMap<String, u64>| {
        let most = sessions.values().max().copied().unwrap_or(0);
        most * 4 * u64::try_from(sessions.len()).unwrap() <= 5 * sessions.values().sum::<u64>()
    };
    scene
        .wait_for(PATIENCE, "max/mean is at most 1.25", || async {
            let sessions = farm.sessions().await;
            (sessions.len() == 4 && spread(&sessions)).then_some(())
        })
        .await;
    online(&scene, &farm, 80).await;
    nobody_lost(&farm);
    let moves = farm.tally.moves.load(Ordering::Relaxed);
    assert!(moves <= 80, "{moves} moves of 80 clients");
    told(&scene, "Rebalancing").await;
}

#[tokio::test]
async fn a_minimum_that_is_raised_in_the_middle_of_a_drain_takes_the_drain_back() {
    let mut slow = spec(3, by_sessions(3, 4));
    slow["drain"] = json!({"windowSeconds": 60});
    let (scene, mut farm) = world("raises", (70, 8), slow).await;
    farm.clients(6);
    online(&scene, &farm, 6).await;
    let minimum = |count: u32| json!({"spec": {"autoscaling": {"minReplicas": count}}});
    scene.edit(&scene.cluster_path("rides"), minimum(2)).await;
    leaving(&scene).await;
    scene.edit(&scene.cluster_path("rides"), minimum(3)).await;
    unmarked(&scene).await;
    ready(&scene, 3).await;
    assert!(farm.gone().is_empty(), "{:?}", farm.gone());
    nobody_lost(&farm);
    told(&scene, "DrainStopped").await;
    let cluster = scene.cluster("rides").await;
    assert_eq!(cluster["status"]["autoscaling"]["desiredReplicas"], 3);
}

#[tokio::test]
async fn a_drain_whose_pod_says_nothing_any_more_ends_at_its_deadline_and_is_told() {
    let (scene, mut farm) = world("late", (70, 9), spec(3, Value::Null)).await;
    farm.clients(30);
    online(&scene, &farm, 30).await;
    replicas(&scene, 2).await;
    let name = leaving(&scene).await;
    farm.silence(&name).await;
    assert_eq!(went(&scene, &farm, 1).await, [name]);
    ready(&scene, 2).await;
    online(&scene, &farm, 30).await;
    told(&scene, "DrainDeadlinePassed").await;
}

#[tokio::test]
async fn replicas_that_a_person_sets_are_not_followed_while_sessions_decide() {
    let (scene, mut farm) = world("ignores", (70, 10), spec(2, by_sessions(2, 5))).await;
    farm.clients(4);
    online(&scene, &farm, 4).await;
    replicas(&scene, 5).await;
    scene
        .wait_condition("rides", "AutoscalingActive", "True", "ReplicasIgnored")
        .await;
    // By hand, at the Deployment: taken back.
    let path = scene.child_path(ChildKind::Deployment, "rides");
    scene.edit(&path, json!({"spec": {"replicas": 4}})).await;
    ready(&scene, 2).await;
    online(&scene, &farm, 4).await;
    let cluster = scene.cluster("rides").await;
    assert_eq!(cluster["spec"]["replicas"], 5, "a person's field stays");
    nobody_lost(&farm);
}
