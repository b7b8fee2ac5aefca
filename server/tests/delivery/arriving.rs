//! Online, off line, coming back.

use std::sync::Arc;

use crate::support::{Handshake, Server};

#[tokio::test]
async fn a_notice_staged_while_its_receiver_is_online_arrives_in_both_protocols() {
    let server = Server::start();
    let mut v1 = server.connect("u2").await;
    let mut legacy = server.connect_legacy("u2").await;
    let id = server.stage("u2", "hello").await;
    for notice in [v1.notice().await, legacy.notice().await] {
        assert_eq!((&notice.id, notice.message.as_str()), (&id, "hello"));
        assert_eq!(notice.json["read"], false);
        assert!(!notice.redelivered);
    }
}

#[tokio::test]
async fn a_legacy_frame_is_the_notice_itself_with_the_members_of_the_source_design() {
    let server = Server::start();
    let mut legacy = server.connect_legacy("u2").await;
    let mut sender = server.connect_legacy("u1").await;
    let written = serde_json::json!({"receiverId": "u2", "message": "on my way"});
    sender.send(&written).await;
    let notice = legacy.notice().await.json;
    let mut members: Vec<_> = notice
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    members.sort_unstable();
    let expected = [
        "createdTime",
        "id",
        "message",
        "read",
        "receiverId",
        "senderId",
    ];
    assert_eq!(members, expected);
}

#[tokio::test]
async fn what_was_staged_while_a_v1_client_was_off_line_arrives_when_it_comes_back_oldest_first() {
    let server = Server::start();
    let expected = stage_five(&server).await;
    let mut client = server.connect("u2").await;
    assert_eq!(client.messages(5).await, expected);
}

#[tokio::test]
async fn what_was_staged_while_a_legacy_client_was_off_line_arrives_when_it_comes_back_oldest_first()
 {
    let server = Server::start();
    let expected = stage_five(&server).await;
    let mut client = server.connect_legacy("u2").await;
    assert_eq!(client.messages(5).await, expected);
}

async fn stage_five(server: &Server) -> Vec<String> {
    let messages: Vec<_> = (0..5).map(|number| format!("message {number}")).collect();
    for message in &messages {
        server.stage("u2", message).await;
    }
    messages
}

#[tokio::test]
async fn what_a_session_did_not_acknowledge_is_redelivered_to_later_sessions_only() {
    let server = Server::start();
    let mut first = server.connect("u2").await;
    let id = server.stage("u2", "hello").await;
    assert!(!first.notice().await.redelivered);
    server.reaches_state(&id, "pushed").await;

    let mut second = server.connect("u2").await;
    let again = second.notice().await;
    assert_eq!((again.id, again.redelivered), (id, true));
    // The first one had it already: what it gets next is something new, and new for both.
    server.stage("u2", "new").await;
    for client in [&mut first, &mut second] {
        let notice = client.notice().await;
        assert_eq!(
            (notice.message.as_str(), notice.redelivered),
            ("new", false)
        );
    }
}

#[tokio::test]
async fn what_no_session_was_handed_comes_without_the_redelivered_mark() {
    let server = Server::start();
    server.stage("u2", "hello").await;
    let mut client = server.connect("u2").await;
    assert!(!client.notice().await.redelivered);
}

#[tokio::test]
async fn unread_notices_and_the_mark_of_redelivery_survive_a_restart() {
    let server = Server::start();
    let mut client = server.connect("u2").await;
    let seen = server.stage("u2", "seen").await;
    client.notice().await;
    server.reaches_state(&seen, "pushed").await;
    client.close().await;
    server.stage("u2", "unseen").await;

    let server = server.restart();
    let mut client = server.connect("u2").await;
    let notices = client.notices(2).await;
    let came: Vec<_> = notices
        .iter()
        .map(|notice| (notice.message.as_str(), notice.redelivered))
        .collect();
    assert_eq!(came, [("seen", true), ("unseen", false)]);
}

#[tokio::test]
async fn sessions_that_join_while_notices_are_staged_get_all_of_them_once_and_in_order() {
    const COUNT: usize = 600;
    let server = Arc::new(Server::with(&[("NOTICE_DELIVERY_WINDOW", "4096")]));
    let token = server.token("u2").await;
    let (told, mut staged) = tokio::sync::watch::channel(0);
    let staging = tokio::spawn({
        let server = Arc::clone(&server);
        async move {
            for number in 0..COUNT {
                server.stage("u2", &number.to_string()).await;
                told.send(number + 1).unwrap();
            }
        }
    });
    let mut readers = Vec::new();
    for join_at in [0, 10, 200, 400, 590] {
        staged.wait_for(|staged| *staged >= join_at).await.unwrap();
        let mut client = Handshake::v1(&token).open(server.public).await;
        readers.push(tokio::spawn(async move { client.messages(COUNT).await }));
    }
    let expected: Vec<_> = (0..COUNT).map(|number| number.to_string()).collect();
    for reader in readers {
        assert_eq!(reader.await.unwrap(), expected);
    }
    staging.await.unwrap();
}
