//! Tells how a token store fares.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;

use super::{Grant, HeldToken, IssuedToken, SessionTokens, TokenDigest};
use crate::clock::Millis;
use crate::domain::AccountId;
use crate::inbox::{InboxError, Operation, StoreMetrics, measured};

/// A token store that reports its operations, for one that does not by itself.
pub struct MeteredTokens {
    store: Arc<dyn SessionTokens>,
    metrics: Arc<dyn StoreMetrics>,
}

impl MeteredTokens {
    /// Reports what `store` does.
    #[must_use]
    pub fn new(store: Arc<dyn SessionTokens>, metrics: Arc<dyn StoreMetrics>) -> Self {
        Self { store, metrics }
    }

    async fn measured<T>(
        &self,
        operation: Operation,
        outcome: impl Future<Output = Result<T, InboxError>>,
    ) -> Result<T, InboxError> {
        let started = Instant::now();
        measured(&*self.metrics, operation, started, outcome.await)
    }
}

#[async_trait]
impl SessionTokens for MeteredTokens {
    fn hold(&self, token: &str) -> HeldToken {
        self.store.hold(token)
    }

    async fn resolve(&self, token: &str) -> Result<Option<Grant>, InboxError> {
        self.measured(Operation::TokenResolve, self.store.resolve(token))
            .await
    }

    async fn recheck(&self, tokens: &[HeldToken]) -> Result<Vec<Option<Grant>>, InboxError> {
        self.measured(Operation::TokenResolve, self.store.recheck(tokens))
            .await
    }

    async fn issue(&self, account: &AccountId, expires: Millis) -> Result<IssuedToken, InboxError> {
        self.measured(Operation::TokenIssue, self.store.issue(account, expires))
            .await
    }

    async fn revoke(&self, tokens: &[HeldToken]) -> Result<(), InboxError> {
        self.measured(Operation::TokenRevoke, self.store.revoke(tokens))
            .await
    }

    fn forget(&self, token: &TokenDigest) {
        self.store.forget(token);
    }

    fn losses(&self) -> u32 {
        self.store.losses()
    }

    fn is_shared(&self) -> bool {
        self.store.is_shared()
    }
}
