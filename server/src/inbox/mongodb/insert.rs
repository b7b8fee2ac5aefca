//! Stores the notices of a group, and finds what was stored before.
//!
//! Whatever happens under way, an id of ours is stored at most once: an insert that broke is tried again with the same
//! ids, and what the first try stored is then found as a duplicate of itself.

use std::collections::HashMap;
use std::time::Duration;

use mongodb::bson::{RawDocument, RawDocumentBuf, doc};
use mongodb::error::{ErrorKind, IndexedWriteError, InsertManyError};

use super::core::{Core, Query};
use super::document::{self, binary, bson_id, field, read_created, read_id, read_print};
use super::failure::{Failure, is_collision, unavailable};
use super::group::{FirstCall, Group, Item};
use super::queries;
use crate::clock::Millis;
use crate::domain::{AccountId, Fingerprint};
use crate::inbox::{InboxError, StageError};

/// A duplicate key.
const DUPLICATE: i32 = 11000;

/// Tries to get a group stored. Each but the first has a cause that passes: a key that is just being stored elsewhere,
/// an old key, an id that was taken.
const TRIES: u32 = 6;

/// How one insert went.
enum Inserted {
    /// Every document is stored.
    All,
    /// These are not: the others are.
    But(Vec<IndexedWriteError>),
}

/// An earlier call, as it is stored.
#[derive(Debug, Clone, Copy)]
struct Earlier {
    call: FirstCall,
    created: Millis,
}

type EarlierCalls = HashMap<Fingerprint, Earlier>;

impl Core {
    /// Stores what is open in a group. Every item that was open has its outcome afterwards.
    pub(super) async fn insert(&self, group: &mut Group) {
        self.pass_through(group);
        let mut broke = false;
        for attempt in 0..TRIES {
            let open: Vec<usize> = open(&group.items);
            if open.is_empty() {
                return;
            }
            if let Some(pause) = pause(attempt) {
                tokio::time::sleep(pause).await;
            }
            let documents = open.iter().map(|place| self.document(&group.items[*place]));
            let documents: Vec<RawDocumentBuf> = documents.collect();
            let outcome = match self.insert_once(&documents).await {
                Err(failure) if failure.collided() || (failure.broke() && !broke) => {
                    broke = true;
                    continue;
                }
                Err(failure) => Err(self.link.failed(&failure)),
                Ok(inserted) => Ok(inserted),
            };
            let settled = match outcome {
                Ok(inserted) => self.settle(group, &open, inserted, broke).await,
                Err(why) => Err(why),
            };
            if let Err(why) = settled {
                return refuse_open(group, &why);
            }
        }
        refuse_open(
            group,
            &unavailable("what has the same idempotency key is not safely stored yet"),
        );
    }

    /// What is neither stored nor keyed needs no more than its id.
    fn pass_through(&self, group: &mut Group) {
        let available = self.link.available();
        let passes = |item: &&mut Item| {
            item.is_open() && item.is_ephemeral() && item.draft.prints.call.is_none()
        };
        for item in group.items.iter_mut().filter(passes) {
            match &available {
                Ok(()) => item.staged(),
                Err(why) => item.refuse(why.clone()),
            }
        }
    }

    fn document(&self, item: &Item) -> RawDocumentBuf {
        let (notice, prints) = (&item.notice, &item.draft.prints);
        if item.is_ephemeral() {
            document::write_call(notice, prints, &self.limits)
        } else {
            document::write_notice(notice, prints, &self.limits)
        }
    }

    async fn insert_once(&self, documents: &[RawDocumentBuf]) -> Result<Inserted, Failure> {
        let insert = async {
            self.link
                .notices
                .insert_many(documents)
                .ordered(false)
                .await
        };
        match self.link.run(insert).await {
            Ok(_) => Ok(Inserted::All),
            Err(Failure::Driver(error)) => match error.kind.as_ref() {
                ErrorKind::InsertMany(InsertManyError {
                    write_errors: Some(errors),
                    write_concern_error: None,
                    ..
                }) => Ok(Inserted::But(errors.clone())),
                _ => Err(Failure::Driver(error)),
            },
            Err(failure) => Err(failure),
        }
    }

    /// Gives items their outcomes, as far as they are known now.
    async fn settle(
        &self,
        group: &mut Group,
        open: &[usize],
        inserted: Inserted,
        broke: bool,
    ) -> Result<(), InboxError> {
        let errors = match inserted {
            Inserted::All => Vec::new(),
            Inserted::But(errors) => errors,
        };
        let failed: HashMap<usize, i32> = errors
            .iter()
            .map(|error| (error.index, error.code))
            .collect();
        let mut taken = Vec::new();
        for (index, place) in open.iter().enumerate() {
            let item = &mut group.items[*place];
            match failed.get(&index) {
                None => item.staged(),
                // Ids are random enough that a taken one was taken by the try before.
                Some(&DUPLICATE) if broke && item.draft.prints.call.is_none() => item.staged(),
                Some(&DUPLICATE) => taken.push(*place),
                // It ran into another write: the next try takes it along.
                Some(&code) if is_collision(code) => {}
                Some(code) => {
                    tracing::error!(code, "MongoDB refused a notice");
                    let why = format!("MongoDB refused the notice with error {code}");
                    item.refuse(unavailable(why));
                }
            }
        }
        self.settle_taken(group, &taken, broke).await
    }

