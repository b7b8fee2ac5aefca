//! A tiny stand-in for a notice server, for tests of the worker alone: it holds nothing, and it
//! loses and doubles notices on demand.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::net::frame::{self, Opcode};
use crate::net::http;

/// What to do with the n-th notice, counted from 1.
pub(crate) type Behaviour = fn(u64) -> Fate;

/// What becomes of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Deliver,
    Lose,
    Double,
}

/// The stand-in; its threads end with the test's process.
pub(crate) struct Double {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

/// Where a client's notices go.
enum Client {
    /// To its WebSocket.
    Socket(TcpStream),
    /// To its stream of events.
    Events(TcpStream),
    /// To its next poll or page; those before that one are gone.
    Asking(Vec<Value>),
}

struct Shared {
    behaviour: Behaviour,
    clients: Mutex<HashMap<String, Client>>,
    staged: AtomicU64,
    acknowledged: AtomicU64,
}

impl Double {
    pub(crate) fn start(behaviour: Behaviour) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            behaviour,
            clients: Mutex::default(),
            staged: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                // A connection that breaks ends its thread: the test sees what is missing.
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        Ok(Self { address, shared })
    }

    /// The number of acknowledgements, once it is `expected` or the time is up.
    pub(crate) fn acknowledged(&self, expected: u64) -> u64 {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let count = self.shared.acknowledged.load(Ordering::SeqCst);
            if count >= expected || Instant::now() >= end {
                return count;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) -> Result<()> {
        let mut buffer = Vec::new();
        loop {
            let head = loop {
                match http::read_head(&[b"HTTP/1.1 200 ", buffer.as_slice()].concat())? {
                    Some(head) => break head.size - b"HTTP/1.1 200 ".len(),
                    None => read_more(&mut stream, &mut buffer)?,
                }
            };
            let text = String::from_utf8(buffer[..head].to_vec())?;
            buffer.drain(..head);
            if text.starts_with("GET /notice/ws/") {
                return self.serve_client(stream, &text, buffer);
            }
            if text.starts_with("GET /notice/sse") {
                return self.serve_events(stream, &text);
            }
            if text.starts_with("GET ") {
                let body = self.answer(&text)?;
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                stream.write_all((head + &body).as_bytes())?;
                continue;
            }
            let length = text
                .lines()
                .find_map(|line| line.strip_prefix("Content-Length: "));
            let length: usize = length.context("no length")?.parse()?;
            while buffer.len() < length {
                read_more(&mut stream, &mut buffer)?;
            }
            let body: Vec<u8> = buffer.drain(..length).collect();
            self.stage(&serde_json::from_slice(&body)?)?;
            stream.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}")?;
        }
    }

