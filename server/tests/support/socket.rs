//! A WebSocket client with no will of its own: it reads when it is told to, and answers pings only as it is told. It
//! keeps to RFC 6455 strictly where the server is concerned, and not at all where the test wants to break it.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Buf as _;
use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};

use super::http::{Request, Response};
use super::notice::Notice;
use super::wait::in_time;
use super::wire::Wire;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const SALT: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// What a client asks for when it connects.
#[derive(Debug, Clone)]
pub struct Handshake {
    path: String,
    query: Vec<String>,
    headers: Vec<(String, String)>,
    version: Option<String>,
    receive_buffer: Option<u32>,
    behind: Vec<u8>,
    v1: bool,
}

impl Handshake {
    /// Without a token and without a subprotocol.
    pub fn bare() -> Self {
        Self {
            path: "/notice/ws/socket".to_owned(),
            query: Vec::new(),
            headers: Vec::new(),
            version: Some("13".to_owned()),
            receive_buffer: None,
            behind: Vec::new(),
            v1: false,
        }
    }

    /// `notice.v1`, the token beside it as browsers send it.
    pub fn v1(token: &str) -> Self {
        let item = URL_SAFE_NO_PAD.encode(token);
        let mut handshake =
            Self::bare().header("sec-websocket-protocol", format!("notice.v1, token.{item}"));
        handshake.v1 = true;
        handshake
    }

    /// `notice.v1` without a token.
    pub fn v1_bare() -> Self {
        let mut handshake = Self::bare().header("sec-websocket-protocol", "notice.v1");
        handshake.v1 = true;
        handshake
    }

    /// As the source design's clients: the token in the query, no subprotocol.
    pub fn legacy(token: &str) -> Self {
        Self::bare().query(format!("SESSION_TOKEN_KEY={token}"))
    }

    /// At another path.
    pub fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// With one more pair in the query.
    pub fn query(mut self, pair: impl Into<String>) -> Self {
        self.query.push(pair.into());
        self
    }

    /// With one more header.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// With this `Sec-WebSocket-Version`, or without one.
    pub fn version(mut self, version: Option<&str>) -> Self {
        self.version = version.map(ToOwned::to_owned);
        self
    }

    /// With so small a buffer in the kernel: a client that stops reading is soon full.
    pub fn receive_buffer(mut self, bytes: u32) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    /// With these bytes right behind it, in one packet if they fit.
    pub fn followed_by(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.behind = bytes.into();
        self
    }

    fn request(&self) -> Request {
        let target = if self.query.is_empty() {
            self.path.clone()
        } else {
            format!("{}?{}", self.path, self.query.join("&"))
        };
        let mut request = Request::get(target)
            .header("upgrade", "websocket")
            .header("connection", "Upgrade")
            .header("sec-websocket-key", KEY);
        if let Some(version) = &self.version {
            request = request.header("sec-websocket-version", version);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request
    }

    /// Connects; the answer when it is no 101.
    pub async fn try_open(&self, address: SocketAddr) -> Result<Socket, Response> {
        let opened = in_time("a handshake", self.attempt(address)).await;
        opened.unwrap_or_else(|error| panic!("the handshake broke: {error}"))
    }

    /// The same, for a server that may be gone.
    pub async fn attempt(&self, address: SocketAddr) -> io::Result<Result<Socket, Response>> {
        let mut wire = Wire::connect(address, self.receive_buffer).await?;
        wire.write(&[self.request().bytes(), self.behind.clone()].concat())
            .await?;
        let answer = wire.read_response().await?;
        if answer.status != 101 {
            return Ok(Err(answer));
        }
        self.check(&answer);
        Ok(Ok(Socket {
            wire,
            pongs: true,
            received: VecDeque::new(),
        }))
    }

    fn check(&self, answer: &Response) {
        let digest = Sha1::new().chain_update(KEY).chain_update(SALT).finalize();
        let accept = STANDARD.encode(digest);
        let accepted = answer.header("sec-websocket-accept");
        assert_eq!(accepted, Some(accept.as_str()), "{answer:?}");
        let chosen = answer.header("sec-websocket-protocol");
        assert_eq!(chosen, self.v1.then_some("notice.v1"), "{answer:?}");
    }

    /// Connects, which must succeed. A v1 client has read its `welcome` then.
    pub async fn open(&self, address: SocketAddr) -> Socket {
        let opened = self.try_open(address).await;
        let mut socket = opened.unwrap_or_else(|answer| panic!("not let in: {answer:?}"));
        if self.v1 {
            socket.expect("welcome").await;
        }
        socket
    }

    /// Connects, which must be refused.
    pub async fn refused(&self, address: SocketAddr) -> Response {
        match self.try_open(address).await {
            Ok(_) => panic!("let in, which must not be"),
            Err(answer) => answer,
        }
    }
}

/// One frame of the server.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    /// Text, which is JSON in both protocols.
    Text(Value),
    /// A ping.
    Ping(Vec<u8>),
    /// A pong.
    Pong(Vec<u8>),
    /// A close frame with its code.
    Close(Option<u16>),
}

