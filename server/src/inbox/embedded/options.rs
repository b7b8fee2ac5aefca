//! What the store is told when it opens, and what it reports while it runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

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

/// The store's operations, as metrics name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A call that stages notices, from the call to its answer.
    Stage,
    /// Catching up.
    Unread,
    /// Fetching notices by id.
    Fetch,
    /// Reading an account's history.
    History,
    /// Reading the state of a notice.
    State,
    /// Marking as read.
    MarkRead,
    /// Taking a notice back.
    Recall,
    /// Resolving a session token.
    TokenResolve,
    /// Making a session token.
    TokenIssue,
    /// Ending session tokens.
    TokenRevoke,
    /// One group of the writer, written and synced.
    Commit,
    /// One slice of expiry, retention and the other duties in the background.
    Housekeeping,
}

impl Operation {
    /// Every operation, to export each from the start.
    pub const ALL: [Self; 12] = [
        Self::Stage,
        Self::Unread,
        Self::Fetch,
        Self::History,
        Self::State,
        Self::MarkRead,
        Self::Recall,
        Self::TokenResolve,
        Self::TokenIssue,
        Self::TokenRevoke,
        Self::Commit,
        Self::Housekeeping,
    ];

    /// Its name as a label's value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stage => "stage",
            Self::Unread => "unread",
            Self::Fetch => "fetch",
            Self::History => "history",
            Self::State => "state",
            Self::MarkRead => "mark_read",
            Self::Recall => "recall",
            Self::TokenResolve => "token_resolve",
            Self::TokenIssue => "token_issue",
            Self::TokenRevoke => "token_revoke",
            Self::Commit => "commit",
            Self::Housekeeping => "housekeeping",
        }
    }
}

/// Hears how the store fares. Called from the store's own thread too, so it must not block.
pub trait StoreMetrics: Send + Sync + 'static {
    /// An operation took so long, whether it succeeded or not.
    fn operation(&self, _operation: Operation, _took: Duration) {}

    /// An operation failed because the store did (a refused draft is no failure).
    fn error(&self, _operation: Operation) {}

    /// A group of so many calls was committed.
    fn group(&self, _calls: usize) {}

    /// A pushed mark was given up, as too many waited.
    fn pushed_mark_dropped(&self) {}
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMetrics;

impl StoreMetrics for NoMetrics {}
