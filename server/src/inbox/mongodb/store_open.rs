//! Opens the store: reaches MongoDB, makes the indexes, and finds what all nodes share.

use std::sync::Arc;

use mongodb::bson::{RawDocument, doc};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::core::Core;
use super::counts::UnreadCounts;
use super::document::{binary, field};
use super::failure::Failure;
use super::housekeeping::NEWEST;
use super::ids::{AccountKey, Ids};
use super::indexes;
use super::link::Link;
use super::open_error::MongoOpenError;
use super::options::MongoOptions;
use super::pushed::PushedMarks;
use super::time::StoreTime;
use super::turnstile::Turnstile;
use crate::clock::{Clock, Millis};
use crate::inbox::CommitObserver;

/// The document that holds the key for hashing accounts.
const ACCOUNT_KEY: &str = "accountKey";

/// How far ahead of the clock noted ids are believed to be. What is further was made by a clock that was wrong.
const AHEAD: Millis = 60_000;

/// Opens what the parts of the store share. With a clock of its own, MongoDB's is not asked.
pub(super) async fn open(
    options: &MongoOptions,
    observer: Arc<dyn CommitObserver>,
    clock: Option<Clock>,
) -> Result<Arc<Core>, MongoOpenError> {
    let link = Link::new(options).await?;
    let away = |failure: Failure| open_failure(&failure, &options.database);
    let sharded = link.is_sharded().await.map_err(away)?;
    let time = match clock {
        Some(clock) => StoreTime::Own(clock),
        None => StoreTime::of_the_server(),
    };
    time.set(&[link.time().await.map_err(away)?]);
    indexes::make(&link, sharded).await?;
    let key = account_key(&link).await.map_err(away)?;
    let newest = newest(&link, time.now()).await.map_err(away)?;
    let life = getrandom::u64().map_err(|_| MongoOpenError::NoRandomNumbers)?;
    let limits = options.limits();
    let core = Core {
        counts: Mutex::new(UnreadCounts::new(limits.unread_per_account)),
        ids: Ids::new(key, life, newest),
        link,
        limits,
        sharded,
        time,
        group_ended: Notify::new(),
        pushed: PushedMarks::default(),
        turnstile: Turnstile::default(),
        observer,
        metrics: Arc::clone(&options.metrics),
    };
    core.time.set(&core.samples().await);
    Ok(Arc::new(core))
}

/// The key that all nodes share: the first to start makes it.
async fn account_key(link: &Link) -> Result<AccountKey, Failure> {
    let fresh = super::core::new_marker();
    let filter = doc! { field::ID: ACCOUNT_KEY };
    let update = doc! { "$setOnInsert": { "key": binary(&fresh) } };
    let insert = || async {
        let insert = link.meta.update_one(filter.clone(), update.clone());
        insert.upsert(true).await
    };
    match link.run_again(insert).await {
        // Another node that starts at the same moment was first.
        Err(failure) if !failure.only_this() => return Err(failure),
        _ => {}
    }
    let found = link
        .run_again(|| async { link.meta.find_one(filter.clone()).await })
        .await?;
    let key = found.as_deref().and_then(read_key);
    key.ok_or_else(|| {
        Failure::from(mongodb::error::Error::custom(
            "the key of the accounts is missing",
        ))
    })
}

fn read_key(document: &RawDocument) -> Option<AccountKey> {
    document.get_binary("key").ok()?.bytes.try_into().ok()
}

/// The newest id's order that any node has noted.
async fn newest(link: &Link, now: Millis) -> Result<u64, Failure> {
    let filter = doc! { field::ID: NEWEST };
    let found = link
        .run_again(|| async { link.meta.find_one(filter.clone()).await })
        .await?;
    let order = found.and_then(|document| document.get_i64("order").ok());
    let order = order
        .and_then(|order| u64::try_from(order).ok())
        .unwrap_or(0);
    Ok(if order >> 16 > now.saturating_add(AHEAD) {
        0
    } else {
        order
    })
}

/// Why the store can't be opened, of a failure to reach or use MongoDB.
pub(super) fn open_failure(failure: &Failure, database: &str) -> MongoOpenError {
    let why = failure.reason();
    if failure.refused() {
        let database = database.to_owned();
        return MongoOpenError::Refused { why, database };
    }
    MongoOpenError::Away { why }
}
