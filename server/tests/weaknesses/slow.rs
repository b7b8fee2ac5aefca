//! Weakness 8: clients that do not read.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::support::{Folder, Handshake, Program, Server};

/// A server that does not take a client for dead within a test.
const PATIENT: [(&str, &str); 2] = [
    ("NOTICE_DELIVERY_PING_SECONDS", "3600"),
    ("NOTICE_DELIVERY_PONG_TIMEOUT_SECONDS", "600"),
];

/// Weakness 8: writing to a client that does not read blocked the pushes to everyone (46 of 300 were lost, others waited
/// 20 s).
#[tokio::test]
async fn a_client_that_stops_reading_slows_nobody_and_gets_everything_when_it_reads_on() {
    let alone = slowest_push(false).await;
    let beside = slowest_push(true).await;
    let bound = alone * 10 + Duration::from_secs(2);
    assert!(
        beside < bound,
        "{beside:?} beside a stalled client, {alone:?} without"
    );
}

/// How long the slowest of some pushes takes, to clients that read, with or without one beside them that does not.
async fn slowest_push(with_stalled: bool) -> Duration {
    const ROUNDS: usize = 60;
    let text = "x".repeat(30_000);
    let server = Server::with(&PATIENT);
    let mut readers = Vec::new();
    for number in 0..5 {
        readers.push((
            format!("reader-{number}"),
            server.connect(&format!("reader-{number}")).await,
        ));
    }
    let token = server.token("stalled").await;
    let mut stalled = Handshake::v1(&token)
        .receive_buffer(65_536)
        .open(server.public)
        .await;
    let mut expected = Vec::new();
    let mut slowest = Duration::ZERO;
    for round in 0..ROUNDS {
        if with_stalled {
            let body = json!({"receiverId": "stalled", "message": format!("{round} {text}")});
            expected.push(server.stage_body(&body).await);
        }
        for (account, reader) in &mut readers {
            let begun = Instant::now();
            let id = server.stage(account, "hello").await;
            assert_eq!(reader.notice().await.id, id);
            slowest = slowest.max(begun.elapsed());
            reader.ack(&[id]).await;
        }
    }
    // 1.8 MB wait: far more than the socket takes. It reads on, and everything comes.
    for id in expected {
        let notice = stalled.notice().await;
        assert_eq!(notice.id, id);
        stalled.ack(&[id]).await;
    }
    slowest
}

/// Weakness 8: a client that does not read costs a bounded mailbox, not all that is meant for it. (Notices that are never
/// stored show it best: the memory is then the mailboxes' alone. What is stored waits in the inbox.)
#[tokio::test]
async fn clients_that_stop_reading_do_not_fill_the_memory() {
    const ACCOUNTS: usize = 20;
    let folder = Folder::new();
    let server = Program::start(&folder, &PATIENT).await;
    let receivers: Vec<_> = (0..ACCOUNTS)
        .map(|number| format!("stalled-{number}"))
        .collect();
    let mut stalled = Vec::new();
    for receiver in &receivers {
        let token = server.token(receiver).await;
        let handshake = Handshake::v1(&token).receive_buffer(65_536);
        stalled.push(handshake.open(server.public).await);
    }
    let text = "x".repeat(60_000);
    let body = json!({"receiverIds": receivers, "message": text, "ttlSeconds": 0});
    let stage = async |calls: usize| {
        for _ in 0..calls {
            server.try_stage(&body).await.expect(200);
        }
        server.resident_bytes()
    };
    // The first ones fill the sockets and the mailboxes.
    let full = stage(20).await;
    let growth = stage(100).await.saturating_sub(full);
    let staged = 100 * ACCOUNTS * text.len();
    assert!(
        growth < staged as u64 / 4,
        "{growth} bytes more for {staged} bytes staged"
    );
    // It costs them nothing but what was dropped: they read on, and get what is new.
    for (receiver, client) in receivers.iter().zip(&mut stalled) {
        let id = server.stage(receiver, "new").await;
        while client.notice().await.id != id {}
    }
}
