//! SIGTERM and worse, and what is there afterwards.

use std::time::Duration;

use crate::support::{Connection, Folder, Handshake, Program, Request, Socket, in_time};
use serde_json::json;
use tokio::time::Instant;

/// Weakness 11: at a deploy every socket was cut at once.
#[tokio::test]
async fn sigterm_lets_clients_go_one_after_the_other_and_the_program_ends_well_when_it_is_empty() {
    const EACH: usize = 6;
    let folder = Folder::new();
    let server = Program::start(&folder, &[("NOTICE_DRAIN_WINDOW_SECONDS", "3")]).await;
    let token = server.token("u2").await;
    let mut leaving = Vec::new();
    for number in 0..EACH {
        let account = format!("u{number}");
        leaving.push(tokio::spawn(legacy_until_closed(
            server.connect_legacy(&account).await,
        )));
        leaving.push(tokio::spawn(v1_until_moved(server.connect(&account).await)));
    }
    let mut stays = server.connect("stays").await;
    server.terminate();
    assert_eq!(stays.expect("move").await["reason"], "drain");

    // While it drains it takes no sessions, but notices.
    let refused = Handshake::v1(&token).refused(server.public).await;
    refused.expect_problem(503, "DRAINING");
    server.admin_get("/readyz").await.expect(503);
    let undrain = server.undrain().await;
    undrain.expect_problem(503, "DRAINING");
    let during = server.stage("stays", "during the drain").await;
    assert_eq!(stays.notice().await.id, during);

    let mut times = Vec::new();
    for client in leaving {
        times.push(in_time("a client that leaves", client).await.unwrap());
    }
    assert_eq!(stays.closed().await, Some(1012));
    let exit = server.exit().await;
    assert_eq!(exit.status.code(), Some(0), "{}", exit.output);
    let (first, last) = (times.iter().min().unwrap(), times.iter().max().unwrap());
    assert!(
        *last - *first >= Duration::from_secs(1),
        "all within {:?}",
        *last - *first
    );

    let server = Program::start(&folder, &[]).await;
    let mut back = server.connect("stays").await;
    let notice = back.notice().await;
    assert_eq!((notice.id, notice.redelivered), (during, true));
}

async fn legacy_until_closed(mut socket: Socket) -> Instant {
    assert_eq!(socket.closed().await, Some(1012));
    Instant::now()
}

async fn v1_until_moved(mut socket: Socket) -> Instant {
    let request = socket.expect("move").await;
    assert!(request["afterMs"].is_u64(), "{request}");
    let asked = Instant::now();
    socket.close().await;
    asked
}

#[tokio::test]
async fn at_the_deadline_whoever_is_left_is_closed_with_1001() {
    let folder = Folder::new();
    let settings = [
        ("NOTICE_DRAIN_WINDOW_SECONDS", "0"),
        ("NOTICE_DRAIN_MARGIN_SECONDS", "1"),
    ];
    let server = Program::start(&folder, &settings).await;
    let mut client = server.connect("u2").await;
    server.terminate();
    client.expect("move").await;
    assert_eq!(client.closed().await, Some(1001));
    assert_eq!(server.exit().await.status.code(), Some(0));
}

#[tokio::test]
async fn a_second_sigterm_cuts_the_drain_short() {
    let folder = Folder::new();
    let server = Program::start(&folder, &[("NOTICE_DRAIN_WINDOW_SECONDS", "3600")]).await;
    let mut first = server.connect("u2").await;
    let mut second = server.connect("u3").await;
    server.terminate();
    // The first one is asked at once, so the drain has begun, and the other's turn is in half an hour.
    tokio::select! {
        _ = first.find("move") => {}
        _ = second.find("move") => {}
    }
    server.terminate();
    assert_eq!(first.closed().await, Some(1001));
    assert_eq!(second.closed().await, Some(1001));
    assert_eq!(server.exit().await.status.code(), Some(0));
}

