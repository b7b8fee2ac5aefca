//! What a store reports while it runs.

use std::time::{Duration, Instant};

use super::InboxError;

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
    /// Reading again what a client that resumes may have missed.
    Resume,
    /// Making a session token.
    TokenIssue,
    /// Ending session tokens.
    TokenRevoke,
    /// One group of calls, written and synced (or acknowledged, by a store elsewhere).
    Commit,
    /// One slice of expiry, retention and the other duties in the background.
    Housekeeping,
}

impl Operation {
    /// Every operation, to export each from the start.
    pub const ALL: [Self; 13] = [
        Self::Stage,
        Self::Unread,
        Self::Fetch,
        Self::History,
        Self::Resume,
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
            Self::Resume => "resume",
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

/// Hears how the store fares. Called from a store's own threads and tasks too, so it must not block.
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

/// Tells how an operation went that began at `started`; answers its outcome.
pub(crate) fn measured<T>(
    metrics: &dyn StoreMetrics,
    operation: Operation,
    started: Instant,
    outcome: Result<T, InboxError>,
) -> Result<T, InboxError> {
    metrics.operation(operation, started.elapsed());
    if outcome.is_err() {
        metrics.error(operation);
    }
    outcome
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMetrics;

impl StoreMetrics for NoMetrics {}
