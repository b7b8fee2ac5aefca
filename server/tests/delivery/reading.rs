//! Acknowledging: by frames, by pongs, by a call; and what the account's other devices see of it.

use serde_json::json;

use crate::support::{Handshake, Server};

/// So that a second notice waits until the first one is out of the window.
const WINDOW_OF_ONE: &[(&str, &str)] = &[("NOTICE_DELIVERY_WINDOW", "1")];

#[tokio::test]
async fn each_device_gets_a_notice_once_and_an_acknowledgement_by_one_takes_it_from_the_others() {
    let server = Server::with(WINDOW_OF_ONE);
    let mut phone = server.connect("u2").await;
    let mut tablet = server.connect("u2").await;
    let first = server.stage("u2", "first").await;
    server.stage("u2", "second").await;
    assert_eq!(phone.notice().await.message, "first");
    assert_eq!(tablet.notice().await.message, "first");

    phone.ack(&[&first]).await;
    assert_eq!(phone.notice().await.message, "second");
    // The tablet did not acknowledge: the place in its window was freed by the phone.
    let read = tablet.expect("read").await;
    assert_eq!(read["ids"], json!([first]));
    assert_eq!(tablet.notice().await.message, "second");
}

#[tokio::test]
async fn what_was_acknowledged_elsewhere_is_not_offered_to_a_session_that_was_behind() {
    let server = Server::with(WINDOW_OF_ONE);
    let token = server.token("u2").await;
    let mut client = Handshake::v1(&token).open(server.public).await;
    let ids = server.stage_many("u2", "message", 3).await;
    assert_eq!(client.notice().await.id, ids[0]);
    assert_eq!(server.ack(&token, &ids[1..2]).await, 1);
    client.ack(&ids[..1]).await;
    assert_eq!(client.find("notice").await["notice"]["id"], ids[2]);
}

#[tokio::test]
async fn an_acknowledgement_by_a_call_takes_a_notice_from_every_session() {
    let server = Server::with(WINDOW_OF_ONE);
    let token = server.token("u2").await;
    let mut client = Handshake::v1(&token).open(server.public).await;
    let first = server.stage("u2", "first").await;
    server.stage("u2", "second").await;
    assert_eq!(client.notice().await.message, "first");
    assert_eq!(server.ack(&token, &[&first]).await, 1);
    assert_eq!(client.expect("read").await["ids"], json!([first]));
    assert_eq!(client.notice().await.message, "second");
}

#[tokio::test]
async fn acknowledging_counts_neither_foreign_nor_unknown_nor_repeated_ids() {
    let server = Server::start();
    let token = server.token("u2").await;
    let mine = server.stage("u2", "mine").await;
    let foreign = server.stage("u3", "foreign").await;
    let unknown = "0".repeat(26);
    let ids = [&mine, &foreign, &unknown, "no id at all", &mine];
    assert_eq!(server.ack(&token, &ids).await, 1);
    assert_eq!(server.ack(&token, &[&mine]).await, 0);
    assert_eq!(server.unread("u3").await, 1);

    let mut stranger = server.connect("u4").await;
    stranger.ack(&[&foreign]).await;
    stranger.close().await;
    assert_eq!(server.unread("u3").await, 1);
}

#[tokio::test]
async fn a_client_may_acknowledge_and_leave_at_once() {
    let server = Server::start();
    let mut client = server.connect("u2").await;
    let ids = server.stage_many("u2", "message", 20).await;
    client.notices(20).await;
    client.ack(&ids).await;
    client.close().await;
    server.reaches_unread("u2", 0).await;
}

#[tokio::test]
async fn a_legacy_notice_is_read_by_the_pong_behind_it_and_by_no_earlier_one() {
    let server = Server::start();
    let mut client = server.connect_legacy("u2").await;
    client.answer_pings(false);
    let first = server.stage("u2", "first").await;
    let behind_first = client.ping().await;
    assert_eq!(client.notice().await.id, first);
    let second = server.stage("u2", "second").await;
    assert_eq!(client.notice().await.id, second);
    // Taken by the socket, but not by the client's program: unread.
    assert_eq!(
        server.reaches_state(&second, "pushed").await["readTime"],
        json!(null)
    );
    assert_eq!(server.unread("u2").await, 2);

    client.pong(&behind_first).await.unwrap();
    server.reaches_state(&first, "read").await;
    // One ping is outstanding at most: the one behind the second notice is sent only now.
    let behind_second = client.ping().await;
    assert_eq!(server.state_name(&second).await, "pushed");
    client.pong(b"stray").await.unwrap();
    client.pong(&behind_first).await.unwrap();
    client.pong(&behind_second).await.unwrap();
    server.reaches_state(&second, "read").await;
}

#[tokio::test]
async fn a_stray_pong_reads_nothing() {
    let server = Server::start();
    let mut client = server.connect_legacy("u2").await;
    client.answer_pings(false);
    let id = server.stage("u2", "hello").await;
    client.ping().await;
    for stray in [&b""[..], b"stray", &[0, 0, 0, 0], &[0xff; 125]] {
        client.pong(stray).await.unwrap();
    }
    // The answer to this shows that the pongs before it were read.
    client
        .send(&json!({"receiverId": "", "message": "x"}))
        .await;
    while client.text().await["code"] != "WS_SEND_FAILED" {}
    assert_eq!(server.state_name(&id).await, "pushed");
}

#[tokio::test]
async fn an_automatic_read_withdraws_a_notice_from_no_session_that_was_online() {
    let server = Server::with(WINDOW_OF_ONE);
    let mut v1 = server.connect("u2").await;
    let mut legacy = server.connect_legacy("u2").await;
    let ids = server.stage_many("u2", "message", 2).await;
    assert_eq!(legacy.messages(2).await, ["message 0", "message 1"]);
    // Reads on, and so answers the ping behind the second one.
    let reading = tokio::spawn(async move { legacy.closed().await });
    for id in &ids {
        server.reaches_state(id, "read").await;
    }
    // Read, by a transport; the other device had only seen the first one, and is owed the second.
    assert_eq!(v1.expect("notice").await["notice"]["id"], ids[0]);
    v1.ack(&ids[..1]).await;
    assert_eq!(v1.expect("notice").await["notice"]["id"], ids[1]);

    // A later session was not online then.
    let mut later = server.connect("u2").await;
    server.stage("u2", "new").await;
    assert_eq!(later.notice().await.message, "new");
    reading.abort();
}

#[tokio::test]
async fn a_legacy_client_that_asks_for_it_acknowledges_by_frames_and_not_by_pongs() {
    let server = Server::start();
    let token = server.token("u2").await;
    let handshake = Handshake::legacy(&token).query("ack=client");
    let mut client = handshake.open(server.public).await;
    let ids = server.stage_many("u2", "message", 2).await;
    client.notices(2).await;
    client.send(&json!({"ack": [ids[0]]})).await;
    server.reaches_state(&ids[0], "read").await;
    client.close().await;

    let mut later = handshake.open(server.public).await;
    let again = later.notice().await;
    assert_eq!((&again.id, again.redelivered), (&ids[1], true));
}

#[tokio::test]
async fn a_legacy_client_that_acknowledges_by_pongs_is_told_that_its_ack_frame_does_nothing() {
    let server = Server::start();
    let mut client = server.connect_legacy("u2").await;
    client.send(&json!({"ack": ["x"]})).await;
    let answer = client.text().await;
    assert_eq!(answer["success"], false);
    assert!(
        answer["message"].as_str().unwrap().contains("ack=client"),
        "{answer}"
    );
}
