//! At most so many notices on the way to one session; the rest waits in the inbox.

use serde_json::json;

use crate::support::{Random, Server};

#[tokio::test]
async fn of_a_thousand_unread_notices_at_most_128_are_unacknowledged_and_all_come_in_order() {
    const COUNT: usize = 1000;
    const WINDOW: usize = 128;
    let server = Server::start();
    let ids = server.stage_many("u2", "message", COUNT).await;
    let mut random = Random::seeded(7);
    let mut client = server.connect("u2").await;

    let mut unacknowledged: Vec<String> = Vec::new();
    for (place, id) in ids.iter().enumerate() {
        let notice = client.notice().await;
        assert_eq!(notice.id, *id, "at {place}");
        unacknowledged.push(notice.id);
        assert!(
            unacknowledged.len() <= WINDOW,
            "more than the window at {place}"
        );
        // The window is let run full again and again, then a part of it is acknowledged, in any order.
        if unacknowledged.len() == WINDOW {
            let count = 1 + random.below(WINDOW);
            let some: Vec<_> = (0..count)
                .map(|_| unacknowledged.swap_remove(random.below(unacknowledged.len())))
                .collect();
            client.ack(&some).await;
        }
    }
    client.ack(&unacknowledged).await;
    server.reaches_unread("u2", 0).await;
}

#[tokio::test]
async fn the_welcome_frame_says_who_where_and_how_much() {
    let server = Server::with(&[
        ("NOTICE_DELIVERY_WINDOW", "7"),
        ("NOTICE_DELIVERY_PING_SECONDS", "13"),
    ]);
    let token = server.token("u2").await;
    let mut client = crate::support::Handshake::v1(&token)
        .try_open(server.public)
        .await
        .unwrap();
    let mut welcome = client.expect("welcome").await;
    let session = welcome["session"].take();
    assert_eq!(server.account("u2").await["sessions"][0]["id"], session);
    let expected = json!({
        "type": "welcome", "session": null, "account": "u2", "node": "node-a", "pingSeconds": 13, "window": 7
    });
    assert_eq!(welcome, expected);
}

#[tokio::test]
async fn a_full_window_is_passed_by_what_is_never_stored() {
    let server = Server::with(&[("NOTICE_DELIVERY_WINDOW", "1")]);
    let mut client = server.connect("u2").await;
    let ids = server.stage_many("u2", "message", 2).await;
    assert_eq!(client.notice().await.id, ids[0]);
    let typing = json!({"receiverId": "u2", "message": "is typing", "ttlSeconds": 0});
    server.stage_body(&typing).await;
    assert_eq!(client.notice().await.message, "is typing");
    client.ack(&ids[..1]).await;
    assert_eq!(client.notice().await.id, ids[1]);
}

#[tokio::test]
async fn large_notices_pass_through_the_window_whole_and_in_order() {
    let server = Server::start();
    let text = |number: usize| format!("{number} {}", "ü€\u{1F600}\"\\\n".repeat(4000));
    for number in 0..10 {
        server.stage("u2", &text(number)).await;
    }
    let mut client = server.connect("u2").await;
    for number in 10..20 {
        server.stage("u2", &text(number)).await;
    }
    for number in 0..20 {
        assert_eq!(client.notice().await.message, text(number));
    }
}

#[tokio::test]
async fn a_session_that_leaves_too_many_behind_is_closed_with_1013_and_finds_them_when_it_returns()
{
    // More than the 10,000 that a session may be behind what is staged while it is online.
    const COUNT: usize = 11_000;
    let server = Server::with(&[
        ("NOTICE_DELIVERY_WINDOW", "1"),
        ("NOTICE_LIMITS_UNREAD_PER_ACCOUNT", "20000"),
    ]);
    let mut behind = server.connect("u2").await;
    let ids = server.stage_many("u2", "message", COUNT).await;
    assert_eq!(behind.notice().await.id, ids[0]);
    assert_eq!(behind.closed().await, Some(1013));
    let reason = "notice_sessions_closed_total{reason=\"too_slow\"}";
    server.reaches_metric(reason, 1.0).await;
    assert_eq!(server.unread("u2").await, COUNT as u64);
    let mut back = server.connect("u2").await;
    for id in &ids[..3] {
        assert_eq!(back.notice().await.id, *id);
        back.ack(&[id]).await;
    }
}
