//! Two operators: one acts, and the other takes over.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use notice_operator::observe::ChildKind;
use serde_json::{Value, json};

use crate::scene::{Scene, kubeconfig};

/// An operator as a process of its own.
struct Process(Child);

impl Process {
    fn start(scene: &Scene, name: &str) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_notice-operator"))
            .args(["run", "--metrics-listen=127.0.0.1:0"])
            .args(["--namespace", &scene.namespace, "--pod-namespace", &scene.namespace])
            .args(["--pod-name", name])
            .env("KUBECONFIG", kubeconfig())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn signal(&self, signal: &str) {
        let done = Command::new("kill").args([signal, &self.0.id().to_string()]).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone_already = self.0.kill();
        let _status = self.0.wait();
    }
}

async fn holder(scene: &Scene) -> Option<String> {
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/notice-operator", scene.namespace);
    let lease: Value = scene.get(&path).await?;
    let holder = lease["spec"]["holderIdentity"].as_str()?;
    (!holder.is_empty()).then(|| holder.split('_').next().unwrap_or_default().to_owned())
}

async fn wait_holder(scene: &Scene, name: &str) {
    scene
        .wait(&format!("{name} acts"), || async { (holder(scene).await.as_deref() == Some(name)).then_some(()) })
        .await;
}

async fn make(scene: &Scene, name: &str) {
    scene.create_cluster(name, json!({"storage": {"size": "1Gi"}})).await;
    scene.wait_child(ChildKind::Deployment, name).await;
}

#[tokio::test]
async fn another_operator_takes_over_within_twenty_seconds_of_a_kill() {
    let scene = Scene::empty("kill").await;
    let mut first = Process::start(&scene, "first");
    wait_holder(&scene, "first").await;
    let _second = Process::start(&scene, "second");
    make(&scene, "one").await;
    assert_eq!(holder(&scene).await.as_deref(), Some("first"));
    first.0.kill().unwrap();
    let killed = Instant::now();
    scene.create_cluster("two", json!({"storage": {"size": "1Gi"}})).await;
    scene.wait_child(ChildKind::Deployment, "two").await;
    let took = killed.elapsed();
    println!("taken over after {took:?}");
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert_eq!(holder(&scene).await.as_deref(), Some("second"));
}

#[tokio::test]
async fn an_operator_that_ends_in_order_hands_over_at_once() {
    let scene = Scene::empty("handover").await;
    let first = Process::start(&scene, "first");
    wait_holder(&scene, "first").await;
    make(&scene, "one").await;
    let _second = Process::start(&scene, "second");
    // It stands by once it has looked at the lease, which nobody sees: its turn must come soon whenever it starts.
    let asked = Instant::now();
    first.signal("-TERM");
    make(&scene, "two").await;
    let took = asked.elapsed();
    println!("handed over after {took:?}");
    assert!(took < Duration::from_secs(8), "{took:?}");
}

#[tokio::test]
async fn an_operator_that_was_frozen_writes_nothing_afterwards_and_ends() {
    let scene = Scene::empty("frozen").await;
    let mut first = Process::start(&scene, "first");
    wait_holder(&scene, "first").await;
    make(&scene, "one").await;
    let _second = Process::start(&scene, "second");
    first.signal("-STOP");
    wait_holder(&scene, "second").await;
    first.signal("-CONT");
    let path = scene.child_path(ChildKind::Deployment, "one");
    scene.edit(&path, json!({"spec": {"replicas": 0}})).await;
    scene
        .wait("the frozen one ends", || {
            let ended = first.0.try_wait().unwrap();
            async move { ended.map(|status| assert!(!status.success())) }
        })
        .await;
    assert_eq!(holder(&scene).await.as_deref(), Some("second"));
}
