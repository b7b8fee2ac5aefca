//! Credentials appear in no answer and no log line, whatever is done with them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::Witness;
use super::support::{Folder, Handshake, KEY, Program, Request};

const GUESS: &str = "a-guess-that-nobody-may-see";

#[tokio::test]
async fn no_credential_shows_in_an_answer_or_in_the_log() {
    let folder = Folder::new();
    let server = Program::start(&folder, &[("NOTICE_LOG", "trace")]).await;
    let witness = Witness::plant(&server).await;
    let token = server.token("u1").await;
    let coded = URL_SAFE_NO_PAD.encode(GUESS);
    let session = || Request::get("/notice/session");
    let mut requests = vec![
        session().bearer(GUESS),
        session().header("authorization", GUESS),
        session().header("cookie", format!("SESSION_TOKEN_KEY={GUESS}")),
        session()
            .header("cookie", format!("SESSION_TOKEN_KEY={token}"))
            .header("origin", "http://evil.example"),
        Request::get(format!("/notice/session?SESSION_TOKEN_KEY={GUESS}")),
        Request::get(format!("/notice/nothing?SESSION_TOKEN_KEY={token}")),
        Request::get(format!("/ws/socket?SESSION_TOKEN_KEY={token}")),
        Request::get("/notice/accounts").bearer(GUESS),
        Request::get("/notice/accounts").header("x-api-key", GUESS),
        Request::post(
            "/notice/notices",
            &json!({"receiverId": "", "message": "m"}),
        )
        .bearer(KEY),
        Request::post("/notice/sessions/revoke", &json!({"token": [token, GUESS]})).bearer(KEY),
        Request::post("/notice/sessions/revoke", &json!({"token": {"x": token}})).bearer(KEY),
        Request::post("/notice/sessions/revoke", &json!({"tokens": token})).bearer(KEY),
        Request::new("PUT", format!("/notice/session?SESSION_TOKEN_KEY={token}")),
        Request::get(format!("/notice/inbox?SESSION_TOKEN_KEY={token}&limit=x")),
    ];
    for path in ["/notices", "/sessions", "/sessions/revoke"] {
        let broken = format!("{{\"token\":\"{token}\",\"x\":\"{GUESS}\",}}");
        requests.push(
            Request::new("POST", format!("/notice{path}"))
                .bearer(KEY)
                .body(broken),
        );
    }
    for request in requests {
        let answer = request.send(server.public).await;
        assert!(answer.status >= 400, "{answer:?}");
        shows_none(&format!("{answer:?}"), &token);
    }
    let drain = Request::post("/drain", &json!({"windowSeconds": GUESS})).bearer(GUESS);
    let answer = drain.send(server.admin).await.expect(400);
    assert!(!format!("{answer:?}").contains(&coded));
    let refused = Handshake::v1(GUESS).refused(server.public).await;
    shows_none(&format!("{refused:?}"), &token);
    let mut socket = server.connect("u1").await;
    socket
        .send(&json!({"type": "refresh", "token": GUESS}))
        .await;
    shows_none(&socket.expect("error").await.to_string(), &token);
    socket
        .send(&json!({"type": "refresh", "token": token}))
        .await;
    shows_none(&socket.expect("refreshed").await.to_string(), &token);
    let stranger = server.token("u2").await;
    socket
        .send(&json!({"type": "refresh", "token": stranger}))
        .await;
    let answer = socket.expect("error").await.to_string();
    shows_none(&answer, &token);
    assert!(!answer.contains(&stranger));
    socket.close().await;
    shows_none(server.admin_get("/metrics").await.text(), &token);
    server.revoke(&token).await;
    witness.survives(&server).await;
    let log = server.output();
    assert!(
        log.contains("session opened"),
        "nothing is logged at trace:\n{log}"
    );
    shows_none(&log, &token);
    assert!(!log.contains("planted"), "a message in the log:\n{log}");
}

fn shows_none(text: &str, token: &str) {
    let coded = URL_SAFE_NO_PAD.encode(GUESS);
    for secret in [KEY, token, GUESS, coded.as_str()] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}
