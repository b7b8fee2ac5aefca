//! What the task of every live session does besides reading and writing: it passes acknowledgements on, fetches what
//! the session needs from the inbox, follows its token, and counts what was written.
//!
//! A transport holds one and only writes. Nothing rare is kept in it: an idle session pays for what is here.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::jobs::{self, Job};
use super::services::Services;
use crate::clock::Millis;
use crate::delivery::{AckMode, Attachment, CloseReason, Outgoing, Push, Session};
use crate::domain::NoticeId;
use crate::inbox::{MarkRead, Reader};
use crate::metrics::PushPath;

/// Acknowledgements that may wait for the store before no more are taken from the client.
const WAITING_ACKS: usize = 4096;

/// For acknowledgements that came right before the end.
const LAST_ACKS: Duration = Duration::from_secs(10);

/// A notice that was handed to the connection, which has not taken it yet.
struct Written {
    id: NoticeId,
    created: Millis,
    accepted: Option<Instant>,
    path: PushPath,
    stored: bool,
}

/// See the file's head.
pub(super) struct Courier {
    pub(super) attachment: Attachment,
    pub(super) services: Arc<Services>,
    /// Acknowledged, and not yet on the way to the store.
    acks: Vec<NoticeId>,
    ack_job: Option<Job<()>>,
    supply: Option<Job<()>>,
    recheck: Option<Job<bool>>,
    written: Vec<Written>,
    ended: bool,
}

impl Drop for Courier {
    fn drop(&mut self) {
        if !self.ended {
            self.services
                .metrics
                .session_closed(CloseReason::ClientGone);
        }
    }
}

impl Courier {
    pub(super) fn new(attachment: Attachment, services: Arc<Services>) -> Self {
        Self {
            attachment,
            services,
            acks: Vec::new(),
            ack_job: None,
            supply: None,
            recheck: None,
            written: Vec::new(),
            ended: false,
        }
    }

    pub(super) fn session(&self) -> &Arc<Session> {
        self.attachment.session()
    }

    /// Moves what is under way; true when anything did.
    ///
    /// # Errors
    /// The session's token turned out to be over.
    pub(super) fn poll_jobs(&mut self, cx: &mut Context<'_>) -> Result<bool, CloseReason> {
        let mut moved = finished(&mut self.ack_job, cx).is_some();
        if self.ack_job.is_none() && !self.acks.is_empty() {
            self.pass_acks_on();
            moved = true;
        }
        if let Some(holds) = finished(&mut self.recheck, cx) {
            if !holds {
                return Err(CloseReason::TokenEnded);
            }
            moved = true;
        }
        moved |= finished(&mut self.supply, cx).is_some();
        if self.supply.is_none()
            && let Some(supply) = self.attachment.need()
        {
            self.supply = Some(jobs::supply(Arc::clone(&self.services), supply));
            moved = true;
        }
        Ok(moved)
    }

    /// Gives up what is being read from the inbox: the session may ask again.
    pub(super) fn drop_supply(&mut self) {
        self.supply = None;
    }

    /// The client, or the transport for it, has acknowledged these.
    pub(super) fn acknowledge(&mut self, ids: impl IntoIterator<Item = NoticeId>) {
        self.acks.extend(ids);
    }

    /// Whether as many acknowledgements wait as may.
    pub(super) fn is_full_of_acks(&self) -> bool {
        self.acks.len() >= WAITING_ACKS
    }

    /// Hands acknowledgements to the store; waits for it only when it has no room.
    fn pass_acks_on(&mut self) {
        let request = self.waiting_acks();
        if let Err(request) = self.services.inbox.mark_read_soon(request) {
            self.wait_for_store(request);
        }
    }

    fn wait_for_store(&mut self, request: MarkRead) {
        let services = Arc::clone(&self.services);
        let session = Arc::clone(self.session());
        self.ack_job = Some(jobs::acknowledge(services, session, request));
    }

    /// Takes back what the store could not take.
    fn take_back(&mut self) {
        let unstored = self.session().take_unstored();
        self.acks.extend(unstored);
    }

    /// What was acknowledged and is not on its way to the store.
    fn waiting_acks(&mut self) -> MarkRead {
        MarkRead {
            account: self.session().account().clone(),
            ids: std::mem::take(&mut self.acks),
            reader: self.reader(),
        }
    }

    /// By whom this session's notices are read.
    pub(super) fn reader(&self) -> Reader {
        let session = self.session();
        match session.spec().ack {
            AckMode::Explicit => Reader::Session(session.key()),
            AckMode::Automatic => Reader::Automatic(session.key()),
        }
    }

    /// Acknowledgements that the store could not take go there once more, and wait for it.
    pub(super) fn pass_on_again(&mut self) {
        self.take_back();
        if self.ack_job.is_none() {
            let request = self.waiting_acks();
            self.wait_for_store(request);
        }
    }

    /// Asks the token's store whether the token still holds. True when it was not being asked already.
    pub(super) fn recheck_token(&mut self) -> bool {
        let asks = self.recheck.is_none();
        if asks {
            let (services, session) = (Arc::clone(&self.services), Arc::clone(self.session()));
            self.recheck = Some(jobs::recheck(services, session));
        }
        asks
    }

    /// Takes at most `most` items that are to be written now.
    pub(super) fn take(&mut self, most: usize) -> Vec<Outgoing> {
        let mut items = Vec::new();
        self.attachment.take(most, &mut items);
        items
    }

    /// A notice is on its way to the connection.
    pub(super) fn writes(&mut self, push: &Push) {
        self.written.push(Written {
            id: push.id(),
            created: push.notice().created,
            accepted: push.accepted(),
            path: push.path(),
            stored: push.is_stored(),
        });
    }

    /// The connection has taken everything that was on its way.
    pub(super) fn has_written(&mut self) {
        if self.written.is_empty() {
            return;
        }
        let now = self.services.inbox.now();
        let transport = self.session().spec().transport;
        for written in std::mem::take(&mut self.written) {
            let lag = written.accepted.map_or_else(
                || Duration::from_millis(now.saturating_sub(written.created)),
                |accepted| accepted.elapsed(),
            );
            self.services.metrics.pushed(transport, written.path, lag);
            if written.stored {
                self.services.inbox.mark_pushed(written.id, now);
            }
        }
    }

    /// Counts the session's end, and stores the acknowledgements that came last: a client may acknowledge and leave at
    /// once, and what it said counts.
    pub(super) async fn end(&mut self, reason: CloseReason) {
        self.ended = true;
        self.services.metrics.session_closed(reason);
        tracing::debug!(account = %self.session().account(), reason = reason.name(), "session closed");
        let _stored_or_offered_again = timeout(LAST_ACKS, self.last_acks()).await;
    }

    async fn last_acks(&mut self) {
        if let Some(job) = self.ack_job.take() {
            job.await;
        }
        self.take_back();
        let request = self.waiting_acks();
        if !request.ids.is_empty() {
            let (services, session) = (Arc::clone(&self.services), Arc::clone(self.session()));
            jobs::acknowledge(services, session, request).await;
        }
    }
}

/// The result of a job that is done, which is forgotten then.
pub(super) fn finished<T>(job: &mut Option<Job<T>>, cx: &mut Context<'_>) -> Option<T> {
    match Pin::new(job.as_mut()?).poll(cx) {
        Poll::Ready(done) => {
            *job = None;
            Some(done)
        }
        Poll::Pending => None,
    }
}
