//! One client, whatever carries its session: what the suites need that run over every transport.

use std::collections::VecDeque;
use std::net::SocketAddr;

use serde_json::Value;

use super::api::Api;
use super::events::{Events, Listen};
use super::http::{Connection, Request};
use super::notice::Notice;
use super::socket::{Handshake, Socket};
use super::wait::in_time;

/// What carries a session, and how it acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// A WebSocket in `notice.v1`.
    V1,
    /// A WebSocket as the source design has it.
    Legacy,
    /// An event stream, whose notices are read once its connection has taken them.
    Stream,
    /// An event stream that acknowledges by `POST /ack`.
    StrictStream,
    /// Long polls.
    LongPoll,
    /// Short polls.
    ShortPoll,
}

impl Carrier {
    /// Whether the client acknowledges.
    pub fn is_explicit(self) -> bool {
        !matches!(self, Self::Legacy | Self::Stream)
    }

    /// Whether the client is told of what is no notice.
    pub fn is_told(self) -> bool {
        self != Self::Legacy
    }
}

/// What a client is told of notices that it may show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// `read` or `recall`.
    pub what: &'static str,
    /// Of which.
    pub ids: Vec<String>,
}

#[derive(Debug)]
enum Wire {
    Socket(Socket),
    Stream(Events),
    Poll { wait: u64, name: String },
}

/// A client with one session.
#[derive(Debug)]
pub struct Device {
    address: SocketAddr,
    token: String,
    carrier: Carrier,
    wire: Wire,
    notices: VecDeque<Notice>,
    told: VecDeque<Told>,
    /// To be acknowledged with the next poll.
    acks: Vec<String>,
    /// What a poller had: it is answered until it is acknowledged, and must be dropped.
    known: Vec<String>,
}

impl Device {
    /// A new session of an account.
    pub async fn connect(api: &Api, account: &str, carrier: Carrier) -> Self {
        let token = api.token(account).await;
        Self::open(api.public, &token, carrier).await
    }

    /// A new session by this token.
    pub async fn open(address: SocketAddr, token: &str, carrier: Carrier) -> Self {
        let wire = match carrier {
            Carrier::V1 => Wire::Socket(Handshake::v1(token).open(address).await),
            Carrier::Legacy => Wire::Socket(Handshake::legacy(token).open(address).await),
            Carrier::Stream => Wire::Stream(Listen::with(token).open(address).await),
            Carrier::StrictStream => Wire::Stream(Listen::with(token).strict().open(address).await),
            Carrier::LongPoll | Carrier::ShortPoll => Wire::Poll {
                wait: if carrier == Carrier::LongPoll { 20 } else { 0 },
                // Of one account's devices each has a token of its own.
                name: "device".to_owned(),
            },
        };
        let mut device = Self::of(address, token, carrier, wire);
        if let Wire::Poll { name, .. } = &device.wire {
            // Online from its first answer on.
            let name = name.clone();
            device.poll(0, &name).await;
        }
        device
    }

    /// A new session over a stream whose client's kernel takes so many bytes ahead.
    pub async fn slow_stream(
        address: SocketAddr,
        token: &str,
        carrier: Carrier,
        receive_buffer: u32,
    ) -> Self {
        let mut listen = Listen::with(token).receive_buffer(receive_buffer);
        if carrier.is_explicit() {
            listen = listen.strict();
        }
        let events = listen.open(address).await;
        Self::of(address, token, carrier, Wire::Stream(events))
    }

    fn of(address: SocketAddr, token: &str, carrier: Carrier, wire: Wire) -> Self {
        Self {
            address,
            token: token.to_owned(),
            carrier,
            wire,
            notices: VecDeque::new(),
            told: VecDeque::new(),
            acks: Vec::new(),
            known: Vec::new(),
        }
    }

    /// At another node from now on: a poller's next request goes there, others open another session.
    pub fn poll_at(&mut self, address: SocketAddr) {
        assert!(matches!(self.wire, Wire::Poll { .. }), "{self:?}");
        self.address = address;
    }

