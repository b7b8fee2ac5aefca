//! The inbox: the durable truth about every notice. This file is the contract; a back end implements it.
//!
//! Who implements [`Inbox`] also tells a [`CommitObserver`] what became true. The order of those events is part
//! of the contract, since delivery builds on it.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod contract;
pub mod embedded;
mod metrics;
pub mod mongodb;

pub use contract::{
    CommitObserver, Committed, HistoryEntry, HistoryQuery, Inbox, InboxError, MarkRead,
    RESUME_MARGIN, Reader, SessionKey, StageError, Staged, Telling, Unread, UnreadPage, Withdrawal,
};
pub(crate) use metrics::measured;
pub use metrics::{NoMetrics, Operation, StoreMetrics};
