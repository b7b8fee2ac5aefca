//! The traits and data between the inbox and the rest of the server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::clock::Millis;
use crate::domain::{AccountId, Draft, Notice, NoticeId, NoticeState, Source};

/// Names one live session of this process. Never used again within the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey(pub u64);

/// A draft that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Staged {
    /// The notice's id; of the first call, when this one repeats it.
    pub id: NoticeId,
    /// Whether an earlier call with the same idempotency key had stored it.
    pub duplicate: bool,
}

/// Why a draft was not taken. Nothing of it is stored, unless [`StageError::Unavailable`] says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StageError {
    /// The receiver has as many unread notices as it may have.
    #[error("the receiver's inbox holds {limit} unread notices, as many as it may")]
    InboxFull {
        /// The limit in force.
        limit: u64,
    },
    /// The key was used with another body.
    #[error("this idempotency key was used before with another body")]
    IdempotencyConflict,
    /// The store has reached its bound, or the disk its reserve.
    #[error("the store is full: {0}")]
    StoreFull(String),
    /// The store failed or is away. The notice may or may not be stored; the same call with the same
    /// idempotency key is safe.
    #[error(transparent)]
    Unavailable(#[from] InboxError),
}

/// The store could not do it now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store is not available: {reason}")]
pub struct InboxError {
    /// What happened, without secrets.
    pub reason: String,
    /// When a retry makes sense.
    pub retry_after: Duration,
}

/// One unread notice, as catching up finds it.
#[derive(Debug, Clone)]
pub struct Unread {
    /// The notice.
    pub notice: Arc<Notice>,
    /// Whether a transport had taken it before (a mark that a crash may forget).
    pub pushed_before: bool,
}

/// A part of an account's unread notices.
#[derive(Debug, Clone, Default)]
pub struct UnreadPage {
    /// Oldest first.
    pub items: Vec<Unread>,
    /// The oldest unread notice that the page left out for its limit; none when the page reaches the end.
    pub next: Option<NoticeId>,
}

/// Who read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// A session's own acknowledgement.
    Session(SessionKey),
    /// The server, for a session whose transport proved that it took the notice.
    Automatic(SessionKey),
    /// The account, by a plain HTTP call.
    Account,
}

impl Reader {
    /// Whether the account's other sessions lose the notice: an automatic read withdraws it from none.
    #[must_use]
    pub fn is_explicit(self) -> bool {
        !matches!(self, Self::Automatic(_))
    }
}

/// A request to mark notices of one account as read.
#[derive(Debug, Clone)]
pub struct MarkRead {
    /// Whose notices; ids of other accounts are passed over.
    pub account: AccountId,
    /// Which. Unknown and repeated ids are passed over.
    pub ids: Vec<NoticeId>,
    /// Who read them.
    pub reader: Reader,
}

/// Which part of an account's history.
#[derive(Debug, Clone, Copy)]
pub struct HistoryQuery {
    /// Only what is older than this id.
    pub before: Option<NoticeId>,
    /// At most so many.
    pub limit: usize,
    /// Leave out what was read.
    pub unread_only: bool,
}

/// One line of an account's history.
#[derive(Debug, Clone)]
pub struct HistoryEntry {
    /// The notice.
    pub notice: Arc<Notice>,
    /// Whether it was read.
    pub read: bool,
}

/// How long before the last notice that a client knows it resumes: commits of several nodes land out of order, so what
/// is a little older may have come to it later.
pub const RESUME_MARGIN: Duration = Duration::from_secs(5);

/// Why a notice left the inbox without being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withdrawal {
    /// A service took it back.
    Recalled,
    /// A newer one of its collapse key is there.
    Replaced,
    /// Its time is over.
    Expired,
}

/// What became true in the store.
#[derive(Debug, Clone)]
pub enum Committed {
    /// A notice is durable (or, when `ephemeral`, shall be offered once and never stored).
    Staged {
        /// The notice.
        notice: Arc<Notice>,
        /// Never stored.
        ephemeral: bool,
        /// Who asked for it.
        source: Source,
        /// When the call was taken, if it was taken on this node.
        accepted: Option<Instant>,
    },
    /// A draft was found to be a repetition of an earlier call.
    Duplicate,
    /// Notices are out of the inbox, as read.
    Read {
        /// Whose.
        account: AccountId,
        /// All ids that were asked for: the session that asked may forget them.
        asked: Vec<NoticeId>,
        /// Those that were unread until now.
        read: Vec<NoticeId>,
        /// Those that no session is to be offered any more: read explicitly for the first time, whether they
        /// were unread or had been read automatically.
        withdrawn: Vec<NoticeId>,
        /// Who read.
        reader: Reader,
        /// When.
        at: Millis,
    },
    /// What [`Inbox::mark_read_soon`] took could not be stored, or perhaps not: whoever asked should ask again.
    NotRead(MarkRead),
    /// The store is back after a failure. What it refused then may be stored all the same, and was told to nobody:
    /// whoever is online should look into its inbox once more.
    CameBack,
    /// Notices are out of the inbox for another reason. A recall is told also when the notice was read
    /// before.
    Withdrawn {
        /// Whose.
        account: AccountId,
        /// Which.
        ids: Vec<NoticeId>,
        /// Why.
        why: Withdrawal,
    },
}

