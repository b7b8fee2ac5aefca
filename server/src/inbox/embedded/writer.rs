//! The writer's thread: the only place that changes the store.
//!
//! It takes all calls that came while the last group was being synced, carries them out, commits them with
//! one sync, and hands the outcome back. There is no timer that holds a group back: a lone call is written at
//! once, and under load groups grow by themselves.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;

use super::folder::Folder;
use super::group::{Commit, Group, Memory};
use super::housekeeping::Housekeeping;
use super::op::{Answer, Op, Sender};
use super::outbox::{Finished, Outbox};
use super::restart::Restart;
use super::shared::{Shared, unavailable};
use super::tables::{Tables, describe};
use crate::inbox::Operation;
use crate::inbox::{Committed, InboxError};

/// Calls that may wait in the queue. At the bound, callers wait for room; `Shared::queued` bounds bytes.
pub(super) const QUEUE: usize = 4096;

/// Notices, and KiB, that close a group: beyond it a group only gets slower, no cheaper.
const GROUP_NOTICES: usize = 1000;
const GROUP_KIB: u32 = 4 << 10;

pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) folder: Folder,
    pub(super) calls: mpsc::Receiver<Op>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) memory: Memory,
    pub(super) housekeeping: Housekeeping,
    pub(super) restart: Restart,
    pub(super) waiting: VecDeque<Op>,
    pub(super) ticks: Vec<Sender<()>>,
}

impl Writer {
    /// Works until the queue is closed and empty, then syncs and lets the tables go.
    pub(super) fn run(mut self) {
        let mut received = Vec::with_capacity(QUEUE / 8);
        while self.receive(&mut received) {
            // The engine panics on what it holds impossible. That must not end the only thread that writes:
            // it is a failure like any other.
            if catch_unwind(AssertUnwindSafe(|| self.round())).is_err() {
                self.stop_using_tables(unavailable("the engine gave up in the midst of a call"));
            }
        }
        self.close();
    }

    /// Takes what waits; waits for the first when there is nothing else to do. False when no more will come.
    fn receive(&mut self, received: &mut Vec<Op>) -> bool {
        let room = QUEUE.saturating_sub(self.waiting.len());
        if self.waiting.is_empty() && !self.housekeeping.pending() {
            if self.calls.blocking_recv_many(received, room) == 0 {
                return false;
            }
        } else {
            while received.len() < room
                && let Ok(op) = self.calls.try_recv()
            {
                received.push(op);
            }
        }
        self.waiting.extend(received.drain(..));
        true
    }

    fn round(&mut self) {
        let calls = self.next_group();
        if self.outbox.is_deaf() && self.shared.available().is_ok() {
            self.give_up();
        }
        match self.shared.tables() {
            Ok(tables) => {
                if !calls.is_empty() {
                    self.carry_out(&tables, calls);
                }
                self.keep_house();
            }
            Err(why) => {
                self.refuse(calls, &why);
                self.try_restart();
            }
        }
    }

    /// The calls of the next group, in their order.
    fn next_group(&mut self) -> Vec<Op> {
        let (mut notices, mut kib) = (0, 0);
        let mut calls = Vec::with_capacity(self.waiting.len().min(GROUP_NOTICES));
        while let Some(op) = self.waiting.front() {
            notices += op.notices();
            kib += op.kib();
            if !calls.is_empty() && (notices > GROUP_NOTICES || kib > GROUP_KIB) {
                break;
            }
            if let Some(op) = self.waiting.pop_front() {
                match op {
                    Op::Tick { answer } => self.note_tick(answer),
                    op => calls.push(op),
                }
            }
        }
        calls
    }

    fn note_tick(&mut self, answer: Option<Sender<()>>) {
        self.housekeeping.tick(answer.is_some());
        if answer.is_some() {
            // It came through the queue's door, unlike the timer's own.
            self.shared.queued.add_permits(1);
        }
        self.ticks.extend(answer);
    }

    fn carry_out(&mut self, tables: &Arc<Tables>, calls: Vec<Op>) {
        let started = Instant::now();
        let count = calls.len();
        let room = Room::of(&self.shared, &calls);
        let commit = match tables.await_memory() {
            Ok(()) => {
                let mut group = Group::new(&self.shared, tables, &mut self.memory);
                calls.into_iter().for_each(|op| group.apply(op));
                group.commit()
            }
            Err(error) => {
                let why = unavailable(describe(&error));
                let events = calls.into_iter().filter_map(|op| op.refuse(&why));
                let events = events.collect();
                let answers = Vec::new();
                Commit::Failed(error, Finished { events, answers })
            }
        };
        drop(room);
        self.shared
            .metrics
            .operation(Operation::Commit, started.elapsed());
        self.shared.metrics.group(count);
        self.finish(commit);
    }

