//! Who is online, asked of any node.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::support::{Api, Cluster, eventually};

/// How soon a dead node's sessions are in no answer any more.
const HEALED: Duration = Duration::from_secs(10);

/// How long an answer may take while a node hangs: no longer than its caller waits for it.
const ANSWERED: Duration = Duration::from_secs(3);

/// What a machine that is busy with other things may add: so many times what an answer takes it when all is well.
const SLOWNESS: u32 = 20;

async fn online(api: &Api, query: &str) -> Value {
    let path = format!("/accounts?online=true{query}");
    api.service_get(&path).await.expect(200).json()
}

fn names(answer: &Value) -> Vec<&str> {
    let accounts = answer["accounts"].as_array().unwrap();
    accounts.iter().map(|id| id.as_str().unwrap()).collect()
}

/// The view of an account and the list of all that are online, and how long the two answers took.
async fn ask(api: &Api, account: &str) -> (Value, Value, Duration) {
    let asked = Instant::now();
    let (list, view) = (online(api, "").await, api.account(account).await);
    (list, view, asked.elapsed())
}

async fn reaches_online(api: &Api, accounts: &[&str]) {
    eventually("the accounts online", async || {
        let answer = online(api, "").await;
        if names(&answer) == accounts {
            Ok(())
        } else {
            Err(answer)
        }
    })
    .await;
}

#[tokio::test]
async fn every_node_answers_for_the_whole_cluster() {
    let cluster = Cluster::new();
    let nodes = cluster.three().await;
    let mut sockets = Vec::new();
    for (place, node) in nodes.iter().enumerate() {
        sockets.push(node.connect(&format!("only-{place}")).await);
        sockets.push(node.connect_legacy("everywhere").await);
    }
    for node in &nodes {
        node.reaches_sessions("everywhere", 3).await;
        let view = node.account("everywhere").await;
        assert_eq!(view["online"], true, "{view}");
        let sessions = view["sessions"].as_array().unwrap();
        let of = |member: &str| -> BTreeSet<_> {
            let all = sessions.iter().map(|session| session[member].as_str());
            all.map(|text| text.unwrap().to_owned()).collect()
        };
        let expected = ["node-a", "node-b", "node-c"].map(str::to_owned);
        assert_eq!(of("node"), expected.into(), "{view}");
        assert_eq!(of("id").len(), 3, "{view}");
        reaches_online(node, &["everywhere", "only-0", "only-1", "only-2"]).await;
        assert_eq!(node.account("nobody").await["online"], false);
    }
    sockets.clear();
    reaches_online(&nodes[0], &[]).await;
}

#[tokio::test]
async fn a_list_over_several_nodes_comes_page_by_page_in_order() {
    let cluster = Cluster::new();
    let nodes = cluster.three().await;
    let mut sockets = Vec::new();
    let expected: Vec<_> = (0..12).map(|number| format!("u-{number:02}")).collect();
    for (account, node) in expected.iter().zip(nodes.iter().cycle()) {
        sockets.push(node.connect(account).await);
    }
    let all: Vec<_> = expected.iter().map(String::as_str).collect();
    reaches_online(&nodes[1], &all).await;
    let (mut listed, mut after) = (Vec::new(), String::new());
    loop {
        let page = online(&nodes[1], &format!("&limit=5{after}")).await;
        listed.extend(names(&page).into_iter().map(str::to_owned));
        let Some(next) = page["next"].as_str() else {
            break;
        };
        after = format!("&after={next}");
    }
    assert_eq!(listed, expected);
}

#[tokio::test]
async fn the_sessions_of_a_killed_node_are_in_no_answer_ten_seconds_later() {
    let cluster = Cluster::new();
    let [a, b, c] = cluster.three().await;
    let _stays = a.connect("u2").await;
    let mut dies = b.connect("u2").await;
    let _dies_too = b.connect("u3").await;
    c.reaches_sessions("u2", 2).await;
    reaches_online(&c, &["u2", "u3"]).await;
    let (_, _, usual) = ask(&c, "u2").await;
    b.kill().await;
    let killed = Instant::now();
    assert_eq!(dies.closed().await, None);
    for node in [&a, &c] {
        eventually("answers without the dead node", async || {
            let (list, view, _) = ask(node, "u2").await;
            let sessions = view["sessions"].as_array().unwrap().len();
            if names(&list) == ["u2"] && sessions == 1 {
                Ok(())
            } else {
                Err((list, view))
            }
        })
        .await;
    }
    let healed = killed.elapsed();
    println!("healed {healed:?} after the kill");
    assert!(healed < HEALED + SLOWNESS * usual, "{healed:?}");
    // Whoever was there is served at another node.
    let id = c.stage("u3", "welcome back").await;
    assert_eq!(a.connect("u3").await.notice().await.id, id);
}

#[tokio::test]
async fn a_node_that_hangs_keeps_nobody_waiting_for_an_answer() {
    let cluster = Cluster::new();
    let [a, b] = cluster.two().await;
    let _here = a.connect("u2").await;
    let _there = b.connect("u2").await;
    a.reaches_sessions("u2", 2).await;
    let (_, _, usual) = ask(&a, "u2").await;
    b.freeze();
    let (list, view, took) = ask(&a, "u2").await;
    assert!(took < 2 * ANSWERED + SLOWNESS * usual, "{took:?}");
    assert_eq!(names(&list), ["u2"]);
    assert_eq!(view["sessions"].as_array().unwrap().len(), 1, "{view}");
    b.thaw();
    a.reaches_sessions("u2", 2).await;
}
