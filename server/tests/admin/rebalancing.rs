//! Rebalancing: some sessions are asked to move, the node goes on.

use serde_json::{Value, json};

use crate::support::{Request, Response, Server, Socket, eventually};

async fn rebalance(server: &Server, body: &Value) -> Response {
    Request::post("/rebalance", body).send(server.admin).await
}

async fn rebalancing(server: &Server) -> u64 {
    server.load().await["rebalancing"].as_u64().unwrap()
}

async fn connect(server: &Server, accounts: std::ops::Range<usize>) -> Vec<Socket> {
    let mut sockets = Vec::new();
    for account in accounts {
        sockets.push(server.connect(&format!("u{account}")).await);
    }
    sockets
}

/// Whether a client was asked to move, by the time that a notice which was staged after that has come.
async fn was_asked(server: &Server, socket: &mut Socket, account: usize) -> bool {
    let id = server.stage(&format!("u{account}"), "after that").await;
    let mut asked = false;
    loop {
        let frame = socket.text().await;
        match frame["type"].as_str() {
            Some("move") => {
                assert_eq!(frame["reason"], "rebalance");
                assert!(frame["afterMs"].as_u64().unwrap() < 1000, "{frame}");
                assert!(!asked, "asked twice");
                asked = true;
            }
            Some("notice") if frame["notice"]["id"] == id => return asked,
            _ => {}
        }
    }
}

async fn reaches_none_left(server: &Server) {
    eventually("nobody left to ask", async || {
        match rebalancing(server).await {
            0 => Ok(()),
            left => Err(left),
        }
    })
    .await;
}

fn asked_for(reason: &str) -> String {
    format!("notice_moves_asked_total{{reason=\"{reason}\"}}")
}

#[tokio::test]
async fn as_many_as_are_asked_for_move_those_who_are_here_for_longest_and_the_node_goes_on() {
    let server = Server::start();
    let mut sockets = connect(&server, 0..6).await;
    rebalance(&server, &json!({"sessions": 2, "windowSeconds": 0}))
        .await
        .expect(200);
    reaches_none_left(&server).await;
    let mut asked = Vec::new();
    for (account, socket) in sockets.iter_mut().enumerate() {
        asked.push(was_asked(&server, socket, account).await);
    }
    assert_eq!(asked, [true, true, false, false, false, false]);
    server.reaches_metric(&asked_for("rebalance"), 2.0).await;
    server.admin_get("/readyz").await.expect(200);
    server.connect("u7").await;
    assert_eq!(server.load().await["draining"], false);
}

#[tokio::test]
async fn whoever_was_asked_once_is_not_asked_again_and_not_closed() {
    let server = Server::start();
    let mut sockets = connect(&server, 0..3).await;
    for _ in 0..3 {
        // Each time the next one: the others were asked.
        let all = json!({"sessions": 1, "windowSeconds": 0});
        rebalance(&server, &all).await.expect(200);
        reaches_none_left(&server).await;
    }
    rebalance(&server, &json!({"sessions": 10, "windowSeconds": 0}))
        .await
        .expect(200);
    reaches_none_left(&server).await;
    for (account, socket) in sockets.iter_mut().enumerate() {
        assert!(was_asked(&server, socket, account).await, "u{account}");
    }
    server.reaches_metric(&asked_for("rebalance"), 3.0).await;
    assert_eq!(server.load().await["sessions"], 3);
    // A drain does close them, and does not ask them again either.
    server.drain(0).await.expect(200);
    for socket in &mut sockets {
        assert_eq!(socket.closed().await, Some(1012));
    }
    server.reaches_metric(&asked_for("drain"), 0.0).await;
}

