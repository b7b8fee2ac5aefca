//! Weaknesses 11 and 12: deploys, and seeing what happens.

use std::time::Duration;

use tokio::time::Instant;

use crate::support::{Server, Socket, in_time};

/// Weakness 11: a deploy cut every socket at once, and nothing told the clients where to go.
#[tokio::test]
async fn a_drain_asks_clients_to_move_one_after_the_other_and_loses_nothing() {
    const CLIENTS: usize = 10;
    let server = Server::start();
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let account = format!("u{number}");
        let v1 = number % 2 == 0;
        let socket = if v1 {
            server.connect(&account).await
        } else {
            server.connect_legacy(&account).await
        };
        clients.push(tokio::spawn(leave_when_asked(socket, v1)));
    }
    server.drain(3).await.expect(200);
    let mut times = Vec::new();
    for client in clients {
        times.push(in_time("a client that leaves", client).await.unwrap());
    }
    let first = times.iter().min().unwrap();
    let last = times.iter().max().unwrap();
    assert!(
        *last - *first >= Duration::from_secs(1),
        "all within {:?}",
        *last - *first
    );
    for number in 0..CLIENTS {
        server
            .stage(&format!("u{number}"), "during the drain")
            .await;
    }
    server.undrain().await.expect(204);
    for number in 0..CLIENTS {
        let mut client = server.connect(&format!("u{number}")).await;
        assert_eq!(client.notice().await.message, "during the drain");
    }
}

/// When the server asked the client to leave: by `move`, or by the only way that a legacy client knows.
async fn leave_when_asked(mut socket: Socket, v1: bool) -> Instant {
    if v1 {
        let request = socket.expect("move").await;
        assert_eq!(request["reason"], "drain", "{request}");
        assert!(request["afterMs"].as_u64().unwrap() < 5000, "{request}");
        let asked = Instant::now();
        socket.close().await;
        asked
    } else {
        assert_eq!(socket.closed().await, Some(1012));
        Instant::now()
    }
}

/// Weakness 12: no metrics.
#[tokio::test]
async fn metrics_tell_what_is_online_how_fast_pushes_are_and_whether_any_are_late() {
    let server = Server::start();
    let mut client = server.connect("u2").await;
    let id = server.stage("u2", "hello").await;
    client.notice().await;
    client.ack(&[&id]).await;
    server.reaches_metric("notice_read_total", 1.0).await;
    let metrics = server.metrics().await;
    let expected = [
        ("notice_online_sessions{transport=\"websocket\"}", 1.0),
        ("notice_online_accounts", 1.0),
        ("notice_staged_total{source=\"service\"}", 1.0),
        ("notice_push_lag_seconds_count{path=\"live\"}", 1.0),
        ("notice_read_lag_seconds_count", 1.0),
        ("notice_oldest_unpushed_seconds", 0.0),
    ];
    for (sample, value) in expected {
        assert!(
            (metrics.value(sample) - value).abs() < 1e-9,
            "{sample}: {metrics:?}"
        );
    }
}
