//! Opening the store once more after a write failed, until it works.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::folder::Folder;
use super::recovery::{self, Opened};
use super::shared::{Shared, unavailable};
use super::tables::Tables;

/// The first wait between two attempts; it doubles up to the last.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LAST_WAIT: Duration = Duration::from_secs(10);

/// How long a reader may keep the tables after they were taken away.
const READERS_LEAVE: Duration = Duration::from_secs(10);

pub(super) struct Restart {
    cache_bytes: u64,
    /// The tables that failed, until all readers have left them.
    old: Option<Arc<Tables>>,
    wait: Duration,
    next: Option<Instant>,
    given_up: bool,
}

impl Restart {
    pub(super) fn new(cache_bytes: u64) -> Self {
        Self {
            cache_bytes,
            old: None,
            wait: FIRST_WAIT,
            next: None,
            given_up: false,
        }
    }

    /// The tables are of no use any more.
    pub(super) fn begin(&mut self, old: Option<Arc<Tables>>) {
        self.old = old.or(self.old.take());
        self.wait = FIRST_WAIT;
        self.next = (!self.given_up).then(Instant::now);
    }

    /// Nothing is gained by opening it again.
    pub(super) fn give_up(&mut self) {
        self.given_up = true;
        self.next = None;
    }

    /// Drops the tables that failed; false when a reader still has them.
    pub(super) fn let_go(&mut self) -> bool {
        self.old = self.old.take().and_then(let_go);
        self.old.is_none()
    }

    /// Tries to open the store when it is time to.
    pub(super) fn attempt(&mut self, folder: &Folder, shared: &Shared) -> Option<Opened> {
        if self.next.is_none_or(|next| next > Instant::now()) {
            return None;
        }
        self.next = Some(Instant::now() + self.wait);
        self.wait = (self.wait * 2).min(LAST_WAIT);
        if !self.let_go() {
            // What the old engine still has in hand may yet go to its journal.
            tracing::error!("a reader does not let go of the failed store");
            return None;
        }
        match recovery::reopen(folder, self.cache_bytes) {
            Ok(opened) => Some(opened),
            Err(error) => {
                tracing::error!(%error, "the store could not be opened again");
                let mut why = unavailable(error);
                why.retry_after = self.wait;
                shared.take_tables(why);
                None
            }
        }
    }
}

/// Drops the tables once no reader has them, so that the engine's lock is free. Gives them back when one does
/// not leave.
pub(super) fn let_go(mut tables: Arc<Tables>) -> Option<Arc<Tables>> {
    let deadline = Instant::now() + READERS_LEAVE;
    loop {
        match Arc::try_unwrap(tables) {
            Ok(tables) => {
                drop(tables);
                return None;
            }
            Err(shared) if Instant::now() >= deadline => return Some(shared),
            Err(shared) => tables = shared,
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
