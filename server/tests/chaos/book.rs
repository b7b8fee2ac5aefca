//! What callers and clients saw, with its times.

use std::collections::{BTreeMap, HashMap};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::support::Ledger;

/// When a notice was answered for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    /// The start of the attempt that was answered.
    pub(crate) begun: Instant,
    pub(crate) answered: Instant,
}

/// Why an attempt to stage was repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Retry {
    Refused,
    Broken,
    Unanswered,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    /// By the server's close frame.
    Code(u16),
    /// The client moved to another node when it was asked to, and closed.
    Moved,
    /// Without a close frame.
    Broken,
    /// Nothing came for so long that the client gave it up.
    Silent,
}

/// The end of a session.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    pub(crate) at: Instant,
    pub(crate) place: usize,
    pub(crate) v1: bool,
    pub(crate) end: End,
}

/// Shared between all tasks of a case.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) ledger: Ledger,
    pub(crate) told: Mutex<HashMap<String, Told>>,
    /// The first time that any session of its account received a notice.
    pub(crate) received: Mutex<HashMap<String, Instant>>,
    pub(crate) counts: Mutex<Counts>,
    pub(crate) ends: Mutex<Vec<Ended>>,
    /// What may never be, seen on the way.
    pub(crate) faults: Mutex<Vec<String>>,
}

/// Plain numbers.
#[derive(Debug, Default, Clone)]
pub(crate) struct Counts {
    pub(crate) receipts: u64,
    /// A device received what it had received in an earlier session.
    pub(crate) doubles: u64,
    pub(crate) retries: BTreeMap<Retry, u64>,
    /// What refusals of staging calls said.
    pub(crate) reasons: BTreeMap<String, u64>,
    /// Connections that were refused, by status; 0 where there was no answer.
    pub(crate) refused: BTreeMap<u16, u64>,
    /// The longest time until a call was refused.
    pub(crate) slowest_refusal: std::time::Duration,
}

impl Book {
    pub(crate) fn fault(&self, what: String) {
        self.faults.lock().push(what);
    }

    pub(crate) fn answered(&self, id: &str, begun: Instant) {
        let answered = Instant::now();
        let mut told = self.told.lock();
        told.insert(id.to_owned(), Told { begun, answered });
    }

    pub(crate) fn retry(&self, why: Retry) {
        *self.counts.lock().retries.entry(why).or_default() += 1;
    }

    /// A staging call, begun then, was refused.
    pub(crate) fn refused(&self, begun: Instant, reason: &str) {
        let mut counts = self.counts.lock();
        counts.slowest_refusal = counts.slowest_refusal.max(begun.elapsed());
        *counts.retries.entry(Retry::Refused).or_default() += 1;
        *counts.reasons.entry(reason.to_owned()).or_default() += 1;
    }

    pub(crate) fn receipt(&self, id: &str, double: bool) {
        let mut counts = self.counts.lock();
        counts.receipts += 1;
        counts.doubles += u64::from(double);
        drop(counts);
        let mut received = self.received.lock();
        received.entry(id.to_owned()).or_insert_with(Instant::now);
    }

    pub(crate) fn connection_refused(&self, status: u16) {
        *self.counts.lock().refused.entry(status).or_default() += 1;
    }

    pub(crate) fn ended(&self, place: usize, v1: bool, end: End) {
        self.ends.lock().push(Ended {
            at: Instant::now(),
            place,
            v1,
            end,
        });
    }
}
