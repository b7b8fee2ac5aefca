//! Which message was staged to whom, and which arrived: nothing lost, doubled or misdelivered.
//!
//! Each message's text says its number and when its staging was intended, so that a receipt
//! needs no look-up for the lag and one bit for the ledger.

use std::fmt::Write;

use memchr::memmem;
use serde::{Deserialize, Serialize};

/// Length of a message's text.
const TEXT_LENGTH: usize = 80;
/// What it begins with.
pub(crate) const MARK: &[u8] = b"nb1.";
const FILLER: &str = " The parcel you are waiting for has left";

/// What a message's text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The message's number.
    pub(crate) sequence: u64,
    /// When it was to be staged, in nanoseconds of the worker's clock.
    pub(crate) intended_ns: u64,
}

impl Stamp {
    /// Makes the text.
    pub(crate) fn write(self, text: &mut String) {
        text.clear();
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "nb1.{:016x}.{:016x}{FILLER}",
            self.sequence, self.intended_ns
        );
        while text.len() < TEXT_LENGTH {
            text.push('.');
        }
    }

    /// Finds the text within a frame.
    pub(crate) fn find(line: &[u8]) -> Option<Self> {
        let start = memmem::find(line, MARK)? + MARK.len();
        let sequence = hex(line.get(start..start + 16)?)?;
        let intended_ns = hex(line.get(start + 17..start + 33)?)?;
        Some(Self {
            sequence,
            intended_ns,
        })
    }
}

fn hex(digits: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// The sums of one phase.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// Messages whose staging was started.
    pub(crate) staged: u64,
    /// Those that the server did not take.
    pub(crate) refused: u64,
    /// Those that arrived, each counted once.
    pub(crate) received: u64,
    /// Arrivals of what had arrived before.
    pub(crate) doubled: u64,
    /// Arrivals at a client of another account.
    pub(crate) misdelivered: u64,
}

impl Tally {
    /// Messages that were taken but did not arrive.
    pub(crate) fn lost(&self) -> u64 {
        self.staged
            .saturating_sub(self.refused)
            .saturating_sub(self.received)
    }

    /// Whether all that was staged arrived once, where it should.
    pub(crate) fn is_clean(&self) -> bool {
        self.refused == 0 && self.lost() == 0 && self.doubled == 0 && self.misdelivered == 0
    }

    /// Adds another worker's or another repetition's sums.
    pub(crate) fn add(&mut self, other: &Self) {
        self.staged += other.staged;
        self.refused += other.refused;
        self.received += other.received;
        self.doubled += other.doubled;
        self.misdelivered += other.misdelivered;
    }
}

/// The messages of the current phase.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    first: u64,
    receivers: Vec<u32>,
    received: Vec<bool>,
    tally: Tally,
}

impl Ledger {
    /// Forgets the messages so far; their late arrivals no longer count.
    pub(crate) fn begin(&mut self) {
        self.first += self.receivers.len() as u64;
        self.receivers.clear();
        self.received.clear();
        self.tally = Tally::default();
    }

    /// Enters a message to a receiver and gives its number.
    pub(crate) fn stage(&mut self, receiver: u32) -> u64 {
        let sequence = self.first + self.receivers.len() as u64;
        self.receivers.push(receiver);
        self.received.push(false);
        self.tally.staged += 1;
        sequence
    }

    /// Who is to receive a message.
    pub(crate) fn receiver(&self, sequence: u64) -> Option<u32> {
        self.receivers.get(self.index(sequence)?).copied()
    }

    /// Enters that the server did not take so many.
    pub(crate) fn refuse(&mut self, count: u64) {
        self.tally.refused += count;
    }

    /// Enters an arrival; true if it is the message's first one, at its receiver.
    pub(crate) fn receive(&mut self, sequence: u64, receiver: u32) -> bool {
        let Some(index) = self.index(sequence) else {
            return false;
        };
        let Some(received) = self.received.get_mut(index) else {
            return false;
        };
        if self.receivers.get(index) != Some(&receiver) {
            self.tally.misdelivered += 1;
            return false;
        }
        if std::mem::replace(received, true) {
            self.tally.doubled += 1;
            return false;
        }
        self.tally.received += 1;
        true
    }

    /// The sums so far.
    pub(crate) fn tally(&self) -> Tally {
        self.tally
    }

    fn index(&self, sequence: u64) -> Option<usize> {
        usize::try_from(sequence.checked_sub(self.first)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_found_within_a_frame() {
        let stamp = Stamp {
            sequence: 77,
            intended_ns: 123_456_789,
        };
        let mut text = String::new();
        stamp.write(&mut text);
        assert_eq!(text.len(), TEXT_LENGTH);
        let frame = format!(r#"{{"id":"a","message":"{text}","read":false}}"#);
        assert_eq!(Stamp::find(frame.as_bytes()), Some(stamp));
        assert_eq!(Stamp::find(b"nb1.00"), None);
        assert_eq!(Stamp::find(b"nothing"), None);
    }

    #[test]
    fn what_did_not_arrive_is_lost_and_what_came_twice_is_doubled() {
        let mut ledger = Ledger::default();
        let numbers = [5, 6, 7].map(|receiver| ledger.stage(receiver));
        assert!(ledger.receive(numbers[0], 5));
        assert!(!ledger.receive(numbers[0], 5));
        assert!(!ledger.receive(numbers[1], 7));
        let tally = ledger.tally();
        assert_eq!(
            (tally.received, tally.doubled, tally.misdelivered),
            (1, 1, 1)
        );
        assert_eq!(tally.lost(), 2);
        assert!(!tally.is_clean());
    }

    #[test]
    fn late_arrivals_of_an_earlier_phase_do_not_count() {
        let mut ledger = Ledger::default();
        let early = ledger.stage(1);
        ledger.begin();
        let number = ledger.stage(2);
        assert!(!ledger.receive(early, 1));
        assert_eq!(ledger.receiver(number), Some(2));
        assert!(ledger.receive(number, 2));
        assert!(ledger.tally().is_clean());
    }
}
