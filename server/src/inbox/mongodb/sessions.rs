//! Session tokens, and the list of denied ones. A token itself is never stored, only its SHA-256.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use mongodb::bson::{Bson, RawDocument, doc};

use super::core::{Core, Query};
use super::document::{binary, date, field, read_date};
use super::failure::unavailable;
use super::store::MongoStore;
use crate::clock::Millis;
use crate::domain::AccountId;
use crate::inbox::{InboxError, Operation};
use crate::tokens::{
    DenyList, Grant, HeldToken, IssuedToken, SessionTokens, TokenDigest, new_token,
};

const ACCOUNT: &str = "accountID";
const EXPIRES: &str = "expireTime";
const UNTIL: &str = "until";

fn digests<'a>(tokens: impl IntoIterator<Item = &'a TokenDigest>) -> Vec<Bson> {
    let digest = |token: &TokenDigest| Bson::Binary(binary(&token.0));
    tokens.into_iter().map(digest).collect()
}

fn read_digest(document: &RawDocument) -> Option<[u8; 32]> {
    document.get_binary(field::ID).ok()?.bytes.try_into().ok()
}

fn read_grant(document: &RawDocument, now: Millis) -> Option<([u8; 32], Grant)> {
    let expires = read_date(document, EXPIRES);
    if expires.is_some_and(|at| at <= now) {
        return None;
    }
    let account = AccountId::trusted(document.get_str(ACCOUNT).ok()?);
    Some((read_digest(document)?, Grant { account, expires }))
}

impl Core {
    /// The grants of tokens, by one query.
    pub(super) async fn grants(
        self: Arc<Self>,
        tokens: Vec<TokenDigest>,
    ) -> Result<Vec<Option<Grant>>, InboxError> {
        if tokens.is_empty() {
            return Ok(Vec::new());
        }
        let (now, mut found) = (self.now(), HashMap::new());
        let query = Query::new(doc! { field::ID: { "$in": digests(&tokens) } });
        let each = |document: &RawDocument| found.extend(read_grant(document, now));
        self.find(&self.link.sessions, &query, each).await?;
        Ok(tokens
            .iter()
            .map(|token| found.get(&token.0).cloned())
            .collect())
    }

    async fn issue(&self, account: &AccountId, expires: Millis) -> Result<IssuedToken, InboxError> {
        let token = new_token().map_err(|_| unavailable("the system has no random numbers"))?;
        // Set, not inserted: a try that broke may have stored it.
        let id = doc! { field::ID: binary(&TokenDigest::of(&token).0) };
        let set = doc! { "$set": { ACCOUNT: account.as_str(), EXPIRES: date(expires) } };
        let issue = || async {
            let update = self.link.sessions.update_one(id.clone(), set.clone());
            update.upsert(true).await
        };
        self.link.ask(issue).await?;
        Ok(IssuedToken { token, expires })
    }

    async fn revoke(&self, tokens: &[HeldToken]) -> Result<(), InboxError> {
        let tokens: Vec<_> = tokens.iter().map(HeldToken::digest).collect();
        if tokens.is_empty() {
            return Ok(());
        }
        let filter = doc! { field::ID: { "$in": digests(&tokens) } };
        let revoke = || async { self.link.sessions.delete_many(filter.clone()).await };
        self.link.ask(revoke).await.map(|_| ())
    }

    async fn deny(&self, token: &TokenDigest, until: Millis) -> Result<(), InboxError> {
        let id = doc! { field::ID: binary(&token.0) };
        // Denied twice, the longer time counts.
        let update = doc! { "$max": { UNTIL: date(until) } };
        let deny = || async {
            let update = self.link.denied.update_one(id.clone(), update.clone());
            update.upsert(true).await
        };
        self.link.ask(deny).await.map(|_| ())
    }

    async fn denied(&self, tokens: &[TokenDigest]) -> Result<Vec<bool>, InboxError> {
        if tokens.is_empty() {
            return Ok(Vec::new());
        }
        let (now, mut found) = (self.now(), HashMap::new());
        let query = Query::new(doc! { field::ID: { "$in": digests(tokens) } });
        let each = |document: &RawDocument| {
            found.extend(read_digest(document).zip(read_date(document, UNTIL)));
        };
        self.find(&self.link.denied, &query, each).await?;
        let denied = |token: &TokenDigest| found.get(&token.0).is_some_and(|until| *until > now);
        Ok(tokens.iter().map(denied).collect())
    }
}

#[async_trait]
impl SessionTokens for MongoStore {
    fn hold(&self, token: &str) -> HeldToken {
        HeldToken::Digest(TokenDigest::of(token))
    }

    async fn resolve(&self, token: &str) -> Result<Option<Grant>, InboxError> {
        let started = Instant::now();
        let outcome = self.grant(TokenDigest::of(token)).await;
        self.core()
            .measured(Operation::TokenResolve, started, outcome)
    }

    async fn recheck(&self, tokens: &[HeldToken]) -> Result<Vec<Option<Grant>>, InboxError> {
        let started = Instant::now();
        let tokens = tokens.iter().map(HeldToken::digest).collect();
        let outcome = Arc::clone(self.core()).grants(tokens).await;
        self.core()
            .measured(Operation::TokenResolve, started, outcome)
    }

    async fn issue(&self, account: &AccountId, expires: Millis) -> Result<IssuedToken, InboxError> {
        let started = Instant::now();
        let outcome = self.core().issue(account, expires).await;
        self.core()
            .measured(Operation::TokenIssue, started, outcome)
    }

    async fn revoke(&self, tokens: &[HeldToken]) -> Result<(), InboxError> {
        let started = Instant::now();
        let outcome = self.core().revoke(tokens).await;
        self.core()
            .measured(Operation::TokenRevoke, started, outcome)
    }

    fn is_shared(&self) -> bool {
        true
    }
}

#[async_trait]
impl DenyList for MongoStore {
    async fn deny(&self, token: &TokenDigest, until: Millis) -> Result<(), InboxError> {
        let started = Instant::now();
        let outcome = self.core().deny(token, until).await;
        self.core()
            .measured(Operation::TokenRevoke, started, outcome)
    }

    async fn denied(&self, tokens: &[TokenDigest]) -> Result<Vec<bool>, InboxError> {
        let started = Instant::now();
        let outcome = self.core().denied(tokens).await;
        self.core()
            .measured(Operation::TokenResolve, started, outcome)
    }
}
