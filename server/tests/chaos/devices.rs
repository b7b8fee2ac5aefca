//! Clients that stay online whatever happens: they come back at another node, acknowledge everything, move when they
//! are asked to, and drop repeated ids.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::book::{Book, End};
use super::roads::{Backoff, Roads};
use crate::support::{Frame, Handshake, Notice, Random, SessionLog, Socket};

/// Without any frame for so long a client takes its node for gone: shorter than a node hangs, and several pings long,
/// since a busy machine is late with one.
const SILENCE: Duration = Duration::from_secs(25);

/// How often the nodes ping, and how long they wait for the pong, which is no longer. Every client here answers: on a
/// busy machine later.
pub(crate) const PING_SECONDS: &str = "10";

/// For a handshake, and for the farewell of a session that was left.
const PATIENCE: Duration = Duration::from_secs(10);

/// One client of an account.
pub(crate) struct Device {
    pub(crate) account: String,
    pub(crate) name: String,
    pub(crate) token: String,
    pub(crate) v1: bool,
    pub(crate) random: Random,
    pub(crate) roads: Arc<Roads>,
    pub(crate) book: Arc<Book>,
    pub(crate) over: watch::Receiver<bool>,
    pub(crate) seen: HashSet<String>,
    pub(crate) sessions: usize,
}

/// A session of a device.
struct Live {
    place: usize,
    socket: Socket,
    log: SessionLog,
    /// When it is to go to another node.
    moves: Option<Instant>,
}

/// What a session is to do next.
enum Next {
    Listen,
    Move,
    End(End),
    Over,
}

impl Device {
    pub(crate) async fn live(mut self) {
        let mut session = self.connect(None).await;
        while let Some(mut live) = session.take() {
            session = match self.listen(&mut live).await {
                Next::End(end) => {
                    let from = live.place;
                    self.keep(live, end);
                    self.connect(Some(from)).await
                }
                Next::Move => {
                    let next = self.connect(Some(live.place)).await;
                    let end = self.leave(&mut live).await;
                    self.keep(live, end);
                    next
                }
                Next::Listen | Next::Over => {
                    self.book.ledger.keep(live.log);
                    live.socket.close().await;
                    None
                }
            };
        }
    }

    fn keep(&self, live: Live, end: End) {
        self.book.ended(live.place, self.v1, end);
        self.book.ledger.keep(live.log);
    }

    /// Connects, never to the node that it has just left or tried; none when it is over.
    async fn connect(&mut self, from: Option<usize>) -> Option<Live> {
        let mut backoff = Backoff::new();
        let mut avoided = from;
        while !*self.over.borrow() {
            let place = self.random.below(self.roads.count());
            if Some(place) == avoided {
                continue;
            }
            avoided = Some(place);
            let handshake = if self.v1 {
                Handshake::v1(&self.token)
            } else {
                Handshake::legacy(&self.token)
            };
            let attempt = handshake.attempt(self.roads.api(place).public);
            match timeout(PATIENCE, attempt).await {
                Ok(Ok(Ok(socket))) => return Some(self.begin(place, socket)),
                Ok(Ok(Err(answer))) => self.book.connection_refused(answer.status),
                Ok(Err(_)) | Err(_) => self.book.connection_refused(0),
            }
            sleep(backoff.next(&mut self.random)).await;
        }
        None
    }

    fn begin(&mut self, place: usize, socket: Socket) -> Live {
        self.sessions += 1;
        let name = format!("{}, session {} at node {place}", self.name, self.sessions);
        Live {
            place,
            socket,
            log: SessionLog::new(name, &self.account),
            moves: None,
        }
    }

    async fn listen(&mut self, live: &mut Live) -> Next {
        let mut over = self.over.clone();
        loop {
            let next = tokio::select! {
                _ = over.wait_for(|over| *over) => Next::Over,
                next = self.step(live) => next,
            };
            if !matches!(next, Next::Listen) {
                return next;
            }
        }
    }

    /// Waits for one frame.
    async fn step(&mut self, live: &mut Live) -> Next {
        let silent = Instant::now() + SILENCE;
        let until = live.moves.unwrap_or(silent).min(silent);
        match timeout_at(until, live.socket.frame()).await {
            Err(_) if live.moves.is_some_and(|at| at <= Instant::now()) => Next::Move,
            Err(_) => Next::End(End::Silent),
            Ok(Ok(Some(frame))) => self.take(live, frame).await,
            Ok(Ok(None) | Err(_)) => Next::End(End::Broken),
        }
    }

    async fn take(&mut self, live: &mut Live, frame: Frame) -> Next {
        let json = match frame {
            Frame::Text(json) => json,
            Frame::Close(code) => return Next::End(code.map_or(End::Broken, End::Code)),
            Frame::Ping(_) | Frame::Pong(_) => return Next::Listen,
        };
        let taken = match json["type"].as_str() {
            Some("notice") => self.notice(live, &json["notice"]).await,
            None => self.notice(live, &json).await,
            Some("move") => {
                let after = Duration::from_millis(json["afterMs"].as_u64().unwrap());
                live.moves = Some(Instant::now() + after);
                Ok(())
            }
            Some(_) => Ok(()),
        };
        match taken {
            Ok(()) => Next::Listen,
            Err(_) => Next::End(End::Broken),
        }
    }

    async fn notice(&mut self, live: &mut Live, json: &Value) -> io::Result<()> {
        let notice = Notice::read(json);
        let double = !self.seen.insert(notice.id.clone());
        self.book.receipt(&notice.id, double);
        let ack = json!({"type": "ack", "ids": [notice.id]});
        live.log.received(notice);
        if self.v1 {
            live.socket.send_text(&ack.to_string()).await?;
        }
        Ok(())
    }

    /// Closes a session whose follower is there, and takes what still comes.
    async fn leave(&mut self, live: &mut Live) -> End {
        const CLOSE: u8 = 8;
        let close = 1000_u16.to_be_bytes();
        if live.socket.send_frame(CLOSE, &close).await.is_err() {
            return End::Broken;
        }
        let left = async {
            loop {
                match self.step(live).await {
                    Next::End(End::Code(1000)) => return End::Moved,
                    Next::End(end) => return end,
                    _ => {}
                }
            }
        };
        timeout(PATIENCE, left).await.unwrap_or(End::Silent)
    }
}
