//! Tests of the store as a whole, on the MongoDB that `MONGODB_URI` names.

mod conformance;
mod failures;
mod older;
mod proxy;
mod queries;
mod throughput;

use std::sync::Arc;

use mongodb::Client;

use super::{MongoOptions, MongoStore};
use crate::clock::Clock;
use crate::config::Secret;
use crate::inbox::CommitObserver;
use crate::inbox::conformance::{IDEMPOTENCY_KEPT, RETENTION, UNREAD_LIMIT};

/// Where the tests' MongoDB is.
fn uri() -> String {
    std::env::var("MONGODB_URI").expect("set MONGODB_URI, or run scripts/services start")
}

/// A database of a test's own, dropped at its end.
struct TestDatabase {
    name: String,
}

impl TestDatabase {
    fn new() -> Self {
        let random = getrandom::u64().expect("random numbers");
        Self {
            name: format!("notice_test_{random:016x}"),
        }
    }

    fn options(&self) -> MongoOptions {
        MongoOptions {
            unread_per_account: UNREAD_LIMIT,
            retention: RETENTION,
            idempotency_kept: IDEMPOTENCY_KEPT,
            ..MongoOptions::new(Secret::new(uri()), &self.name)
        }
    }

    async fn open(&self, observer: Arc<dyn CommitObserver>, clock: &Clock) -> Arc<MongoStore> {
        MongoStore::open_with_clock(self.options(), observer, clock.clone())
            .await
            .expect("opened")
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let name = self.name.clone();
        // A test's runtime can't be waited in, and may be gone: one of our own drops it.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async {
                if let Ok(client) = Client::with_uri_str(uri()).await {
                    let _ = client.database(&name).drop().await;
                }
            });
        });
        let _ = dropping.join();
    }
}
