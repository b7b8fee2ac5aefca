//! What happens by the clock: the store's time is asked for, pushed marks are stored, what ended unread is told, and the
//! newest id is noted for the next start. Old documents are deleted by MongoDB itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mongodb::bson::{RawDocument, doc};

use super::core::{Core, Query};
use super::document::{field, read_id, read_receiver, withdrawn};
use super::failure::spread;
use super::pushed::in_updates;
use super::queries;
use super::time::Sample;
use crate::domain::{AccountId, NoticeId};
use crate::inbox::{Committed, InboxError, Operation, Withdrawal};

/// Between two rounds of duties: pushed marks are seen by other nodes, and ends told, within twice that.
const ROUND: Duration = Duration::from_millis(900);

/// Between two looks at MongoDB's clock.
const TIME: Duration = Duration::from_secs(10);

/// Questions for the time, of which the best answer counts.
const SAMPLES: usize = 4;

/// Notices that are ended at a time.
const SLICE: usize = 500;

/// Updates of pushed marks in one command.
const UPDATES: usize = 20;

/// The document that holds the newest id's order.
pub(super) const NEWEST: &str = "newest";

impl Core {
    /// Does the duties of every round, for ever.
    pub(super) async fn keep_house(self: Arc<Self>) {
        loop {
            // Not every node at once.
            tokio::time::sleep(spread(ROUND)).await;
            if self.link.available().is_ok() {
                let (started, outcome) = (Instant::now(), self.round().await);
                // Logged where it was met.
                let _ = self.measured(Operation::Housekeeping, started, outcome);
            }
        }
    }

    /// Stores pushed marks, and ends what is over.
    pub(super) async fn round(&self) -> Result<(), InboxError> {
        self.store_pushed().await?;
        while self.end_some().await? == SLICE {}
        Ok(())
    }

    /// Asks for the time every now and then, for ever.
    pub(super) async fn keep_time(self: Arc<Self>) {
        loop {
            tokio::time::sleep(TIME).await;
            if self.link.available().is_ok() {
                self.time.set(&self.samples().await);
                self.note_newest().await;
            }
        }
    }

    /// Several answers to what time it is; fewer, or none, when MongoDB is away.
    pub(super) async fn samples(&self) -> Vec<Sample> {
        let mut samples = Vec::with_capacity(SAMPLES);
        for _ in 0..SAMPLES {
            match self.link.time().await {
                Ok(sample) => samples.push(sample),
                Err(failure) => {
                    self.link.failed(&failure);
                    break;
                }
            }
        }
        samples
    }

    /// Waits until MongoDB was away and is back, and tells it; for ever.
    pub(super) async fn watch(self: Arc<Self>) {
        loop {
            self.link.came_back().await;
            let turn = self.turnstile.take();
            self.tell(turn, vec![Committed::CameBack]).await;
        }
    }

    pub(super) async fn store_pushed(&self) -> Result<(), InboxError> {
        let updates = in_updates(self.pushed.all());
        for some in updates.chunks(UPDATES) {
            let commands: Vec<_> = some
                .iter()
                .map(|(at, ids)| queries::pushed(ids, *at))
                .collect();
            let failed = |failure| self.link.failed(&failure);
            self.link.update_notices(&commands).await.map_err(failed)?;
            self.pushed.forget(some.iter().flat_map(|(_, ids)| ids));
        }
        Ok(())
    }

    /// Ends some of what is over; how many were found. Whoever withdraws one tells it: once in the whole cluster.
    async fn end_some(&self) -> Result<usize, InboxError> {
        let query = Query::new(queries::ended(self.now()))
            .sorted(doc! { field::END: 1 })
            .only([field::ID, field::RECEIVER])
            .at_most(SLICE);
        let mut ended = Vec::new();
        let each = |document: &RawDocument| {
            ended.extend(read_receiver(document).zip(read_id(document)));
        };
        self.find(&self.link.notices, &query, each).await?;
        if ended.is_empty() {
            return Ok(0);
        }
        let turn = self.turnstile.take();
        let ours = self.withdraw(&ended, withdrawn::EXPIRED).await?;
        let events = self.ended_events(ours);
        self.tell(turn, events).await;
        Ok(ended.len())
    }

    fn ended_events(&self, ended: Vec<(AccountId, NoticeId)>) -> Vec<Committed> {
        let mut by_account = HashMap::<AccountId, Vec<NoticeId>>::new();
        for (account, id) in ended {
            by_account.entry(account).or_default().push(id);
        }
        let mut counts = self.counts.lock();
        let event = |(account, ids): (AccountId, Vec<NoticeId>)| {
            counts.left(&account, ids.len() as u64);
            Committed::Withdrawn {
                account,
                ids,
                why: Withdrawal::Expired,
            }
        };
        by_account.into_iter().map(event).collect()
    }

    /// Notes how far ids have come, so that the next process on whichever machine goes on behind them.
    pub(super) async fn note_newest(&self) {
        let newest = i64::try_from(self.ids.newest()).unwrap_or(i64::MAX);
        let note = || async {
            let update = doc! { "$max": { "order": newest } };
            let note = self.link.meta.update_one(doc! { "_id": NEWEST }, update);
            note.upsert(true).await
        };
        // Only a clock that goes back would make it matter.
        let _ = self.link.ask(note).await;
    }
}