#[tokio::test]
async fn without_sessions_sigterm_ends_the_program_at_once() {
    let folder = Folder::new();
    let server = Program::start(&folder, &[("NOTICE_DRAIN_WINDOW_SECONDS", "3600")]).await;
    server.terminate();
    assert_eq!(server.exit().await.status.code(), Some(0));
}

#[tokio::test]
async fn a_drain_that_was_begun_by_the_verb_is_gone_on_with_at_sigterm() {
    let folder = Folder::new();
    let server = Program::start(&folder, &[("NOTICE_DRAIN_WINDOW_SECONDS", "3600")]).await;
    let mut client = server.connect_legacy("u2").await;
    server.drain(0).await.expect(200);
    assert_eq!(client.closed().await, Some(1012));
    server.terminate();
    assert_eq!(server.exit().await.status.code(), Some(0));
}

#[tokio::test]
async fn after_a_kill_nothing_that_was_answered_is_lost_and_nothing_acknowledged_comes_again() {
    let folder = Folder::new();
    let server = Program::start(&folder, &[]).await;
    let token = server.token("u2").await;
    let mut client = Handshake::v1(&token).open(server.public).await;
    let ids = server.stage_many("u2", "message", 100).await;
    client.notices(100).await;
    // By a frame, seen to be read; and by a call, answered.
    client.ack(&ids[..20]).await;
    server.reaches_unread("u2", 80).await;
    assert_eq!(server.ack(&token, &ids[20..40]).await, 20);
    let once = json!({"receiverId": "u2", "message": "once", "idempotencyKey": "k"});
    let once_id = server.stage_body(&once).await;
    server.recall(&ids[99]).await.expect(204);
    server.kill().await;

    let server = Program::start(&folder, &[]).await;
    let repeated = server.try_stage(&once).await.expect(200).json();
    assert_eq!(repeated, json!({"id": once_id, "duplicate": true}));
    let mut client = Handshake::v1(&token).open(server.public).await;
    let came: Vec<_> = client
        .notices(60)
        .await
        .into_iter()
        .map(|notice| notice.id)
        .collect();
    let mut expected = ids[40..99].to_vec();
    expected.push(once_id);
    assert_eq!(came, expected);
    server.stage("u2", "new").await;
    assert_eq!(client.notice().await.message, "new");
}

#[tokio::test]
async fn a_kill_while_notices_are_staged_at_full_speed_loses_none_that_was_answered() {
    let folder = Folder::new();
    let server = Program::start(&folder, &[]).await;
    let api = server.api();
    let senders: Vec<_> = (0..3)
        .map(|sender| {
            let api = api.clone();
            tokio::spawn(async move {
                let mut connection = Connection::open(api.public).await.unwrap();
                let mut answered = Vec::new();
                // Until the server is gone.
                loop {
                    let message = format!("{sender} {}", answered.len());
                    let body = json!({"receiverId": "u2", "message": message});
                    let request = Request::post("/notice/notices", &body).bearer(&api.key);
                    match connection.call(&request).await {
                        Ok(answer) => answered.push(answer.expect(201).json()["id"].clone()),
                        Err(_) => return answered,
                    }
                }
            })
        })
        .collect();
    crate::support::eventually("some notices", async || match server.unread("u2").await {
        200.. => Ok(()),
        few => Err(few),
    })
    .await;
    server.kill().await;
    let mut answered = Vec::new();
    for sender in senders {
        answered.extend(sender.await.unwrap());
    }

    let server = Program::start(&folder, &[]).await;
    let token = server.token("u2").await;
    let mut there = Vec::new();
    loop {
        let before = there
            .last()
            .map_or(String::new(), |id| format!("&before={id}"));
        let page = server.inbox(&token, &format!("?limit=200{before}")).await;
        if page.is_empty() {
            break;
        }
        there.extend(page.into_iter().map(|notice| notice.id));
    }
    let lost: Vec<_> = answered
        .iter()
        .filter(|id| !there.iter().any(|there| *id == there))
        .collect();
    assert!(lost.is_empty(), "lost {lost:?} of {}", answered.len());
}