    /// The next notice, which must come, and which it has not had before.
    pub async fn notice(&mut self) -> Notice {
        in_time("a notice", async {
            loop {
                if let Some(notice) = self.notices.pop_front() {
                    return notice;
                }
                self.read_on().await;
            }
        })
        .await
    }

    /// The messages of so many notices, each acknowledged when it has come.
    pub async fn messages(&mut self, count: usize) -> Vec<String> {
        let mut messages = Vec::with_capacity(count);
        while messages.len() < count {
            let notice = self.notice().await;
            self.ack(&[&notice.id]).await;
            messages.push(notice.message);
        }
        messages
    }

    /// What it is told next of notices that it may show.
    pub async fn told(&mut self) -> Told {
        in_time("a read or a recall", async {
            loop {
                if let Some(told) = self.told.pop_front() {
                    return told;
                }
                self.read_on().await;
            }
        })
        .await
    }

    /// Acknowledges as its transport does; where the server does it by itself, nothing is to be done.
    pub async fn ack(&mut self, ids: &[&str]) {
        if !self.carrier.is_explicit() {
            return;
        }
        match &mut self.wire {
            Wire::Socket(socket) => socket.ack(ids).await,
            Wire::Stream(_) => {
                let body = serde_json::json!({ "ids": ids });
                let request = Request::post("/notice/ack", &body).bearer(&self.token);
                request.send(self.address).await.expect(200);
            }
            Wire::Poll { .. } => self.acks.extend(ids.iter().map(|&id| id.to_owned())),
        }
    }

    /// Waits until all that its account has is read: a poller says at once what it would say with its next poll, and
    /// a legacy client goes on reading, for its answers to pings are what it acknowledges by.
    pub async fn reads_all(&mut self, api: &Api, account: &str) {
        if let Wire::Poll { name, .. } = &self.wire {
            let name = name.clone();
            self.poll(0, &name).await;
        }
        let mut all_read = std::pin::pin!(api.reaches_unread(account, 0));
        loop {
            tokio::select! {
                () = &mut all_read => return,
                () = self.read_on(), if self.carrier == Carrier::Legacy => {}
            }
        }
    }

    async fn read_on(&mut self) {
        match &mut self.wire {
            Wire::Socket(socket) => {
                let json = socket.text().await;
                self.take_frame(&json);
            }
            Wire::Stream(events) => {
                let event = events.event_or_end().await.expect("the stream ended");
                match event.name.as_str() {
                    "notice" => self.notices.push_back(Notice::read(&event.data)),
                    "read" => self.hears("read", &event.data["ids"]),
                    "recall" => self.hears("recall", &event.data["ids"]),
                    other => panic!("an event {other}"),
                }
            }
            Wire::Poll { wait, name } => {
                let (wait, name) = (*wait, name.clone());
                self.poll(wait, &name).await;
            }
        }
    }

    fn take_frame(&mut self, json: &Value) {
        match json["type"].as_str() {
            Some("notice") => self.notices.push_back(Notice::read(&json["notice"])),
            Some("read") => self.hears("read", &json["ids"]),
            Some("recall") => self.hears("recall", &json["ids"]),
            _ => self.notices.push_back(Notice::read(json)),
        }
    }

    fn hears(&mut self, what: &'static str, ids: &Value) {
        let ids = serde_json::from_value(ids.clone()).unwrap_or_default();
        self.told.push_back(Told { what, ids });
    }

    async fn poll(&mut self, wait: u64, name: &str) {
        let acks = std::mem::take(&mut self.acks).join(",");
        let path = format!("/notice/poll?wait={wait}&session={name}&ack={acks}&limit=128");
        let mut connection = Connection::open(self.address).await.unwrap();
        let answer = connection
            .call(&Request::get(path).bearer(&self.token))
            .await;
        let answer = answer.unwrap().expect(200).json();
        for notice in answer["notices"].as_array().unwrap() {
            let notice = Notice::read(notice);
            if !self.known.contains(&notice.id) {
                self.known.push(notice.id.clone());
                self.notices.push_back(notice);
            }
        }
        for (what, list) in [("read", "read"), ("recall", "recalled")] {
            if let Some(ids) = answer.get(list) {
                self.hears(what, ids);
            }
        }
    }
}
