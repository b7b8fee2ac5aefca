//! Doors for the fuzz targets, and for nothing else: built with `--cfg fuzzing` only, which cargo-fuzz sets.

use std::io::{self, Read, Write};
use std::time::Duration;

use tungstenite::Message;
use tungstenite::protocol::{Role, WebSocketContext};

use crate::config::Limits;
use crate::domain::Draft;
use crate::http::ws::{parse_client_frame, wire_config};

pub use crate::inbox::embedded::fuzzing::{read_journal, read_rows};

/// Limits so small that a fuzzer gets past each of them.
#[must_use]
pub fn limits() -> Limits {
    Limits {
        message_bytes: 64,
        account_id_bytes: 16,
        notices_per_call: 4,
        ids_per_ack: 4,
        unread_per_account: 10,
        sessions_per_account: 10,
        sessions: 10,
        connects_per_second: 10,
        body_bytes: 4096,
        stage_rate_per_key: None,
        send_rate_per_account: None,
        header_timeout: Duration::from_secs(1),
        body_timeout: Duration::from_secs(1),
    }
}

/// Checks that a draft keeps to the limits.
pub fn check_draft(draft: &Draft, limits: &Limits) {
    let plain = |text: &str, most: usize| text.len() <= most && !text.chars().any(char::is_control);
    for account in std::iter::once(&draft.receiver).chain(&draft.sender) {
        assert!(!account.as_str().is_empty() && plain(account.as_str(), limits.account_id_bytes));
    }
    for key in draft.idempotency_key.iter().chain(&draft.collapse_key) {
        assert!(!key.is_empty() && plain(key, 256));
    }
    assert!(draft.kind.as_ref().is_none_or(|kind| plain(kind, 128)));
    let data = draft.data.as_ref().map_or("", |data| data.get());
    assert!(draft.message.len() + data.len() <= limits.message_bytes);
}

/// Reads `bytes` as a connection reads them from its socket, the first byte choosing how many come at once.
pub fn read_frames(bytes: &[u8]) {
    let Some((&step, bytes)) = bytes.split_first() else {
        return;
    };
    let max = limits().message_bytes;
    let mut ws = WebSocketContext::new(Role::Server, Some(wire_config(max)));
    let mut wire = Trickle {
        bytes,
        step: usize::from(step).max(1),
    };
    loop {
        match ws.read(&mut wire) {
            Ok(Message::Text(text)) => {
                for v1 in [false, true] {
                    let _frame_or_error = parse_client_frame(&text, v1);
                }
            }
            Ok(Message::Ping(_)) => drop(ws.flush(&mut wire)),
            Ok(Message::Close(_)) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// A socket that gives a few bytes at a time, and takes everything.
struct Trickle<'a> {
    bytes: &'a [u8],
    step: usize,
}

impl Read for Trickle<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.step.min(into.len()).min(self.bytes.len());
        let (given, rest) = self.bytes.split_at(count);
        into[..count].copy_from_slice(given);
        self.bytes = rest;
        Ok(count)
    }
}

impl Write for Trickle<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
