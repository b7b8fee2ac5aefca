//! Counts bytes. Those of TCP's and IP's own heads are not among them.

use std::cell::Cell;

use serde::{Deserialize, Serialize};

/// Bytes in both directions, seen from the clients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Traffic {
    /// To the server.
    pub(crate) sent: u64,
    /// From the server.
    pub(crate) received: u64,
}

impl Traffic {
    /// Adds another worker's.
    pub(crate) fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.received += other.received;
    }

    /// What came since an earlier reading.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            sent: self.sent.saturating_sub(earlier.sent),
            received: self.received.saturating_sub(earlier.received),
        }
    }
}

/// Counts for several connections of one thread.
#[derive(Debug, Default)]
pub(crate) struct Meter(Cell<Traffic>);

impl Meter {
    /// So many went to the server.
    pub(crate) fn sent(&self, bytes: usize) {
        let mut traffic = self.0.get();
        traffic.sent += bytes as u64;
        self.0.set(traffic);
    }

    /// So many came from it.
    pub(crate) fn received(&self, bytes: usize) {
        let mut traffic = self.0.get();
        traffic.received += bytes as u64;
        self.0.set(traffic);
    }

    /// The sums so far.
    pub(crate) fn traffic(&self) -> Traffic {
        self.0.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_are_counted_apart() {
        let meter = Meter::default();
        meter.sent(3);
        let before = meter.traffic();
        meter.sent(4);
        meter.received(5);
        let expected = Traffic {
            sent: 4,
            received: 5,
        };
        assert_eq!(meter.traffic().since(before), expected);
        let mut sum = before;
        sum.add(expected);
        assert_eq!(sum, meter.traffic());
    }
}
