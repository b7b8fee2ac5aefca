//! Opening a WebSocket, and connections that are only half there.

use std::time::Duration;

use serde_json::json;

use super::Witness;
use super::support::{Connection, Handshake, Request, Server, in_time, masked};

fn request(token: &str, left_out: &str) -> Request {
    let headers = [
        ("upgrade", "websocket"),
        ("connection", "keep-alive, Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let given = headers.into_iter().filter(|(name, _)| *name != left_out);
    given.fold(
        Request::get("/ws/socket").bearer(token),
        |request, (name, value)| request.header(name, value),
    )
}

#[tokio::test]
async fn a_handshake_that_lacks_something_opens_nothing_and_is_told_why() {
    let server = Server::start();
    let witness = Witness::plant(&server).await;
    let token = server.token("u1").await;
    for left_out in ["upgrade", "connection", "sec-websocket-version"] {
        let answer = request(&token, left_out).send(server.public).await;
        let answer = answer.expect_problem(426, "UPGRADE_REQUIRED");
        assert_eq!(
            answer.header("sec-websocket-version"),
            Some("13"),
            "{answer:?}"
        );
    }
    for version in ["", "8", "12", "14", "013", "13, 8", "x"] {
        let answer = Handshake::legacy(&token).version(Some(version));
        let answer = answer.refused(server.public).await;
        let answer = answer.expect_problem(426, "UPGRADE_REQUIRED");
        assert_eq!(
            answer.header("sec-websocket-version"),
            Some("13"),
            "{answer:?}"
        );
    }
    let keyless = request(&token, "sec-websocket-key");
    keyless
        .clone()
        .send(server.public)
        .await
        .expect_problem(400, "INVALID_ARGUMENT");
    for key in [
        "",
        "short",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ==x",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    ] {
        let answer = keyless.clone().header("sec-websocket-key", key);
        answer
            .send(server.public)
            .await
            .expect_problem(400, "INVALID_ARGUMENT");
    }
    let foreign = Handshake::legacy(&token).header("sec-websocket-protocol", "mqtt, chat");
    foreign
        .refused(server.public)
        .await
        .expect_problem(400, "INVALID_ARGUMENT");
    assert_eq!(server.load().await["sessions"], 0);
    witness.survives(&server).await;
}

#[tokio::test]
async fn a_handshake_in_http_1_0_or_by_another_method_opens_nothing() {
    let server = Server::start();
    let witness = Witness::plant(&server).await;
    let token = server.token("u1").await;
    let text = String::from_utf8(request(&token, "").bytes()).unwrap();
    for changed in [
        text.replacen("HTTP/1.1", "HTTP/1.0", 1),
        text.replacen("GET", "POST", 1),
    ] {
        let mut connection = Connection::open(server.public).await.unwrap();
        connection.write(changed.as_bytes()).await.unwrap();
        let answer = in_time("an answer", connection.read()).await.unwrap();
        assert!((400..500).contains(&answer.status), "{answer:?}");
    }
    assert_eq!(server.load().await["sessions"], 0);
    witness.survives(&server).await;
}

#[tokio::test]
async fn no_token_opens_a_socket_but_one_that_holds() {
    let server = Server::start();
    let token = server.token("u1").await;
    let long = "x".repeat(5000);
    for bad in [
        "",
        "x",
        &token[1..],
        &token.to_lowercase(),
        &format!("{token}="),
        &long,
        "%00",
        "%ff",
    ] {
        for handshake in [
            Handshake::legacy(bad),
            Handshake::bare().header("authorization", format!("Bearer {bad}")),
        ] {
            let answer = handshake.refused(server.public).await;
            answer.expect_problem(401, "UNAUTHENTICATED");
        }
    }
    let items = ["token.", "token.!!!", "token._w", "token.AA"];
    for item in items {
        let handshake = Handshake::v1_bare().header("sec-websocket-protocol", item);
        handshake
            .refused(server.public)
            .await
            .expect_problem(401, "UNAUTHENTICATED");
    }
    assert_eq!(server.load().await["sessions"], 0);
}

#[tokio::test]
async fn frames_in_one_packet_with_the_handshake_are_heard() {
    let server = Server::start();
    let witness = Witness::plant(&server).await;
    let token = server.token("u1").await;
    let send = |number: usize, filling: usize| {
        let text = json!({"type": "send", "ref": number.to_string(), "receiverId": "u2", "message": "x".repeat(filling)});
        masked(0x81, text.to_string().as_bytes())
    };
    // One; many; and more than any buffer of a handshake.
    for (count, filling) in [(1, 1), (50, 10), (8, 30_000)] {
        let behind: Vec<u8> = (0..count)
            .flat_map(|number| send(number, filling))
            .collect();
        let mut socket = Handshake::v1(&token)
            .followed_by(behind)
            .open(server.public)
            .await;
        for number in 0..count {
            assert_eq!(socket.expect("sent").await["ref"], number.to_string());
        }
        socket.close().await;
    }
    let legacy = json!({"receiverId": "u3", "message": "early"}).to_string();
    let socket = Handshake::legacy(&token).followed_by(masked(0x81, legacy.as_bytes()));
    let socket = socket.open(server.public).await;
    server.reaches_unread("u3", 1).await;
    socket.close().await;
    witness.survives(&server).await;
}

#[tokio::test]
async fn rubbish_in_one_packet_with_the_handshake_ends_the_session() {
    let server = Server::start();
    let witness = Witness::plant(&server).await;
    let token = server.token("u1").await;
    let mut socket = Handshake::v1(&token)
        .followed_by(*b"GET / HTTP/1.1\r\n\r\n")
        .open(server.public)
        .await;
    assert_eq!(socket.closed().await, Some(1008));
    server.reaches_sessions("u1", 0).await;
    witness.survives(&server).await;
}

#[tokio::test]
async fn a_client_that_is_silently_gone_is_found_out() {
    let server = Server::with(&[
        ("NOTICE_DELIVERY_PING_SECONDS", "1"),
        ("NOTICE_DELIVERY_PONG_TIMEOUT_SECONDS", "1"),
    ]);
    let witness = Witness::plant(&server).await;
    let mut gone = server.connect("gone").await;
    gone.answer_pings(false);
    let id = server.stage("gone", "into the void").await;
    server
        .reaches_metric("notice_sessions_closed_total{reason=\"peer_dead\"}", 1.0)
        .await;
    server.reaches_sessions("gone", 0).await;
    assert_eq!(server.unread("gone").await, 1);
    let mut back = server.connect("gone").await;
    let notice = back.notice().await;
    assert_eq!((notice.id, notice.redelivered), (id, true));
    witness.survives(&server).await;
}

#[tokio::test]
async fn a_client_that_breaks_off_in_the_middle_of_anything_leaves_nothing_behind() {
    let server = Server::start();
    let witness = Witness::plant(&server).await;
    let token = server.token("u1").await;
    let mut whole = request(&token, "").bytes();
    whole.extend(masked(0x81, br#"{"receiverId":"u2","message":"half"}"#));
    for length in (1..whole.len()).step_by(7) {
        let mut connection = Connection::open(server.public).await.unwrap();
        connection.write(&whole[..length]).await.unwrap();
        if length % 2 == 0 {
            connection.finish().await.unwrap();
            in_time("the end", connection.closed()).await;
        }
    }
    server.reaches_sessions("u1", 0).await;
    assert_eq!(server.unread("u2").await, 0);
    witness.survives(&server).await;
}

#[tokio::test]
async fn sessions_past_the_accounts_limit_are_refused_and_let_in_again_when_one_leaves() {
    let server = Server::with(&[("NOTICE_LIMITS_SESSIONS_PER_ACCOUNT", "2")]);
    let token = server.token("u1").await;
    let first = Handshake::v1(&token).open(server.public).await;
    let _second = Handshake::v1(&token).open(server.public).await;
    let refused = Handshake::v1(&token).refused(server.public).await;
    refused.expect_problem(429, "TOO_MANY_SESSIONS");
    let mut other = server.connect("u2").await;
    first.close().await;
    server.reaches_sessions("u1", 1).await;
    let _third = Handshake::v1(&token).open(server.public).await;
    let id = server.stage("u2", "unharmed").await;
    assert_eq!(other.notice().await.id, id);
}

#[tokio::test]
async fn a_storm_of_handshakes_past_the_rate_is_put_off_with_a_time_to_come_back() {
    let server = Server::with(&[("NOTICE_LIMITS_CONNECTS_PER_SECOND", "1")]);
    let token = server.token("u1").await;
    let mut refused = 0;
    for _ in 0..5 {
        match Handshake::v1(&token).try_open(server.public).await {
            Ok(_) => {}
            Err(answer) => {
                answer.expect_problem(503, "OVERLOADED");
                refused += 1;
            }
        }
    }
    assert!(refused > 0);
    in_time("a place in the next second", async {
        while Handshake::v1(&token).try_open(server.public).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}
