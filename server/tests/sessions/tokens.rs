//! Tokens end: by themselves, by a call, or are followed by newer ones.

use serde_json::json;

use crate::support::{Handshake, Server, Socket, eventually};

const TOKEN_ENDED: &str = "notice_sessions_closed_total{reason=\"token_ended\"}";

#[tokio::test]
async fn a_session_whose_token_expires_is_told_before_and_closed_with_4401() {
    let server = Server::start();
    let token = server.token_for("u2", 3).await;
    let mut client = Handshake::v1(&token).open(server.public).await;
    let mut legacy = Handshake::legacy(&token).open(server.public).await;
    let told = client.expect("expiring").await;
    assert!(told["inSeconds"].as_u64().unwrap() <= 3, "{told}");
    assert_eq!(client.closed().await, Some(4401));
    // A legacy client knows no such frame: the code is the first it hears of it.
    assert_eq!(legacy.text_or_end().await, Err(Some(4401)));
    server.client_get(&token, "/session").await.expect(401);
    assert_eq!(server.account("u2").await["online"], false);
    server.reaches_metric(TOKEN_ENDED, 2.0).await;
}

#[tokio::test]
async fn a_session_that_refreshes_its_token_in_time_lives_on() {
    let server = Server::with(&[
        ("NOTICE_DELIVERY_PING_SECONDS", "3"),
        ("NOTICE_DELIVERY_PONG_TIMEOUT_SECONDS", "3"),
    ]);
    let short = server.token_for("u2", 3).await;
    let mut client = Handshake::v1(&short).open(server.public).await;
    client.expect("expiring").await;
    let long = server.token_for("u2", 3600).await;
    client
        .send(&json!({"type": "refresh", "token": long}))
        .await;
    let refreshed = client.expect("refreshed").await;
    let session = server.client_get(&long, "/session").await.json();
    assert_eq!(refreshed["expireTime"], session["expireTime"]);

    outlives(&server, &mut client, &short).await;
    let id = server.stage("u2", "still there?").await;
    assert_eq!(client.notice().await.id, id);
}

#[tokio::test]
async fn a_refresh_with_a_token_that_does_not_fit_is_an_error_and_the_session_stays() {
    let server = Server::start();
    let mut client = server.connect("u2").await;
    let another = server.token("u3").await;
    client
        .send(&json!({"type": "refresh", "token": another}))
        .await;
    assert_eq!(client.expect("error").await["code"], "INVALID_ARGUMENT");
    client
        .send(&json!({"type": "refresh", "token": "unknown"}))
        .await;
    assert_eq!(client.expect("error").await["code"], "UNAUTHENTICATED");
    client.send(&json!({"type": "refresh"})).await;
    assert_eq!(client.expect("error").await["code"], "INVALID_ARGUMENT");
    let id = server.stage("u2", "still there?").await;
    assert_eq!(client.notice().await.id, id);
}

#[tokio::test]
async fn revoking_a_token_closes_its_live_sessions_with_4401_and_no_others() {
    let server = Server::start();
    let token = server.token("u2").await;
    let mut v1 = Handshake::v1(&token).open(server.public).await;
    let mut legacy = Handshake::legacy(&token).open(server.public).await;
    let mut other = server.connect("u2").await;
    server.revoke(&token).await;
    assert_eq!(v1.closed().await, Some(4401));
    assert_eq!(legacy.closed().await, Some(4401));
    Handshake::v1(&token)
        .refused(server.public)
        .await
        .expect(401);
    let id = server.stage("u2", "still there?").await;
    assert_eq!(other.notice().await.id, id);
    server.reaches_metric(TOKEN_ENDED, 2.0).await;
}

#[tokio::test]
async fn a_refreshed_session_ends_with_its_newer_token_and_not_with_its_older_one() {
    let server = Server::start();
    let older = server.token("u2").await;
    let newer = server.token("u2").await;
    let mut client = Handshake::v1(&older).open(server.public).await;
    client
        .send(&json!({"type": "refresh", "token": newer}))
        .await;
    client.expect("refreshed").await;
    server.revoke(&older).await;
    let id = server.stage("u2", "still there?").await;
    assert_eq!(client.notice().await.id, id);
    server.revoke(&newer).await;
    assert_eq!(client.closed().await, Some(4401));
}

#[tokio::test]
async fn revoking_a_token_that_nobody_knows_is_no_error() {
    let server = Server::start();
    server.revoke("never made").await;
    let token = server.token("u2").await;
    server.revoke(&token).await;
    server.revoke(&token).await;
}

#[tokio::test]
async fn a_token_has_the_life_that_was_asked_for_within_the_limit() {
    let server = Server::with(&[
        ("NOTICE_SESSIONS_DEFAULT_TTL_SECONDS", "100"),
        ("NOTICE_SESSIONS_MAX_TTL_SECONDS", "200"),
    ]);
    let life = async |body: serde_json::Value| {
        let id = server.stage("u2", "the server's time").await;
        let now = server.state(&id).await.json()["stagedTime"]
            .as_u64()
            .unwrap();
        let answer = server
            .service_post("/sessions", &body)
            .await
            .expect(201)
            .json();
        // Both times are the store's, the first a little before the second.
        (answer["expireTime"].as_u64().unwrap() - now) / 1000
    };
    let unsaid = life(json!({"accountId": "u2"})).await;
    assert!((100..120).contains(&unsaid), "{unsaid}");
    let asked = life(json!({"accountId": "u2", "ttlSeconds": 200})).await;
    assert!((200..220).contains(&asked), "{asked}");
    for wrong in [json!(0), json!(201), json!(-1), json!("100"), json!(1.5)] {
        let body = json!({"accountId": "u2", "ttlSeconds": wrong});
        let answer = server.service_post("/sessions", &body).await;
        answer.expect_problem(400, "INVALID_ARGUMENT");
    }
}

#[tokio::test]
async fn tokens_survive_a_restart() {
    let server = Server::start();
    let token = server.token("u2").await;
    let revoked = server.token("u2").await;
    server.revoke(&revoked).await;
    let server = server.restart();
    Handshake::v1(&token).open(server.public).await;
    Handshake::v1(&revoked)
        .refused(server.public)
        .await
        .expect(401);
}

/// Waits until a token is over, and until a session that no longer lives by it has outlived its end.
pub(crate) async fn outlives(server: &Server, client: &mut Socket, token: &str) {
    let is_over = eventually("the first token's end", async || {
        let answer = server.client_get(token, "/session").await;
        if answer.status == 401 {
            Ok(())
        } else {
            Err(answer)
        }
    });
    tokio::select! {
        () = is_over => {}
        code = client.closed() => panic!("closed with {code:?}"),
    }
    // The heart that pings looks at the tokens in the same beat: between two pings it has seen that the first is over.
    client.ping().await;
    client.ping().await;
}
