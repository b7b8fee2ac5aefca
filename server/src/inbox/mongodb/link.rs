//! The way to MongoDB: the driver's client, the time that each operation may take, and whether it is away.
//!
//! After a failure nothing is tried for real until a small write has gone through: callers are refused at once
//! meanwhile, instead of piling up behind timeouts.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use mongodb::bson::{Document, RawDocumentBuf, doc};
use mongodb::options::{
    ClientOptions, CollectionOptions, ReadPreference, SelectionCriteria, WriteConcern,
};
use mongodb::{Client, Collection, Database};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::failure::{Failure, RefusedUpdate, describe, spread, unavailable};
use super::open_error::MongoOpenError;
use super::options::MongoOptions;
use super::time::Sample;
use crate::inbox::InboxError;

/// How long an operation may take. Longer than a write waits for its write concern.
const OPERATION: Duration = Duration::from_secs(5);

/// How long the driver looks for a server, and for a connection to it.
const SELECTION: Duration = Duration::from_secs(2);

/// Pauses between two looks whether MongoDB is back: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));

/// How often an operation that runs into other writes is tried again, and the pause after the first time.
const COLLISIONS: u32 = 4;

/// So many faults of the engine in a row are borne before it counts as away.
const FAULTS_IN_A_ROW: u32 = 2;
const AFTER_A_COLLISION: Duration = Duration::from_millis(10);

pub(super) type Documents = Collection<RawDocumentBuf>;

/// The names of our collections.
pub(super) mod collection {
    pub(in super::super) const NOTICES: &str = "notice";
    pub(in super::super) const META: &str = "notice_meta";
    pub(in super::super) const SESSIONS: &str = "notice_session";
    pub(in super::super) const DENIED: &str = "notice_deny";
}

pub(super) struct Link {
    client: Client,
    pub(super) database: Database,
    pub(super) notices: Documents,
    /// The same, seeing only what is as safe as an answered write.
    pub(super) safe_notices: Documents,
    pub(super) meta: Documents,
    pub(super) sessions: Documents,
    pub(super) denied: Documents,
    write_concern: Document,
    away: Mutex<Option<InboxError>>,
    went_away: Notify,
    /// Faults of the engine since something went well.
    internal: AtomicU32,
}

impl Link {
    /// Makes the client. Nothing is sent yet.
    pub(super) async fn new(options: &MongoOptions) -> Result<Arc<Self>, MongoOpenError> {
        let client = client(options).await?;
        let database = client.database(&options.database);
        let safe = CollectionOptions::builder()
            .read_concern(options.acknowledged.read_concern())
            .build();
        Ok(Arc::new(Self {
            notices: database.collection(collection::NOTICES),
            safe_notices: database.collection_with_options(collection::NOTICES, safe),
            meta: database.collection(collection::META),
            sessions: database.collection(collection::SESSIONS),
            denied: database.collection(collection::DENIED),
            write_concern: options.acknowledged.document(),
            away: Mutex::new(None),
            internal: AtomicU32::new(0),
            went_away: Notify::new(),
            client,
            database,
        }))
    }

    /// Whether operations are tried now; if not, why.
    pub(super) fn available(&self) -> Result<(), InboxError> {
        match &*self.away.lock() {
            None => Ok(()),
            Some(why) => Err(unavailable(why.reason.clone())),
        }
    }

    /// Runs one operation within its time, unless MongoDB is away.
    pub(super) async fn run<T>(
        &self,
        operation: impl Future<Output = mongodb::error::Result<T>>,
    ) -> Result<T, Failure> {
        self.available().map_err(Failure::Away)?;
        let outcome = within_time(operation).await;
        if outcome.is_ok() {
            self.internal.store(0, Ordering::Relaxed);
        }
        outcome
    }

