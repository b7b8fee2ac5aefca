//! What happens by the clock: pushed marks are written, expired notices told, old rows deleted, buffered reads
//! synced, and the disk's room looked at.
//!
//! The writer runs one slice after each group while anything is due, so calls never wait for more than a
//! slice. All of it can be repeated: what a crash interrupts is found again.

mod expiry;
mod purge;
mod pushed;
mod retention;
mod settle;
mod space;

use std::time::{Duration, Instant};

use fjall::PersistMode;

use super::folder::Folder;
use super::group::{Commit, Group, Memory};
use super::outbox::Finished;
use super::shared::Shared;
use super::tables::{TableError, Tables, describe};
use crate::inbox::Operation;
use purge::Purge;
use retention::Retention;

/// Between two passes over everything that is old.
const PASS_EVERY: Duration = Duration::from_secs(3600);

/// How long a pass may work in one tick: a fifth of the time between two.
const PACE: Duration = Duration::from_millis(90);

/// Rows that one slice may change, and rows or accounts that it may look at.
const SLICE: usize = 256;

/// The duties, in the order in which a tick does them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Duty {
    Settle,
    Pushed,
    Expiry,
    Sync,
    Space,
    Retention,
    Idempotency,
    Tokens,
}

const EVERY_TICK: [Duty; 5] = [
    Duty::Settle,
    Duty::Pushed,
    Duty::Expiry,
    Duty::Sync,
    Duty::Space,
];
const EVERY_PASS: [Duty; 3] = [Duty::Retention, Duty::Idempotency, Duty::Tokens];

pub(super) struct Housekeeping {
    /// What this tick still has to do.
    due: Vec<Duty>,
    /// What the present pass still has to do, over as many ticks as its pace asks for.
    pass: Vec<Duty>,
    /// For how long the pass may still work in this tick.
    pace: Duration,
    next_pass: Instant,
    retention: Retention,
    idempotency: Purge,
    tokens: Purge,
    unsynced: bool,
    closing: bool,
}

/// Whether a duty has more to do in this tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    More,
    Done,
}

impl Housekeeping {
    pub(super) fn new() -> Self {
        Self {
            due: Vec::new(),
            pass: Vec::new(),
            pace: Duration::ZERO,
            // Not at once: a server that was just started has better things to do.
            next_pass: Instant::now() + Duration::from_secs(60),
            retention: Retention::default(),
            idempotency: Purge::default(),
            tokens: Purge::default(),
            unsynced: false,
            closing: false,
        }
    }

    /// Time has passed. With `everything`, a whole pass is due, and without pauses.
    pub(super) fn tick(&mut self, everything: bool) {
        self.due = EVERY_TICK.into_iter().rev().collect();
        if everything || (self.pass.is_empty() && self.next_pass <= Instant::now()) {
            self.next_pass = Instant::now() + PASS_EVERY;
            self.pass = EVERY_PASS.into_iter().rev().collect();
            self.idempotency.restart();
            self.tokens.restart();
        }
        self.pace = if everything {
            Duration::MAX
        } else {
            PACE.max(self.pace)
        };
    }

    /// Too many notices wait for their rows: they can't wait for the next tick.
    pub(super) fn settle_now(&mut self) {
        if !self.due.contains(&Duty::Settle) {
            self.due.push(Duty::Settle);
        }
    }

    /// The store closes: only what an orderly end must not forget is still due.
    pub(super) fn last_tick(&mut self) {
        // The next start need not look for young notices, nor forget who was pushed.
        self.due = vec![Duty::Pushed, Duty::Settle];
        self.closing = true;
        self.pass.clear();
    }

    /// Whether a slice is due now.
    pub(super) fn pending(&self) -> bool {
        !self.due.is_empty() || (!self.pass.is_empty() && !self.pace.is_zero())
    }

    /// There are no tables to look after.
    pub(super) fn idle(&mut self) {
        // What a failed group did must be done again.
        *self = Self::new();
    }

    /// Something was written that a sync must follow.
    pub(super) fn note_unsynced(&mut self) {
        self.unsynced = true;
    }

    /// A sync followed all that was written.
    pub(super) fn note_synced(&mut self) {
        self.unsynced = false;
    }

    /// Does one slice; the outcome of its commit, if it made one.
    pub(super) fn slice(
        &mut self,
        shared: &Shared,
        tables: &Tables,
        folder: &Folder,
        memory: &mut Memory,
    ) -> Option<Commit> {
        let started = Instant::now();
        if let Some(duty) = self.due.last().copied() {
            let (commit, progress) = self.work_at(duty, shared, tables, folder, memory);
            if progress == Progress::Done {
                self.due.pop();
            }
            return commit;
        }
        let duty = self.pass.last().copied()?;
        let (commit, progress) = self.work_at(duty, shared, tables, folder, memory);
        if progress == Progress::Done {
            self.pass.pop();
        }
        self.pace = self.pace.saturating_sub(started.elapsed());
        commit
    }

    fn work_at(
        &mut self,
        duty: Duty,
        shared: &Shared,
        tables: &Tables,
        folder: &Folder,
        memory: &mut Memory,
    ) -> (Option<Commit>, Progress) {
        let mut group = Group::new(shared, tables, memory);
        let outcome = match duty {
            Duty::Settle => settle::slice(&mut group, self.closing),
            Duty::Pushed => pushed::slice(&mut group),
            Duty::Expiry => expiry::slice(&mut group),
            Duty::Sync => return (self.sync(tables), Progress::Done),
            Duty::Space => {
                look_at_space(shared, tables, folder);
                return (None, Progress::Done);
            }
            Duty::Retention => self.retention.slice(&mut group),
            Duty::Idempotency => self.idempotency.idempotency_slice(&mut group),
            Duty::Tokens => self.tokens.token_slice(&mut group),
        };
        let progress = outcome.unwrap_or_else(|error| {
            // A row that can't be read would stop this duty at each try: the others must go on.
            tracing::error!(?duty, %error, "housekeeping met rows that it could not read");
            shared.metrics.error(Operation::Housekeeping);
            Progress::Done
        });
        (Some(group.commit()), progress)
    }

    /// Syncs what was buffered. Without any, it only asks the engine whether it still works.
    fn sync(&mut self, tables: &Tables) -> Option<Commit> {
        let mode = if self.unsynced {
            PersistMode::SyncData
        } else {
            PersistMode::Buffer
        };
        match tables.database.persist(mode) {
            Ok(()) => {
                self.unsynced = false;
                None
            }
            Err(error) => Some(Commit::Failed(error, Finished::default())),
        }
    }
}

/// Notes whether there is room for more notices.
pub(super) fn look_at_space(shared: &Shared, tables: &Tables, folder: &Folder) {
    shared.index.write().shrink();
    shared.pushed.shrink();
    let why = match space::why_full(&shared.limits, tables, folder) {
        Ok(why) => why,
        Err(error) => {
            tracing::warn!(
                error = describe(&error),
                "the room on the disk is not known"
            );
            return;
        }
    };
    if shared.set_full(why.clone()) {
        match why {
            Some(why) => tracing::warn!(%why, "the store takes no more notices"),
            None => tracing::info!("the store has room again"),
        }
    }
}

/// What a slice answers.
type Slice = Result<Progress, TableError>;
