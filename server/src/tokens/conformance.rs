//! What every [`SessionTokens`] and every [`DenyList`] must do, as tests that run on each back end. See the inbox's
//! suite for how.

#![allow(
    clippy::expect_used,
    reason = "these are tests, also when another crate runs them"
)]

use std::sync::Arc;

use async_trait::async_trait;

use super::{DenyList, HeldToken, SessionTokens, TokenDigest};
use crate::clock::Millis;
use crate::inbox::Inbox;
use crate::inbox::conformance::{Backend, Recorder, account};

/// One place where a token store of some kind may live, with a clock of its own. It starts empty.
#[async_trait]
pub trait TokenBackend: Send + Sync {
    /// The kind of store.
    type Tokens: SessionTokens;

    /// Opens the store on what earlier ones left.
    async fn open_tokens(&self) -> Arc<Self::Tokens>;

    /// Closes a store in an orderly way.
    async fn close_tokens(&self, store: Arc<Self::Tokens>);

    /// The store's clock.
    fn time(&self) -> Millis;

    /// Moves the store's clock on.
    fn advance_time(&self, by: Millis);

    /// Does everything that is due by the clock now.
    async fn settle_tokens(&self, store: &Self::Tokens);
}

async fn open<B: Backend>(backend: &B) -> Arc<B::Store> {
    backend.open(Arc::new(Recorder::default())).await
}

/// Also after a restart.
pub async fn an_issued_token_resolves_until_it_expires<B: TokenBackend>(backend: &B) {
    let store = backend.open_tokens().await;
    let expires = backend.time() + 1000;
    let issued = store.issue(&account("u1"), expires).await.expect("issued");
    assert_eq!(issued.expires, expires);
    backend.close_tokens(store).await;
    let store = backend.open_tokens().await;
    let token = issued.token.as_str();
    let held = store.hold(token);
    let grant = store.resolve(token).await.expect("read").expect("valid");
    assert_eq!(
        (grant.account, grant.expires),
        (account("u1"), Some(expires))
    );
    backend.advance_time(999);
    assert!(store.resolve(token).await.expect("read").is_some());
    let again = store
        .recheck(std::slice::from_ref(&held))
        .await
        .expect("read");
    assert_eq!(again.len(), 1);
    assert!(again[0].is_some());
    backend.advance_time(1);
    assert_eq!(store.resolve(token).await, Ok(None));
    assert_eq!(store.recheck(&[held]).await, Ok(vec![None]));
    backend.settle_tokens(&store).await;
    assert_eq!(store.resolve(token).await, Ok(None));
}

/// Also after a restart, and only those that were named.
pub async fn a_revoked_token_is_no_longer_valid<B: TokenBackend>(backend: &B) {
    let store = backend.open_tokens().await;
    let expires = backend.time() + 1000;
    let mut tokens = Vec::new();
    for _ in 0..3 {
        let issued = store.issue(&account("u1"), expires).await.expect("issued");
        tokens.push(issued.token);
    }
    let held: Vec<HeldToken> = tokens.iter().map(|token| store.hold(token)).collect();
    store.revoke(&held[..2]).await.expect("revoked");
    store.revoke(&held[..1]).await.expect("again is fine");
    backend.close_tokens(store).await;
    let store = backend.open_tokens().await;
    for (token, valid) in tokens.iter().zip([false, false, true]) {
        assert_eq!(store.resolve(token).await.expect("read").is_some(), valid);
    }
    let again = store.recheck(&held).await.expect("read");
    let valid: Vec<bool> = again.iter().map(Option::is_some).collect();
    assert_eq!(valid, [false, false, true], "in the order of the question");
}

/// Unknown tokens give nothing; no two tokens are alike.
pub async fn unknown_tokens_give_nothing_and_no_two_are_alike<B: TokenBackend>(backend: &B) {
    let store = backend.open_tokens().await;
    assert_eq!(store.resolve("made up").await, Ok(None));
    let one = store
        .issue(&account("u1"), backend.time() + 1000)
        .await
        .expect("issued");
    let other = store
        .issue(&account("u1"), backend.time() + 1000)
        .await
        .expect("issued");
    assert_ne!(one.token, other.token);
    assert_eq!(one.token.len(), 43, "256 bits as base64url");
}