    /// Runs an operation that may be repeated: once more when the connection broke under the first, and a few times
    /// when it ran into other writes.
    pub(super) async fn run_again<T, F>(
        &self,
        mut operation: impl FnMut() -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = mongodb::error::Result<T>>,
    {
        for collision in 0..COLLISIONS {
            match self.run(operation()).await {
                Err(failure) if failure.collided() => {
                    tokio::time::sleep(spread(AFTER_A_COLLISION * (collision + 1))).await;
                }
                Err(failure) if failure.broke() => break,
                outcome => return outcome,
            }
        }
        self.run(operation()).await
    }

    /// The same, with a failure as callers hear it.
    pub(super) async fn ask<T, F>(&self, operation: impl FnMut() -> F) -> Result<T, InboxError>
    where
        F: Future<Output = mongodb::error::Result<T>>,
    {
        let outcome = self.run_again(operation).await;
        outcome.map_err(|failure| self.failed(&failure))
    }

    /// Takes note of a failure: MongoDB is away from now on, unless it just did not like the operation.
    pub(super) fn failed(&self, failure: &Failure) -> InboxError {
        let why = match failure {
            Failure::Away(why) => return why.clone(),
            _ => unavailable(failure.reason()),
        };
        // One by itself is a fault; several and nothing between that goes well mean that the engine is gone.
        let gone =
            failure.internal() && self.internal.fetch_add(1, Ordering::Relaxed) >= FAULTS_IN_A_ROW;
        if failure.only_this() && !gone {
            tracing::error!(reason = %why.reason, "MongoDB refused an operation");
        } else {
            self.lost(&why);
        }
        why
    }

    /// MongoDB is away.
    pub(super) fn lost(&self, why: &InboxError) {
        let mut away = self.away.lock();
        if away.is_none() {
            tracing::warn!(reason = %why.reason, "MongoDB is away");
            *away = Some(why.clone());
            self.went_away.notify_one();
        }
    }

    /// Waits until MongoDB was away and is back.
    pub(super) async fn came_back(&self) {
        self.went_away.notified().await;
        let (begun, mut pause) = (Instant::now(), PAUSES.0);
        loop {
            tokio::time::sleep(spread(pause)).await;
            match within_time(self.touch()).await {
                Ok(()) => break,
                Err(failure) => {
                    tracing::debug!(reason = %failure.reason(), "MongoDB is still away")
                }
            }
            pause = (pause * 2).min(PAUSES.1);
        }
        *self.away.lock() = None;
        let seconds = begun.elapsed().as_secs_f64();
        tracing::info!(seconds, "MongoDB is back");
    }

    /// A small write, as safe as any other.
    async fn touch(&self) -> mongodb::error::Result<()> {
        let update = doc! { "$inc": { "times": 1_i64 } };
        let touched = self.meta.update_one(doc! { "_id": "touch" }, update);
        touched.upsert(true).await.map(|_| ())
    }

    async fn hello(&self) -> mongodb::error::Result<Document> {
        self.database.run_command(doc! { "hello": 1 }).await
    }

    /// What time it is there.
    pub(super) async fn time(&self) -> Result<Sample, Failure> {
        let asked = Instant::now();
        let hello = within_time(self.hello()).await?;
        let answered = Instant::now();
        let said = hello
            .get_datetime("localTime")
            .map_or(0, |at| at.timestamp_millis());
        Ok(Sample {
            asked,
            answered,
            said: u64::try_from(said).unwrap_or(0),
        })
    }

    /// Whether it is a cluster of shards.
    pub(super) async fn is_sharded(&self) -> Result<bool, Failure> {
        let hello = within_time(self.hello()).await?;
        Ok(hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid"))
    }

    /// Several updates of different notices; how many documents they changed. Each is a command of its own: an engine
    /// that makes a transaction of a command could have two with several updates wait for each other.
    pub(super) async fn update_notices(&self, updates: &[Document]) -> Result<u64, Failure> {
        let all = updates.iter().map(|update| self.update(update));
        let changed = futures_util::future::join_all(all).await;
        changed.into_iter().sum()
    }

    async fn update(&self, update: &Document) -> Result<u64, Failure> {
        let command = || {
            let command = doc! {
                "update": collection::NOTICES,
                "updates": [update.clone()],
                "writeConcern": self.write_concern.clone(),
            };
            async move {
                let answer = self.database.run_command(command).await?;
                changed(&answer)
            }
        };
        self.run_again(command).await
    }

    /// Ends the client.
    pub(super) async fn end(&self) {
        let ended = self.client.clone().shutdown();
        // What still uses a connection is not waited for.
        let _ = tokio::time::timeout(Duration::from_secs(1), ended).await;
    }
}

/// How many documents an update changed.
fn changed(answer: &Document) -> mongodb::error::Result<u64> {
    if let Ok(errors) = answer.get_array("writeErrors") {
        let first = errors.first().and_then(|error| error.as_document());
        let code = first.and_then(|error| error.get_i32("code").ok());
        return Err(mongodb::error::Error::custom(RefusedUpdate(
            code.unwrap_or(0),
        )));
    }
    if answer.contains_key("writeConcernError") {
        let why = super::failure::NOT_ENOUGH_MEMBERS;
        return Err(mongodb::error::Error::custom(why));
    }
    let changed = answer.get("nModified").and_then(|number| match number {
        mongodb::bson::Bson::Int32(number) => u64::try_from(*number).ok(),
        mongodb::bson::Bson::Int64(number) => u64::try_from(*number).ok(),
        _ => None,
    });
    Ok(changed.unwrap_or(0))
}

async fn within_time<T>(
    operation: impl Future<Output = mongodb::error::Result<T>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(OPERATION, operation).await {
        Ok(outcome) => outcome.map_err(Failure::from),
        Err(_) => Err(Failure::TimedOut),
    }
}

async fn client(options: &MongoOptions) -> Result<Client, MongoOpenError> {
    let bad = |error: mongodb::error::Error| MongoOpenError::BadUri {
        why: wrong_with(&error),
    };
    let mut parsed = ClientOptions::parse(options.uri.reveal())
        .await
        .map_err(bad)?;
    let at_most =
        |given: Option<Duration>, most: Duration| Some(given.map_or(most, |given| most.min(given)));
    parsed.server_selection_timeout = at_most(parsed.server_selection_timeout, SELECTION);
    parsed.connect_timeout = at_most(parsed.connect_timeout, SELECTION);
    parsed.max_pool_size = Some(options.max_connections);
    parsed
        .app_name
        .get_or_insert_with(|| "notice-server".to_owned());
    // A secondary may not have seen yet what was just answered: no reader may miss that.
    parsed.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
    parsed.read_concern = None;
    let write_concern: WriteConcern = options.acknowledged.write_concern();
    parsed.write_concern = Some(write_concern);
    Client::with_options(parsed).map_err(bad)
}

/// What is wrong with a URI. The driver's own words may quote it, so only their kind is told.
fn wrong_with(error: &mongodb::error::Error) -> String {
    use mongodb::error::ErrorKind;
    match error.kind.as_ref() {
        ErrorKind::InvalidArgument { .. } => "it is not well formed".to_owned(),
        _ => describe(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    #[tokio::test]
    async fn a_bad_uri_is_refused_without_being_shown() {
        for uri in [
            "mongodb://user:hidden@",
            "http://user:hidden@host",
            "mongodb://user:hid/den@host",
        ] {
            let options = MongoOptions::new(Secret::new(uri), "db");
            let error = Link::new(&options)
                .await
                .err()
                .expect("refused")
                .to_string();
            assert!(
                error.contains("can not be used") && !error.contains("hid"),
                "{error}"
            );
        }
    }
}
