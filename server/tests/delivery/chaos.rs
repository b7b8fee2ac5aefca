//! Everything at once, by chance that can be repeated: senders at full speed, devices that acknowledge a part, in any
//! order, and come and go. In the end the ledger must be even.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use crate::support::{
    Api, Connection, Handshake, Ledger, Notice, Random, Request, Server, SessionLog, Socket,
};

const ACCOUNTS: [&str; 3] = ["passenger", "driver", "dispatcher"];
const SENDERS: [&str; 3] = ["s1", "s2", "s3"];
/// Of each sender to each account.
const NOTICES: u64 = 150;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    V1,
    LegacyAck,
    LegacyPong,
}

#[tokio::test]
async fn nothing_is_lost_doubled_or_out_of_order_with_seed_1() {
    run(1, "128").await;
}

#[tokio::test]
async fn nothing_is_lost_doubled_or_out_of_order_with_seed_2_and_a_small_window() {
    run(2, "5").await;
}

#[tokio::test]
async fn nothing_is_lost_doubled_or_out_of_order_with_seed_3_and_a_window_of_one() {
    run(3, "1").await;
}

async fn run(seed: u64, window: &str) {
    let server = Server::with(&[("NOTICE_DELIVERY_WINDOW", window)]);
    let ledger = Arc::new(Ledger::default());
    let over = Arc::new(AtomicBool::new(false));
    let mut devices = Vec::new();
    for (place, account) in ACCOUNTS.iter().enumerate() {
        for (number, kind) in [Kind::V1, Kind::V1, Kind::LegacyAck, Kind::LegacyPong]
            .into_iter()
            .enumerate()
        {
            let device = Device {
                api: server.api(),
                token: server.token(account).await,
                account,
                kind,
                random: Random::seeded(seed * 1000 + (place * 10 + number) as u64),
                ledger: Arc::clone(&ledger),
                over: Arc::clone(&over),
            };
            devices.push(tokio::spawn(device.live()));
        }
    }
    let senders =
        SENDERS.map(|sender| tokio::spawn(send(server.api(), sender, Arc::clone(&ledger))));
    for sender in senders {
        sender.await.unwrap();
    }
    for account in ACCOUNTS {
        server.reaches_unread(account, 0).await;
    }
    over.store(true, Ordering::Relaxed);
    for device in devices {
        device.await.unwrap();
    }
    ledger.check();
}

/// One sender: one notice after the other, to each account in turn.
async fn send(api: Api, sender: &str, ledger: Arc<Ledger>) {
    let mut connection = Connection::open(api.public).await.unwrap();
    for number in 0..NOTICES {
        for account in ACCOUNTS {
            let message = ledger.attempt(account, sender, number);
            let body = json!({"receiverId": account, "senderId": sender, "message": message});
            let request = Request::post("/notice/notices", &body).bearer(&api.key);
            let answer = connection.call(&request).await.unwrap().expect(201).json();
            ledger.answered(account, sender, number, answer["id"].as_str().unwrap());
        }
    }
}

/// One device: session after session.
struct Device {
    api: Api,
    token: String,
    account: &'static str,
    kind: Kind,
    random: Random,
    ledger: Arc<Ledger>,
    over: Arc<AtomicBool>,
}

impl Device {
    async fn live(mut self) {
        let mut number = 0;
        while !self.over.load(Ordering::Relaxed) {
            let name = format!("{} {:?} {number}", self.account, self.kind);
            let mut log = SessionLog::new(name, self.account);
            let socket = self.connect().await;
            self.session(socket, &mut log).await;
            self.ledger.keep(log);
            number += 1;
        }
    }

    async fn connect(&self) -> Socket {
        let handshake = match self.kind {
            Kind::V1 => Handshake::v1(&self.token),
            Kind::LegacyAck => Handshake::legacy(&self.token).query("ack=client"),
            Kind::LegacyPong => Handshake::legacy(&self.token),
        };
        handshake.open(self.api.public).await
    }

    /// One session, until chance or the test ends it.
    async fn session(&mut self, mut socket: Socket, log: &mut SessionLog) {
        let mut shown: Vec<String> = Vec::new();
        loop {
            // Nothing came for a moment: the device catches up with its acknowledgements.
            let Ok(frame) = timeout(Duration::from_millis(30), socket.text_or_end()).await else {
                self.acknowledge(&mut socket, std::mem::take(&mut shown))
                    .await;
                if self.over.load(Ordering::Relaxed) {
                    return socket.close().await;
                }
                continue;
            };
            let frame = frame.unwrap_or_else(|code| panic!("closed with {code:?}"));
            let notice = match frame["type"].as_str() {
                Some("read") => continue,
                Some("notice") => Notice::read(&frame["notice"]),
                _ => Notice::read(&frame),
            };
            shown.push(notice.id.clone());
            log.received(notice);
            if self.random.chance(20) {
                let count = self.random.below(shown.len() + 1);
                let some = (0..count)
                    .map(|_| shown.swap_remove(self.random.below(shown.len())))
                    .collect();
                self.acknowledge(&mut socket, some).await;
            }
            if self.random.chance(2) {
                // Half of them leave as they should, the others are just gone.
                if self.random.chance(50) {
                    socket.close().await;
                }
                return;
            }
        }
    }

    async fn acknowledge(&self, socket: &mut Socket, ids: Vec<String>) {
        match self.kind {
            _ if ids.is_empty() => {}
            Kind::V1 => socket.ack(&ids).await,
            Kind::LegacyAck => socket.send(&json!({"ack": ids})).await,
            Kind::LegacyPong => {}
        }
    }
}
