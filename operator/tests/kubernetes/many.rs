//! Many clusters at once: time, requests, memory.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use notice_operator::observe::ChildKind;
use serde_json::{Value, json};

use crate::scene::{Scene, cluster_of_two, kubeconfig};

/// The resident set of a process, in kB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|it| it.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The program at NOTICE_OPERATOR_BIN, or the one that cargo built; a release for musl is what counts for memory.
#[tokio::test]
#[ignore = "minutes, and the figures of a debug build count for nothing"]
async fn a_hundred_clusters_take_little_time_and_memory() {
    let rest = resident_with(100).await;
    let is_release = std::env::var_os("NOTICE_OPERATOR_BIN").is_some();
    assert!(rest < 20 * 1024 || !is_release, "{rest} kB");
}

#[tokio::test]
#[ignore = "minutes, and the figures of a debug build count for nothing"]
async fn two_hundred_clusters_at_once_are_all_made() {
    resident_with(200).await;
}

/// Makes so many clusters at once; the operator's resident set a minute after all of their children are there, in kB.
async fn resident_with(clusters: usize) -> u64 {
    let scene = Scene::empty(&format!("many{clusters}")).await;
    scene.create_secrets().await;
    let config = kubeconfig_of(&scene);
    let program = std::env::var("NOTICE_OPERATOR_BIN")
        .unwrap_or_else(|_| env!("CARGO_BIN_EXE_notice-operator").to_owned());
    let mut operator = Command::new(program)
        .args(["run", "--metrics-listen=127.0.0.1:0", "--pod-name=many"])
        .args([
            "--namespace",
            &scene.namespace,
            "--pod-namespace",
            &scene.namespace,
        ])
        .env("KUBECONFIG", config.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = BufReader::new(operator.stderr.take().unwrap());
    std::thread::spawn(move || {
        log.lines()
            .map_while(Result::ok)
            .filter(|it| it.contains("WARN"))
            .for_each(|it| println!("{it}"))
    });
    let started = Instant::now();
    for number in 0..clusters {
        for (secret, key, value) in [
            ("mongo", "uri", "mongodb://m"),
            ("redis", "uri", "redis://r"),
            ("keys", "keys", "a:0123456789abcdef"),
        ] {
            scene
                .create_secret(&format!("{secret}-{number}"), json!({key: value}))
                .await;
        }
        let mut spec = cluster_of_two();
        spec["replicas"] = json!(1);
        spec["ingress"]["host"] = json!(format!("c{number}.example.com"));
        spec["mongodb"]["uriSecretRef"]["name"] = json!(format!("mongo-{number}"));
        spec["redis"]["uriSecretRef"]["name"] = json!(format!("redis-{number}"));
        spec["auth"]["apiKeysSecretRef"]["name"] = json!(format!("keys-{number}"));
        scene.create_cluster(&format!("c{number}"), spec).await;
    }
    let created = started.elapsed();
    scene
        .wait_for(
            Duration::from_secs(300),
            "all Deployments are there",
            || async {
                let path = format!(
                    "{}?limit=500",
                    ChildKind::Deployment.path(Some(&scene.namespace))
                );
                (scene.get(&path).await?["items"].as_array()?.len() == clusters).then_some(())
            },
        )
        .await;
    println!(
        "created in {created:?}, all children after {:?}",
        started.elapsed()
    );
    println!("resident right after: {} kB", resident(operator.id()));
    tokio::time::sleep(Duration::from_secs(60)).await;
    let rest = resident(operator.id());
    println!("resident a minute later: {rest} kB");
    operator.kill().unwrap();
    operator.wait().unwrap();
    let mut calls = BTreeMap::<String, usize>::new();
    for call in scene.requests() {
        *calls.entry(call).or_default() += 1;
    }
    println!("calls: {} in all; {calls:?}", calls.values().sum::<usize>());
    rest
}

/// The kubeconfig, in which the operator has a name of its own: the audit log tells its calls by that.
fn kubeconfig_of(scene: &Scene) -> tempfile::NamedTempFile {
    let text = std::fs::read_to_string(kubeconfig()).unwrap();
    let mut config: Value = serde_yaml_ng::from_str(&text).unwrap();
    for entry in config["users"].as_array_mut().unwrap() {
        entry["user"]["as"] = json!(scene.user());
        entry["user"]["as-groups"] = json!(["system:masters"]);
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config.to_string()).unwrap();
    file
}
