//! The store's face: opens it, hands calls to the writer, runs reads, and closes it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::folder::Folder;
use super::group::Memory;
use super::housekeeping::{self, Housekeeping};
use super::keys::Key;
use super::op::{Op, Prepared, Sender};
use super::open_error::OpenError;
use super::options::Options;
use super::outbox::Outbox;
use super::reads::Reads;
use super::record;
use super::recovery::{self, Opened};
use super::restart::Restart;
use super::shared::{Shared, unavailable};
use super::tables::TableError;
use super::writer::{QUEUE, Writer};
use crate::clock::{Clock, Millis};
use crate::domain::{AccountId, Draft, Lifetime, Notice, NoticeId, NoticeState};
use crate::inbox::{
    CommitObserver, HistoryEntry, HistoryQuery, Inbox, InboxError, MarkRead, Operation, StageError,
    Staged, UnreadPage, measured,
};

/// How often the writer looks at the clock: buffered reads are synced, and what expired is told, within twice
/// that.
const TICK: Duration = Duration::from_millis(450);

/// The inbox and the session tokens of one server, in a folder.
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    calls: Mutex<Option<mpsc::Sender<Op>>>,
    queue: mpsc::WeakSender<Op>,
    writer: Mutex<Option<JoinHandle<()>>>,
    outbox: Arc<Outbox>,
}

impl EmbeddedStore {
    /// Opens the store, or makes it when there is none yet. Blocks for as long as that takes: replaying at
    /// most some 200 MiB of journals, and one pass over the unread notices. Must be called within a tokio
    /// runtime, where `observer` will be told what is committed.
    ///
    /// # Errors
    /// When the folder can't be used, with the reason and what to do about it. Nothing was changed then.
    pub fn open(
        options: Options,
        clock: Clock,
        observer: Arc<dyn CommitObserver>,
    ) -> Result<Arc<Self>, OpenError> {
        let (folder, found) = Folder::take(&options.dir)?;
        let opened = recovery::open(&folder, found, options.cache_bytes)?;
        Self::start(folder, opened, &options, clock, observer)
    }

    fn start(
        folder: Folder,
        opened: Opened,
        options: &Options,
        clock: Clock,
        observer: Arc<dyn CommitObserver>,
    ) -> Result<Arc<Self>, OpenError> {
        let Opened {
            tables,
            secret,
            index,
            young,
            last_order,
            settled_below,
        } = opened;
        let dir = folder.dir().to_owned();
        let shared = Arc::new(Shared::new(tables, index, young, secret, clock, options));
        if let Ok(tables) = shared.tables() {
            housekeeping::look_at_space(&shared, &tables, &folder);
        }
        let (calls, queue) = mpsc::channel(QUEUE);
        let outbox = Outbox::new();
        let writer = Writer {
            shared: Arc::clone(&shared),
            folder,
            calls: queue,
            outbox: Arc::clone(&outbox),
            memory: Memory::after(last_order, settled_below),
            housekeeping: Housekeeping::new(),
            restart: Restart::new(options.cache_bytes),
            waiting: VecDeque::new(),
            ticks: Vec::new(),
        };
        let thread = std::thread::Builder::new()
            .name("notice-store".to_owned())
            .spawn(|| writer.run());
        let thread = thread.map_err(|error| OpenError::from_io(&dir, error))?;
        tokio::spawn(Arc::clone(&outbox).tell(observer));
        tokio::spawn(tick(calls.downgrade()));
        Ok(Arc::new(Self {
            shared,
            queue: calls.downgrade(),
            calls: Mutex::new(Some(calls)),
            writer: Mutex::new(Some(thread)),
            outbox,
        }))
    }