    /// Items whose id or key is taken.
    async fn settle_taken(
        &self,
        group: &mut Group,
        taken: &[usize],
        broke: bool,
    ) -> Result<(), InboxError> {
        if taken.is_empty() {
            return Ok(());
        }
        let earlier = self
            .earlier_calls(taken.iter().map(|place| &group.items[*place]))
            .await?;
        let now = self.now();
        for place in taken {
            let item = &mut group.items[*place];
            let key = item.draft.prints.call.map(|(key, _)| key);
            match key.and_then(|key| Some((key, *earlier.get(&key)?))) {
                // Stored by a try that broke.
                Some((_, first)) if first.call.id == item.notice.id => item.staged(),
                Some((key, first)) if self.limits.key_kept(first.created, now) => {
                    item.repeat(first.call);
                    group.first_calls.insert(key, first.call);
                }
                Some((key, first)) => self.free_key(key, first).await?,
                // Perhaps stored by the try that broke, and not safe yet: it must keep its id to be known again.
                None if broke => {}
                // The id is taken, or the key by what is not safe yet: a fresh id serves both.
                None => self.renew(item),
            }
        }
        Ok(())
    }

    fn renew(&self, item: &mut Item) {
        let id = self.ids.next(self.now(), item.draft.part);
        item.notice = std::sync::Arc::new(document::notice_of(id, &item.draft.draft));
    }

    /// A key whose time is over serves again.
    async fn free_key(&self, key: Fingerprint, first: Earlier) -> Result<(), InboxError> {
        let filter = doc! { field::ID: bson_id(first.call.id), field::IDEMPOTENCY: binary(&key) };
        let update = doc! { "$unset": { field::IDEMPOTENCY: "" } };
        let free = || async {
            self.link
                .notices
                .update_one(filter.clone(), update.clone())
                .await
        };
        self.link.ask(free).await.map(|_| ())
    }

    /// A full inbox refuses no repetition of what it took.
    pub(super) async fn answer_repetitions_of_full_inboxes(&self, group: &mut Group) {
        let full = |item: &&Item| {
            let full = matches!(&item.outcome, Some(Err(StageError::InboxFull { .. })));
            full && item.draft.prints.call.is_some()
        };
        if !group.items.iter().any(|item| full(&item)) {
            return;
        }
        let earlier = match self.earlier_calls(group.items.iter().filter(full)).await {
            Ok(earlier) => earlier,
            Err(why) => return refuse_full(group, &why),
        };
        let now = self.now();
        for item in group.items.iter_mut().filter(|item| full(&&**item)) {
            let key = item.draft.prints.call.map(|(key, _)| key);
            if let Some((key, first)) = key.and_then(|key| Some((key, *earlier.get(&key)?)))
                && self.limits.key_kept(first.created, now)
            {
                item.repeat(first.call);
                group.first_calls.insert(key, first.call);
            }
        }
    }

    /// The calls that used the keys of items first. Only what is as safe as an answered write: its id will be answered.
    async fn earlier_calls(
        &self,
        items: impl Iterator<Item = &Item>,
    ) -> Result<EarlierCalls, InboxError> {
        let keyed = |item: &'_ Item| -> Option<(Fingerprint, AccountId)> {
            let (key, _) = item.draft.prints.call?;
            Some((key, item.draft.draft.receiver.clone()))
        };
        let (keys, receivers): (Vec<_>, Vec<_>) = items.filter_map(keyed).unzip();
        if keys.is_empty() {
            return Ok(EarlierCalls::new());
        }
        let receivers: Vec<_> = receivers.iter().collect();
        let filter = queries::earlier_calls(&keys, &receivers, self.sharded);
        let query =
            Query::new(filter).only([field::ID, field::CREATED, field::IDEMPOTENCY, field::BODY]);
        let mut found = EarlierCalls::new();
        let each = |document: &RawDocument| found.extend(read_earlier(document));
        self.find(&self.link.safe_notices, &query, each).await?;
        Ok(found)
    }
}

fn read_earlier(document: &RawDocument) -> Option<(Fingerprint, Earlier)> {
    let (key, id) = (
        read_print(document, field::IDEMPOTENCY)?,
        read_id(document)?,
    );
    let body = read_print(document, field::BODY);
    let earlier = Earlier {
        call: FirstCall { id, body },
        created: read_created(document, id),
    };
    Some((key, earlier))
}

/// What is to be inserted.
fn open(items: &[Item]) -> Vec<usize> {
    let open = items.iter().enumerate().filter(|(_, item)| item.is_open());
    open.map(|(place, _)| place).collect()
}

fn refuse_open(group: &mut Group, why: &InboxError) {
    for item in group.items.iter_mut().filter(|item| item.is_open()) {
        item.refuse(why.clone());
    }
}

fn refuse_full(group: &mut Group, why: &InboxError) {
    for item in &mut group.items {
        if matches!(&item.outcome, Some(Err(StageError::InboxFull { .. }))) {
            item.refuse(why.clone());
        }
    }
}

/// Before a try: none before the first two, then as long as a key takes to be safe.
fn pause(attempt: u32) -> Option<Duration> {
    (attempt > 1).then(|| Duration::from_millis(5 << (2 * attempt.min(4))))
}
