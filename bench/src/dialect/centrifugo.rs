//! Centrifugo's bytes: its bidirectional JSON protocol, and `publish` and `batch` of its HTTP API.

use std::io::Write;
use std::net::SocketAddr;

use memchr::memmem;

use super::{Credential, Dialect, Inbound, Outgoing, write_post, write_upgrade};

/// The namespace of the channels; an account's channel is `user:ACCOUNT`.
pub(crate) const CHANNEL_NAMESPACE: &str = "user";

/// The dialect.
pub(crate) struct Centrifugo {
    key: String,
}

impl Centrifugo {
    /// With the key of the HTTP API.
    pub(crate) fn new(key: &str) -> Self {
        Self {
            key: key.to_owned(),
        }
    }
}

impl Dialect for Centrifugo {
    fn upgrade(&self, server: SocketAddr, _client: &Credential, out: &mut Vec<u8>) {
        write_upgrade(server, "/connection/websocket", "", out);
    }

    fn hello(&self, client: &Credential) -> Option<String> {
        Some(format!(
            "{{\"id\":1,\"connect\":{{\"token\":\"{}\"}}}}",
            client.token
        ))
    }

    fn online_by_upgrade(&self) -> bool {
        false
    }

    fn classify(&self, line: &[u8]) -> Inbound {
        if line == b"{}" {
            Inbound::Ping
        } else if line.starts_with(b"{\"push\":") {
            let is_message = memmem::find(line, b"\"pub\":").is_some();
            if is_message {
                Inbound::Message { id: None }
            } else {
                Inbound::Other
            }
        } else if memmem::find(line, b"\"error\":").is_some() {
            Inbound::Refusal
        } else if memmem::find(line, b"\"connect\":").is_some() {
            Inbound::Welcome
        } else {
            Inbound::Other
        }
    }

    fn pong(&self) -> &'static [u8] {
        b"{}"
    }

    fn acknowledge(&self, _ids: &mut dyn Iterator<Item = &[u8]>, _out: &mut Vec<u8>) {
        // There is no acknowledgement: its messages never carry an id.
    }

    fn stage(
        &self,
        server: SocketAddr,
        messages: &[Outgoing<'_>],
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) {
        scratch.clear();
        if let &[message] = messages {
            write_publish(scratch, message);
            write_post(server, "/api/publish", &self.key, scratch, out);
            return;
        }
        for (index, &message) in messages.iter().enumerate() {
            let opening: &[u8] = if index == 0 { b"{\"commands\":[" } else { b"," };
            scratch.extend_from_slice(opening);
            scratch.extend_from_slice(b"{\"publish\":");
            write_publish(scratch, message);
            scratch.push(b'}');
        }
        scratch.extend_from_slice(b"]}");
        write_post(server, "/api/batch", &self.key, scratch, out);
    }

    fn is_accepted(&self, status: u16, body: &[u8]) -> bool {
        status == 200 && memmem::find(body, b"\"error\":").is_none()
    }
}

fn write_publish(out: &mut Vec<u8>, message: Outgoing<'_>) {
    // Writing to a vector does not fail.
    let _ = write!(
        out,
        "{{\"channel\":\"{CHANNEL_NAMESPACE}:{}\",\"data\":{{\"senderId\":\"bench\",\"message\":\"{}\"}}}}",
        message.account, message.text
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8000);

    #[test]
    fn replies_pushes_and_pings_are_told_apart() {
        let dialect = Centrifugo::new("key");
        let classify = |line: &'static str| dialect.classify(line.as_bytes());
        assert_eq!(classify("{}"), Inbound::Ping);
        assert_eq!(
            classify(r#"{"id":1,"connect":{"client":"c"}}"#),
            Inbound::Welcome
        );
        assert_eq!(
            classify(r#"{"id":1,"error":{"code":101}}"#),
            Inbound::Refusal
        );
        let message = r#"{"push":{"channel":"user:u1","pub":{"data":{"message":"m"},"offset":1}}}"#;
        assert_eq!(classify(message), Inbound::Message { id: None });
        assert_eq!(
            classify(r#"{"push":{"channel":"user:u1","join":{}}}"#),
            Inbound::Other
        );
    }

    #[test]
    fn a_batch_publishes_to_each_accounts_channel() {
        let (mut scratch, mut out) = (Vec::new(), Vec::new());
        let messages = ["u1", "u2"].map(|account| Outgoing {
            account,
            text: "hi",
        });
        Centrifugo::new("key").stage(SERVER, &messages, &mut scratch, &mut out);
        let parsed: serde_json::Value = serde_json::from_slice(&scratch).unwrap_or_default();
        let second = parsed
            .pointer("/commands/1/publish/channel")
            .and_then(|v| v.as_str());
        assert_eq!(second, Some("user:u2"));
        assert!(out.starts_with(b"POST /api/batch HTTP/1.1\r\n"));
    }
}