/// A connection. Unless told otherwise it answers each ping when it reads it.
#[derive(Debug)]
pub struct Socket {
    wire: Wire,
    pongs: bool,
    /// Read while something else was waited for.
    received: VecDeque<Value>,
}

impl Socket {
    /// Says whether pings are answered.
    pub fn answer_pings(&mut self, answer: bool) {
        self.pongs = answer;
    }

    /// The next frame, pings included; none when the connection has ended. Nothing is lost when it is dropped
    /// half-way.
    pub async fn frame(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some((frame, length)) = parse(&self.wire.buffer) {
                self.wire.buffer.advance(length);
                if let (Frame::Ping(payload), true) = (&frame, self.pongs) {
                    self.pong(payload).await?;
                }
                return Ok(Some(frame));
            }
            if !self.wire.read_more().await? {
                return Ok(None);
            }
        }
    }

    /// The next text frame, or the close code with which the connection ended. Pings are passed over.
    pub async fn text_or_end(&mut self) -> Result<Value, Option<u16>> {
        if let Some(json) = self.received.pop_front() {
            return Ok(json);
        }
        loop {
            match self.frame().await {
                Ok(Some(Frame::Text(json))) => return Ok(json),
                Ok(Some(Frame::Close(code))) => return Err(code),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return Err(None),
            }
        }
    }

    /// The next text frame, which must come.
    pub async fn text(&mut self) -> Value {
        let text = in_time("a text frame", self.text_or_end()).await;
        text.unwrap_or_else(|code| panic!("closed with {code:?} where a text frame was awaited"))
    }

    /// The next text frame, which must have this `type`.
    pub async fn expect(&mut self, kind: &str) -> Value {
        let json = self.text().await;
        assert_eq!(json["type"], kind, "{json}");
        json
    }

    /// The next text frame of this `type`; others are kept for later.
    pub async fn find(&mut self, kind: &str) -> Value {
        let what = format!("a {kind} frame");
        in_time(&what, async {
            let mut others = VecDeque::new();
            loop {
                match self.text_or_end().await {
                    Ok(json) if json["type"] == kind => {
                        others.append(&mut self.received);
                        self.received = others;
                        return json;
                    }
                    Ok(json) => others.push_back(json),
                    Err(code) => panic!("closed with {code:?} before {what}; read: {others:?}"),
                }
            }
        })
        .await
    }

    /// The next text frame, which must be a notice, in either protocol.
    pub async fn notice(&mut self) -> Notice {
        let json = self.text().await;
        match json["type"].as_str() {
            Some("notice") => Notice::read(&json["notice"]),
            _ => Notice::read(&json),
        }
    }

    /// So many notices.
    pub async fn notices(&mut self, count: usize) -> Vec<Notice> {
        let mut notices = Vec::with_capacity(count);
        while notices.len() < count {
            notices.push(self.notice().await);
        }
        notices
    }

    /// The messages of so many notices.
    pub async fn messages(&mut self, count: usize) -> Vec<String> {
        let notices = self.notices(count).await;
        notices.into_iter().map(|notice| notice.message).collect()
    }

    /// The next ping's payload. Unless pings are answered anyway, it is the test's to answer.
    pub async fn ping(&mut self) -> Vec<u8> {
        in_time("a ping", async {
            loop {
                match self.frame().await.unwrap() {
                    Some(Frame::Ping(payload)) => return payload,
                    Some(Frame::Text(json)) => self.received.push_back(json),
                    other => panic!("{other:?} where a ping was awaited"),
                }
            }
        })
        .await
    }

    /// Reads on until the server ends the connection, and answers with the close code, if there was one.
    pub async fn closed(&mut self) -> Option<u16> {
        in_time("the end of a connection", async {
            loop {
                if let Err(code) = self.text_or_end().await {
                    return code;
                }
            }
        })
        .await
    }

    /// Sends a text frame of this JSON.
    pub async fn send(&mut self, json: &Value) {
        self.send_frame(TEXT, json.to_string().as_bytes())
            .await
            .unwrap();
    }

    /// Sends a text frame of this text.
    pub async fn send_text(&mut self, text: &str) -> io::Result<()> {
        self.send_frame(TEXT, text.as_bytes()).await
    }

    /// Sends a binary frame.
    pub async fn send_binary(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.send_frame(BINARY, bytes).await
    }

    /// Sends a pong.
    pub async fn pong(&mut self, payload: &[u8]) -> io::Result<()> {
        self.send_frame(PONG, payload).await
    }

    /// Acknowledges, in `notice.v1`.
    pub async fn ack<S: AsRef<str>>(&mut self, ids: &[S]) {
        let ids: Vec<_> = ids.iter().map(AsRef::as_ref).collect();
        self.send(&json!({"type": "ack", "ids": ids})).await;
    }

    /// Closes as a client should: a close frame, and reading on until the server has closed too.
    pub async fn close(mut self) {
        let _gone_already = self.send_frame(CLOSE, &1000_u16.to_be_bytes()).await;
        self.closed().await;
    }

    /// Sends one whole frame.
    pub async fn send_frame(&mut self, opcode: u8, payload: &[u8]) -> io::Result<()> {
        self.send_bytes(&masked(0x80 | opcode, payload)).await
    }

    /// Sends any bytes.
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wire.write(bytes).await
    }
}

