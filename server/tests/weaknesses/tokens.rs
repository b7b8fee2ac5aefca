//! Weaknesses 6 and 7: tokens that were not checked, and were shown.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::support::{Folder, Handshake, KEY, Program, Request, Server};

/// Weakness 6: an invalid token still got an open socket.
#[tokio::test]
async fn a_bad_token_gets_no_socket_in_whatever_way_it_comes() {
    let server = Server::start();
    let revoked = server.token("u2").await;
    server.revoke(&revoked).await;
    for bad in ["", "unknown", revoked.as_str(), &"x".repeat(5000)] {
        let ways = [
            Handshake::v1(bad),
            Handshake::v1_bare().header("authorization", format!("Bearer {bad}")),
            Handshake::legacy(bad),
            Handshake::bare().header("cookie", format!("SESSION_TOKEN_KEY={bad}")),
            Handshake::bare(),
        ];
        for way in ways {
            let answer = way.refused(server.public).await;
            answer.expect_problem(401, "UNAUTHENTICATED");
        }
    }
    let metrics = server.metrics().await;
    let refused = metrics.value("notice_sessions_refused_total{reason=\"unauthenticated\"}");
    assert!((refused - 20.0).abs() < 0.5, "{refused}");
    assert!(metrics.sum("notice_sessions_opened_total").abs() < 0.5);
}

/// Weakness 7: the token was in the URL, so it was in every log.
#[tokio::test]
async fn no_token_and_no_key_is_logged_at_any_level_in_whatever_way_it_came() {
    let folder = Folder::new();
    let server = Program::start(&folder, &[("NOTICE_LOG", "trace")]).await;
    let [good, newer, revoked] = [
        server.token("u2").await,
        server.token("u2").await,
        server.token("u2").await,
    ];
    server.revoke(&revoked).await;
    for token in [&good, &revoked] {
        shake_hands_in_every_way(&server, token).await;
        call_in_every_way(&server, token).await;
    }
    say_in_frames(&server, &good, &newer, &revoked).await;
    let wrong_key = "a-key-that-nobody-knows-here";
    let call = Request::get("/notice/accounts/u2").bearer(wrong_key);
    call.send(server.public).await.expect(401);
    server
        .service_delete("/accounts/u2/sessions?revoke=true")
        .await
        .expect(204);
    server.terminate();

    let exit = server.exit().await;
    let logged = exit.output.contains("session opened");
    assert!(logged, "nothing was logged:\n{}", exit.output);
    let encoded = [&good, &newer, &revoked].map(|token| URL_SAFE_NO_PAD.encode(token));
    let plain = [&good, &newer, &revoked, KEY, wrong_key, MESSAGE];
    for secret in plain.into_iter().chain(encoded.iter().map(String::as_str)) {
        let line = exit.output.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} was logged");
    }
}

const MESSAGE: &str = "the text of a message";

async fn shake_hands_in_every_way(server: &Program, token: &str) {
    let cookie = Handshake::bare().header("cookie", format!("SESSION_TOKEN_KEY={token}"));
    let ways = [
        Handshake::v1(token),
        Handshake::v1_bare().header("authorization", format!("Bearer {token}")),
        Handshake::legacy(token),
        Handshake::legacy(token).version(Some("8")),
        cookie.clone(),
        cookie.header("origin", "https://evil.example"),
    ];
    for way in ways {
        if let Ok(socket) = way.try_open(server.public).await {
            socket.close().await;
        }
    }
}

async fn call_in_every_way(server: &Program, token: &str) {
    server.client_get(token, "/session").await;
    let in_query = format!("/notice/inbox?SESSION_TOKEN_KEY={token}&limit=bad");
    Request::get(in_query).send(server.public).await;
    let body = json!({"receiverId": "u2", "message": MESSAGE});
    server.client_post(token, "/send", &body).await;
}

/// Ends with the session closed, as its newer token is revoked.
async fn say_in_frames(server: &Program, good: &str, newer: &str, revoked: &str) {
    let mut client = Handshake::v1(good).open(server.public).await;
    client
        .send(&json!({"type": "refresh", "token": newer}))
        .await;
    client.find("refreshed").await;
    client
        .send(&json!({"type": "refresh", "token": revoked}))
        .await;
    client.find("error").await;
    client
        .send_text(&format!("{{\"broken {good}"))
        .await
        .unwrap();
    client.find("error").await;
    server.revoke(newer).await;
    assert_eq!(client.closed().await, Some(4401));
}