    /// Hands a group's outcome over.
    fn finish(&mut self, commit: Commit) {
        match commit {
            Commit::Unchanged(finished) => self.hand_over(finished),
            Commit::Synced(finished) => {
                self.housekeeping.note_synced();
                self.hand_over(finished);
            }
            Commit::Buffered(finished) => {
                self.housekeeping.note_unsynced();
                self.hand_over(finished);
            }
            Commit::Failed(error, finished) => {
                self.shared.metrics.error(Operation::Commit);
                let why = unavailable(describe(&error));
                self.hand_over(finished.failed(&why));
                self.stop_using_tables(why);
            }
        }
    }

    fn hand_over(&mut self, finished: Finished) {
        let nothing = finished.events.is_empty() && finished.answers.is_empty();
        if !nothing && let Err(untold) = self.outbox.put(finished) {
            self.give_up();
            // Its callers hear that they have no answer.
            drop(untold);
        }
    }

    /// What can't be told must not happen.
    fn give_up(&mut self) {
        self.stop_using_tables(unavailable(
            "nobody hears what is committed: the server must be restarted",
        ));
        self.restart.give_up();
    }

    fn stop_using_tables(&mut self, why: InboxError) {
        tracing::error!(reason = %why.reason, "the store takes no calls until it is opened again");
        let tables = self.shared.take_tables(why);
        self.restart.begin(tables);
    }

    fn refuse(&mut self, calls: Vec<Op>, why: &InboxError) {
        let _room = Room::of(&self.shared, &calls);
        let events: Vec<_> = calls.into_iter().filter_map(|op| op.refuse(why)).collect();
        if !events.is_empty() {
            let answers = Vec::new();
            // Nobody who could hear it is no reason to fail once more.
            let _told = self.outbox.put(Finished { events, answers });
        }
        self.ticks
            .drain(..)
            .for_each(|tick| drop(tick.send(Err(why.clone()))));
    }

    fn try_restart(&mut self) {
        self.housekeeping.idle();
        let Some(opened) = self.restart.attempt(&self.folder, &self.shared) else {
            return;
        };
        // Ids go on after the newest of both: of what is stored, and of what was made since.
        let last = opened.last_order.max(self.memory.last_order);
        self.memory = Memory::after(last, opened.settled_below);
        *self.shared.index.write() = opened.index;
        self.shared.young.replace(opened.young);
        self.shared.put_tables(opened.tables);
        tracing::info!("the store is open again");
        self.hand_over(Finished {
            events: vec![Committed::CameBack],
            answers: Vec::new(),
        });
    }

    /// A slice of what is due, if anything is.
    fn keep_house(&mut self) {
        let Ok(tables) = self.shared.tables() else {
            return;
        };
        if self.shared.young.is_crowded() {
            self.housekeeping.settle_now();
        }
        if self.housekeeping.pending() {
            let started = Instant::now();
            let commit = match tables.await_memory() {
                Ok(()) => {
                    self.housekeeping
                        .slice(&self.shared, &tables, &self.folder, &mut self.memory)
                }
                Err(error) => Some(Commit::Failed(error, Finished::default())),
            };
            drop(tables);
            if let Some(commit) = commit {
                self.finish(commit);
            }
            self.shared
                .metrics
                .operation(Operation::Housekeeping, started.elapsed());
        }
        if !self.housekeeping.pending() && !self.ticks.is_empty() {
            let answers = self
                .ticks
                .drain(..)
                .map(|tick| Answer::Done(tick, Ok(())))
                .collect();
            self.hand_over(Finished {
                events: Vec::new(),
                answers,
            });
        }
    }

    /// Writes the pushed marks that wait, syncs what was only buffered, and lets go of everything.
    fn close(mut self) {
        self.housekeeping.last_tick();
        while self.housekeeping.pending() && self.shared.tables().is_ok() {
            self.keep_house();
        }
        let synced = self.shared.tables().is_ok_and(|tables| {
            let synced = tables.database.persist(fjall::PersistMode::SyncAll);
            synced
                .inspect_err(|error| {
                    tracing::error!(error = describe(error), "the last sync failed")
                })
                .is_ok()
        });
        let tables = self.shared.take_tables(unavailable("the store is closed"));
        let let_go = tables.and_then(super::restart::let_go).is_none() && self.restart.let_go();
        if synced
            && let_go
            && let Err(error) = self.folder.set_clean()
        {
            tracing::warn!(%error, "the store's end could not be noted; it will be looked over as after a crash");
        }
        self.outbox.end();
    }
}

/// The room in the queue that a group's calls took. Given back when the group is done, whatever became of it.
struct Room {
    shared: Arc<Shared>,
    kib: u32,
}

impl Room {
    fn of(shared: &Arc<Shared>, calls: &[Op]) -> Self {
        Self {
            shared: Arc::clone(shared),
            kib: calls.iter().map(Op::kib).sum(),
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.shared.queued.add_permits(self.kib as usize);
    }
}
