//! What the writer and the readers share.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::Semaphore;

use super::index::Index;
use super::keys::Secret;
use super::options::Options;
use super::pushed::PushedMarks;
use super::tables::Tables;
use super::young::Young;
use crate::clock::{Clock, Millis, whole_millis};
use crate::inbox::{InboxError, StoreMetrics};

/// The bodies of all waiting drafts, in KiB: 32 MiB. At the bound, callers wait.
pub(super) const QUEUED_KIB: u32 = 32 << 10;

/// Whether the tables can be used.
enum Condition {
    Ready(Arc<Tables>),
    Down(InboxError),
}

pub(super) struct Shared {
    condition: RwLock<Condition>,
    /// Why staging is refused, while the store or the disk is full.
    full: RwLock<Option<String>>,
    pub(super) index: RwLock<Index>,
    pub(super) young: Young,
    pub(super) pushed: PushedMarks,
    pub(super) queued: Semaphore,
    pub(super) clock: Clock,
    pub(super) secret: Secret,
    pub(super) limits: Limits,
    pub(super) metrics: Arc<dyn StoreMetrics>,
}

/// The bounds that the store was opened with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) unread_per_account: u64,
    pub(super) retention: Millis,
    pub(super) idempotency_kept: Millis,
    pub(super) max_bytes: u64,
    pub(super) min_free_bytes: u64,
}

impl Limits {
    pub(super) fn of(options: &Options) -> Self {
        Self {
            unread_per_account: options.unread_per_account,
            retention: whole_millis(options.retention),
            idempotency_kept: whole_millis(options.idempotency_kept),
            max_bytes: options.max_bytes,
            min_free_bytes: options.min_free_bytes,
        }
    }
}

impl Shared {
    pub(super) fn new(
        tables: Arc<Tables>,
        index: Index,
        young: Young,
        secret: Secret,
        clock: Clock,
        options: &Options,
    ) -> Self {
        Self {
            condition: RwLock::new(Condition::Ready(tables)),
            full: RwLock::new(None),
            index: RwLock::new(index),
            young,
            pushed: PushedMarks::default(),
            queued: Semaphore::new(QUEUED_KIB as usize),
            clock,
            secret,
            limits: Limits::of(options),
            metrics: Arc::clone(&options.metrics),
        }
    }

    /// The tables, or why they can't be used now.
    pub(super) fn tables(&self) -> Result<Arc<Tables>, InboxError> {
        match &*self.condition.read() {
            Condition::Ready(tables) => Ok(Arc::clone(tables)),
            Condition::Down(why) => Err(why.clone()),
        }
    }

    /// Whether the tables can be used; if not, why.
    pub(super) fn available(&self) -> Result<(), InboxError> {
        match &*self.condition.read() {
            Condition::Ready(_) => Ok(()),
            Condition::Down(why) => Err(why.clone()),
        }
    }

    /// Lets nobody use the tables any more; the caller's handle, if others had one, is returned.
    pub(super) fn take_tables(&self, why: InboxError) -> Option<Arc<Tables>> {
        match std::mem::replace(&mut *self.condition.write(), Condition::Down(why)) {
            Condition::Ready(tables) => Some(tables),
            Condition::Down(_) => None,
        }
    }

    pub(super) fn put_tables(&self, tables: Arc<Tables>) {
        *self.condition.write() = Condition::Ready(tables);
    }

    pub(super) fn full(&self) -> Option<String> {
        self.full.read().clone()
    }

    /// Notes whether the store is full; answers whether that is news.
    pub(super) fn set_full(&self, why: Option<String>) -> bool {
        let mut full = self.full.write();
        let news = full.is_some() != why.is_some();
        *full = why;
        news
    }
}

/// How long callers should wait when nothing better is known.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// An error of the store, with a wait that is right when the cause may pass.
pub(super) fn unavailable(reason: impl std::fmt::Display) -> InboxError {
    InboxError {
        reason: reason.to_string(),
        retry_after: RETRY_AFTER,
    }
}