/// In the order of the question, also after a restart, and not longer than was asked for.
pub async fn a_denied_token_is_denied_until_its_end<B: Backend<Store: DenyList>>(backend: &B) {
    let store = open(backend).await;
    let until = store.now() + 1000;
    let (one, other) = (TokenDigest::of("one"), TokenDigest::of("other"));
    assert_eq!(store.denied(&[]).await, Ok(vec![]));
    store.deny(&one, until).await.expect("denied");
    let asked = [other, one, other, one];
    let expected = Ok(vec![false, true, false, true]);
    assert_eq!(store.denied(&asked).await, expected);
    backend.close(store).await;
    let store = open(backend).await;
    backend.advance(999);
    backend.settle(&store).await;
    assert_eq!(store.denied(&asked).await, expected);
    backend.advance(1);
    assert_eq!(store.denied(&asked).await, Ok(vec![false; 4]));
    backend.settle(&store).await;
    assert_eq!(store.denied(&asked).await, Ok(vec![false; 4]));
}

/// A shorter time takes nothing from a longer one.
pub async fn of_two_denials_the_longer_one_counts<B: Backend<Store: DenyList>>(backend: &B) {
    let store = open(backend).await;
    let (now, token) = (store.now(), TokenDigest::of("one"));
    for seconds in [1, 3, 2] {
        let denied = store.deny(&token, now + seconds * 1000).await;
        denied.expect("denied");
    }
    backend.advance(2999);
    assert_eq!(store.denied(&[token]).await, Ok(vec![true]));
    backend.advance(1);
    assert_eq!(store.denied(&[token]).await, Ok(vec![false]));
}

/// A session token of the same text is something else.
pub async fn a_denied_token_is_no_session_token<B: Backend<Store: DenyList>>(backend: &B) {
    let store = open(backend).await;
    let issued = store.issue(&account("u1"), store.now() + 1000).await;
    let issued = issued.expect("issued");
    let token = TokenDigest::of(&issued.token);
    assert_eq!(store.denied(&[token]).await, Ok(vec![false]));
    store.deny(&token, store.now() + 500).await.expect("denied");
    let grant = store.resolve(&issued.token).await.expect("read");
    assert!(grant.is_some());
    assert_eq!(store.denied(&[token]).await, Ok(vec![true]));
}

/// By every store on the same place.
pub async fn a_denied_token_is_denied_by_a_second_store<B: Backend<Store: DenyList>>(backend: &B) {
    let store = open(backend).await;
    let token = TokenDigest::of("one");
    let denied = store.deny(&token, store.now() + 1000).await;
    denied.expect("denied");
    let Some(second) = backend.open_second(Arc::new(Recorder::default())).await else {
        return;
    };
    assert_eq!(second.denied(&[token]).await, Ok(vec![true]));
    backend.close(second).await;
}

/// Makes the suite's tests for the back end that an expression makes.
#[macro_export]
macro_rules! tokens_conformance {
    ($backend:expr) => {
        $crate::tokens_conformance! { @each $backend;
            an_issued_token_resolves_until_it_expires
            a_revoked_token_is_no_longer_valid
            unknown_tokens_give_nothing_and_no_two_are_alike
        }
    };
    (@each $backend:expr; $($case:ident)*) => {
        $(
            #[tokio::test]
            async fn $case() {
                let backend = $backend;
                $crate::tokens::conformance::$case(&backend).await;
            }
        )*
    };
}

/// Makes the tests of the deny list for the back end that an expression makes.
#[macro_export]
macro_rules! deny_conformance {
    ($backend:expr) => {
        $crate::tokens_conformance! { @each $backend;
            a_denied_token_is_denied_until_its_end
            of_two_denials_the_longer_one_counts
            a_denied_token_is_no_session_token
            a_denied_token_is_denied_by_a_second_store
        }
    };
}
