//! The store's face: takes calls, hands them to the parts, and closes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::acks::AckCall;
use super::core::Core;
use super::dispatch;
use super::document::{self, Prints};
use super::failure::unavailable;
use super::gather::Gather;
use super::group::{Prepared, StageCall};
use super::open_error::MongoOpenError;
use super::options::MongoOptions;
use super::reads::Look;
use super::store_open;
use crate::clock::Millis;
use crate::domain::{AccountId, Draft, Notice, NoticeId, NoticeState};
use crate::inbox::{
    CommitObserver, HistoryEntry, HistoryQuery, Inbox, InboxError, MarkRead, Operation, StageError,
    Staged, UnreadPage,
};
use crate::tokens::{Grant, TokenDigest};

/// Calls that may wait, of each kind. At the bound staging is refused; acknowledgements wait.
const QUEUE: usize = 4096;

/// The bodies of all waiting drafts, in KiB: 32 MiB. At the bound staging is refused.
const STAGING_KIB: usize = 32 << 10;

/// The ids of all waiting acknowledgements. At the bound they wait.
const ACK_IDS: usize = 65_536;

/// How long an acknowledgement waits for room.
const ROOM: Duration = Duration::from_secs(5);

/// The queues in front of the dispatcher.
struct Queues {
    staging: mpsc::Sender<StageCall>,
    acks: mpsc::Sender<AckCall>,
    looks: Gather<Look, UnreadPage>,
    grants: Gather<TokenDigest, Option<Grant>>,
}

/// The inbox, the session tokens and the deny list of a whole cluster, in a MongoDB that all its nodes share.
pub struct MongoStore {
    core: Arc<Core>,
    queues: Mutex<Option<Arc<Queues>>>,
    staging_room: Arc<Semaphore>,
    ack_room: Arc<Semaphore>,
    dispatcher: Mutex<Option<JoinHandle<()>>>,
    background: Vec<tokio::task::AbortHandle>,
}

impl MongoStore {
    /// Opens the store: reaches MongoDB, and makes the indexes that are not there yet, which takes its time over
    /// millions of older notices. Must be called within a tokio runtime, where `observer` will be told what this
    /// process changes.
    ///
    /// # Errors
    /// When MongoDB is away, refuses this server, or an index can't be made; with what to do about it.
    pub async fn open(
        options: MongoOptions,
        observer: Arc<dyn CommitObserver>,
    ) -> Result<Arc<Self>, MongoOpenError> {
        Ok(Self::start(
            store_open::open(&options, observer, None).await?,
        ))
    }

    /// The same, by a clock of the caller's own instead of MongoDB's: for tests.
    ///
    /// # Errors
    /// As [`MongoStore::open`].
    #[cfg(any(test, feature = "conformance"))]
    pub async fn open_with_clock(
        options: MongoOptions,
        observer: Arc<dyn CommitObserver>,
        clock: crate::clock::Clock,
    ) -> Result<Arc<Self>, MongoOpenError> {
        Ok(Self::start(
            store_open::open(&options, observer, Some(clock)).await?,
        ))
    }

    fn start(core: Arc<Core>) -> Arc<Self> {
        let (staging, staging_calls) = mpsc::channel(QUEUE);
        let (acks, ack_calls) = mpsc::channel(QUEUE);
        let (looking, granting) = (Arc::clone(&core), Arc::clone(&core));
        let queues = Queues {
            staging,
            acks,
            looks: Gather::new(move |looks| Arc::clone(&looking).unread_of(looks)),
            grants: Gather::new(move |tokens| Arc::clone(&granting).grants(tokens)),
        };
        let dispatcher = tokio::spawn(dispatch::run(Arc::clone(&core), staging_calls, ack_calls));
        let background = vec![
            tokio::spawn(Arc::clone(&core).keep_house()).abort_handle(),
            tokio::spawn(Arc::clone(&core).keep_time()).abort_handle(),
            tokio::spawn(Arc::clone(&core).watch()).abort_handle(),
        ];
        Arc::new(Self {
            queues: Mutex::new(Some(Arc::new(queues))),
            staging_room: Arc::new(Semaphore::new(STAGING_KIB)),
            ack_room: Arc::new(Semaphore::new(ACK_IDS)),
            dispatcher: Mutex::new(Some(dispatcher)),
            background,
            core,
        })
    }

