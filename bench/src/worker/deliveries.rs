//! What becomes of messages: the ledger, the lags, and the clock that both ends share.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::ledger::{Ledger, Stamp};
use crate::measure::stats::Latencies;

/// The messages of a phase on their way.
pub(crate) struct Deliveries {
    epoch: Instant,
    started: Instant,
    last: Instant,
    /// Who got what.
    pub(crate) ledger: Ledger,
    /// From the intended start of a staging call to the arrival at the client.
    pub(crate) lags: Latencies,
}

impl Deliveries {
    /// Nothing yet; the clock starts.
    pub(crate) fn new() -> Result<Self> {
        let epoch = Instant::now();
        let (ledger, lags) = (Ledger::default(), Latencies::new()?);
        Ok(Self {
            epoch,
            started: epoch,
            last: epoch,
            ledger,
            lags,
        })
    }

    /// Starts a phase.
    pub(crate) fn begin(&mut self) {
        self.ledger.begin();
        self.lags.clear();
        self.started = Instant::now();
        self.last = self.started;
    }

    /// From the phase's start to its last arrival.
    pub(crate) fn duration(&self) -> Duration {
        self.last - self.started
    }

    /// Nanoseconds of the worker's clock.
    pub(crate) fn ns(&self, time: Instant) -> u64 {
        u64::try_from((time - self.epoch).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Enters a frame that arrived at a client.
    pub(crate) fn receive(&mut self, client: usize, line: &[u8]) {
        let Some(stamp) = Stamp::find(line) else {
            return;
        };
        let Ok(client) = u32::try_from(client) else {
            return;
        };
        if self.ledger.receive(stamp.sequence, client) {
            self.last = Instant::now();
            self.lags
                .record_ns(self.ns(self.last).saturating_sub(stamp.intended_ns));
        }
    }
}
