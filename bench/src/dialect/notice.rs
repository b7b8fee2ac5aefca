//! A notice server's bytes: `notice.v1` and the raw frames of clients without a subprotocol.

use std::io::Write;
use std::net::SocketAddr;
use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use memchr::memmem::{self, Finder};

use super::{Credential, Dialect, Inbound, Outgoing, write_post, write_upgrade};

const SOCKET_PATH: &str = "/notice/ws/socket";
const STAGE_PATH: &str = "/notice/notices";

/// The dialect, in either form.
pub(crate) struct Notice {
    key: String,
    acknowledges: bool,
    find_id: Finder<'static>,
}

impl Notice {
    /// With the subprotocol: the client acknowledges.
    pub(crate) fn v1(key: &str) -> Self {
        Self::new(key, true)
    }

    /// Without: a pong behind a notice makes it read.
    pub(crate) fn legacy(key: &str) -> Self {
        Self::new(key, false)
    }

    fn new(key: &str, acknowledges: bool) -> Self {
        Self {
            key: key.to_owned(),
            acknowledges,
            find_id: Finder::new(b"\"id\":\""),
        }
    }

    /// Where the notice's id is, which no bench notice escapes.
    fn id(&self, line: &[u8]) -> Option<Range<usize>> {
        let start = self.find_id.find(line)? + self.find_id.needle().len();
        let length = memchr::memchr(b'"', &line[start..])?;
        Some(start..start + length)
    }
}

impl Dialect for Notice {
    fn upgrade(&self, server: SocketAddr, client: &Credential, out: &mut Vec<u8>) {
        if self.acknowledges {
            let token = URL_SAFE_NO_PAD.encode(&client.token);
            let extra = format!("Sec-WebSocket-Protocol: notice.v1, token.{token}\r\n");
            write_upgrade(server, SOCKET_PATH, &extra, out);
        } else {
            let path = format!("{SOCKET_PATH}?SESSION_TOKEN_KEY={}", client.token);
            write_upgrade(server, &path, "", out);
        }
    }

    fn hello(&self, _client: &Credential) -> Option<String> {
        None
    }

    fn online_by_upgrade(&self) -> bool {
        !self.acknowledges
    }

    fn classify(&self, line: &[u8]) -> Inbound {
        if !self.acknowledges {
            let refused = memmem::find(line, b"\"success\":false").is_some();
            return if refused {
                Inbound::Refusal
            } else {
                Inbound::Message { id: None }
            };
        }
        match line.strip_prefix(b"{\"type\":\"") {
            Some(rest) if rest.starts_with(b"notice\"") => Inbound::Message { id: self.id(line) },
            Some(rest) if rest.starts_with(b"welcome\"") => Inbound::Welcome,
            Some(rest) if rest.starts_with(b"error\"") => Inbound::Refusal,
            _ => Inbound::Other,
        }
    }

