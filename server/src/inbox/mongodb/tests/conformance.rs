//! The suites of the contracts, on MongoDB.

use std::sync::Arc;

use async_trait::async_trait;

use super::TestDatabase;
use crate::clock::{Clock, Millis};
use crate::inbox::CommitObserver;
use crate::inbox::conformance::Backend;
use crate::inbox::mongodb::MongoStore;

struct Mongo {
    database: TestDatabase,
    clock: Clock,
}

impl Mongo {
    fn new() -> Self {
        Self {
            database: TestDatabase::new(),
            // MongoDB deletes by its own clock, so the suite's time begins now.
            clock: Clock::manual(Clock::System.now()),
        }
    }
}

#[async_trait]
impl Backend for Mongo {
    type Store = MongoStore;

    async fn open(&self, observer: Arc<dyn CommitObserver>) -> Arc<MongoStore> {
        self.database.open(observer, &self.clock).await
    }

    async fn close(&self, store: Arc<MongoStore>) {
        store.close().await;
    }

    async fn open_second(&self, observer: Arc<dyn CommitObserver>) -> Option<Arc<MongoStore>> {
        Some(self.open(observer).await)
    }

    fn advance(&self, by: Millis) {
        self.clock.advance(by);
    }

    async fn settle(&self, store: &MongoStore) {
        store.settle().await.expect("settled");
    }
}

mod inbox {
    crate::inbox_conformance!(super::Mongo::new());
}

mod tokens {
    crate::tokens_conformance!(super::Mongo::new());
}

mod denied {
    crate::deny_conformance!(super::Mongo::new());
}
