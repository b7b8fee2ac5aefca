//! How to speak with each system: the bytes of a client and of a service that stages.
//!
//! A dialect is pure: it makes and reads bytes and owns no connection.

mod centrifugo;
mod fetch;
mod notice;

use std::net::SocketAddr;
use std::ops::Range;

use serde::{Deserialize, Serialize};

pub(crate) use centrifugo::CHANNEL_NAMESPACE;
pub(crate) use fetch::Fetch;

/// An account and what it shows to be let in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Credential {
    /// Who receives.
    pub(crate) account: String,
    /// The token that resolves to it.
    pub(crate) token: String,
}

/// One message to stage.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outgoing<'a> {
    /// Who is to receive it.
    pub(crate) account: &'a str,
    /// Its text; nothing in it needs escaping in JSON.
    pub(crate) text: &'a str,
}

/// What one line of a text frame means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Inbound {
    /// The client is online.
    Welcome,
    /// A message; where there is acknowledgement, with the id's place in the line.
    Message { id: Option<Range<usize>> },
    /// The server wants a sign of life, to be answered with [`Dialect::pong`].
    Ping,
    /// The server refuses something.
    Refusal,
    /// Nothing that matters here.
    Other,
}

/// The bytes of one system.
pub(crate) trait Dialect {
    /// Appends the HTTP request that opens a client's WebSocket.
    fn upgrade(&self, server: SocketAddr, client: &Credential, out: &mut Vec<u8>);

    /// The text that a client sends once it is upgraded, if any.
    fn hello(&self, client: &Credential) -> Option<String>;

    /// Whether a client is online by the upgrade alone.
    fn online_by_upgrade(&self) -> bool;

    /// What a line of a text frame means.
    fn classify(&self, line: &[u8]) -> Inbound;

    /// The text that answers [`Inbound::Ping`].
    fn pong(&self) -> &'static [u8];

    /// Appends the text that acknowledges ids.
    fn acknowledge(&self, ids: &mut dyn Iterator<Item = &[u8]>, out: &mut Vec<u8>);

    /// Appends the HTTP request that stages messages to distinct accounts: one singly, more as
    /// a batch. `scratch` is space for the body.
    fn stage(
        &self,
        server: SocketAddr,
        messages: &[Outgoing<'_>],
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
    );

    /// Whether the answer to [`Self::stage`] says that all were taken.
    fn is_accepted(&self, status: u16, body: &[u8]) -> bool;
}

/// Which dialect a worker process is to speak, and the key to stage with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum DialectKind {
    /// A notice server, by `notice.v1` with the client's acknowledgement.
    NoticeV1 { key: String },
    /// A notice server, by its raw frames without a subprotocol.
    NoticeLegacy { key: String },
    /// A notice server, by HTTP alone.
    NoticeFetch { key: String, fetch: Fetch },
    /// Centrifugo's JSON protocol.
    Centrifugo { key: String },
}

impl DialectKind {
    /// Makes the dialect.
    pub(crate) fn dialect(&self) -> Box<dyn Dialect> {
        match self {
            // Services stage in the same way, whatever the clients do.
            Self::NoticeV1 { key } | Self::NoticeFetch { key, .. } => {
                Box::new(notice::Notice::v1(key))
            }
            Self::NoticeLegacy { key } => Box::new(notice::Notice::legacy(key)),
            Self::Centrifugo { key } => Box::new(centrifugo::Centrifugo::new(key)),
        }
    }

    /// How its clients ask, where they have no WebSocket.
    pub(crate) fn fetch(&self) -> Option<Fetch> {
        match self {
            Self::NoticeFetch { fetch, .. } => Some(*fetch),
            _ => None,
        }
    }
}

/// Appends a POST of JSON with an API key.
fn write_post(server: SocketAddr, path: &str, key: &str, body: &[u8], out: &mut Vec<u8>) {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {server}\r\nX-API-Key: {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(body);
}

/// Appends an upgrade request; `extra` holds whole header lines.
fn write_upgrade(server: SocketAddr, path: &str, extra: &str, out: &mut Vec<u8>) {
    // The key is any 16 bytes in base64: nobody here is to be protected from a cache.
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: bm90aWNlLWJlbmNoMDAwMA==\r\n{extra}\r\n"
    );
    out.extend_from_slice(head.as_bytes());
}
