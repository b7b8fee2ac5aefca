//! The suites of the contracts, on MongoDB.

use std::sync::Arc;

use async_trait::async_trait;

use super::TestDatabase;
use crate::clock::{Clock, Millis};
use crate::inbox::CommitObserver;
use crate::inbox::conformance::{Backend, Recorder};
use crate::inbox::mongodb::MongoStore;
use crate::tokens::conformance::TokenBackend;

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

#[async_trait]
impl TokenBackend for Mongo {
    type Tokens = MongoStore;

    async fn open_tokens(&self) -> Arc<MongoStore> {
        self.open(Arc::new(Recorder::default())).await
    }

    async fn close_tokens(&self, store: Arc<MongoStore>) {
        store.close().await;
    }

    fn time(&self) -> Millis {
        self.clock.now()
    }

    fn advance_time(&self, by: Millis) {
        self.clock.advance(by);
    }

    async fn settle_tokens(&self, store: &MongoStore) {
        self.settle(store).await;
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
