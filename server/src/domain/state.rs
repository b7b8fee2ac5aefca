//! What became of a notice.

use serde::Serialize;

use crate::clock::Millis;

/// The states of a notice. The last four are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StateName {
    /// Stored, not yet handed to a transport.
    Staged,
    /// Handed to a transport of at least one session.
    Pushed,
    /// Acknowledged, or read automatically.
    Read,
    /// Nobody took it in time.
    Expired,
    /// A newer one of the same collapse key took its place.
    Replaced,
    /// A service took it back.
    Recalled,
}

/// The state of one notice, with its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoticeState {
    /// What it is now.
    pub name: StateName,
    /// When it was stored.
    pub staged: Millis,
    /// When a transport first took it.
    pub pushed: Option<Millis>,
    /// When it was first read.
    pub read: Option<Millis>,
}