    fn pong(&self) -> &'static [u8] {
        b""
    }

    fn acknowledge(&self, ids: &mut dyn Iterator<Item = &[u8]>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"type\":\"ack\",\"ids\":[");
        for (index, id) in ids.enumerate() {
            out.extend_from_slice(if index == 0 { b"\"" } else { b",\"" });
            out.extend_from_slice(id);
            out.push(b'"');
        }
        out.extend_from_slice(b"]}");
    }

    fn stage(
        &self,
        server: SocketAddr,
        messages: &[Outgoing<'_>],
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) {
        scratch.clear();
        for (index, message) in messages.iter().enumerate() {
            let opening = match (messages.len(), index) {
                (1, _) => "",
                (_, 0) => "[",
                _ => ",",
            };
            // Writing to a vector does not fail.
            let _ = write!(
                scratch,
                "{opening}{{\"receiverId\":\"{}\",\"senderId\":\"bench\",\"message\":\"{}\"}}",
                message.account, message.text
            );
        }
        if messages.len() > 1 {
            scratch.push(b']');
        }
        write_post(server, STAGE_PATH, &self.key, scratch, out);
    }

    fn is_accepted(&self, status: u16, body: &[u8]) -> bool {
        matches!(status, 200 | 201) && memmem::find(body, b"\"code\":").is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

    fn client() -> Credential {
        Credential {
            account: "u1".to_owned(),
            token: "secret".to_owned(),
        }
    }

    #[test]
    fn a_v1_client_shows_its_token_as_a_subprotocol() {
        let mut out = Vec::new();
        Notice::v1("key").upgrade(SERVER, &client(), &mut out);
        let text = String::from_utf8_lossy(&out).into_owned();
        assert!(
            text.starts_with("GET /notice/ws/socket HTTP/1.1\r\n"),
            "{text}"
        );
        assert!(
            text.contains("\r\nSec-WebSocket-Protocol: notice.v1, token.c2VjcmV0\r\n"),
            "{text}"
        );
        assert!(text.ends_with("\r\n\r\n"), "{text}");
    }

    #[test]
    fn a_legacy_client_shows_its_token_in_the_query() {
        let mut out = Vec::new();
        Notice::legacy("key").upgrade(SERVER, &client(), &mut out);
        assert!(out.starts_with(b"GET /notice/ws/socket?SESSION_TOKEN_KEY=secret HTTP/1.1\r\n"));
    }

    #[test]
    fn the_id_acknowledged_is_the_notices() {
        let dialect = Notice::v1("key");
        let id = |line: &'static str| match dialect.classify(line.as_bytes()) {
            Inbound::Message { id: Some(at) } => line.get(at),
            _ => None,
        };
        let first = r#"{"type":"notice","notice":{"id":"n7","senderId":"s","message":"m"}}"#;
        assert_eq!(id(first), Some("n7"));
        let last = r#"{"type":"notice","notice":{"receiverId":"r","senderId":"s","id":"n8"}}"#;
        assert_eq!(id(last), Some("n8"));
        let mut out = Vec::new();
        dialect.acknowledge(&mut [&b"n7"[..], b"n8"].into_iter(), &mut out);
        assert_eq!(out, br#"{"type":"ack","ids":["n7","n8"]}"#);
    }

    #[test]
    fn other_frames_are_told_apart() {
        let dialect = Notice::v1("key");
        assert_eq!(
            dialect.classify(br#"{"type":"welcome","session":"1"}"#),
            Inbound::Welcome
        );
        assert_eq!(
            dialect.classify(br#"{"type":"error","code":"X"}"#),
            Inbound::Refusal
        );
        assert_eq!(
            dialect.classify(br#"{"type":"read","ids":["n7"]}"#),
            Inbound::Other
        );
        let legacy = Notice::legacy("key");
        assert_eq!(
            legacy.classify(br#"{"id":"n7","message":"m"}"#),
            Inbound::Message { id: None }
        );
        assert_eq!(
            legacy.classify(br#"{"success":false,"code":"C"}"#),
            Inbound::Refusal
        );
    }

    #[test]
    fn one_message_is_an_object_and_more_are_an_array() {
        let (mut scratch, mut out) = (Vec::new(), Vec::new());
        let message = Outgoing {
            account: "u1",
            text: "hi",
        };
        Notice::v1("key").stage(SERVER, &[message], &mut scratch, &mut out);
        assert_eq!(
            scratch,
            br#"{"receiverId":"u1","senderId":"bench","message":"hi"}"#
        );
        Notice::v1("key").stage(SERVER, &[message, message], &mut scratch, &mut out);
        let parsed: serde_json::Value = serde_json::from_slice(&scratch).unwrap_or_default();
        assert_eq!(parsed.as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn a_batch_with_a_refused_notice_is_not_accepted() {
        let dialect = Notice::v1("key");
        assert!(dialect.is_accepted(200, br#"{"results":[{"id":"n1","duplicate":false}]}"#));
        assert!(!dialect.is_accepted(200, br#"{"results":[{"code":"INBOX_FULL"}]}"#));
        assert!(!dialect.is_accepted(503, b""));
    }
}