/// A frame as clients send them: masked.
pub fn masked(head: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![head];
    match payload.len() {
        short @ ..=125 => frame.push(0x80 | u8::try_from(short).unwrap()),
        medium @ ..=65_535 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&u16::try_from(medium).unwrap().to_be_bytes());
        }
        long => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&MASK);
    frame.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    frame
}

/// The first frame of `bytes` and its length; none while it is not whole. Anything that a server must not send is a
/// failure.
fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    let [head, second, ..] = *bytes else {
        return None;
    };
    assert_eq!(head & 0xf0, 0x80, "a frame in parts, or with reserved bits");
    assert_eq!(second & 0x80, 0, "a server must not mask");
    let (length, start) = match second & 0x7f {
        126 => (
            usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap())),
            4,
        ),
        127 => {
            let length = u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap());
            (usize::try_from(length).unwrap(), 10)
        }
        short => (usize::from(short), 2),
    };
    let shortest = match length {
        0..=125 => 2,
        126..=65_535 => 4,
        _ => 10,
    };
    assert_eq!(start, shortest, "a length of {length} in too many bytes");
    let payload = bytes.get(start..start + length)?;
    let opcode = head & 0x0f;
    assert!(opcode < CLOSE || length <= 125, "a long control frame");
    Some((frame_of(opcode, payload), start + length))
}

fn frame_of(opcode: u8, payload: &[u8]) -> Frame {
    match opcode {
        TEXT => {
            let text = std::str::from_utf8(payload).expect("a text frame is UTF-8");
            Frame::Text(
                serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}")),
            )
        }
        PING => Frame::Ping(payload.to_vec()),
        PONG => Frame::Pong(payload.to_vec()),
        CLOSE => {
            let code = payload
                .get(..2)
                .map(|code| u16::from_be_bytes(code.try_into().unwrap()));
            assert!(std::str::from_utf8(payload.get(2..).unwrap_or_default()).is_ok());
            Frame::Close(code)
        }
        other => panic!("a frame with opcode {other}"),
    }
}