/// That other nodes are being told of a change. A store that several nodes write to waits for it before it answers
/// the call, so that who stages a second notice after the answer to a first can't overtake it.
#[derive(Debug, Default)]
#[must_use = "a shared store answers its caller only after this"]
pub struct Telling(Option<tokio::sync::oneshot::Receiver<()>>);

impl Telling {
    /// Nobody else has to hear of it.
    pub const fn done() -> Self {
        Self(None)
    }

    /// Told when `done` is used, or dropped.
    pub fn until(done: tokio::sync::oneshot::Receiver<()>) -> Self {
        Self(Some(done))
    }

    /// Waits until the others were told, or never will be by this way. Whoever tells bounds the time.
    pub async fn finished(self) {
        if let Some(done) = self.0 {
            let _told_or_given_up = done.await;
        }
    }
}

/// Hears what became true in the store.
pub trait CommitObserver: Send + Sync + 'static {
    /// Called for every change that this process made, in commit order, after it is durable (as each method of
    /// [`Inbox`] says) and before the call that asked for it is answered; also when its caller has gone away. Must
    /// not block. A store that only this process writes to may pass over what it answers.
    fn committed(&self, events: Vec<Committed>) -> Telling;
}

/// The durable inbox of every account. See [`CommitObserver`] for how changes are told.
///
/// Ids rise within a node and follow the store's clock. Dropping a returned future never loses a change that
/// was begun: it is completed and told, only its answer is lost.
#[async_trait]
pub trait Inbox: Send + Sync + 'static {
    /// Makes drafts durable, each on its own, and answers in their order after the change is on the disk.
    /// Drafts of one call are stored in their order. Idempotency, collapse and the receiver's limit hold
    /// also between racing calls.
    async fn stage(&self, drafts: Vec<Draft>) -> Vec<Result<Staged, StageError>>;

    /// The oldest unread, unexpired notices of `account` that are not in `skip`, at most `limit`.
    ///
    /// # Errors
    /// When the store is not available.
    async fn unread(
        &self,
        account: &AccountId,
        skip: &[NoticeId],
        limit: usize,
    ) -> Result<UnreadPage, InboxError>;

    /// Those of `ids` that may still be offered to a session which was online when they were staged: not
    /// recalled, replaced, expired or explicitly read; an automatic read does not count. In the order of
    /// `ids`.
    ///
    /// # Errors
    /// When the store is not available.
    async fn fetch(
        &self,
        account: &AccountId,
        ids: &[NoticeId],
    ) -> Result<Vec<Arc<Notice>>, InboxError>;

    /// What was read automatically and may be offered again to a client that resumes behind `last`: created since
    /// [`RESUME_MARGIN`] before it, not recalled, replaced, expired or explicitly read. Oldest first, at most `limit`,
    /// going on behind `after`. Nothing when `last` is no id of the account's.
    ///
    /// # Errors
    /// When the store is not available.
    async fn resume(
        &self,
        account: &AccountId,
        last: NoticeId,
        after: Option<NoticeId>,
        limit: usize,
    ) -> Result<Vec<Arc<Notice>>, InboxError>;

    /// Marks as read and answers those that were unread. Survives the end of the process when it answers,
    /// a power cut within a second after.
    ///
    /// # Errors
    /// When the store is not available.
    async fn mark_read(&self, request: MarkRead) -> Result<Vec<NoticeId>, InboxError>;

    /// The same without waiting, when there is room: what becomes of it is told only, as [`Committed::Read`] or as
    /// [`Committed::NotRead`].
    ///
    /// # Errors
    /// The request, when there is no room now or the store is not available: ask by [`Inbox::mark_read`].
    fn mark_read_soon(&self, request: MarkRead) -> Result<(), MarkRead>;

    /// Notes that a transport took the notice at `at`. Only the first time counts. Readers see it within 2 s;
    /// a crash may forget it.
    fn mark_pushed(&self, id: NoticeId, at: Millis);

    /// Takes a notice back for good, read or not; false when it is unknown. Durable when it answers.
    ///
    /// # Errors
    /// When the store is not available.
    async fn recall(&self, id: NoticeId) -> Result<bool, InboxError>;

    /// What became of a notice; none when it is unknown or past its retention.
    ///
    /// # Errors
    /// When the store is not available.
    async fn state(&self, id: NoticeId) -> Result<Option<NoticeState>, InboxError>;

    /// An account's notices, newest first, without those recalled, replaced or expired.
    ///
    /// # Errors
    /// When the store is not available.
    async fn history(
        &self,
        account: &AccountId,
        query: HistoryQuery,
    ) -> Result<Vec<HistoryEntry>, InboxError>;

    /// Which notices are unread and unexpired now, of any of `accounts`, at most `limit` of them, in no order: where
    /// that many came, there may be more. One query. A store that only this process writes to has nothing to say
    /// here: whatever is in it was told.
    ///
    /// # Errors
    /// When the store is not available.
    async fn waiting(
        &self,
        accounts: &[AccountId],
        limit: usize,
    ) -> Result<Vec<(AccountId, NoticeId)>, InboxError>;

    /// How many unread notices an account has.
    ///
    /// # Errors
    /// When the store is not available.
    async fn unread_count(&self, account: &AccountId) -> Result<u64, InboxError>;

    /// The store's clock, by which ids and lags are reckoned.
    fn now(&self) -> Millis;

    /// Whether the store takes writes now; the reason when not. Cheap: called at each readiness probe.
    ///
    /// # Errors
    /// When the store is not available.
    fn health(&self) -> Result<(), InboxError>;
}
