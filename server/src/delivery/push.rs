//! A notice on its way out, encoded once for all the sessions that get it.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;

use crate::domain::{Notice, NoticeId};
use crate::metrics::PushPath;

/// How a transport wraps a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// The notice's JSON alone: legacy WebSockets.
    Bare,
    /// `{"type":"notice","notice":{...}}`: `notice.v1`.
    Enveloped,
    /// The notice's JSON as a server-sent event.
    Event,
}

/// A notice with its encodings, each made when it is first asked for and shared from then on.
#[derive(Debug)]
pub struct Push {
    notice: Arc<Notice>,
    redelivered: bool,
    /// False for what is offered once and never stored: nobody has to acknowledge it.
    stored: bool,
    /// When the server took the call that staged it; none when it comes out of the inbox.
    accepted: Option<Instant>,
    swept: bool,
    bare: OnceLock<Bytes>,
    enveloped: OnceLock<Bytes>,
    event: OnceLock<Bytes>,
}

impl Push {
    /// A notice that was staged a moment ago, by a call taken at `accepted`.
    #[must_use]
    pub fn live(notice: Arc<Notice>, stored: bool, accepted: Instant) -> Self {
        Self {
            notice,
            redelivered: false,
            stored,
            accepted: Some(accepted),
            swept: false,
            bare: OnceLock::new(),
            enveloped: OnceLock::new(),
            event: OnceLock::new(),
        }
    }

    /// A notice from the inbox; `swept` when a wake-up for it should have come and did not.
    #[must_use]
    pub fn replay(notice: Arc<Notice>, redelivered: bool, swept: bool) -> Self {
        Self {
            notice,
            redelivered,
            stored: true,
            accepted: None,
            swept,
            bare: OnceLock::new(),
            enveloped: OnceLock::new(),
            event: OnceLock::new(),
        }
    }

    /// The notice.
    #[must_use]
    pub fn notice(&self) -> &Notice {
        &self.notice
    }

    /// The notice's id.
    #[must_use]
    pub fn id(&self) -> NoticeId {
        self.notice.id
    }

    /// Whether it waits for an acknowledgement.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.stored
    }

    /// When the server took the call that staged it, if it comes straight from there.
    #[must_use]
    pub fn accepted(&self) -> Option<Instant> {
        self.accepted
    }

    /// By which way it came.
    #[must_use]
    pub fn path(&self) -> PushPath {
        match self.accepted {
            Some(_) => PushPath::Live,
            None if self.swept => PushPath::Sweep,
            None => PushPath::Replay,
        }
    }

    /// About how many bytes it keeps in memory while it waits in a mailbox.
    #[must_use]
    pub fn weight(&self) -> usize {
        let notice = &self.notice;
        256 + notice.message.len() + notice.data.as_ref().map_or(0, |data| data.get().len())
    }

    /// The bytes to write in this shape, framed by the transport when they are first asked for. One shape has one
    /// framing.
    pub fn encoded(&self, shape: Shape, frame: impl FnOnce(&[u8]) -> Bytes) -> Bytes {
        let encoded = match shape {
            Shape::Bare => self.bare.get_or_init(|| frame(&self.encode(b"", b""))),
            Shape::Enveloped => self
                .enveloped
                .get_or_init(|| frame(&self.encode(br#"{"type":"notice","notice":"#, b"}"))),
            Shape::Event => self.event.get_or_init(|| frame(&self.encode(b"", b""))),
        };
        encoded.clone()
    }

    /// The notice's JSON alone, appended to `text`: for an answer that only one session gets.
    pub fn write_json(&self, text: &mut Vec<u8>) {
        self.notice.write_json(false, self.redelivered, text);
    }

    fn encode(&self, before: &[u8], after: &[u8]) -> Vec<u8> {
        let mut text = Vec::with_capacity(before.len() + self.weight() + after.len());
        text.extend_from_slice(before);
        self.notice.write_json(false, self.redelivered, &mut text);
        text.extend_from_slice(after);
        text
    }
}
