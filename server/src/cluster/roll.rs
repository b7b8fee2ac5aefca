//! The roll call: which nodes were heard a moment ago, and which have fallen silent.
//!
//! A node that is cut off from the bus goes on staging notices, and can wake nobody: its silence is all that the others
//! hear of it. While one that did not say goodbye is missing, they look into the inbox as if there were no bus.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::bus::{Channel, NodeId};
use super::member::Member;
use super::wire::Letter;

/// Every node says so often that it is there.
const CALL: Duration = Duration::from_secs(1);

/// A node that was not heard for so long is missing. A beat or two may be late.
const SILENT: Duration = Duration::from_secs(3);

/// A node that was not heard for so long is taken for gone. Until then a node that died has the others look into the
/// inbox more often than they need to; from then on one that is still cut off is left to the usual sweep.
const GONE: Duration = Duration::from_secs(180);

/// More nodes than a cluster has, many times over: each life of a node is one, until it is gone.
const MOST: usize = 10_000;

/// At the end: for the goodbye to go out.
const FAREWELL: Duration = Duration::from_millis(500);

/// The nodes that were heard. Pure: times are given.
#[derive(Debug, Default)]
pub(super) struct Roll(HashMap<NodeId, Instant>);

impl Roll {
    pub(super) fn heard(&mut self, node: NodeId, now: Instant) {
        if self.0.len() < MOST || self.0.contains_key(&node) {
            self.0.insert(node, now);
        }
    }

    pub(super) fn said_goodbye(&mut self, node: NodeId) {
        self.0.remove(&node);
    }

    /// Nobody could be heard until now: everyone has a new chance.
    pub(super) fn begin_anew(&mut self, now: Instant) {
        self.0.values_mut().for_each(|heard| *heard = now);
    }

    /// Whether a node is missing that is not known to be gone. Forgets those that are.
    pub(super) fn is_one_missing(&mut self, now: Instant) -> bool {
        self.0.retain(|_, heard| now.duration_since(*heard) < GONE);
        self.0
            .values()
            .any(|heard| now.duration_since(*heard) >= SILENT)
    }
}

impl Member {
    /// Says every second that this node is there, and what is still owed; for ever.
    pub async fn answer_the_roll(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(CALL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if self.leaving.load(Ordering::Acquire) {
                return std::future::pending().await;
            }
            // Who does not hear it draws the conclusion.
            drop(self.publish(vec![self.letter(Channel::Nodes, &Letter::Here)]));
            if !self.owed.lock().is_empty() {
                self.pay_what_is_owed();
            }
        }
    }

    /// Tells the others that this node ends: they need not look for what it could not tell. Called when nothing more
    /// will be told.
    pub async fn say_goodbye(&self) {
        self.leaving.store(true, Ordering::Release);
        let goodbye = self.letter(Channel::Nodes, &Letter::Goodbye);
        if let Some(receipt) = self.publish(vec![goodbye]) {
            let _in_time = tokio::time::timeout(FAREWELL, receipt.confirmed()).await;
        }
    }

    /// Whether notices may be staged at a node that can wake nobody.
    pub(super) fn is_one_missing(&self) -> bool {
        self.roll.lock().is_one_missing(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: NodeId = NodeId(1);
    const OTHER: NodeId = NodeId(2);

    #[test]
    fn a_node_that_falls_silent_is_missing_until_it_is_heard_again_or_taken_for_gone() {
        let (mut roll, begin) = (Roll::default(), Instant::now());
        roll.heard(ONE, begin);
        assert!(!roll.is_one_missing(begin + SILENT - CALL));
        assert!(roll.is_one_missing(begin + SILENT));
        roll.heard(ONE, begin + SILENT);
        assert!(!roll.is_one_missing(begin + SILENT + CALL));
        assert!(!roll.is_one_missing(begin + SILENT + GONE));
        assert!(roll.0.is_empty());
    }

    #[test]
    fn a_node_that_said_goodbye_is_not_missed_and_others_still_are() {
        let (mut roll, begin) = (Roll::default(), Instant::now());
        roll.heard(ONE, begin);
        roll.heard(OTHER, begin);
        roll.said_goodbye(ONE);
        assert!(roll.is_one_missing(begin + SILENT), "the other one");
        roll.said_goodbye(OTHER);
        assert!(!roll.is_one_missing(begin + SILENT));
    }

    #[test]
    fn who_could_hear_nobody_gives_everyone_a_new_chance() {
        let (mut roll, begin) = (Roll::default(), Instant::now());
        roll.heard(ONE, begin);
        roll.begin_anew(begin + SILENT);
        assert!(!roll.is_one_missing(begin + SILENT));
        assert!(roll.is_one_missing(begin + SILENT + SILENT));
    }
}
