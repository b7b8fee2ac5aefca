//! A node whose clock is an hour off changes nothing: ids, times and ends go by the shared store's clock.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use futures_util::future::join_all;
use mongodb::bson::DateTime;
use serde_json::json;
use tokio::time::Instant;

use crate::support::{Cluster, Folder, Handshake, Program, Socket};

const HOUR: i64 = 3600;

/// How far a time of the shared store may be from this process's, in milliseconds: both run on one machine.
const NEAR: i64 = 5000;

/// How long what is to end here lives: far longer than a busy machine takes to make all of it.
const LIFE: u64 = 10;

/// Builds the library that sets a process's clock off.
fn clock_library(folder: &Folder) -> PathBuf {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/clock_off.c");
    let library = folder.path().join("clock_off.so");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .arg(source)
        .status()
        .expect("a C compiler is called cc");
    assert!(built.success());
    library
}

async fn with_clock(cluster: &Cluster, folder: &Folder, name: &str, seconds: i64) -> Program {
    let library = clock_library(folder).display().to_string();
    let seconds = seconds.to_string();
    let own = [
        ("LD_PRELOAD", library.as_str()),
        ("CLOCK_OFF_SECONDS", &seconds),
    ];
    cluster.node_with(name, &own).await
}

#[tokio::test]
async fn a_node_whose_clock_is_an_hour_off_changes_nothing() {
    let (cluster, folder, other_folder) = (Cluster::new(), Folder::new(), Folder::new());
    let (fast, slow, right) = tokio::join!(
        with_clock(&cluster, &folder, "fast", HOUR),
        with_clock(&cluster, &other_folder, "slow", -HOUR),
        cluster.node("right"),
    );
    assert!(is_off(&fast, HOUR) && is_off(&slow, -HOUR));
    let nodes = [fast, slow, right];
    order_and_times_are_right(&nodes).await;
    tokio::join!(
        tokens_end_in_their_time(&nodes),
        notices_expire_in_their_time(&nodes)
    );
}

/// Whether the library did its work: the program's log has its own clock's times.
fn is_off(node: &Program, seconds: i64) -> bool {
    let log = node.output();
    let line = log.lines().find_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        DateTime::parse_rfc3339_str(line["timestamp"].as_str()?).ok()
    });
    let logged = line.expect("a line with a time").timestamp_millis();
    let now = DateTime::now().timestamp_millis();
    (logged - now - seconds * 1000).abs() < 60_000
}

async fn order_and_times_are_right(nodes: &[Program; 3]) {
    const NOTICES: usize = 30;
    let mut clients = Vec::new();
    for node in nodes {
        clients.push(node.connect("u2").await);
    }
    let mut staged = Vec::new();
    let begun = DateTime::now().timestamp_millis();
    for (number, node) in (0..NOTICES).zip(nodes.iter().cycle()) {
        let body = json!({"receiverId": "u2", "senderId": "u1", "message": number.to_string()});
        staged.push(node.stage_body(&body).await);
    }
    for client in &mut clients {
        let notices = client.notices(NOTICES).await;
        let ids: Vec<_> = notices.iter().map(|notice| notice.id.as_str()).collect();
        assert_eq!(ids, staged);
        for notice in &notices {
            let created = notice.json["createdTime"].as_i64().unwrap();
            let while_staging = begun - NEAR..DateTime::now().timestamp_millis() + NEAR;
            let near = while_staging.contains(&created);
            assert!(near, "not within {while_staging:?}: {notice:?}");
        }
    }
    clients[0].ack(&staged).await;
    nodes[1].reaches_unread("u2", 0).await;
}

async fn tokens_end_in_their_time(nodes: &[Program; 3]) {
    join_all(nodes.iter().map(|issuer| async move {
        let short = issuer.token_for("u3", LIFE).await;
        let long = issuer.token_for("u3", 3600).await;
        let issued = Instant::now();
        let mut sockets = Vec::new();
        for node in nodes {
            Handshake::v1(&long).open(node.public).await;
            sockets.push(Handshake::v1(&short).open(node.public).await);
        }
        // Read at once: who does not answer pings is closed for that.
        let ends = join_all(sockets.iter_mut().map(Socket::closed)).await;
        assert_eq!(ends, [Some(4401); 3]);
        let after = issued.elapsed();
        assert!(after > Duration::from_secs(LIFE - 1), "{after:?}");
    }))
    .await;
}

async fn notices_expire_in_their_time(nodes: &[Program; 3]) {
    let mut ids = Vec::new();
    for node in nodes {
        let short = json!({"receiverId": "u4", "message": "soon over", "ttlSeconds": LIFE});
        let long = json!({"receiverId": "u4", "message": "lasts", "ttlSeconds": 3600});
        ids.push((node.stage_body(&short).await, node.stage_body(&long).await));
    }
    for (short, _) in &ids {
        assert_eq!(nodes[2].state_name(short).await, "staged");
    }
    for (place, node) in nodes.iter().enumerate() {
        node.reaches_state(&ids[place].0, "expired").await;
        assert_eq!(node.state_name(&ids[place].1).await, "staged");
    }
    assert_eq!(nodes[0].connect("u4").await.messages(3).await, ["lasts"; 3]);
}