    /// Finishes what waits, syncs it, and lets the folder go. Calls after it are refused.
    pub async fn close(&self) {
        let thread = self.begin_close();
        if let Some(thread) = thread {
            // The thread waits for nothing but the disk.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    /// Whether nobody hears any more what is committed, since the observer panicked or the store was closed: it
    /// takes no calls then, and never will again.
    #[must_use]
    pub fn is_deaf(&self) -> bool {
        self.outbox.is_deaf()
    }

    fn begin_close(&self) -> Option<JoinHandle<()>> {
        self.outbox.lift_bound();
        drop(self.calls.lock().take());
        self.writer.lock().take()
    }

    /// Does everything that is due by the clock, retention included, and answers when it is done.
    ///
    /// # Errors
    /// When the store is not available.
    pub async fn settle(&self) -> Result<(), InboxError> {
        self.ask(|answer| Op::Tick {
            answer: Some(answer),
        })
        .await
    }

    /// Puts a call into the queue, when there is room.
    async fn submit(&self, op: Op) -> Result<(), InboxError> {
        // While it is down, the writer may be busy opening it again: nobody should wait for that.
        self.shared.available()?;
        let closed = || unavailable("the store is closed");
        let queue = self.queue.upgrade().ok_or_else(closed)?;
        let room = self
            .shared
            .queued
            .acquire_many(op.kib())
            .await
            .map_err(|_| closed())?;
        // Given back by the writer, once the call is done.
        queue.send(op).await.map_err(|_| closed())?;
        room.forget();
        Ok(())
    }

    pub(super) async fn ask<T>(&self, op: impl FnOnce(Sender<T>) -> Op) -> Result<T, InboxError> {
        let (answer, answered) = oneshot::channel();
        self.submit(op(answer)).await?;
        answered
            .await
            .unwrap_or_else(|_| Err(unavailable("the store was closed before it answered")))
    }

    /// Runs a read where it may block.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reads<'_>) -> Result<T, TableError> + Send + 'static,
    ) -> Result<T, InboxError> {
        let tables = self.shared.tables()?;
        let shared = Arc::clone(&self.shared);
        let reading = tokio::task::spawn_blocking(move || {
            let outcome = read(&Reads {
                shared: &shared,
                tables: &tables,
            });
            outcome.map_err(|error| {
                tracing::error!(%error, "the store could not be read");
                unavailable(error)
            })
        });
        reading
            .await
            .unwrap_or_else(|_| Err(unavailable("a read of the store did not end")))
    }

    pub(super) fn measured<T>(
        &self,
        operation: Operation,
        started: Instant,
        outcome: Result<T, InboxError>,
    ) -> Result<T, InboxError> {
        measured(&*self.shared.metrics, operation, started, outcome)
    }

    fn prepare(&self, draft: Draft) -> Prepared {
        let secret = &self.shared.secret;
        let ephemeral = draft.lifetime == Lifetime::Ephemeral;
        let mut row = Vec::new();
        if !ephemeral {
            row.reserve(
                draft.message.len() + draft.data.as_ref().map_or(0, |data| data.get().len()) + 128,
            );
            record::write_notice(&draft, &mut row);
        }
        Prepared {
            account: secret.account(&draft.receiver),
            idempotency: secret.idempotency(&draft),
            collapse: if ephemeral {
                None
            } else {
                secret.collapse(&draft)
            },
            row: row.into(),
            draft,
        }
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        if let Some(thread) = self.begin_close() {
            // It can't wait for this thread: the outbox has no bound any more.
            let _ = thread.join();
        }
    }
}

/// Tells the writer the time, until it is gone.
async fn tick(queue: mpsc::WeakSender<Op>) {
    loop {
        tokio::time::sleep(TICK).await;
        let Some(queue) = queue.upgrade() else {
            return;
        };
        if queue.send(Op::Tick { answer: None }).await.is_err() {
            return;
        }
    }
}

#[async_trait]
impl Inbox for EmbeddedStore {
    async fn stage(&self, drafts: Vec<Draft>) -> Vec<Result<Staged, StageError>> {
        let (started, count) = (Instant::now(), drafts.len());
        if count == 0 {
            return Vec::new();
        }
        let drafts = drafts
            .into_iter()
            .map(|draft| self.prepare(draft))
            .collect();
        let (answer, answered) = oneshot::channel();
        let submitted = self.submit(Op::Stage { drafts, answer }).await;
        let outcome = match submitted {
            Ok(()) => answered
                .await
                .map_err(|_| unavailable("the store was closed before it answered")),
            Err(error) => Err(error),
        };
        let outcome = self.measured(Operation::Stage, started, outcome);
        outcome.unwrap_or_else(|why| vec![Err(why.into()); count])
    }

