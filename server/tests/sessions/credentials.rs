//! Who is let in: the ways to carry a token, origins, and the handshake itself.

use serde_json::json;

use crate::support::{Handshake, Request, Server};

#[tokio::test]
async fn a_token_is_taken_from_each_of_the_four_places_that_may_carry_it() {
    let server = Server::start();
    let token = server.token("u2").await;
    let ways = [
        Handshake::v1(&token),
        Handshake::v1_bare().header("authorization", format!("Bearer {token}")),
        Handshake::v1_bare().header("authorization", format!("bearer  {token}")),
        Handshake::v1_bare().query(format!("SESSION_TOKEN_KEY={token}")),
        Handshake::bare().header("authorization", format!("Bearer {token}")),
        Handshake::legacy(&token),
        Handshake::bare().header("cookie", format!("a=b; SESSION_TOKEN_KEY={token}; c=d")),
    ];
    for way in ways {
        let mut client = way.open(server.public).await;
        let id = server.stage("u2", "hello").await;
        assert_eq!(client.notice().await.id, id, "{way:?}");
        server.recall(&id).await.expect(204);
    }
}

#[tokio::test]
async fn the_first_credential_that_is_there_decides_and_a_good_one_behind_it_does_not_help() {
    let server = Server::start();
    let good = server.token("u2").await;
    let cookie = format!("SESSION_TOKEN_KEY={good}");
    let ways = [
        Handshake::legacy(&good).header("authorization", "Bearer bad"),
        Handshake::v1("bad").query(format!("SESSION_TOKEN_KEY={good}")),
        Handshake::legacy("bad").header("cookie", cookie),
    ];
    for way in ways {
        let answer = way.refused(server.public).await;
        answer.expect_problem(401, "UNAUTHENTICATED");
    }
}

#[tokio::test]
async fn a_token_item_without_notice_v1_beside_it_means_nothing() {
    let server = Server::start();
    let token = server.token("u2").await;
    use base64::Engine as _;
    let item = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&token);
    let alone = Handshake::bare().header("sec-websocket-protocol", format!("token.{item}"));
    let answer = alone.refused(server.public).await;
    assert!(matches!(answer.status, 400 | 401), "{answer:?}");
}

#[tokio::test]
async fn a_subprotocol_that_is_not_known_is_refused_with_the_name_of_the_one_that_is() {
    let server = Server::start();
    let token = server.token("u2").await;
    let other = Handshake::legacy(&token).header("sec-websocket-protocol", "graphql-ws");
    let answer = other.refused(server.public).await;
    let answer = answer.expect_problem(400, "INVALID_ARGUMENT");
    assert!(answer.text().contains("notice.v1"), "{answer:?}");
}

#[tokio::test]
async fn a_wrong_version_gets_426_and_the_right_one() {
    let server = Server::start();
    let token = server.token("u2").await;
    for version in [Some("8"), Some("0"), Some("13, 8"), Some(""), None] {
        let answer = Handshake::legacy(&token)
            .version(version)
            .refused(server.public)
            .await;
        let answer = answer.expect_problem(426, "UPGRADE_REQUIRED");
        assert_eq!(
            answer.header("sec-websocket-version"),
            Some("13"),
            "{version:?}"
        );
    }
    let plain = Request::get(format!("/notice/ws/socket?SESSION_TOKEN_KEY={token}"));
    plain
        .send(server.public)
        .await
        .expect_problem(426, "UPGRADE_REQUIRED");
}

#[tokio::test]
async fn both_paths_of_the_source_design_lead_to_the_socket() {
    let server = Server::start();
    let token = server.token("u2").await;
    for path in ["/ws/socket", "/notice/ws/socket"] {
        let mut client = Handshake::legacy(&token)
            .path(path)
            .open(server.public)
            .await;
        let id = server.stage("u2", "hello").await;
        assert_eq!(client.notice().await.id, id);
        server.recall(&id).await.expect(204);
    }
}

