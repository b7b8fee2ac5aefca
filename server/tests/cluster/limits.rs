//! An account's limits hold over all nodes.

use futures_util::future::join_all;
use serde_json::json;

use crate::support::{Cluster, Handshake, Program, eventually};

#[tokio::test]
async fn an_accounts_sessions_are_counted_over_all_nodes() {
    let cluster = Cluster::new().with("NOTICE_LIMITS_SESSIONS_PER_ACCOUNT", "3");
    let nodes = cluster.three().await;
    let token = nodes[0].token("u2").await;
    let mut sockets = Vec::new();
    for (place, node) in nodes.iter().enumerate() {
        sockets.push(Handshake::v1(&token).open(node.public).await);
        nodes[0].reaches_sessions("u2", place + 1).await;
    }
    for node in &nodes {
        let answer = Handshake::v1(&token).refused(node.public).await;
        answer.expect_problem(429, "TOO_MANY_SESSIONS");
    }
    nodes[1].connect("u3").await;
    sockets.pop().unwrap().close().await;
    nodes[0].reaches_sessions("u2", 2).await;
    Handshake::v1(&token).open(nodes[0].public).await;
}

#[tokio::test]
async fn a_full_inbox_is_full_at_every_node() {
    let cluster = Cluster::new().with("NOTICE_LIMITS_UNREAD_PER_ACCOUNT", "10");
    let [a, b] = cluster.two().await;
    let ids = a.stage_many("u2", "message", 10).await;
    let one_more = json!({"receiverId": "u2", "message": "one more"});
    for node in [&a, &b] {
        let answer = node.try_stage(&one_more).await;
        answer.expect_problem(429, "INBOX_FULL");
    }
    let token = b.token("u2").await;
    assert_eq!(b.ack(&token, &ids[..1]).await, 1);
    // A node that found it full takes it to be full for a moment, unless it reads of it itself.
    eventually("room for one", async || {
        let answer = a.try_stage(&one_more).await;
        if answer.status == 201 {
            Ok(())
        } else {
            Err(answer)
        }
    })
    .await;
    // The node that read it may not know yet who has taken the room: one more passes, and no second one.
    let mut answer = b.try_stage(&one_more).await;
    if answer.status == 201 {
        answer = b.try_stage(&one_more).await;
    }
    answer.expect_problem(429, "INBOX_FULL");
}

const ONE: (&str, &str) = ("NOTICE_SESSIONS_ONE_PER_ACCOUNT", "true");

#[tokio::test]
async fn a_newer_session_closes_the_older_one_of_another_node_with_4409() {
    let cluster = Cluster::new().with(ONE.0, ONE.1);
    let nodes = cluster.three().await;
    let mut older = nodes[0].connect("u2").await;
    for node in nodes.iter().cycle().skip(1).take(4) {
        let mut newer = node.connect("u2").await;
        assert_eq!(older.closed().await, Some(4409));
        let id = nodes[1].stage("u2", "still there?").await;
        assert_eq!(newer.notice().await.id, id);
        newer.ack(&[&id]).await;
        nodes[1].reaches_state(&id, "read").await;
        older = newer;
    }
}

#[tokio::test]
async fn of_sessions_that_join_at_once_on_every_node_one_stays() {
    let cluster = Cluster::new().with(ONE.0, ONE.1);
    let nodes: [Program; 3] = cluster.three().await;
    let token = nodes[0].token("u2").await;
    let handshake = Handshake::v1(&token);
    let mut sockets = join_all(nodes.iter().map(|node| handshake.open(node.public))).await;
    // Read meanwhile: who does not answer pings is closed for that.
    let reading = join_all(sockets.iter_mut().map(|socket| socket.text_or_end()));
    let staging = async {
        nodes[0].reaches_sessions("u2", 1).await;
        nodes[0].stage("u2", "who is there?").await
    };
    let (ends, id) = tokio::join!(reading, staging);
    let closed = ends.iter().filter(|end| **end == Err(Some(4409))).count();
    let received = ends
        .iter()
        .filter(|end| matches!(end, Ok(frame) if frame["notice"]["id"] == id))
        .count();
    assert_eq!((closed, received), (2, 1), "{ends:?}");
}
