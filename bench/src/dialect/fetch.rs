//! A notice server's bytes for clients without a WebSocket: a stream of events, long and short polls, a page that loads
//! itself again. All of them are GET requests; what is different is when they are made and what the answer holds.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::Credential;

/// How long the server is to park a long poll.
const PARKED_SECONDS: u32 = 25;

/// Notices that an answer may hold: more than come between two polls here.
const MOST_NOTICES: u32 = 100;

/// How a client without a WebSocket gets its notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fetch {
    /// One answer that never ends: `text/event-stream`.
    Events,
    /// The next poll follows the answer at once, and waits at the server.
    LongPoll,
    /// A poll each so often; the server answers at once.
    ShortPoll { every: Duration },
    /// A page without a program, loaded anew each so often.
    Page { every: Duration },
}

/// What a poll is answered.
#[derive(Debug, Deserialize)]
pub(crate) struct Polled {
    /// The notices, the oldest first.
    pub(crate) notices: Vec<PolledNotice>,
}

/// A notice in the answer to a poll.
#[derive(Debug, Deserialize)]
pub(crate) struct PolledNotice {
    /// To acknowledge it with.
    pub(crate) id: String,
    /// Its text.
    pub(crate) message: String,
}

impl Fetch {
    /// Whether the answer goes on for ever.
    pub(crate) fn streams(self) -> bool {
        self == Self::Events
    }

    /// From the start of a request to the next one; at once after the answer where there is none.
    pub(crate) fn every(self) -> Option<Duration> {
        match self {
            Self::Events | Self::LongPoll => None,
            Self::ShortPoll { every } | Self::Page { every } => Some(every),
        }
    }

    /// Appends a client's request, with the ids that it acknowledges. The `first` one waits for nothing, so that its
    /// answer says that the client is online.
    pub(crate) fn request(
        self,
        server: SocketAddr,
        client: &Credential,
        acknowledged: &[String],
        first: bool,
        out: &mut Vec<u8>,
    ) {
        let (target, credential) = match self {
            Self::Events => ("/notice/sse".to_owned(), bearer(client)),
            Self::LongPoll if !first => (poll(PARKED_SECONDS, acknowledged), bearer(client)),
            Self::LongPoll | Self::ShortPoll { .. } => (poll(0, acknowledged), bearer(client)),
            Self::Page { .. } => ("/notice/page".to_owned(), cookie(client)),
        };
        // Writing to a vector does not fail.
        let _ = write!(
            out,
            "GET {target} HTTP/1.1\r\nHost: {server}\r\n{credential}\r\n\r\n"
        );
    }

    /// What a poll was answered.
    pub(crate) fn polled(body: &[u8]) -> Result<Polled> {
        serde_json::from_slice(body).context("a poll was answered with something else")
    }
}

fn poll(wait: u32, acknowledged: &[String]) -> String {
    let mut target = format!("/notice/poll?wait={wait}&limit={MOST_NOTICES}");
    if !acknowledged.is_empty() {
        target.push_str("&ack=");
        target.push_str(&acknowledged.join(","));
    }
    target
}

fn bearer(client: &Credential) -> String {
    format!("Authorization: Bearer {}", client.token)
}

fn cookie(client: &Credential) -> String {
    format!("Cookie: SESSION_TOKEN_KEY={}", client.token)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(5);

    fn request(fetch: Fetch, acknowledged: &[&str], first: bool) -> String {
        let client = Credential {
            account: "u1".to_owned(),
            token: "secret".to_owned(),
        };
        let acknowledged: Vec<_> = acknowledged.iter().map(|id| (*id).to_owned()).collect();
        let server = SocketAddr::from(([127, 0, 0, 1], 8080));
        let mut out = Vec::new();
        fetch.request(server, &client, &acknowledged, first, &mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    #[test]
    fn a_long_poll_parks_but_for_the_first_and_acknowledges_what_came_before() {
        let first = request(Fetch::LongPoll, &[], true);
        assert!(first.starts_with("GET /notice/poll?wait=0&limit=100 HTTP/1.1\r\n"));
        let next = request(Fetch::LongPoll, &["n1", "n2"], false);
        let line = "GET /notice/poll?wait=25&limit=100&ack=n1,n2 HTTP/1.1\r\n";
        assert!(next.starts_with(line), "{next}");
        assert!(next.ends_with("\r\nAuthorization: Bearer secret\r\n\r\n"));
    }

    #[test]
    fn a_short_poll_never_parks_and_has_a_pace() {
        let fetch = Fetch::ShortPoll { every: EVERY };
        assert!(request(fetch, &["n1"], false).contains("?wait=0&limit=100&ack=n1 "));
        assert_eq!((fetch.every(), fetch.streams()), (Some(EVERY), false));
    }

    #[test]
    fn a_page_shows_its_token_as_a_browser_does_and_events_as_a_program_does() {
        let page = request(Fetch::Page { every: EVERY }, &[], false);
        assert!(page.starts_with("GET /notice/page HTTP/1.1\r\n"));
        assert!(page.contains("\r\nCookie: SESSION_TOKEN_KEY=secret\r\n"));
        let events = request(Fetch::Events, &[], true);
        assert!(events.starts_with("GET /notice/sse HTTP/1.1\r\n"));
        assert!(events.contains("\r\nAuthorization: Bearer secret\r\n"));
        assert_eq!(
            (Fetch::Events.every(), Fetch::Events.streams()),
            (None, true)
        );
    }

    #[test]
    fn the_answer_to_a_poll_has_ids_and_texts() -> Result<()> {
        let body = br#"{"notices":[{"id":"n7","message":"m","read":false}],"read":["n1"]}"#;
        let polled = Fetch::polled(body)?;
        assert_eq!(polled.notices.len(), 1);
        assert_eq!(polled.notices[0].id, "n7");
        assert_eq!(polled.notices[0].message, "m");
        assert!(Fetch::polled(b"<html>").is_err());
        Ok(())
    }
}
