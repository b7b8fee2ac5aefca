//! The way back: finished groups, from the writer's thread to the runtime.
//!
//! One wake-up crosses over for a group; the callers are woken within the runtime. Order is kept: a group's
//! events are told before its answers, and groups as they were committed.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

use super::op::Answer;
use crate::inbox::{CommitObserver, Committed, InboxError, MarkRead};

/// Groups that may wait for the runtime. At the bound the writer waits: whoever can't hear what happened
/// must not let more happen. While the store closes there is no bound, as the runtime may be waiting for us;
/// what is left then is bounded by the queue in front.
const MOST: usize = 64;

/// A group that is on the disk.
#[derive(Default)]
pub(super) struct Finished {
    pub(super) events: Vec<Committed>,
    pub(super) answers: Vec<Answer>,
}

impl Finished {
    /// What is told and answered when the group could not be written.
    pub(super) fn failed(mut self, why: &InboxError) -> Self {
        self.answers.iter_mut().for_each(|answer| answer.fail(why));
        let not_read = |event| match event {
            Committed::Read {
                account,
                asked: ids,
                reader,
                ..
            } => Some(Committed::NotRead(MarkRead {
                account,
                ids,
                reader,
            })),
            Committed::NotRead(request) => Some(Committed::NotRead(request)),
            _ => None,
        };
        self.events = self.events.into_iter().filter_map(not_read).collect();
        self
    }
}

#[derive(Default)]
struct State {
    groups: VecDeque<Finished>,
    bounded: bool,
    ended: bool,
    /// Nobody tells any more: the observer panicked, or the runtime is gone.
    deaf: bool,
}

#[derive(Default)]
pub(super) struct Outbox {
    state: Mutex<State>,
    room: Condvar,
    news: Notify,
}

impl Outbox {
    pub(super) fn new() -> Arc<Self> {
        let outbox = Self::default();
        outbox.state.lock().bounded = true;
        Arc::new(outbox)
    }

    /// Whether nobody tells any more.
    pub(super) fn is_deaf(&self) -> bool {
        self.state.lock().deaf
    }

    /// Hands a group over, when there is room; gives it back when nobody will ever tell it.
    pub(super) fn put(&self, finished: Finished) -> Result<(), Finished> {
        let mut state = self.state.lock();
        while state.bounded && state.groups.len() >= MOST {
            self.room.wait(&mut state);
        }
        if state.deaf {
            return Err(finished);
        }
        state.groups.push_back(finished);
        drop(state);
        self.news.notify_one();
        Ok(())
    }

    /// Never makes the writer wait again.
    pub(super) fn lift_bound(&self) {
        self.state.lock().bounded = false;
        self.room.notify_all();
    }

    /// Says that no more groups come.
    pub(super) fn end(&self) {
        self.state.lock().ended = true;
        self.news.notify_one();
    }

    fn take(&self) -> (VecDeque<Finished>, bool) {
        let mut state = self.state.lock();
        let groups = std::mem::take(&mut state.groups);
        let ended = state.ended;
        drop(state);
        self.room.notify_one();
        (groups, ended)
    }

    /// Tells each group to `observer`, then answers its callers, until no more come.
    pub(super) async fn tell(self: Arc<Self>, observer: Arc<dyn CommitObserver>) {
        let _on_drop = Deafen(&self);
        loop {
            let (groups, ended) = self.take();
            for group in groups {
                if !group.events.is_empty() {
                    // No other node reads this store, so nobody else is waited for.
                    let _told = observer.committed(group.events);
                }
                group.answers.into_iter().for_each(Answer::give);
            }
            if ended {
                return;
            }
            self.news.notified().await;
        }
    }
}

/// However the telling task ends, the writer must not wait for it.
struct Deafen<'a>(&'a Outbox);

impl Drop for Deafen<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.deaf = true;
        state.bounded = false;
        // Dropped answers tell their callers that something went wrong.
        state.groups.clear();
        drop(state);
        self.0.room.notify_all();
    }
}
