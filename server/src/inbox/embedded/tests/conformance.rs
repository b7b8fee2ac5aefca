//! The suites of the contracts, on the embedded store.

use std::sync::Arc;

use async_trait::async_trait;

use super::super::{EmbeddedStore, OpenError, Options};
use crate::clock::{Clock, Millis};
use crate::inbox::CommitObserver;
use crate::inbox::conformance::{Backend, IDEMPOTENCY_KEPT, RETENTION, Recorder, UNREAD_LIMIT};
use crate::tokens::conformance::TokenBackend;

pub(super) struct Embedded {
    folder: tempfile::TempDir,
    clock: Clock,
}

impl Embedded {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self {
            folder,
            clock: Clock::manual(1_790_000_000_000),
        }
    }

    fn try_open(&self, observer: Arc<dyn CommitObserver>) -> Result<Arc<EmbeddedStore>, OpenError> {
        let options = Options {
            unread_per_account: UNREAD_LIMIT,
            retention: RETENTION,
            idempotency_kept: IDEMPOTENCY_KEPT,
            ..Options::new(self.folder.path())
        };
        EmbeddedStore::open(options, self.clock.clone(), observer)
    }
}

#[async_trait]
impl Backend for Embedded {
    type Store = EmbeddedStore;

    async fn open(&self, observer: Arc<dyn CommitObserver>) -> Arc<EmbeddedStore> {
        self.try_open(observer).expect("opened")
    }

    async fn close(&self, store: Arc<EmbeddedStore>) {
        store.close().await;
    }

    async fn open_second(&self, observer: Arc<dyn CommitObserver>) -> Option<Arc<EmbeddedStore>> {
        let refused = self.try_open(observer).err();
        assert!(
            matches!(&refused, Some(OpenError::InUse { .. })),
            "{refused:?}"
        );
        let text = refused.expect("refused").to_string();
        assert!(
            text.contains(&format!("process {}", std::process::id())),
            "{text}"
        );
        None
    }

    fn advance(&self, by: Millis) {
        self.clock.advance(by);
    }

    async fn settle(&self, store: &EmbeddedStore) {
        store.settle().await.expect("settled");
    }
}

#[async_trait]
impl TokenBackend for Embedded {
    type Tokens = EmbeddedStore;

    async fn open_tokens(&self) -> Arc<EmbeddedStore> {
        self.open(Arc::new(Recorder::default())).await
    }

    async fn close_tokens(&self, store: Arc<EmbeddedStore>) {
        store.close().await;
    }

    fn time(&self) -> Millis {
        self.clock.now()
    }

    fn advance_time(&self, by: Millis) {
        self.clock.advance(by);
    }

    async fn settle_tokens(&self, store: &EmbeddedStore) {
        self.settle(store).await;
    }
}

mod inbox {
    crate::inbox_conformance!(super::Embedded::new());
}

mod tokens {
    crate::tokens_conformance!(super::Embedded::new());
}

mod denied {
    crate::deny_conformance!(super::Embedded::new());
}
