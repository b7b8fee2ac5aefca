//! What the parts of the store share.

use std::sync::Arc;
use std::time::Instant;

use mongodb::bson::Document;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::counts::UnreadCounts;
use super::document::{field, read_id};
use super::ids::Ids;
use super::link::{Documents, Link};
use super::options::Limits;
use super::pushed::PushedMarks;
use super::queries;
use super::time::StoreTime;
use super::turnstile::{Turn, Turnstile};
use crate::clock::Millis;
use crate::domain::{AccountId, Fingerprint, NoticeId};
use crate::inbox::{
    CommitObserver, Committed, InboxError, Operation, StoreMetrics, Telling, measured,
};

pub(super) struct Core {
    pub(super) link: Arc<Link>,
    pub(super) limits: Limits,
    /// Whether MongoDB is a cluster of shards.
    pub(super) sharded: bool,
    pub(super) time: StoreTime,
    pub(super) ids: Ids,
    pub(super) counts: Mutex<UnreadCounts>,
    /// A group of staging has ended.
    pub(super) group_ended: Notify,
    pub(super) pushed: PushedMarks,
    pub(super) turnstile: Turnstile,
    pub(super) observer: Arc<dyn CommitObserver>,
    pub(super) metrics: Arc<dyn StoreMetrics>,
}

impl Core {
    pub(super) fn now(&self) -> Millis {
        self.time.now()
    }

    /// Notes how an operation went.
    pub(super) fn measured<T>(
        &self,
        operation: Operation,
        started: Instant,
        outcome: Result<T, InboxError>,
    ) -> Result<T, InboxError> {
        measured(&*self.metrics, operation, started, outcome)
    }

    /// Tells what became true, in its turn, and answers when the other nodes know too.
    pub(super) async fn tell(&self, turn: Turn, events: Vec<Committed>) {
        let tell = || match events.is_empty() {
            true => Telling::done(),
            false => self.observer.committed(events),
        };
        turn.tell(tell).await.finished().await;
    }

    /// Withdraws unread notices of `whose`, once in the whole cluster; which of them this call withdrew.
    pub(super) async fn withdraw(
        &self,
        wanted: &[(AccountId, NoticeId)],
        why: &str,
    ) -> Result<Vec<(AccountId, NoticeId)>, InboxError> {
        let marker = new_marker();
        let ids: Vec<_> = wanted.iter().map(|(_, id)| *id).collect();
        let accounts: Vec<_> = wanted.iter().map(|(account, _)| account).collect();
        let update = queries::withdraw(&ids, &accounts, why, &marker);
        let failed = |failure| self.link.failed(&failure);
        let changed = self.link.update_notices(&[update]).await.map_err(failed)?;
        if changed == ids.len() as u64 {
            return Ok(wanted.to_vec());
        }
        let ours = self.ids_of(queries::withdrawn_by(&ids, &marker)).await?;
        let ours = |(_, id): &&(AccountId, NoticeId)| ours.contains(id);
        Ok(wanted.iter().filter(ours).cloned().collect())
    }

    /// The ids of the notices that a filter finds.
    async fn ids_of(&self, filter: Document) -> Result<Vec<NoticeId>, InboxError> {
        let query = Query::new(filter).only([field::ID]);
        let mut found = Vec::new();
        self.find(&self.link.notices, &query, |document| {
            found.extend(read_id(document))
        })
        .await?;
        Ok(found)
    }

    /// Runs a query, and hands over each document. A page that breaks off is asked for once more, so what is handed
    /// over may come twice.
    pub(super) async fn find(
        &self,
        documents: &Documents,
        query: &Query,
        mut each: impl FnMut(&mongodb::bson::RawDocument),
    ) -> Result<(), InboxError> {
        let found = self.link.ask(|| query.all(documents)).await?;
        found.iter().for_each(|document| each(document));
        Ok(())
    }
}

/// A query for documents.
#[derive(Debug, Clone)]
pub(super) struct Query {
    pub(super) filter: Document,
    pub(super) sort: Option<Document>,
    projection: Option<Document>,
    pub(super) limit: i64,
}

impl Query {
    pub(super) fn new(filter: Document) -> Self {
        Self {
            filter,
            sort: None,
            projection: None,
            limit: 0,
        }
    }

    pub(super) fn sorted(self, sort: Document) -> Self {
        Self {
            sort: Some(sort),
            ..self
        }
    }

    /// At most so many, and at least one.
    pub(super) fn at_most(self, limit: usize) -> Self {
        Self {
            limit: i64::try_from(limit.max(1)).unwrap_or(i64::MAX),
            ..self
        }
    }

    /// Only these fields.
    pub(super) fn only<const N: usize>(self, fields: [&str; N]) -> Self {
        let mut projection: Document = fields
            .iter()
            .map(|name| ((*name).to_owned(), 1.into()))
            .collect();
        if !fields.contains(&field::ID) {
            projection.insert(field::ID, 0);
        }
        Self {
            projection: Some(projection),
            ..self
        }
    }

    async fn all(
        &self,
        documents: &Documents,
    ) -> mongodb::error::Result<Vec<mongodb::bson::RawDocumentBuf>> {
        let mut find = documents.find(self.filter.clone());
        if let Some(sort) = &self.sort {
            find = find.sort(sort.clone());
        }
        if let Some(projection) = &self.projection {
            find = find.projection(projection.clone());
        }
        if self.limit > 0 {
            find = find.limit(self.limit);
            // All in one answer, unless it is too large for one.
            find = find.batch_size(u32::try_from(self.limit + 1).unwrap_or(u32::MAX));
        }
        let mut cursor = find.await?;
        let mut found = Vec::new();
        while cursor.advance().await? {
            found.push(cursor.current().to_owned());
        }
        Ok(found)
    }
}

/// Marks what one operation changes, so that it can be told from what others change.
pub(super) fn new_marker() -> Fingerprint {
    let mut marker = [0; 16];
    if getrandom::fill(&mut marker).is_err() {
        // Without random numbers the worst is that a racing operation counts the same notice too.
        tracing::error!("the system has no random numbers");
    }
    marker
}
