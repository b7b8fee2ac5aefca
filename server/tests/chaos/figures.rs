//! The figures of a case. Pure: what was noted goes in, numbers come out.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use super::book::{Book, Told};
use super::recovery::{Delivery, Recovery};

/// When the fault began and ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) begun: Instant,
    pub(crate) ended: Instant,
}

/// How long notices took to their first receiver.
#[derive(Debug, Default)]
struct Lags(Vec<Duration>);

/// What is printed of a case.
pub(crate) struct Figures {
    answered: usize,
    receipts: u64,
    doubles: u64,
    retries: String,
    reasons: String,
    refused: String,
    slowest_refusal: Duration,
    ends: String,
    lags: [Lags; 3],
    pub(crate) recovery: Recovery,
}

impl Figures {
    pub(crate) fn of(book: &Book, fault: Fault) -> Self {
        let told = book.told.lock();
        let received = book.received.lock();
        let mut lags: [Lags; 3] = Default::default();
        let mut deliveries = Vec::new();
        for (id, told) in told.iter() {
            let Some(&received) = received.get(id) else {
                continue;
            };
            let begun = told.begun;
            let delivery = Delivery { begun, received };
            lags[phase(told, fault)].0.push(delivery.lag());
            deliveries.push(delivery);
        }
        lags.iter_mut().for_each(|lags| lags.0.sort_unstable());
        let recovery = Recovery::of(&deliveries, fault.ended, lags[0].percentile(99));
        let counts = book.counts.lock().clone();
        Self {
            answered: told.len(),
            receipts: counts.receipts,
            doubles: counts.doubles,
            retries: listed(&counts.retries),
            reasons: listed(&counts.reasons),
            refused: listed(&counts.refused),
            slowest_refusal: counts.slowest_refusal,
            ends: ends(book),
            lags,
            recovery,
        }
    }
}

fn phase(told: &Told, fault: Fault) -> usize {
    if told.begun < fault.begun {
        0
    } else if told.begun < fault.ended {
        1
    } else {
        2
    }
}

fn ends(book: &Book) -> String {
    let mut ends = BTreeMap::new();
    for ended in book.ends.lock().iter() {
        *ends.entry(ended.end).or_default() += 1;
    }
    listed(&ends)
}

fn listed<K: fmt::Debug>(counts: &BTreeMap<K, u64>) -> String {
    let each = counts
        .iter()
        .map(|(what, count)| format!("{count} {what:?}"));
    let all: Vec<_> = each.collect();
    if all.is_empty() {
        "none".to_owned()
    } else {
        all.join(", ")
    }
}

impl Lags {
    /// Of lags in order.
    fn percentile(&self, part: usize) -> Duration {
        let place = self.0.len().saturating_sub(1) * part / 100;
        self.0.get(place).copied().unwrap_or_default()
    }
}

impl fmt::Display for Lags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |part| self.percentile(part).as_millis();
        write!(
            f,
            "{}/{}/{} ms of {}",
            at(50),
            at(99),
            at(100),
            self.0.len()
        )
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [before, during, after] = &self.lags;
        write!(
            f,
            "{} answered, {} receipts, {} doubles; retries: {}; refusals: {}, the slowest after {:?}; \
             connections refused: {}; sessions ended: {}; \
             lag p50/p99/max before {before}, during {during}, after {after}; \
             as quick as before {:?} after the fault's end (no slower than {:?}), the last notice came after {:?}",
            self.answered,
            self.receipts,
            self.doubles,
            self.retries,
            self.reasons,
            self.slowest_refusal,
            self.refused,
            self.ends,
            self.recovery.recovered,
            self.recovery.healthy,
            self.recovery.longest,
        )
    }
}
