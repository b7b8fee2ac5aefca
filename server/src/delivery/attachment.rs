//! A session in the hands of its transport's task: what the task may do with it, and leaving when it is dropped.

use std::sync::Arc;

use super::account::{Account, Need, Standing};
use super::registry::Registry;
use super::session::Session;
use super::slot::Outgoing;
use crate::domain::NoticeId;
use crate::inbox::{Inbox, InboxError};

/// A session that joined. Dropping it leaves.
#[derive(Debug)]
pub struct Attachment {
    pub(super) session: Arc<Session>,
    pub(super) account: Arc<Account>,
    pub(super) registry: Arc<Registry>,
}

impl Attachment {
    /// The session.
    #[must_use]
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Takes what is to be written now, at most `limit` items.
    pub fn take(&self, limit: usize, into: &mut Vec<Outgoing>) {
        self.account
            .state
            .lock()
            .take(self.session.key(), limit, into);
    }

    /// How far the session has got.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.account.state.lock().standing(self.session.key())
    }

    /// What was taken for the session and is not acknowledged, in the order of handing over.
    #[must_use]
    pub fn taken(&self) -> Vec<NoticeId> {
        self.account.state.lock().taken(self.session.key())
    }

    /// What must be read from the inbox for the session now. What it answers is to be met by
    /// [`Supply::meet`], once.
    #[must_use]
    pub fn need(&self) -> Option<Supply> {
        let need = self.account.state.lock().need(self.session.key())?;
        Some(Supply {
            account: Arc::clone(&self.account),
            session: Arc::clone(&self.session),
            registry: Arc::clone(&self.registry),
            need,
        })
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.registry.leave(&self.account, &self.session);
    }
}

/// A need of a session, on its way to the inbox and back. Dropped unmet, the session may ask again.
#[derive(Debug)]
pub struct Supply {
    account: Arc<Account>,
    session: Arc<Session>,
    registry: Arc<Registry>,
    need: Need,
}

impl Supply {
    /// The session that is in need.
    #[must_use]
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Reads from the inbox what is needed and hands it over.
    ///
    /// # Errors
    /// When the inbox is not available; the session's need is open again then.
    pub async fn meet(self, inbox: &dyn Inbox) -> Result<(), InboxError> {
        let key = self.session.key();
        match &self.need {
            Need::Backlog { skip, limit } => {
                let page = inbox.unread(&self.account.id, skip, *limit).await?;
                let horizon = self.registry.horizon();
                self.account.state.lock().supply_backlog(key, page, horizon);
            }
            Need::Log { ids } => {
                let found = inbox.fetch(&self.account.id, ids).await?;
                self.account.state.lock().supply_log(key, ids, found);
            }
        }
        Ok(())
    }
}

impl Drop for Supply {
    fn drop(&mut self) {
        self.account.state.lock().supply_failed(self.session.key());
    }
}
