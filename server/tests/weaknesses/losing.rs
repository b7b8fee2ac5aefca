//! Weaknesses 1, 2 and 10: what the design lost or doubled.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::interval;

use crate::support::{
    Api, Connection, Folder, Handshake, Ledger, Notice, Program, Request, Server, SessionLog,
    Socket,
};

/// Weakness 1: what was inserted between finding the unread notices and marking them read was never pushed.
#[tokio::test]
async fn nothing_staged_at_full_speed_is_marked_read_without_having_been_received() {
    const ACCOUNTS: usize = 10;
    const NOTICES: u64 = 100;
    let server = Server::start();
    let ledger = Arc::new(Ledger::default());
    let mut clients = Vec::new();
    for number in 0..ACCOUNTS {
        let account = format!("account-{number}");
        let socket = server.connect_legacy(&account).await;
        clients.push(tokio::spawn(receive_until_closed(
            socket,
            account,
            Arc::clone(&ledger),
        )));
    }
    let senders = ["s1", "s2", "s3", "s4"].map(|sender| {
        let (api, ledger) = (server.api(), Arc::clone(&ledger));
        tokio::spawn(async move {
            let mut connection = Connection::open(api.public).await.unwrap();
            for number in 0..NOTICES {
                for account in 0..ACCOUNTS {
                    let account = format!("account-{account}");
                    stage_line(&mut connection, &api, &ledger, &account, sender, number).await;
                }
            }
        })
    });
    for sender in senders {
        sender.await.unwrap();
    }
    for number in 0..ACCOUNTS {
        let account = format!("account-{number}");
        server.reaches_unread(&account, 0).await;
        server
            .service_delete(&format!("/accounts/{account}/sessions"))
            .await
            .expect(204);
    }
    for client in clients {
        client.await.unwrap();
    }
    ledger.check();
}

async fn stage_line(
    connection: &mut Connection,
    api: &Api,
    ledger: &Ledger,
    receiver: &str,
    sender: &str,
    number: u64,
) {
    let message = ledger.attempt(receiver, sender, number);
    let body = json!({"receiverId": receiver, "senderId": sender, "message": message});
    let request = Request::post("/notice/notices", &body).bearer(&api.key);
    let answer = connection.call(&request).await.unwrap().expect(201).json();
    ledger.answered(receiver, sender, number, answer["id"].as_str().unwrap());
}

async fn receive_until_closed(mut socket: Socket, account: String, ledger: Arc<Ledger>) {
    let mut log = SessionLog::new(&account, &account);
    while let Ok(frame) = socket.text_or_end().await {
        log.received(Notice::read(&frame));
    }
    ledger.keep(log);
}

/// Weakness 2: notices were marked read before the push, so a broken socket lost the batch.
#[tokio::test]
async fn a_socket_that_breaks_in_the_middle_of_a_batch_loses_nothing() {
    let server = Server::start();
    let token = server.token("u2").await;
    let staged = server.stage_many("u2", "message", 300).await;
    let mut breaking = Handshake::legacy(&token).open(server.public).await;
    breaking.answer_pings(false);
    breaking.notices(20).await;
    drop(breaking);
    server.reaches_sessions("u2", 0).await;
    assert_eq!(server.unread("u2").await, 300);
    let mut later = Handshake::legacy(&token).open(server.public).await;
    let received: Vec<_> = later
        .notices(300)
        .await
        .into_iter()
        .map(|notice| notice.id)
        .collect();
    assert_eq!(received, staged);
}

/// Weakness 2: a server that was killed in a batch of 1,000 lost 999 of them.
#[tokio::test]
async fn a_server_that_is_killed_in_the_middle_of_a_batch_loses_nothing() {
    let folder = Folder::new();
    let server = Program::start(&folder, &[]).await;
    let token = server.token("u2").await;
    let mut client = Handshake::legacy(&token).open(server.public).await;
    client.answer_pings(false);
    let staged = server.stage_many("u2", "message", 1000).await;
    client.notices(10).await;
    server.kill().await;

    let server = Program::start(&folder, &[]).await;
    let mut client = Handshake::legacy(&token).open(server.public).await;
    let received: Vec<_> = client
        .notices(1000)
        .await
        .into_iter()
        .map(|notice| notice.id)
        .collect();
    assert_eq!(received, staged);
}

/// Weakness 2: a suspended phone, which neither reads nor answers for ten seconds and then is gone, lost all that was
/// sent meanwhile (547 of 800).
#[tokio::test]
async fn a_phone_that_is_suspended_under_load_and_then_gone_loses_nothing_and_gets_nothing_again() {
    const BEFORE: usize = 50;
    const WHILE: usize = 800;
    let server = Server::start();
    let token = server.token("u2").await;
    let mut phone = Handshake::legacy(&token)
        .receive_buffer(4096)
        .open(server.public)
        .await;
    let before = server.stage_many("u2", "before", BEFORE).await;
    phone.notices(BEFORE).await;
    // Its system answers the last ping, and from then on nothing.
    let last = before.last().unwrap();
    let awake = async { while phone.frame().await.unwrap().is_some() {} };
    tokio::select! {
        () = awake => panic!("closed"),
        _ = server.reaches_state(last, "read") => {}
    }
    phone.answer_pings(false);

    let mut ticks = interval(Duration::from_millis(250));
    let mut staged = Vec::new();
    while staged.len() < WHILE {
        ticks.tick().await;
        staged.extend(server.stage_many("u2", "while suspended", 20).await);
    }
    assert_eq!(server.unread("u2").await, WHILE as u64);
    drop(phone);

    let mut phone = Handshake::legacy(&token).open(server.public).await;
    let received: Vec<_> = phone
        .notices(WHILE)
        .await
        .into_iter()
        .map(|notice| notice.id)
        .collect();
    assert_eq!(received, staged);
}

/// Weakness 10: no acknowledgement and no idempotency, so that a retry of the staging call doubled the notice.
#[tokio::test]
async fn a_retried_staging_call_is_received_once_and_what_is_not_acknowledged_comes_again() {
    let server = Server::start();
    let mut client = server.connect("u2").await;
    let body = json!({"receiverId": "u2", "message": "accepted", "idempotencyKey": "ride-7"});
    // The caller's connection breaks before it has read the answer; it cannot know, and calls again.
    let request = Request::post("/notice/notices", &body).bearer(&server.key);
    let mut breaking = Connection::open(server.public).await.unwrap();
    breaking.write(&request.bytes()).await.unwrap();
    let first = client.notice().await;
    drop(breaking);
    let again = request.send(server.public).await.expect(200).json();
    assert_eq!(again, json!({"id": first.id, "duplicate": true}));
    drop(client);

    let mut client = server.connect("u2").await;
    let redelivered = client.notice().await;
    assert_eq!(
        (&redelivered.id, redelivered.redelivered),
        (&first.id, true)
    );
    client.ack(&[&first.id]).await;
    server.reaches_state(&first.id, "read").await;
    client.close().await;
    let mut client = server.connect("u2").await;
    server.stage("u2", "new").await;
    assert_eq!(client.notice().await.message, "new");
}
