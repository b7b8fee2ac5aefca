//! Probes, and what is served where.

use serde_json::json;

use crate::support::{Request, Server};

#[tokio::test]
async fn a_fresh_server_is_alive_and_ready_and_says_that_its_store_is_well() {
    let server = Server::start();
    server.admin_get("/livez").await.expect(200);
    let ready = server.admin_get("/readyz").await.expect(200).json();
    assert_eq!(ready, json!({"ready": true, "reason": "ok", "store": "ok"}));
}

#[tokio::test]
async fn the_two_listeners_serve_different_things() {
    let server = Server::start();
    for path in ["/livez", "/readyz", "/metrics", "/load", "/notice/metrics"] {
        let answer = Request::get(path).send(server.public).await;
        answer.expect_problem(404, "NOT_FOUND");
    }
    for path in [
        "/notice/",
        "/notice/session",
        "/notice/notices",
        "/ws/socket",
    ] {
        let answer = Request::get(path).send(server.admin).await;
        answer.expect_problem(404, "NOT_FOUND");
    }
    let wrong_method = Request::get("/drain").send(server.admin).await;
    wrong_method.expect_problem(405, "METHOD_NOT_ALLOWED");
}