#[tokio::test]
async fn a_cookie_counts_only_from_pages_that_may_use_it() {
    let settings = [("NOTICE_AUTH_ALLOWED_ORIGINS", "https://app.example.com")];
    let server = Server::with(&settings);
    let token = server.token("u2").await;
    let from = |name: &str, value: &str| {
        Request::get("/notice/session")
            .header("host", "notice.example.com")
            .header("cookie", format!("SESSION_TOKEN_KEY={token}"))
            .header(name, value)
    };
    let allowed = [
        ("origin", "https://notice.example.com"),
        ("origin", "https://app.example.com"),
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-site", "none"),
        ("x-nothing", "of either"),
    ];
    for (name, value) in allowed {
        let answer = from(name, value).send(server.public).await;
        assert_eq!(
            answer.expect(200).json()["accountId"],
            "u2",
            "{name}: {value}"
        );
    }
    let refused = [
        ("origin", "https://evil.example"),
        ("origin", "https://notice.example.com.evil.example"),
        ("origin", "https://notice.example.com:8443"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ];
    for (name, value) in refused {
        let answer = from(name, value).send(server.public).await;
        answer.expect_problem(403, "ORIGIN_NOT_ALLOWED");
    }
}

#[tokio::test]
async fn a_socket_from_a_foreign_page_opens_with_a_token_and_not_with_a_cookie() {
    let server = Server::start();
    let token = server.token("u2").await;
    let foreign = |handshake: Handshake| handshake.header("origin", "https://other.example");
    let cookie = Handshake::bare().header("cookie", format!("SESSION_TOKEN_KEY={token}"));
    let answer = foreign(cookie).refused(server.public).await;
    answer.expect_problem(403, "ORIGIN_NOT_ALLOWED");
    foreign(Handshake::legacy(&token)).open(server.public).await;
    foreign(Handshake::v1(&token)).open(server.public).await;
    let sample = "notice_sessions_refused_total{reason=\"origin\"}";
    server.reaches_metric(sample, 1.0).await;
}

#[tokio::test]
async fn a_client_that_is_not_let_in_can_ask_why() {
    let server = Server::start();
    let token = server.token("u2").await;
    let session = server
        .client_get(&token, "/session")
        .await
        .expect(200)
        .json();
    assert_eq!(session["accountId"], "u2");
    assert!(session["expireTime"].is_u64(), "{session}");
    server.revoke(&token).await;
    let answer = server.client_get(&token, "/session").await;
    answer.expect_problem(401, "UNAUTHENTICATED");
    let without = Request::get("/notice/session").send(server.public).await;
    without.expect_problem(401, "UNAUTHENTICATED");
}

#[tokio::test]
async fn a_service_call_without_a_known_key_is_refused_and_does_nothing() {
    let server = Server::start();
    let token = server.token("u2").await;
    let notice = json!({"receiverId": "u2", "message": "hello"});
    let account = json!({"accountId": "u2"});
    let calls = [
        Request::post("/notice/notices", &notice),
        Request::get(format!("/notice/notices/{}", "0".repeat(26))),
        Request::delete(format!("/notice/notices/{}", "0".repeat(26))),
        Request::get("/notice/accounts"),
        Request::get("/notice/accounts/u2"),
        Request::delete("/notice/accounts/u2/sessions"),
        Request::post("/notice/sessions", &account),
        Request::post("/notice/sessions/revoke", &json!({"token": token})),
    ];
    for call in calls {
        let wrong = [
            call.clone(),
            call.clone().bearer("wrong"),
            call.clone().header("x-api-key", ""),
            // A client is no service.
            call.clone().bearer(&token),
        ];
        for attempt in wrong {
            let answer = attempt.send(server.public).await;
            answer.expect_problem(401, "UNAUTHENTICATED");
        }
    }
    assert_eq!(server.unread("u2").await, 0);
    server.client_get(&token, "/session").await.expect(200);
    // And a service is no client.
    server.client_get(&server.key, "/session").await.expect(401);
}
