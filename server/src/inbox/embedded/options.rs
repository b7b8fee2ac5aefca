//! What the store is told when it opens.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::inbox::{NoMetrics, StoreMetrics};

/// How the embedded store is set up. [`Options::new`] has the defaults.
#[derive(Clone)]
pub struct Options {
    /// The store's folder. It is made when it isn't there.
    pub dir: PathBuf,
    /// How much the store may take on the disk; above it, staging is refused. The engine's journals alone
    /// take up to a quarter of a gibibyte, so a bound below one gibibyte makes little sense.
    pub max_bytes: u64,
    /// How much of the file system must stay free; below it, staging is refused, so that reads and recalls
    /// still find room.
    pub min_free_bytes: u64,
    /// The most that the cache of table blocks takes in memory. It grows with use.
    pub cache_bytes: u64,
    /// How many unread notices an account may have.
    pub unread_per_account: u64,
    /// How long a notice is kept, read or not.
    pub retention: Duration,
    /// How long an idempotency key is kept.
    pub idempotency_kept: Duration,
    /// Who hears how the store fares.
    pub metrics: Arc<dyn StoreMetrics>,
}

impl Options {
    /// The defaults, for a store in `dir`.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            max_bytes: 10 << 30,
            min_free_bytes: 256 << 20,
            cache_bytes: 32 << 20,
            unread_per_account: 10_000,
            retention: Duration::from_secs(30 * 24 * 3600),
            idempotency_kept: Duration::from_secs(24 * 3600),
            metrics: Arc::new(NoMetrics),
        }
    }
}