#[tokio::test]
async fn the_load_tells_how_many_are_left_to_be_asked_and_stopping_asks_nobody_else() {
    let server = Server::start();
    let mut sockets = connect(&server, 0..4).await;
    // Over a day: the first may be asked at once, the others are not.
    let answer = rebalance(&server, &json!({"sessions": 4, "windowSeconds": 86_400})).await;
    assert!(answer.expect(200).json()["rebalancing"].as_u64().unwrap() >= 3);
    assert!(rebalancing(&server).await >= 3);
    assert!(server.metrics().await.value("notice_rebalancing") >= 3.0);
    let stop = Request::delete("/rebalance");
    stop.send(server.admin).await.expect(204);
    assert_eq!(rebalancing(&server).await, 0);
    stop.send(server.admin).await.expect(204);
    for (account, socket) in sockets.iter_mut().enumerate().skip(1) {
        assert!(!was_asked(&server, socket, account).await, "u{account}");
    }
}

#[tokio::test]
async fn a_second_call_takes_the_place_of_the_first() {
    let server = Server::start();
    let _sockets = connect(&server, 0..5).await;
    rebalance(&server, &json!({"sessions": 5, "windowSeconds": 86_400}))
        .await
        .expect(200);
    rebalance(&server, &json!({"sessions": 1, "windowSeconds": 0}))
        .await
        .expect(200);
    reaches_none_left(&server).await;
    let asked = server.metrics().await.value(&asked_for("rebalance"));
    assert!((1.0..=2.0).contains(&asked), "{asked}");
}

#[tokio::test]
async fn clients_that_know_no_move_are_closed_with_1012_only_if_the_caller_says_so() {
    let server = Server::start();
    let mut legacy = server.connect_legacy("u1").await;
    let all = json!({"sessions": 10, "windowSeconds": 0});
    rebalance(&server, &all).await.expect(200);
    reaches_none_left(&server).await;
    let id = server.stage("u1", "still here").await;
    let came = legacy.text().await;
    assert_eq!(came["id"], id);

    let legacy_too = json!({"sessions": 10, "windowSeconds": 0, "legacy": true});
    rebalance(&server, &legacy_too).await.expect(200);
    assert_eq!(legacy.closed().await, Some(1012));
    let closed = "notice_sessions_closed_total{reason=\"rebalanced\"}";
    server.reaches_metric(closed, 1.0).await;
    server.connect_legacy("u1").await;
}

#[tokio::test]
async fn a_client_that_moves_loses_nothing() {
    let server = Server::start();
    let mut old = server.connect("u1").await;
    let shown = server.stage("u1", "shown").await;
    assert_eq!(old.notice().await.id, shown);
    rebalance(&server, &json!({"sessions": 1, "windowSeconds": 0}))
        .await
        .expect(200);
    old.find("move").await;
    let mut new = server.connect("u1").await;
    let meanwhile = server.stage("u1", "meanwhile").await;
    old.close().await;
    let came = new.notices(2).await;
    let came: Vec<_> = came.into_iter().map(|notice| notice.id).collect();
    assert_eq!(came, [shown, meanwhile]);
}

#[tokio::test]
async fn a_draining_node_is_not_rebalanced_and_a_drain_ends_a_rebalance() {
    let server = Server::start();
    let _sockets = connect(&server, 0..3).await;
    rebalance(&server, &json!({"sessions": 3, "windowSeconds": 86_400}))
        .await
        .expect(200);
    server.drain(86_400).await.expect(200);
    assert_eq!(rebalancing(&server).await, 0);
    let answer = rebalance(&server, &json!({"sessions": 3})).await;
    answer.expect_problem(503, "DRAINING");
    server.undrain().await.expect(204);
    assert_eq!(rebalancing(&server).await, 0, "it does not go on");
}

#[tokio::test]
async fn a_wrong_body_moves_nobody() {
    let server = Server::start();
    let wrong = [
        json!({}),
        json!({"sessions": -1}),
        json!({"sessions": "1"}),
        json!({"sessions": 1, "windowSeconds": 86_401}),
        json!({"sessions": 1, "legacy": 1}),
        json!({"sessions": 1, "window": 1}),
        json!([1]),
        Value::Null,
    ];
    for body in wrong {
        let answer = rebalance(&server, &body).await;
        answer.expect_problem(400, "INVALID_ARGUMENT");
    }
    let nothing = Request::new("POST", "/rebalance").send(server.admin).await;
    nothing.expect_problem(400, "INVALID_ARGUMENT");
}
