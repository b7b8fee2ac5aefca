//! What a wake-up that comes late must not push any more.
//!
//! Where several nodes write to one inbox, a notice can be found in it before its wake-up arrives, and be read or
//! recalled by then. A session never gets a notice twice, nor after its recall, so the account remembers such ids for
//! as long as their wake-ups may still come.

use std::collections::VecDeque;

use super::slot::shrink;
use crate::clock::Millis;
use crate::domain::NoticeId;
use crate::inbox::SessionKey;

/// At most so many ids are remembered for an account, 32 bytes each. Only an account that is sent thousands of notices
/// within the time that a wake-up may take comes near; then the oldest is forgotten, and could be offered twice.
const MOST: usize = 4096;

/// Ids that are settled, for one session or for all of an account.
#[derive(Debug, Default)]
pub(super) struct Settled(VecDeque<(NoticeId, Option<SessionKey>)>);

impl Settled {
    /// Remembers an id, unless it is from before `horizon`: no wake-up of such a one is believed.
    pub(super) fn add(&mut self, id: NoticeId, whom: Option<SessionKey>, horizon: Millis) {
        if id.millis() < horizon || self.0.contains(&(id, whom)) {
            return;
        }
        self.forget_before(horizon);
        if self.0.len() >= MOST {
            self.0.pop_front();
        }
        self.0.push_back((id, whom));
    }

    /// Whether nobody is to get the notice by a wake-up.
    pub(super) fn covers_all(&self, id: NoticeId) -> bool {
        self.0.contains(&(id, None))
    }

    /// Whether this session is not to get the notice by a wake-up.
    pub(super) fn covers(&self, id: NoticeId, session: SessionKey) -> bool {
        !self.0.is_empty()
            && (self.0.contains(&(id, Some(session))) || self.0.contains(&(id, None)))
    }

    /// Forgets what no wake-up can come for.
    pub(super) fn forget_before(&mut self, horizon: Millis) {
        self.0.retain(|(id, _)| id.millis() >= horizon);
        shrink(&mut self.0);
    }
}
