//! Event streams: what is said first, when a notice counts as read, coming back, and the end.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Item, Listen, Request, Server, in_time};

#[tokio::test]
async fn a_stream_says_at_once_when_to_come_back_and_that_nobody_may_hold_it_up() {
    let server = Server::start();
    let token = server.token("u2").await;
    let mut events = Listen::with(&token).try_open(server.public).await.unwrap();
    let header = |name: &str| events.head.header(name).map(ToOwned::to_owned);
    assert_eq!(header("content-type").as_deref(), Some("text/event-stream"));
    assert_eq!(
        header("cache-control").as_deref(),
        Some("no-store, no-transform")
    );
    assert_eq!(header("x-accel-buffering").as_deref(), Some("no"));
    assert_eq!(header("content-length"), None);
    assert!(header("date").is_some());
    let begun = Instant::now();
    let first = events.item().await;
    assert!(matches!(first, Item::Retry(1000..3000)), "{first:?}");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn browsers_of_a_node_are_told_to_come_back_at_different_moments() {
    let server = Server::start();
    let token = server.token("u2").await;
    let mut retries = std::collections::BTreeSet::new();
    for _ in 0..5 {
        let mut events = Listen::with(&token).try_open(server.public).await.unwrap();
        let Item::Retry(millis) = events.item().await else {
            panic!("no retry first");
        };
        retries.insert(millis);
    }
    assert!(retries.len() > 1, "{retries:?}");
}

#[tokio::test]
async fn a_quiet_stream_has_a_comment_every_ping_interval() {
    let server = Server::with(&[
        ("NOTICE_DELIVERY_PING_SECONDS", "1"),
        ("NOTICE_DELIVERY_PONG_TIMEOUT_SECONDS", "1"),
    ]);
    let token = server.token("u2").await;
    let mut events = Listen::with(&token).open(server.public).await;
    for _ in 0..3 {
        assert_eq!(events.item().await, Item::Comment);
    }
    // Nobody waits for an answer to it.
    assert_eq!(
        server.account("u2").await["sessions"][0]["transport"],
        "sse"
    );
}

#[tokio::test]
async fn json_with_line_breaks_stays_one_event() {
    let server = Server::start();
    let token = server.token("u2").await;
    let mut events = Listen::with(&token).open(server.public).await;
    let body = "{\"receiverId\":\"u2\",\"message\":\"a\\nb\\r\\n\\n\",\"data\":{\n\n\"x\":\r\n1}}";
    let request = Request::new("POST", "/notice/notices")
        .bearer(&server.key)
        .body(body);
    request.send(server.public).await.expect(201);
    let notice = events.notice().await;
    assert_eq!(notice.message, "a\nb\r\n\n");
    assert_eq!(notice.json["data"], json!({"x": 1}));
}

#[tokio::test]
async fn a_notice_is_read_once_the_connection_has_taken_it_and_in_strict_streams_when_it_is_acknowledged()
 {
    let server = Server::start();
    let token = server.token("u2").await;
    let mut strict = Listen::with(&token).strict().open(server.public).await;
    let id = server.stage("u2", "hello").await;
    assert_eq!(strict.notice().await.id, id);
    server.reaches_state(&id, "pushed").await;
    assert_eq!(server.ack(&token, &[&id]).await, 1);
    assert_eq!(server.state_name(&id).await, "read");
    drop(strict);
    server.reaches_sessions("u2", 0).await;

    let mut usual = Listen::with(&token).open(server.public).await;
    let id = server.stage("u2", "hello again").await;
    assert_eq!(usual.notice().await.id, id);
    server.reaches_state(&id, "read").await;
}

#[tokio::test]
async fn who_comes_back_gets_what_its_connection_took_and_it_never_saw_among_the_unread_ones_in_order()
 {
    let server = Server::start();
    let token = server.token("u2").await;
    let mut events = Listen::with(&token).open(server.public).await;
    let ids = server.stage_many("u2", "message", 60).await;
    for id in &ids {
        server.reaches_state(id, "read").await;
    }
    // It saw three; the rest was lost on its way.
    let seen = [
        events.notice().await,
        events.notice().await,
        events.notice().await,
    ];
    assert_eq!(seen[2].id, ids[2]);
    drop(events);
    server.reaches_sessions("u2", 0).await;
    let unread = server.stage("u2", "unread").await;

    let mut events = Listen::with(&token)
        .after(&ids[2])
        .open(server.public)
        .await;
    // Those shortly before the last one it saw may come again, the others must.
    let mut expected = ids.clone();
    expected.push(unread);
    for id in &expected {
        let notice = events.notice().await;
        assert_eq!(
            (&notice.id, notice.redelivered),
            (id, id != expected.last().unwrap())
        );
    }
    let marker = server.stage("u2", "nothing comes between").await;
    assert_eq!(events.notice().await.id, marker);
}

#[tokio::test]
async fn a_program_may_name_the_last_id_in_the_query_as_well() {
    let server = Server::start();
    let token = server.token("u2").await;
    let mut events = Listen::with(&token).open(server.public).await;
    let ids = server.stage_many("u2", "message", 2).await;
    for id in &ids {
        assert_eq!(events.notice().await.id, *id);
        server.reaches_state(id, "read").await;
    }
    let again = Listen::with(&token).query(format!("lastEventId={}", ids[0]));
    let mut again = again.open(server.public).await;
    assert_eq!(again.notice().await.id, ids[0]);
    assert_eq!(again.notice().await.id, ids[1]);
}

#[tokio::test]
async fn an_id_that_is_unknown_or_no_id_means_the_unread_ones_only() {
    let server = Server::start();
    let token = server.token("u2").await;
    let mut events = Listen::with(&token).open(server.public).await;
    let read = server.stage("u2", "read").await;
    assert_eq!(events.notice().await.id, read);
    server.reaches_state(&read, "read").await;
    let foreign = server.stage("u3", "of another account").await;
    drop(events);
    server.reaches_sessions("u2", 0).await;
    let unread = server.stage("u2", "unread").await;
    let mut events = Listen::with(&token)
        .after("not-an-id")
        .open(server.public)
        .await;
    assert_eq!(events.notice().await.id, unread);
    server.reaches_state(&unread, "read").await;
    for id in ["not-an-id", &"0".repeat(26), &foreign, ""] {
        let mut events = Listen::with(&token).after(id).open(server.public).await;
        let marker = server.stage("u2", "nothing comes before").await;
        assert_eq!(events.notice().await.id, marker, "{id}");
        server.reaches_state(&marker, "read").await;
    }
}

#[tokio::test]
async fn a_notice_that_is_never_stored_has_no_id_to_come_back_with() {
    let server = Server::start();
    let token = server.token("u2").await;
    let mut events = Listen::with(&token).open(server.public).await;
    let body = json!({"receiverId": "u2", "message": "typing", "ttlSeconds": 0});
    server.stage_body(&body).await;
    let event = events.expect("notice").await;
    assert_eq!((event.id, &event.data["message"]), (None, &json!("typing")));
}

#[tokio::test]
async fn without_a_token_it_is_401_and_with_one_that_is_over_204_so_that_browsers_stay_away() {
    let server = Server::start();
    let bare = Listen::bare().refused(server.public).await;
    bare.expect_problem(401, "UNAUTHENTICATED");
    let unknown = Listen::with("no-such-token").refused(server.public).await;
    assert_eq!(unknown.expect(204).body.len(), 0);
    let token = server.token("u2").await;
    server.revoke(&token).await;
    Listen::with(&token)
        .refused(server.public)
        .await
        .expect(204);
    server
        .reaches_metric(
            "notice_sessions_refused_total{reason=\"unauthenticated\"}",
            3.0,
        )
        .await;
}

#[tokio::test]
async fn a_stream_ends_with_its_token_and_is_not_to_come_back() {
    let server = Server::start();
    let revoked = server.token("u2").await;
    let expiring = server.token_for("u3", 2).await;
    let mut events = [
        Listen::with(&revoked).open(server.public).await,
        Listen::with(&expiring).open(server.public).await,
    ];
    server.revoke(&revoked).await;
    for events in &mut events {
        events.ended().await;
    }
    for token in [&revoked, &expiring] {
        Listen::with(token).refused(server.public).await.expect(204);
    }
    server
        .reaches_metric("notice_sessions_closed_total{reason=\"token_ended\"}", 2.0)
        .await;
}

#[tokio::test]
async fn who_was_removed_by_a_service_call_is_not_to_come_back_by_itself() {
    let server = Server::start();
    let token = server.token("u2").await;
    let mut events = Listen::with(&token).open(server.public).await;
    server
        .service_delete("/accounts/u2/sessions")
        .await
        .expect(204);
    events.ended().await;
    Listen::with(&token)
        .refused(server.public)
        .await
        .expect(204);
}

#[tokio::test]
async fn a_drain_asks_a_stream_to_move_and_ends_it_when_it_does_not() {
    let server = Server::start();
    let token = server.token("u2").await;
    let mut events = Listen::with(&token).open(server.public).await;
    server.drain(0).await.expect(200);
    let moved = events.expect("move").await;
    assert_eq!((moved.id, &moved.data["reason"]), (None, &json!("drain")));
    assert!(moved.data["afterMs"].is_u64());
    // What is staged meanwhile still comes: make before break.
    let id = server.stage("u2", "still here").await;
    assert_eq!(events.notice().await.id, id);
    events.ended().await;
    let refused = Listen::with(&token).refused(server.public).await;
    refused.expect_problem(503, "DRAINING");
    server.undrain().await.expect(204);
    Listen::with(&token).open(server.public).await;
}

#[tokio::test]
async fn a_client_that_goes_away_is_noticed() {
    let server = Server::start();
    let token = server.token("u2").await;
    let events = Listen::with(&token).open(server.public).await;
    server.reaches_sessions("u2", 1).await;
    drop(events);
    server.reaches_sessions("u2", 0).await;
    server
        .reaches_metric("notice_sessions_closed_total{reason=\"client_gone\"}", 1.0)
        .await;
}

#[tokio::test]
async fn a_proxy_of_http_1_0_gets_a_stream_without_chunks_that_ends_with_its_connection() {
    let server = Server::start();
    let token = server.token("u2").await;
    let mut events = Listen::with(&token).http10().open(server.public).await;
    assert_eq!(events.head.header("transfer-encoding"), None);
    let id = server.stage("u2", "hello").await;
    assert_eq!(events.notice().await.id, id);
    server.revoke(&token).await;
    events.ended().await;
}

#[tokio::test]
async fn a_stream_may_be_asked_for_on_a_connection_that_had_other_requests_before() {
    let server = Server::start();
    let token = server.token("u2").await;
    let mut connection = crate::support::Connection::open(server.public)
        .await
        .unwrap();
    let session = Request::get("/notice/session").bearer(&token);
    for _ in 0..3 {
        connection.call(&session).await.unwrap().expect(200);
    }
    connection
        .write(&Request::get("/notice/sse").bearer(&token).bytes())
        .await
        .unwrap();
    let head = in_time("a head", connection.read_head()).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let id = server.stage("u2", "hello").await;
    server.reaches_state(&id, "read").await;
}

#[tokio::test]
async fn a_stream_with_a_body_is_refused() {
    let server = Server::start();
    let token = server.token("u2").await;
    let request = Request::get("/notice/sse")
        .bearer(&token)
        .header("content-length", "3");
    let answer = request.body("abc").send(server.public).await;
    answer.expect_problem(400, "INVALID_ARGUMENT");
    server.reaches_sessions("u2", 0).await;
    Request::new("POST", "/notice/sse")
        .bearer(&token)
        .send(server.public)
        .await
        .expect_problem(405, "METHOD_NOT_ALLOWED");
}
