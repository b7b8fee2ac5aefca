//! The store's session tokens, and its deny list.

use std::time::Instant;

use async_trait::async_trait;

use super::op::Op;
use super::shared::unavailable;
use super::store::EmbeddedStore;
use crate::clock::Millis;
use crate::domain::AccountId;
use crate::inbox::InboxError;
use crate::inbox::Operation;
use crate::tokens::{
    DenyList, Grant, HeldToken, IssuedToken, SessionTokens, TokenDigest, new_token,
};

#[async_trait]
impl SessionTokens for EmbeddedStore {
    fn hold(&self, token: &str) -> HeldToken {
        HeldToken::Digest(TokenDigest::of(token))
    }

    async fn resolve(&self, token: &str) -> Result<Option<Grant>, InboxError> {
        let started = Instant::now();
        let token = TokenDigest::of(token);
        let outcome = self.read(move |reads| reads.grant(&token)).await;
        self.measured(Operation::TokenResolve, started, outcome)
    }

    async fn recheck(&self, tokens: &[HeldToken]) -> Result<Vec<Option<Grant>>, InboxError> {
        let started = Instant::now();
        let tokens = digests(tokens);
        let outcome = self
            .read(move |reads| tokens.iter().map(|token| reads.grant(token)).collect())
            .await;
        self.measured(Operation::TokenResolve, started, outcome)
    }

    async fn issue(&self, account: &AccountId, expires: Millis) -> Result<IssuedToken, InboxError> {
        let started = Instant::now();
        let outcome = self.issue_token(account.clone(), expires).await;
        self.measured(Operation::TokenIssue, started, outcome)
    }

    async fn revoke(&self, tokens: &[HeldToken]) -> Result<(), InboxError> {
        let started = Instant::now();
        let tokens = digests(tokens);
        let outcome = self.ask(|answer| Op::RevokeTokens { tokens, answer }).await;
        self.measured(Operation::TokenRevoke, started, outcome)
    }

    fn is_shared(&self) -> bool {
        false
    }
}

#[async_trait]
impl DenyList for EmbeddedStore {
    async fn deny(&self, token: &TokenDigest, until: Millis) -> Result<(), InboxError> {
        let started = Instant::now();
        let digest = *token;
        let deny = |answer| Op::DenyToken {
            digest,
            until,
            answer,
        };
        let outcome = self.ask(deny).await;
        self.measured(Operation::TokenRevoke, started, outcome)
    }

    async fn denied(&self, tokens: &[TokenDigest]) -> Result<Vec<bool>, InboxError> {
        let started = Instant::now();
        let tokens = tokens.to_vec();
        let outcome = self
            .read(move |reads| tokens.iter().map(|token| reads.is_denied(token)).collect())
            .await;
        self.measured(Operation::TokenResolve, started, outcome)
    }
}

fn digests(tokens: &[HeldToken]) -> Vec<TokenDigest> {
    tokens.iter().map(HeldToken::digest).collect()
}

impl EmbeddedStore {
    async fn issue_token(
        &self,
        account: AccountId,
        expires: Millis,
    ) -> Result<IssuedToken, InboxError> {
        let token = new_token().map_err(|_| unavailable("the system has no random numbers"))?;
        let digest = TokenDigest::of(&token);
        self.ask(|answer| Op::IssueToken {
            digest,
            account,
            expires,
            answer,
        })
        .await?;
        Ok(IssuedToken { token, expires })
    }
}
