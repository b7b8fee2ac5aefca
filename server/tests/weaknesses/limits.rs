//! Weakness 9: no limits. (Those of connections are with the sessions.)

use futures_util::future::join_all;
use serde_json::json;

use crate::support::{Handshake, Response, Server, eventually};

/// Weakness 9: no limit to a message's size.
#[tokio::test]
async fn a_message_that_is_too_large_is_refused_and_closes_a_socket_only_past_any_frame() {
    let server = Server::start();
    let body = json!({"receiverId": "u2", "message": "x".repeat(65_537)});
    server
        .try_stage(&body)
        .await
        .expect_problem(413, "TOO_LARGE");
    let mut client = server.connect("u1").await;
    let mut frame = body;
    frame["type"] = json!("send");
    client.send(&frame).await;
    assert_eq!(client.expect("error").await["code"], "TOO_LARGE");
    frame["message"] = json!("x".repeat(1 << 20));
    // The server may close before it has taken all of it.
    let _broken_off = client.send_text(&frame.to_string()).await;
    assert_eq!(client.closed().await, Some(1009));
    let reason = "notice_sessions_closed_total{reason=\"too_large\"}";
    server.reaches_metric(reason, 1.0).await;
}

/// Weakness 9: no limit to the rate.
#[tokio::test]
async fn a_producer_and_a_client_that_exceed_their_rate_are_told_when_to_come_back() {
    let server = Server::with(&[
        ("NOTICE_LIMITS_STAGE_RATE_PER_KEY", "5"),
        ("NOTICE_LIMITS_SEND_RATE_PER_ACCOUNT", "2"),
    ]);
    let notice = json!({"receiverId": "u2", "message": "x"});
    let batch = json!(vec![&notice; 5]);
    let answers = join_all((0..10).map(|_| server.try_stage(&batch))).await;
    some_refused(answers, 200);
    server
        .try_stage(&json!(vec![&notice; 6]))
        .await
        .expect_problem(400, "INVALID_ARGUMENT");

    let token = server.token("u1").await;
    let sending = (0..20).map(|_| server.client_post(&token, "/send", &notice));
    some_refused(join_all(sending).await, 201);
    // It is no ban: in a moment there is room again.
    eventually("room for another notice", async || {
        let answer = server.client_post(&token, "/send", &notice).await;
        if answer.status == 201 {
            Ok(())
        } else {
            Err(answer)
        }
    })
    .await;
}

/// Of calls made at once, those within the rate were taken, and the others told when to come back.
fn some_refused(answers: Vec<Response>, taken: u16) {
    let count = answers.len();
    let (taken, refused): (Vec<_>, Vec<_>) = answers
        .into_iter()
        .partition(|answer| answer.status == taken);
    assert!(
        !taken.is_empty() && taken.len() < count,
        "{} of {count} were taken",
        taken.len()
    );
    for answer in refused {
        answer.expect_problem(429, "RATE_LIMITED");
    }
}

/// Weakness 9: no ping, so dead peers stayed "online".
#[tokio::test]
async fn a_dead_peer_is_found_by_its_silence_and_gives_its_place_back() {
    let server = Server::with(&[
        ("NOTICE_DELIVERY_PING_SECONDS", "1"),
        ("NOTICE_DELIVERY_PONG_TIMEOUT_SECONDS", "1"),
        ("NOTICE_LIMITS_SESSIONS", "1"),
    ]);
    let token = server.token("u2").await;
    let mut dead = Handshake::legacy(&token).open(server.public).await;
    dead.answer_pings(false);
    let reason = "notice_sessions_closed_total{reason=\"peer_dead\"}";
    server.reaches_metric(reason, 1.0).await;
    // The other end is gone: no close frame, but an end.
    assert_eq!(dead.closed().await, None);
    eventually("the place of the dead one", async || {
        Handshake::legacy(&token).try_open(server.public).await
    })
    .await;
}
