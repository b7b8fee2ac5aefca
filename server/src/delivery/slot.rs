//! One session as its account sees it: its phase, what is in flight to it, and its bounded mailbox.

use std::collections::VecDeque;
use std::sync::Arc;

use super::push::Push;
use super::session::{CloseReason, Session};
use crate::domain::NoticeId;

/// A mailbox takes no further notice once it weighs this much: a client that stops reading costs so much
/// memory at most, and one notice. What does not fit stays in the inbox.
pub(super) const MAILBOX_BYTES: usize = 32 * 1024;

/// Control frames go into a mailbox that is full of notices, up to here; then the session is closed as too slow.
const MAILBOX_MOST: usize = 4 * MAILBOX_BYTES;

/// What a session's task writes.
#[derive(Debug, Clone)]
pub enum Outgoing {
    /// A notice.
    Notice(Arc<Push>),
    /// Another session acknowledged these.
    Read(Arc<[NoticeId]>),
    /// These are taken back.
    Recall(Arc<[NoticeId]>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// `next`: the oldest notice that is known to wait, once the inbox has been looked at. `again`: as below.
    Backlog {
        log_from: u64,
        looked: bool,
        next: Option<NoticeId>,
        again: bool,
    },
    /// `again`: the backlog must be looked at once more before the session is live.
    Log {
        at: u64,
        again: bool,
    },
    Live,
}

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) session: Arc<Session>,
    pub(super) phase: Phase,
    /// Handed to the session and not yet acknowledged, in the order of handing over.
    pub(super) in_flight: VecDeque<NoticeId>,
    pub(super) mailbox: VecDeque<Outgoing>,
    pub(super) mailbox_bytes: usize,
    /// While the inbox is being read for the session: what was withdrawn meanwhile.
    pub(super) fetching: Option<Vec<NoticeId>>,
    /// In the log, but handed over already: the backlog was read after the commit and before the publishing.
    /// Empty but for that race.
    pub(super) ahead: Vec<NoticeId>,
    /// It looks at the inbox because the sweep found there what no wake-up had brought.
    pub(super) swept: bool,
}

impl Slot {
    pub(super) fn has_room(&self) -> bool {
        self.in_flight.len() < usize::from(self.session.spec().window)
            && self.mailbox_bytes < MAILBOX_BYTES
    }

    pub(super) fn hand_over(&mut self, push: Arc<Push>) {
        if push.is_stored() {
            self.in_flight.push_back(push.id());
        }
        self.put(Outgoing::Notice(push));
    }

    pub(super) fn put(&mut self, item: Outgoing) {
        if self.mailbox_bytes > MAILBOX_MOST {
            // It has not read for a long time while others acknowledge: what it is not told it will never know.
            self.session.close(CloseReason::TooSlow);
            return;
        }
        self.mailbox_bytes += weight(&item);
        self.mailbox.push_back(item);
        self.session.wake();
    }

    /// Frees the window of `ids`. True when any was in flight.
    pub(super) fn release(&mut self, ids: &[NoticeId]) -> bool {
        let before = self.in_flight.len();
        if before == 0 {
            return false;
        }
        self.in_flight.retain(|id| !ids.contains(id));
        shrink(&mut self.in_flight);
        before != self.in_flight.len()
    }

    /// Takes `ids` from what is still to be written. True when the session had any of them written to it,
    /// that is in flight and no longer in the mailbox.
    pub(super) fn withdraw(&mut self, ids: &[NoticeId]) -> bool {
        if let Some(gone) = &mut self.fetching {
            gone.extend_from_slice(ids);
        }
        let in_flight = self.in_flight.iter().filter(|id| ids.contains(id)).count();
        let before = self.mailbox.len();
        self.mailbox
            .retain(|item| !matches!(item, Outgoing::Notice(push) if ids.contains(&push.id())));
        let unwritten = before - self.mailbox.len();
        if unwritten > 0 {
            self.mailbox_bytes = self.mailbox.iter().map(weight).sum();
        }
        self.release(ids);
        if in_flight > 0 && self.phase != Phase::Live {
            self.session.wake();
        }
        in_flight > unwritten
    }

    /// Where the session needs the log to begin.
    pub(super) fn needs_log_from(&self) -> Option<u64> {
        match self.phase {
            Phase::Backlog { log_from, .. } => Some(log_from),
            Phase::Log { at, .. } => Some(at),
            Phase::Live => None,
        }
    }
}

pub(super) fn weight(item: &Outgoing) -> usize {
    match item {
        Outgoing::Notice(push) => push.weight(),
        Outgoing::Read(ids) | Outgoing::Recall(ids) => 64 + 32 * ids.len(),
    }
}

/// An idle session keeps no buffer from busier times.
pub(super) fn shrink<T>(queue: &mut VecDeque<T>) {
    if queue.is_empty() && queue.capacity() > 4 {
        *queue = VecDeque::new();
    }
}
