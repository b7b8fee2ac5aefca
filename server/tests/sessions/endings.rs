//! What else ends a session, and with which code.

use serde_json::json;

use crate::support::{Handshake, Request, Server};

fn closed_for(reason: &str) -> String {
    format!("notice_sessions_closed_total{{reason=\"{reason}\"}}")
}

#[tokio::test]
async fn a_service_removes_the_sessions_of_an_account_with_4403_and_its_token_still_holds() {
    let server = Server::start();
    let token = server.token("u2").await;
    let mut v1 = Handshake::v1(&token).open(server.public).await;
    let mut legacy = Handshake::legacy(&token).open(server.public).await;
    let mut other = server.connect("u3").await;
    server
        .service_delete("/accounts/u2/sessions")
        .await
        .expect(204);
    assert_eq!(v1.closed().await, Some(4403));
    assert_eq!(legacy.closed().await, Some(4403));
    Handshake::v1(&token).open(server.public).await;
    let id = server.stage("u3", "still there?").await;
    assert_eq!(other.notice().await.id, id);
    server.reaches_metric(&closed_for("kicked"), 2.0).await;
}

#[tokio::test]
async fn removing_with_revoke_ends_the_tokens_of_those_sessions_too() {
    let server = Server::start();
    let token = server.token("u2").await;
    let mut client = Handshake::v1(&token).open(server.public).await;
    let path = "/accounts/u2/sessions?revoke=true";
    server.service_delete(path).await.expect(204);
    assert_eq!(client.closed().await, Some(4403));
    Handshake::v1(&token)
        .refused(server.public)
        .await
        .expect(401);
    server.service_delete(path).await.expect(204);
}

#[tokio::test]
async fn where_one_session_an_account_is_configured_a_newer_one_takes_its_place_with_4409() {
    let server = Server::with(&[("NOTICE_SESSIONS_ONE_PER_ACCOUNT", "true")]);
    let mut older = server.connect("u2").await;
    let mut newer = server.connect_legacy("u2").await;
    assert_eq!(older.closed().await, Some(4409));
    server.reaches_sessions("u2", 1).await;
    let id = server.stage("u2", "hello").await;
    assert_eq!(newer.notice().await.id, id);
    let mut newest = server.connect("u2").await;
    assert_eq!(newer.closed().await, Some(4409));
    assert_eq!(newest.notice().await.id, id);
    server.reaches_metric(&closed_for("superseded"), 2.0).await;
}

#[tokio::test]
async fn a_client_that_closes_is_answered_and_gone() {
    let server = Server::start();
    let client = server.connect("u2").await;
    server.reaches_sessions("u2", 1).await;
    client.close().await;
    server.reaches_sessions("u2", 0).await;
    server.reaches_metric(&closed_for("client_gone"), 1.0).await;
}

#[tokio::test]
async fn a_client_whose_connection_breaks_is_gone() {
    let server = Server::start();
    let client = server.connect("u2").await;
    drop(client);
    server.reaches_sessions("u2", 0).await;
    server.reaches_metric(&closed_for("client_gone"), 1.0).await;
}

#[tokio::test]
async fn frames_that_are_none_are_answered_with_errors_and_after_repeats_closed_with_1008() {
    let server = Server::start();
    let mut client = server.connect("u2").await;
    client.send_text("not JSON").await.unwrap();
    assert_eq!(client.expect("error").await["code"], "INVALID_ARGUMENT");
    client.send_binary(b"\x00\x01").await.unwrap();
    assert_eq!(client.expect("error").await["code"], "INVALID_ARGUMENT");
    for _ in 0..20 {
        if client.send_text("[]").await.is_err() {
            break;
        }
    }
    assert_eq!(client.closed().await, Some(1008));
    server.reaches_metric(&closed_for("misuse"), 1.0).await;
}

#[tokio::test]
async fn a_frame_of_an_unknown_type_is_an_error_and_the_connection_stays_however_often_it_comes() {
    let server = Server::start();
    let mut client = server.connect("u2").await;
    for number in 0..20 {
        client
            .send(&json!({"type": "dance", "ref": number.to_string()}))
            .await;
        let error = client.expect("error").await;
        assert_eq!(error["code"], "INVALID_ARGUMENT");
        assert_eq!(error["ref"], number.to_string());
    }
    client.send(&json!({"no": "type"})).await;
    client.expect("error").await;
    let id = server.stage("u2", "still there?").await;
    assert_eq!(client.notice().await.id, id);
}

#[tokio::test]
async fn a_legacy_client_that_sends_what_is_no_frame_is_told_so_in_its_own_words() {
    let server = Server::start();
    let mut client = server.connect_legacy("u2").await;
    client.send_text("hello?").await.unwrap();
    assert_eq!(client.text().await["code"], "WS_SEND_FAILED");
    let id = server.stage("u2", "still there?").await;
    assert_eq!(client.notice().await.id, id);
}

#[tokio::test]
async fn the_account_that_is_kicked_may_have_any_name() {
    let server = Server::start();
    let name = "a/b ü?&=%";
    let mut client = server.connect(name).await;
    let path = "/notice/accounts/a%2Fb%20%C3%BC%3F%26%3D%25/sessions";
    let kick = Request::delete(path).bearer(&server.key);
    kick.send(server.public).await.expect(204);
    assert_eq!(client.closed().await, Some(4403));
}