    /// Finishes what waits, stores the pushed marks, and ends all that runs beside. Calls after it are refused.
    pub async fn close(&self) {
        drop(self.queues.lock().take());
        let dispatcher = self.dispatcher.lock().take();
        if let Some(dispatcher) = dispatcher {
            // Each group is bounded in time.
            let _ = dispatcher.await;
            if self.core.link.available().is_ok() {
                // Marks may be forgotten.
                let _ = self.core.store_pushed().await;
                self.core.note_newest().await;
            }
            self.background
                .iter()
                .for_each(tokio::task::AbortHandle::abort);
            self.core.link.end().await;
        }
    }

    /// Does everything that is due by the clock, and answers when it is done.
    ///
    /// # Errors
    /// When the store is not available.
    pub async fn settle(&self) -> Result<(), InboxError> {
        self.core.round().await
    }

    pub(super) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    fn queues(&self) -> Result<Arc<Queues>, InboxError> {
        let queues = self.queues.lock().as_ref().map(Arc::clone);
        queues.ok_or_else(|| unavailable("the store is closed"))
    }

    /// The grant of one token, asked for together with others.
    pub(super) async fn grant(&self, token: TokenDigest) -> Result<Option<Grant>, InboxError> {
        self.core.link.available()?;
        self.queues()?.grants.ask(token).await
    }

    fn prepare(&self, draft: Draft) -> Prepared {
        Prepared {
            prints: Prints::of(&draft),
            part: self.core.ids.part_of(&draft.receiver),
            draft,
        }
    }

    /// Puts a call into the queue, if there is room now.
    async fn stage_all(
        &self,
        drafts: Vec<Draft>,
    ) -> Result<Vec<Result<Staged, StageError>>, InboxError> {
        self.core.link.available()?;
        let queues = self.queues()?;
        let bytes = drafts.iter().map(document::size).sum();
        let full = || unavailable("too many calls wait for MongoDB");
        let room = kib(bytes);
        let room = Arc::clone(&self.staging_room)
            .try_acquire_many_owned(room)
            .map_err(|_| full())?;
        let (answer, answered) = oneshot::channel();
        let call = StageCall {
            drafts: drafts
                .into_iter()
                .map(|draft| self.prepare(draft))
                .collect(),
            bytes,
            answer,
            room,
        };
        queues.staging.try_send(call).map_err(|_| full())?;
        drop(queues);
        answered
            .await
            .map_err(|_| unavailable("a call did not end"))
    }

    /// Waits for room, and puts an acknowledgement into the queue.
    async fn read_all(&self, request: MarkRead) -> Result<Vec<NoticeId>, InboxError> {
        self.core.link.available()?;
        let queues = self.queues()?;
        let full = || unavailable("too many acknowledgements wait for MongoDB");
        let room = Arc::clone(&self.ack_room).acquire_many_owned(ack_room(&request));
        let room = tokio::time::timeout(ROOM, room).await.map_err(|_| full())?;
        let room = room.map_err(|_| full())?;
        let (answer, answered) = oneshot::channel();
        let call = AckCall {
            request,
            answer: Some(answer),
            room,
        };
        queues.acks.send(call).await.map_err(|_| full())?;
        drop(queues);
        let lost = |_| Err(unavailable("an acknowledgement did not end"));
        answered.await.unwrap_or_else(lost)
    }

    fn room_now(&self, request: &MarkRead) -> Option<(Arc<Queues>, OwnedSemaphorePermit)> {
        self.core.link.available().ok()?;
        let queues = self.queues().ok()?;
        let room = Arc::clone(&self.ack_room);
        Some((queues, room.try_acquire_many_owned(ack_room(request)).ok()?))
    }

    async fn look(&self, look: Look) -> Result<UnreadPage, InboxError> {
        self.core.link.available()?;
        self.queues()?.looks.ask(look).await
    }
}

impl Drop for MongoStore {
    fn drop(&mut self) {
        self.background
            .iter()
            .for_each(tokio::task::AbortHandle::abort);
    }
}

/// What a call takes of the queue's bound; never more than all of it.
fn kib(bytes: usize) -> u32 {
    u32::try_from((bytes / 1024 + 1).min(STAGING_KIB)).unwrap_or(u32::MAX)
}

