//! What waits to be published, and what was published and is not answered yet. No I/O.
//!
//! Callers encode their messages into the lane of the server that they go to; its publisher takes all that is there
//! and writes it at once. A receipt is answered when the last of its messages is; it fails when one of them is
//! dropped, wherever that happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::cluster::bus::{NotPublished, Receipt};

/// How many messages may wait or be unanswered. A round trip takes a millisecond or so, in which a busy node makes
/// some dozens; with this many Redis is a good part of a second behind, and the link is about to be given up.
pub(super) const MESSAGES: usize = 16_384;
/// How many bytes of them: what a link of 1 Gbit/s takes in a seventh of a second.
pub(super) const BYTES: usize = 16 << 20;

type Answer = oneshot::Sender<Result<Vec<u64>, NotPublished>>;

struct Awaited {
    counts: Vec<u64>,
    left: usize,
    answer: Option<Answer>,
}

/// The receipt of one call, waiting for its messages' answers.
pub(super) struct Call(Mutex<Awaited>);

impl Call {
    /// A call of this many messages, and its receipt.
    pub(super) fn new(messages: usize) -> (Arc<Self>, Receipt) {
        let (answer, receipt) = oneshot::channel();
        let awaited = Awaited {
            counts: vec![0; messages],
            left: messages,
            answer: Some(answer),
        };
        (Arc::new(Self(Mutex::new(awaited))), Receipt::of(receipt))
    }

    /// The message at this place had so many listeners.
    fn confirm(&self, place: usize, listeners: u64) {
        let mut awaited = self.0.lock();
        if let Some(count) = awaited.counts.get_mut(place) {
            *count = listeners;
        }
        awaited.left = awaited.left.saturating_sub(1);
        if awaited.left == 0
            && let Some(answer) = awaited.answer.take()
        {
            // Who asked may have gone away.
            let _ = answer.send(Ok(std::mem::take(&mut awaited.counts)));
        }
    }
}

/// Room for messages, shared by all lanes.
#[derive(Default)]
pub(super) struct Room {
    messages: AtomicUsize,
    bytes: AtomicUsize,
}

impl Room {
    /// Takes room for all of it, or for none.
    pub(super) fn take(&self, messages: usize, bytes: usize) -> bool {
        if !add(&self.messages, messages, MESSAGES) {
            return false;
        }
        if add(&self.bytes, bytes, BYTES) {
            return true;
        }
        self.messages.fetch_sub(messages, Ordering::AcqRel);
        false
    }

    fn give_back(&self, bytes: usize) {
        self.messages.fetch_sub(1, Ordering::AcqRel);
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
    }
}

fn add(counter: &AtomicUsize, by: usize, max: usize) -> bool {
    let added = counter.fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
        now.checked_add(by).filter(|then| *then <= max)
    });
    added.is_ok()
}

/// One message that waits for its answer. Dropped without one, its receipt fails; its room is given back either way.
pub(super) struct Unanswered {
    call: Arc<Call>,
    place: usize,
    bytes: usize,
    room: Arc<Room>,
}

impl Unanswered {
    /// A message for which room was taken.
    pub(super) fn new(call: &Arc<Call>, place: usize, bytes: usize, room: &Arc<Room>) -> Self {
        Self {
            call: Arc::clone(call),
            place,
            bytes,
            room: Arc::clone(room),
        }
    }

    pub(super) fn confirm(self, listeners: u64) {
        self.call.confirm(self.place, listeners);
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.room.give_back(self.bytes);
    }
}

/// What waits for one server: encoded commands, and who waits for their answers, in the same order.
#[derive(Default)]
pub(super) struct Waiting {
    pub(super) commands: Vec<u8>,
    pub(super) unanswered: Vec<Unanswered>,
}

/// The way to one server.
#[derive(Default)]
pub(super) struct Lane {
    waiting: Mutex<Waiting>,
    pub(super) wake: Notify,
}

impl Lane {
    /// Adds messages while nobody else adds any.
    pub(super) fn add(&self, write: impl FnOnce(&mut Waiting)) {
        write(&mut self.waiting.lock());
        self.wake.notify_one();
    }

    /// Takes everything.
    pub(super) fn take(&self) -> Waiting {
        std::mem::take(&mut *self.waiting.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_receipt_is_answered_by_its_last_message_and_fails_with_one_that_is_dropped() {
        let room = Arc::new(Room::default());
        assert!(room.take(2, 20));
        let (call, receipt) = Call::new(2);
        let messages = [0, 1].map(|place| Unanswered::new(&call, place, 10, &room));
        drop(call);
        let [first, second] = messages;
        second.confirm(2);
        first.confirm(1);
        assert_eq!(receipt.confirmed().await, Ok(vec![1, 2]));
        assert!(room.take(2, 20));
        let (call, receipt) = Call::new(2);
        let [first, second] = [0, 1].map(|place| Unanswered::new(&call, place, 10, &room));
        drop(call);
        first.confirm(1);
        drop(second);
        assert_eq!(receipt.confirmed().await, Err(NotPublished));
        assert!(room.take(MESSAGES, BYTES), "all room came back");
    }

    #[test]
    fn room_is_taken_for_all_or_for_none() {
        let room = Room::default();
        assert!(!room.take(MESSAGES + 1, 0));
        assert!(!room.take(1, BYTES + 1));
        assert!(room.take(MESSAGES, BYTES));
        assert!(!room.take(1, 0));
        assert!(!room.take(0, 1));
    }
}
