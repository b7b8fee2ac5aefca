//! The drain verbs of the admin listener. Weakness 11: a deploy must not cut every socket at once.

use serde_json::{Value, json};

use crate::support::{Handshake, Request, Server};

#[tokio::test]
async fn a_draining_node_is_not_ready_lets_nobody_in_and_says_so() {
    let server = Server::start();
    let token = server.token("u2").await;
    let ready = server.admin_get("/readyz").await.expect(200).json();
    assert_eq!(ready["ready"], true);
    let load = server.drain(60).await.expect(200).json();
    assert_eq!(load["draining"], true);
    let ready = server.admin_get("/readyz").await.expect(503).json();
    assert_eq!(
        (&ready["ready"], &ready["reason"]),
        (&json!(false), &json!("draining"))
    );
    for way in [Handshake::v1(&token), Handshake::legacy(&token)] {
        way.refused(server.public)
            .await
            .expect_problem(503, "DRAINING");
    }
    // A browser is not told what an upgrade was answered, so it asks.
    let session = Request::get("/notice/session").bearer(&token);
    let refused = session.send(server.public).await;
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    refused.expect_problem(503, "DRAINING");
    let metrics = server.metrics().await;
    assert!((metrics.value("notice_draining") - 1.0).abs() < 1e-9);
    let refused = metrics.value("notice_sessions_refused_total{reason=\"draining\"}");
    assert!((refused - 2.0).abs() < 1e-9, "{refused}");
    // It lives, and serves those who are not sessions.
    server.admin_get("/livez").await.expect(200);
    server.stage("u2", "hello").await;
    assert_eq!(server.inbox(&token, "").await.len(), 1);
}

#[tokio::test]
async fn a_drain_that_is_taken_back_leaves_those_who_are_still_there_and_lets_others_in() {
    let server = Server::start();
    let mut stays = server.connect("u2").await;
    let mut legacy = server.connect_legacy("u3").await;
    // Over a whole day: the first of the two may be asked at once, the second is not.
    server.drain(86_400).await.expect(200);
    server.undrain().await.expect(204);
    server.admin_get("/readyz").await.expect(200);
    assert_eq!(server.load().await["draining"], false);
    server.connect("u4").await;
    assert!((server.metrics().await.value("notice_draining")).abs() < 1e-9);
    let v1_id = server.stage("u2", "still there?").await;
    let legacy_id = server.stage("u3", "still there?").await;
    let kept_v1 = stays.find("notice").await["notice"]["id"] == v1_id;
    let kept_legacy = legacy
        .text_or_end()
        .await
        .is_ok_and(|json| json["id"] == legacy_id);
    assert!(kept_v1, "a v1 client is only asked to move");
    let sessions = server.load().await["sessions"].as_u64().unwrap();
    assert!(
        kept_legacy || sessions == 1,
        "one of two may have been closed, not both"
    );
    // A second drain asks again whom the first had asked.
    server.drain(0).await.expect(200);
    stays.find("move").await;
}

#[tokio::test]
async fn whoever_does_not_move_when_asked_is_closed_with_1012() {
    let server = Server::start();
    let mut stays = server.connect("u2").await;
    let mut legacy = server.connect_legacy("u3").await;
    server.drain(0).await.expect(200);
    assert_eq!(stays.expect("move").await["reason"], "drain");
    assert_eq!(legacy.closed().await, Some(1012));
    assert_eq!(stays.closed().await, Some(1012));
    // The process stays, empty.
    server
        .reaches_metric("notice_online_sessions{transport=\"websocket\"}", 0.0)
        .await;
    let drained = "notice_sessions_closed_total{reason=\"drained\"}";
    server.reaches_metric(drained, 2.0).await;
    server.admin_get("/readyz").await.expect(503);
    let load = server.load().await;
    assert_eq!(
        (&load["sessions"], &load["accounts"]),
        (&json!(0), &json!(0))
    );
    server.undrain().await.expect(204);
    server.connect("u2").await;
}

#[tokio::test]
async fn a_client_that_moves_gets_what_was_staged_meanwhile_once_in_effect() {
    let server = Server::start();
    let token = server.token("u2").await;
    let mut old = Handshake::v1(&token).open(server.public).await;
    let acknowledged = server.stage("u2", "acknowledged").await;
    let shown = server.stage("u2", "shown").await;
    old.notices(2).await;
    old.ack(&[&acknowledged]).await;
    server.reaches_state(&acknowledged, "read").await;
    server.drain(0).await.expect(200);
    old.expect("move").await;
    let meanwhile = server.stage("u2", "meanwhile").await;
    assert_eq!(old.notice().await.id, meanwhile);
    server.undrain().await.expect(204);

    let mut new = Handshake::v1(&token).open(server.public).await;
    old.close().await;
    let came: Vec<_> = new
        .notices(2)
        .await
        .into_iter()
        .map(|notice| notice.id)
        .collect();
    assert_eq!(came, [shown, meanwhile]);
}

#[tokio::test]
async fn the_load_tells_sessions_accounts_capacity_and_the_nodes_name() {
    let server = Server::with(&[("NOTICE_LIMITS_SESSIONS", "500")]);
    let _clients = [
        server.connect("u2").await,
        server.connect("u2").await,
        server.connect("u3").await,
    ];
    let expected = json!({
        "sessions": 3, "accounts": 2, "capacity": 500, "draining": false, "rebalancing": 0,
        "node": "node-a"
    });
    assert_eq!(server.load().await, expected);
}

#[tokio::test]
async fn a_drain_without_a_body_uses_the_configured_window_and_a_wrong_body_drains_nothing() {
    let server = Server::with(&[("NOTICE_DRAIN_WINDOW_SECONDS", "0")]);
    let wrong = [
        json!({"windowSeconds": 86_401}),
        json!({"windowSeconds": -1}),
        json!({"windowSeconds": "1"}),
        json!({"seconds": 1}),
        json!([]),
        Value::Null,
    ];
    for body in wrong {
        let answer = Request::post("/drain", &body).send(server.admin).await;
        answer.expect_problem(400, "INVALID_ARGUMENT");
    }
    server.admin_get("/readyz").await.expect(200);
    let mut legacy = server.connect_legacy("u2").await;
    Request::new("POST", "/drain")
        .send(server.admin)
        .await
        .expect(200);
    assert_eq!(legacy.closed().await, Some(1012));
}
