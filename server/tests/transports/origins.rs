//! Pages of other origins: which may read answers, and the questions browsers ask before.

use crate::support::{Handshake, Listen, Request, Server};

const ALLOWED: &str = "https://app.example.com";
const OTHER: &str = "https://other.example.com";
const ORIGINS: &[(&str, &str)] = &[("NOTICE_AUTH_ALLOWED_ORIGINS", ALLOWED)];

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_read_every_answer_of_a_clients_call_errors_included() {
    let server = Server::with(ORIGINS);
    let token = server.token("u2").await;
    for path in [
        "session",
        "poll?wait=0",
        "poll?wait=1",
        "inbox",
        "no-such-path",
        "poll?wait=99",
        "page",
    ] {
        let request = Request::get(format!("/notice/{path}")).bearer(&token);
        let answer = request
            .clone()
            .header("origin", ALLOWED)
            .send(server.public)
            .await;
        assert_eq!(
            answer.header("access-control-allow-origin"),
            Some(ALLOWED),
            "{path}"
        );
        assert_eq!(
            answer.header("access-control-allow-credentials"),
            Some("true"),
            "{path}"
        );
        assert_eq!(
            answer.header("access-control-expose-headers"),
            Some("retry-after")
        );
        assert_eq!(answer.header("vary"), Some("origin"), "{path}");
        let other = request
            .clone()
            .header("origin", OTHER)
            .send(server.public)
            .await;
        assert_eq!(other.header("access-control-allow-origin"), None, "{path}");
        assert_eq!(other.header("vary"), Some("origin"), "{path}");
        let own = request.send(server.public).await;
        assert_eq!(own.header("access-control-allow-origin"), None, "{path}");
    }
}

#[tokio::test]
async fn a_stream_says_the_same() {
    let server = Server::with(ORIGINS);
    let token = server.token("u2").await;
    let listen = Listen::with(&token).header("origin", ALLOWED);
    let events = listen.open(server.public).await;
    assert_eq!(
        events.head.header("access-control-allow-origin"),
        Some(ALLOWED)
    );
    let refused = Listen::bare()
        .header("origin", ALLOWED)
        .refused(server.public)
        .await;
    assert_eq!(refused.header("access-control-allow-origin"), Some(ALLOWED));
    let other = Listen::with(&token)
        .header("origin", OTHER)
        .open(server.public)
        .await;
    assert_eq!(other.head.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn a_browsers_question_before_a_request_is_answered_for_allowed_origins_only() {
    let server = Server::with(ORIGINS);
    let ask = |path: &str, origin: &str| {
        Request::new("OPTIONS", path)
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header(
                "access-control-request-headers",
                "authorization,content-type",
            )
    };
    for path in [
        "/notice/ack",
        "/notice/sse",
        "/notice/poll",
        "/notice/send",
        "/notice/session",
    ] {
        let answer = ask(path, ALLOWED).send(server.public).await.expect(204);
        let header = |name: &str| answer.header(name).unwrap_or_default().to_owned();
        assert_eq!(header("access-control-allow-origin"), ALLOWED);
        assert!(header("access-control-allow-methods").contains("POST"));
        let headers = header("access-control-allow-headers");
        for wanted in ["authorization", "content-type", "last-event-id"] {
            assert!(headers.contains(wanted), "{headers}");
        }
        let refused = ask(path, OTHER).send(server.public).await.expect(204);
        for name in ["origin", "methods", "headers"] {
            let name = format!("access-control-allow-{name}");
            assert_eq!(refused.header(&name), None, "{path}");
        }
    }
    let no_question = Request::new("OPTIONS", "/notice/ack")
        .send(server.public)
        .await;
    no_question.expect_problem(405, "METHOD_NOT_ALLOWED");
}

#[tokio::test]
async fn a_cookie_of_a_foreign_page_counts_on_no_transport_and_that_of_an_allowed_one_on_all() {
    let server = Server::with(ORIGINS);
    let token = server.token("u2").await;
    let cookie = format!("SESSION_TOKEN_KEY={token}");
    let listen = Listen::bare().header("cookie", &cookie);
    let foreign = listen
        .clone()
        .header("origin", OTHER)
        .refused(server.public)
        .await;
    foreign.expect_problem(403, "ORIGIN_NOT_ALLOWED");
    listen.header("origin", ALLOWED).open(server.public).await;
    let handshake = Handshake::bare().header("cookie", &cookie);
    let foreign = handshake
        .clone()
        .header("origin", OTHER)
        .refused(server.public)
        .await;
    foreign.expect_problem(403, "ORIGIN_NOT_ALLOWED");
    handshake
        .header("origin", ALLOWED)
        .open(server.public)
        .await;
    for path in ["poll?wait=0", "page"] {
        let request = Request::get(format!("/notice/{path}")).header("cookie", &cookie);
        let foreign = request
            .clone()
            .header("origin", OTHER)
            .send(server.public)
            .await;
        assert_eq!(foreign.status, 403, "{foreign:?}");
        let site = request.clone().header("sec-fetch-site", "cross-site");
        assert_eq!(site.send(server.public).await.status, 403);
        request
            .header("origin", ALLOWED)
            .send(server.public)
            .await
            .expect(200);
    }
}