    async fn unread(
        &self,
        account: &AccountId,
        skip: &[NoticeId],
        limit: usize,
    ) -> Result<UnreadPage, InboxError> {
        let started = Instant::now();
        let hash = self.shared.secret.account(account);
        if self.shared.index.read().get(hash).is_none() {
            let nothing = self.shared.available().map(|()| UnreadPage::default());
            return self.measured(Operation::Unread, started, nothing);
        }
        let (account, skip) = (account.clone(), skip.to_vec());
        let outcome = self
            .read(move |reads| reads.unread(&account, &skip, limit))
            .await;
        self.measured(Operation::Unread, started, outcome)
    }

    async fn fetch(
        &self,
        account: &AccountId,
        ids: &[NoticeId],
    ) -> Result<Vec<Arc<Notice>>, InboxError> {
        let started = Instant::now();
        let (account, ids) = (account.clone(), ids.to_vec());
        let outcome = self.read(move |reads| reads.fetch(&account, &ids)).await;
        self.measured(Operation::Fetch, started, outcome)
    }

    async fn resume(
        &self,
        account: &AccountId,
        last: NoticeId,
        after: Option<NoticeId>,
        limit: usize,
    ) -> Result<Vec<Arc<Notice>>, InboxError> {
        let started = Instant::now();
        let account = account.clone();
        let outcome = self
            .read(move |reads| reads.resume(&account, last, after, limit))
            .await;
        self.measured(Operation::Resume, started, outcome)
    }

    async fn mark_read(&self, request: MarkRead) -> Result<Vec<NoticeId>, InboxError> {
        let started = Instant::now();
        let account = self.shared.secret.account(&request.account);
        let outcome = self
            .ask(|answer| Op::MarkRead {
                request,
                account,
                answer: Some(answer),
            })
            .await;
        self.measured(Operation::MarkRead, started, outcome)
    }

    fn mark_read_soon(&self, request: MarkRead) -> Result<(), MarkRead> {
        let Some(queue) = self.queue.upgrade() else {
            return Err(request);
        };
        if self.shared.available().is_err() {
            return Err(request);
        }
        let Ok(place) = queue.try_reserve() else {
            return Err(request);
        };
        let kib = super::op::kib_of_ids(request.ids.len());
        let Ok(room) = self.shared.queued.try_acquire_many(kib) else {
            return Err(request);
        };
        // Given back by the writer, once the call is done.
        room.forget();
        place.send(Op::MarkRead {
            account: self.shared.secret.account(&request.account),
            request,
            answer: None,
        });
        Ok(())
    }

    fn mark_pushed(&self, id: NoticeId, at: Millis) {
        if !self.shared.pushed.note(Key::of(id), at) {
            self.shared.metrics.pushed_mark_dropped();
        }
    }

    async fn recall(&self, id: NoticeId) -> Result<bool, InboxError> {
        let started = Instant::now();
        let outcome = self.ask(|answer| Op::Recall { id, answer }).await;
        self.measured(Operation::Recall, started, outcome)
    }

    async fn state(&self, id: NoticeId) -> Result<Option<NoticeState>, InboxError> {
        let started = Instant::now();
        let outcome = self.read(move |reads| reads.state(id)).await;
        self.measured(Operation::State, started, outcome)
    }

    async fn history(
        &self,
        account: &AccountId,
        query: HistoryQuery,
    ) -> Result<Vec<HistoryEntry>, InboxError> {
        let started = Instant::now();
        let account = account.clone();
        let outcome = self.read(move |reads| reads.history(&account, query)).await;
        self.measured(Operation::History, started, outcome)
    }

    async fn waiting(
        &self,
        _accounts: &[AccountId],
        _limit: usize,
    ) -> Result<Vec<(AccountId, NoticeId)>, InboxError> {
        Ok(Vec::new())
    }

    async fn unread_count(&self, account: &AccountId) -> Result<u64, InboxError> {
        self.shared.available()?;
        Ok(self
            .shared
            .index
            .read()
            .count(self.shared.secret.account(account)))
    }

    fn now(&self) -> Millis {
        self.shared.clock.now()
    }

    fn health(&self) -> Result<(), InboxError> {
        self.shared.available()?;
        self.shared
            .full()
            .map_or(Ok(()), |why| Err(unavailable(why)))
    }
}