fn ack_room(request: &MarkRead) -> u32 {
    u32::try_from(request.ids.len().clamp(1, ACK_IDS)).unwrap_or(u32::MAX)
}

#[async_trait]
impl Inbox for MongoStore {
    async fn stage(&self, drafts: Vec<Draft>) -> Vec<Result<Staged, StageError>> {
        let (started, count) = (Instant::now(), drafts.len());
        if count == 0 {
            return Vec::new();
        }
        let outcome = self.stage_all(drafts).await;
        let outcome = self.core.measured(Operation::Stage, started, outcome);
        outcome.unwrap_or_else(|why| vec![Err(why.into()); count])
    }

    async fn unread(
        &self,
        account: &AccountId,
        skip: &[NoticeId],
        limit: usize,
    ) -> Result<UnreadPage, InboxError> {
        let started = Instant::now();
        let look = Look {
            account: account.clone(),
            skip: skip.to_vec(),
            limit,
        };
        let outcome = self.look(look).await;
        self.core.measured(Operation::Unread, started, outcome)
    }

    async fn fetch(
        &self,
        account: &AccountId,
        ids: &[NoticeId],
    ) -> Result<Vec<Arc<Notice>>, InboxError> {
        let started = Instant::now();
        let outcome = self.core.fetch(account, ids).await;
        self.core.measured(Operation::Fetch, started, outcome)
    }

    async fn resume(
        &self,
        account: &AccountId,
        last: NoticeId,
        after: Option<NoticeId>,
        limit: usize,
    ) -> Result<Vec<Arc<Notice>>, InboxError> {
        let started = Instant::now();
        let outcome = self.core.resume(account, last, after, limit).await;
        self.core.measured(Operation::Resume, started, outcome)
    }

    async fn mark_read(&self, request: MarkRead) -> Result<Vec<NoticeId>, InboxError> {
        let started = Instant::now();
        let outcome = self.read_all(request).await;
        self.core.measured(Operation::MarkRead, started, outcome)
    }

    fn mark_read_soon(&self, request: MarkRead) -> Result<(), MarkRead> {
        let Some((queues, room)) = self.room_now(&request) else {
            return Err(request);
        };
        let call = AckCall {
            request,
            answer: None,
            room,
        };
        let back = |call: AckCall| call.request;
        queues
            .acks
            .try_send(call)
            .map_err(|refused| back(refused.into_inner()))
    }

    fn mark_pushed(&self, id: NoticeId, at: Millis) {
        if !self.core.pushed.note(id, at) {
            self.core.metrics.pushed_mark_dropped();
        }
    }

    async fn recall(&self, id: NoticeId) -> Result<bool, InboxError> {
        let started = Instant::now();
        // A task of its own: it is completed also when the caller goes away.
        let (core, turn) = (Arc::clone(&self.core), self.core.turnstile.take());
        let recall = tokio::spawn(async move { core.recall(id, turn).await });
        let outcome = recall
            .await
            .unwrap_or_else(|_| Err(unavailable("a recall did not end")));
        self.core.measured(Operation::Recall, started, outcome)
    }

    async fn state(&self, id: NoticeId) -> Result<Option<NoticeState>, InboxError> {
        let started = Instant::now();
        let outcome = self.core.state(id).await;
        self.core.measured(Operation::State, started, outcome)
    }

    async fn history(
        &self,
        account: &AccountId,
        query: HistoryQuery,
    ) -> Result<Vec<HistoryEntry>, InboxError> {
        let started = Instant::now();
        let outcome = self.core.history(account, query).await;
        self.core.measured(Operation::History, started, outcome)
    }

    async fn waiting(
        &self,
        accounts: &[AccountId],
        limit: usize,
    ) -> Result<Vec<(AccountId, NoticeId)>, InboxError> {
        let started = Instant::now();
        let outcome = self.core.waiting(accounts, limit).await;
        self.core.measured(Operation::Unread, started, outcome)
    }

    async fn unread_count(&self, account: &AccountId) -> Result<u64, InboxError> {
        let counted = self.core.count(std::iter::once(account)).await?;
        Ok(counted.get(account.as_str()).copied().unwrap_or(0))
    }

    fn now(&self) -> Millis {
        self.core.now()
    }

    fn health(&self) -> Result<(), InboxError> {
        self.core.link.available()
    }
}
