//! A faithful copy of the source design's polling task, on the same engine.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{DateTime, Document, doc};
use mongodb::options::IndexOptions;
use mongodb::{Collection, IndexModel};
use parking_lot::Mutex;
use tokio::time::sleep;

use super::load::{LOAD, Outcome, Stager};
use crate::support::{Cluster, eventually};

/// Its pauses, after a round that found something and after one that did not.
const BUSY: Duration = Duration::from_millis(100);
const IDLE: Duration = Duration::from_millis(1000);

pub(crate) async fn run() -> Outcome {
    // For a database of its own, no node is started on it.
    let cluster = Cluster::new();
    let notices = cluster.notices().await;
    make_index(&notices).await;
    let pushed: Arc<Mutex<HashSet<ObjectId>>> = Arc::default();
    let polling = tokio::spawn(poll(notices.clone(), Arc::clone(&pushed)));
    let accepted = Arc::new(AtomicUsize::new(0));
    let took = LOAD
        .run(|_| stager(notices.clone(), Arc::clone(&accepted)))
        .await;
    // It has looked at everything when nothing is unread any more.
    eventually("everything to be marked read", async || {
        match notices.count_documents(doc! {"read": false}).await {
            Ok(0) => Ok(()),
            other => Err(other),
        }
    })
    .await;
    // What it found last it pushes a moment later.
    sleep(IDLE).await;
    polling.abort();
    Outcome {
        accepted: accepted.load(Ordering::Relaxed),
        pushed: pushed.lock().len(),
        took,
    }
}

async fn make_index(notices: &Collection<Document>) {
    let index = IndexModel::builder()
        .keys(doc! {"receiverId": 1, "read": 1})
        .options(IndexOptions::builder().build())
        .build();
    notices.create_index(index).await.unwrap();
}

/// `staging(notice)`: inserted with `createdTime` and `read = false`.
fn stager(
    notices: Collection<Document>,
    accepted: Arc<AtomicUsize>,
) -> Stager<impl Future<Output = ()> + Send + 'static> {
    Box::new(move |number| {
        let (notices, accepted) = (notices.clone(), Arc::clone(&accepted));
        async move {
            let notice = doc! {
                "receiverId": LOAD.account(number),
                "senderId": "u1",
                "message": number.to_string(),
                "createdTime": DateTime::now(),
                "read": false,
            };
            notices.insert_one(notice).await.unwrap();
            accepted.fetch_add(1, Ordering::Relaxed);
        }
    })
}

/// For ever: the accounts online, their unread notices, all of these accounts' marked read, those that were found
/// pushed.
async fn poll(notices: Collection<Document>, pushed: Arc<Mutex<HashSet<ObjectId>>>) {
    let online: Vec<_> = (0..LOAD.accounts)
        .map(|number| LOAD.account(number))
        .collect();
    loop {
        let unread = doc! {"receiverId": {"$in": &online}, "read": false};
        let found: Vec<Document> = notices
            .find(unread.clone())
            .await
            .unwrap()
            .try_collect()
            .await
            .unwrap();
        if found.is_empty() {
            sleep(IDLE).await;
            continue;
        }
        let read = doc! {"$set": {"read": true}};
        notices.update_many(unread, read).await.unwrap();
        let ids = found
            .iter()
            .map(|notice| notice.get_object_id("_id").unwrap());
        pushed.lock().extend(ids);
        sleep(BUSY).await;
    }
}