    fn serve_client(&self, mut stream: TcpStream, head: &str, mut buffer: Vec<u8>) -> Result<()> {
        let token = head
            .lines()
            .find_map(|line| line.split_once("notice.v1, token."));
        let token = URL_SAFE_NO_PAD.decode(token.context("no token")?.1)?;
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")?;
        stream.write_all(&text_frame(r#"{"type":"welcome"}"#))?;
        let account = String::from_utf8(token)?.replace("token-of-", "");
        self.clients
            .lock()
            .unwrap()
            .insert(account, Client::Socket(stream.try_clone()?));
        loop {
            while let Some((payload, size)) = unmask(&buffer) {
                let ack: Value = serde_json::from_slice(&payload)?;
                let ids = ack["ids"].as_array().context("no ids")?.len();
                self.acknowledged.fetch_add(ids as u64, Ordering::SeqCst);
                buffer.drain(..size);
            }
            read_more(&mut stream, &mut buffer)?;
        }
    }

    fn serve_events(&self, mut stream: TcpStream, head: &str) -> Result<()> {
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        stream.write_all(&chunk("retry: 1000\n\n"))?;
        let client = Client::Events(stream.try_clone()?);
        self.clients.lock().unwrap().insert(account(head)?, client);
        read_more(&mut stream, &mut Vec::new())
    }

    /// The body for a poll, which acknowledges, or for a page.
    fn answer(&self, head: &str) -> Result<String> {
        let account = account(head)?;
        let target = head.split(' ').nth(1).context("no target")?;
        let query = target.split_once("&ack=");
        let ids = query.map_or(0, |(_, ids)| ids.split(',').count());
        self.acknowledged.fetch_add(ids as u64, Ordering::SeqCst);
        let parks = target.contains("wait=25");
        let end = Instant::now() + Duration::from_secs(if parks { 25 } else { 0 });
        loop {
            let notices = self.waiting(&account);
            if !notices.is_empty() || Instant::now() >= end {
                let texts = notices
                    .iter()
                    .filter_map(|notice| notice["message"].as_str());
                let items = texts.map(|text| format!("<li>{text}</li>"));
                return Ok(match target.starts_with("/notice/page") {
                    true => format!("<ul>{}</ul>", items.collect::<String>()),
                    false => format!(r#"{{"notices":{}}}"#, Value::from(notices)),
                });
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn waiting(&self, account: &str) -> Vec<Value> {
        let mut clients = self.clients.lock().unwrap();
        let asking = || Client::Asking(Vec::new());
        match clients.entry(account.to_owned()).or_insert_with(asking) {
            Client::Asking(notices) => std::mem::take(notices),
            _ => Vec::new(),
        }
    }

    fn stage(&self, body: &Value) -> Result<()> {
        let one = [body.clone()];
        for notice in body.as_array().map_or(&one[..], Vec::as_slice) {
            let number = self.staged.fetch_add(1, Ordering::SeqCst) + 1;
            let mut notice = notice.clone();
            notice["id"] = Value::from(format!("n{number}"));
            let mut clients = self.clients.lock().unwrap();
            let receiver = notice["receiverId"].as_str().context("no receiver")?;
            let client = clients
                .get_mut(receiver)
                .context("the receiver is not online")?;
            let times = match (self.behaviour)(number) {
                Fate::Deliver => 1,
                Fate::Lose => 0,
                Fate::Double => 2,
            };
            for _ in 0..times {
                client.give(&notice)?;
            }
        }
        Ok(())
    }
}

impl Client {
    fn give(&mut self, notice: &Value) -> Result<()> {
        match self {
            Self::Socket(stream) => {
                let text = format!(r#"{{"type":"notice","notice":{notice}}}"#);
                stream.write_all(&text_frame(&text))?;
            }
            Self::Events(stream) => {
                stream.write_all(&chunk(&format!("event: notice\ndata: {notice}\n\n")))?;
            }
            Self::Asking(notices) => notices.push(notice.clone()),
        }
        Ok(())
    }
}

/// The account behind the token in a request's head.
fn account(head: &str) -> Result<String> {
    let (_, token) = head.split_once("token-of-").context("no token")?;
    Ok(token.split("\r\n").next().unwrap_or_default().to_owned())
}

fn chunk(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

fn read_more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<()> {
    let mut part = [0; 4096];
    let length = stream.read(&mut part)?;
    anyhow::ensure!(length > 0, "closed");
    buffer.extend_from_slice(&part[..length]);
    Ok(())
}

/// A short frame as a server sends it.
fn text_frame(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::write_masked(&mut bytes, Opcode::Text, text.as_bytes(), [0; 4]);
    let header = bytes.len() - text.len() - 4;
    bytes.drain(header..header + 4);
    bytes[1] &= 0x7F;
    bytes
}

/// The payload of the short masked frame that a buffer starts with, and its size.
fn unmask(buffer: &[u8]) -> Option<(Vec<u8>, usize)> {
    let length = usize::from(*buffer.get(1)? & 0x7F);
    let (header, length) = match length {
        126 => (
            4,
            usize::from(u16::from_be_bytes(*buffer.get(2..)?.first_chunk()?)),
        ),
        length => (2, length),
    };
    let mask = buffer.get(header..header + 4)?;
    let payload = buffer.get(header + 4..header + 4 + length)?;
    let bytes = payload
        .iter()
        .zip(mask.iter().cycle())
        .map(|(byte, key)| byte ^ key);
    Some((bytes.collect(), header + 4 + length))
}
