//! Pings: who answers stays, who does not is gone.

use crate::support::{Frame, Handshake, Server};

const QUICK: &[(&str, &str)] = &[
    ("NOTICE_DELIVERY_PING_SECONDS", "1"),
    ("NOTICE_DELIVERY_PONG_TIMEOUT_SECONDS", "1"),
];

#[tokio::test]
async fn a_peer_that_never_answers_is_taken_for_dead_in_both_protocols() {
    let server = Server::with(QUICK);
    let token = server.token("u2").await;
    let mut v1 = Handshake::v1(&token).open(server.public).await;
    let mut legacy = Handshake::legacy(&token).open(server.public).await;
    v1.answer_pings(false);
    legacy.answer_pings(false);
    let sample = "notice_sessions_closed_total{reason=\"peer_dead\"}";
    server.reaches_metric(sample, 2.0).await;
    server.reaches_sessions("u2", 0).await;
    assert_eq!(v1.closed().await, None);
    assert_eq!(legacy.closed().await, None);
}

#[tokio::test]
async fn a_peer_that_answers_is_kept_and_pinged_again_and_again() {
    // A busy machine has three seconds for an answer.
    let server = Server::with(&[
        ("NOTICE_DELIVERY_PING_SECONDS", "3"),
        ("NOTICE_DELIVERY_PONG_TIMEOUT_SECONDS", "3"),
    ]);
    let mut client = server.connect("u2").await;
    for _ in 0..3 {
        client.ping().await;
    }
    assert_eq!(server.account("u2").await["online"], true);
}

#[tokio::test]
async fn a_ping_of_the_client_is_answered() {
    let server = Server::start();
    let mut client = server.connect("u2").await;
    client.send_frame(9, b"are you there?").await.unwrap();
    let answer = client.frame().await.unwrap();
    assert_eq!(answer, Some(Frame::Pong(b"are you there?".to_vec())));
}

#[tokio::test]
async fn what_a_dead_peer_was_sent_is_offered_to_its_next_session() {
    let server = Server::with(QUICK);
    let mut client = server.connect_legacy("u2").await;
    client.answer_pings(false);
    let id = server.stage("u2", "are you there?").await;
    server.reaches_sessions("u2", 0).await;
    let mut back = server.connect_legacy("u2").await;
    let notice = back.notice().await;
    assert_eq!((notice.id, notice.redelivered), (id, true));
}
