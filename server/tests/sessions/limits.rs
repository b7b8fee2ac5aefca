//! Weakness 9, the number of connections: of an account, of a node, in a second.

use futures_util::future::join_all;
use serde_json::json;

use crate::support::{Handshake, Server, eventually};

fn refused_for(reason: &str) -> String {
    format!("notice_sessions_refused_total{{reason=\"{reason}\"}}")
}

#[tokio::test]
async fn an_account_with_as_many_sessions_as_it_may_have_gets_429_until_one_leaves() {
    let server = Server::with(&[("NOTICE_LIMITS_SESSIONS_PER_ACCOUNT", "2")]);
    let token = server.token("u2").await;
    let first = Handshake::v1(&token).open(server.public).await;
    let _second = Handshake::legacy(&token).open(server.public).await;
    let answer = Handshake::v1(&token).refused(server.public).await;
    answer.expect_problem(429, "TOO_MANY_SESSIONS");
    server.connect("u3").await;
    server
        .reaches_metric(&refused_for("account_full"), 1.0)
        .await;
    first.close().await;
    server.reaches_sessions("u2", 1).await;
    Handshake::v1(&token).open(server.public).await;
}

#[tokio::test]
async fn a_full_node_refuses_with_503_and_is_not_ready_until_a_session_leaves() {
    let server = Server::with(&[("NOTICE_LIMITS_SESSIONS", "2")]);
    let token = server.token("u2").await;
    let first = Handshake::v1(&token).open(server.public).await;
    let mut second = server.connect("u3").await;
    let answer = Handshake::v1(&token).refused(server.public).await;
    answer.expect_problem(503, "OVERLOADED");
    let ready = server.admin_get("/readyz").await.expect(503).json();
    assert_eq!(ready["reason"], "full");
    let load = server.load().await;
    assert_eq!(
        (&load["sessions"], &load["capacity"]),
        (&json!(2), &json!(2))
    );
    server.reaches_metric(&refused_for("node_full"), 1.0).await;
    // The sessions stay, and service calls go on.
    let id = server.stage("u3", "hello").await;
    assert_eq!(second.notice().await.id, id);
    first.close().await;
    eventually("a ready node", async || {
        let answer = server.admin_get("/readyz").await;
        if answer.status == 200 {
            Ok(())
        } else {
            Err(answer)
        }
    })
    .await;
    Handshake::v1(&token).open(server.public).await;
}

#[tokio::test]
async fn more_connections_in_a_second_than_configured_are_sent_away_with_503_and_may_come_back() {
    let server = Server::with(&[("NOTICE_LIMITS_CONNECTS_PER_SECOND", "2")]);
    let token = server.token("u2").await;
    let handshake = Handshake::v1(&token);
    let opened = join_all((0..20).map(|_| handshake.try_open(server.public))).await;
    let refused: Vec<_> = opened.into_iter().filter_map(Result::err).collect();
    assert!(!refused.is_empty() && refused.len() < 20, "{refused:?}");
    let count = refused.len();
    for answer in refused {
        answer.expect_problem(503, "OVERLOADED");
    }
    let counted = server.metrics().await.value(&refused_for("connect_rate"));
    assert!((counted - count as f64).abs() < 0.5, "{counted} of {count}");
    eventually("another second", async || {
        handshake.try_open(server.public).await
    })
    .await;
}
