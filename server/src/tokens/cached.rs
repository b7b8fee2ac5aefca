//! What tokens gave lately, for when their store is away: live sessions stay, and clients that come back are let in.
//!
//! It is asked only when the store can't be. A token leaves it as soon as it is known to hold no longer: looked up in
//! vain, revoked through this node, or said to be revoked by another.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use quick_cache::sync::Cache;

use super::{Grant, HeldToken, IssuedToken, SessionTokens, TokenDigest};
use crate::clock::{Millis, Now};
use crate::domain::AccountId;
use crate::inbox::InboxError;

/// How long a grant may be used after the store gave it: as long as live sessions may take to follow a store that is
/// there.
const KEPT: Duration = Duration::from_secs(60);
/// How many grants: one for each session of a full node. Beyond it those not used lately go; they need the store.
const GRANTS: usize = 20_000;
/// How many revocations of the last while are remembered, so that an answer of the store which was on its way does not
/// bring a token back. Beyond it the oldest is
/// forgotten, and what was asked before it is not kept.
const REVOKED: usize = 20_000;

#[derive(Clone)]
struct Kept {
    grant: Grant,
    since: Instant,
}

/// Tokens of a store, and a short memory for when it is away.
pub struct CachedTokens {
    store: Arc<dyn SessionTokens>,
    now: Now,
    grants: Cache<TokenDigest, Kept>,
    revoked: Mutex<Revoked>,
}

/// The revocations of the last while, oldest first, and how many there were ever.
#[derive(Default)]
struct Revoked {
    recent: std::collections::VecDeque<TokenDigest>,
    count: u64,
}

impl Revoked {
    fn add(&mut self, token: TokenDigest) {
        if self.recent.len() == REVOKED {
            self.recent.pop_front();
        }
        self.recent.push_back(token);
        self.count += 1;
    }

    /// Whether the token may have been revoked since there were `count` revocations.
    fn since(&self, count: u64, token: &TokenDigest) -> bool {
        let new = usize::try_from(self.count - count).unwrap_or(usize::MAX);
        new > self.recent.len()
            || self
                .recent
                .iter()
                .rev()
                .take(new)
                .any(|known| known == token)
    }
}

impl CachedTokens {
    /// Wraps a store; `now` is the clock by which its tokens end.
    #[must_use]
    pub fn new(store: Arc<dyn SessionTokens>, now: Now) -> Self {
        Self {
            store,
            now,
            grants: Cache::new(GRANTS),
            revoked: Mutex::default(),
        }
    }

    fn revocations(&self) -> u64 {
        self.revoked.lock().count
    }

    /// Notes what the store said to a question that was asked after `asked` revocations.
    fn note(&self, asked: u64, token: TokenDigest, grant: Option<&Grant>) {
        let revoked = self.revoked.lock();
        match grant {
            Some(grant) if !revoked.since(asked, &token) => {
                let since = Instant::now();
                let grant = grant.clone();
                self.grants.insert(token, Kept { grant, since });
            }
            _ => {
                self.grants.remove(&token);
            }
        }
    }

    fn remembered(&self, token: &TokenDigest) -> Option<Grant> {
        let Kept { grant, since } = self.grants.get(token)?;
        let ended = grant.expires.is_some_and(|expires| expires <= (self.now)());
        (!ended && since.elapsed() < KEPT).then_some(grant)
    }
}

#[async_trait]
impl SessionTokens for CachedTokens {
    fn hold(&self, token: &str) -> HeldToken {
        self.store.hold(token)
    }

    async fn resolve(&self, token: &str) -> Result<Option<Grant>, InboxError> {
        let (digest, asked) = (TokenDigest::of(token), self.revocations());
        match self.store.resolve(token).await {
            Ok(grant) => {
                self.note(asked, digest, grant.as_ref());
                Ok(grant)
            }
            Err(error) => self.remembered(&digest).map(Some).ok_or(error),
        }
    }

    /// While the store is away: all of them from memory, or an error, since one that is missing there may well hold.
    async fn recheck(&self, tokens: &[HeldToken]) -> Result<Vec<Option<Grant>>, InboxError> {
        let asked = self.revocations();
        match self.store.recheck(tokens).await {
            Ok(grants) => {
                for (token, grant) in tokens.iter().zip(&grants) {
                    self.note(asked, token.digest(), grant.as_ref());
                }
                Ok(grants)
            }
            Err(error) => {
                let remembered = tokens.iter().map(|token| self.remembered(&token.digest()));
                let all: Option<Vec<Grant>> = remembered.collect();
                all.map(|grants| grants.into_iter().map(Some).collect())
                    .ok_or(error)
            }
        }
    }

    async fn issue(&self, account: &AccountId, expires: Millis) -> Result<IssuedToken, InboxError> {
        self.store.issue(account, expires).await
    }

    /// They are forgotten first: one that the store could not end is not given from memory either.
    async fn revoke(&self, tokens: &[HeldToken]) -> Result<(), InboxError> {
        for token in tokens {
            self.forget(&token.digest());
        }
        let revoked = self.store.revoke(tokens).await;
        // Once more, for a look-up that began in between.
        for token in tokens {
            self.forget(&token.digest());
        }
        revoked
    }

    fn forget(&self, token: &TokenDigest) {
        // In this order: who keeps a grant looks at the revocations last, under their lock.
        let mut revoked = self.revoked.lock();
        revoked.add(*token);
        self.grants.remove(token);
    }

    fn losses(&self) -> u32 {
        self.store.losses()
    }

    fn is_shared(&self) -> bool {
        self.store.is_shared()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use super::*;

    /// A store with one token, which may be away.
    #[derive(Default)]
    struct Fake {
        away: AtomicBool,
        valid: AtomicBool,
        /// Grants end at this time; 0 for never.
        ends: AtomicU64,
    }

    impl Fake {
        fn check(&self) -> Result<(), InboxError> {
            if !self.away.load(Ordering::SeqCst) {
                return Ok(());
            }
            Err(InboxError {
                reason: "away".to_owned(),
                retry_after: Duration::from_secs(1),
            })
        }

        fn grant(&self) -> Option<Grant> {
            let ends = self.ends.load(Ordering::SeqCst);
            self.valid.load(Ordering::SeqCst).then(|| Grant {
                account: AccountId::trusted("u1"),
                expires: (ends > 0).then_some(ends),
            })
        }
    }

    #[async_trait]
    impl SessionTokens for Fake {
        fn hold(&self, token: &str) -> HeldToken {
            HeldToken::of_text(token)
        }
        async fn resolve(&self, _: &str) -> Result<Option<Grant>, InboxError> {
            self.check().map(|()| self.grant())
        }
        async fn recheck(&self, tokens: &[HeldToken]) -> Result<Vec<Option<Grant>>, InboxError> {
            self.check()
                .map(|()| tokens.iter().map(|_| self.grant()).collect())
        }
        async fn issue(&self, _: &AccountId, expires: Millis) -> Result<IssuedToken, InboxError> {
            let token = "t".to_owned();
            Ok(IssuedToken { token, expires })
        }
        async fn revoke(&self, _: &[HeldToken]) -> Result<(), InboxError> {
            self.check()
        }
        fn is_shared(&self) -> bool {
            true
        }
    }

    fn cached() -> (Arc<Fake>, Arc<AtomicU64>, CachedTokens) {
        let (store, clock) = (Arc::new(Fake::default()), Arc::new(AtomicU64::new(1000)));
        store.valid.store(true, Ordering::SeqCst);
        let now = Arc::clone(&clock);
        let tokens = CachedTokens::new(
            Arc::<Fake>::clone(&store),
            Arc::new(move || now.load(Ordering::SeqCst)),
        );
        (store, clock, tokens)
    }

    #[tokio::test]
    async fn what_the_store_gave_lately_is_given_while_it_is_away_and_nothing_else() {
        let (store, _, tokens) = cached();
        assert!(tokens.resolve("t").await.expect("there").is_some());
        store.away.store(true, Ordering::SeqCst);
        assert!(tokens.resolve("t").await.expect("remembered").is_some());
        assert!(tokens.resolve("other").await.is_err(), "nothing is known");
        let (known, unknown) = (tokens.hold("t"), tokens.hold("other"));
        let again = tokens.recheck(std::slice::from_ref(&known)).await;
        assert!(again.expect("remembered")[0].is_some());
        assert!(tokens.recheck(&[known, unknown]).await.is_err());
    }

    #[tokio::test]
    async fn what_the_store_no_longer_gives_is_forgotten() {
        let (store, _, tokens) = cached();
        assert!(tokens.resolve("t").await.expect("there").is_some());
        store.valid.store(false, Ordering::SeqCst);
        assert!(tokens.resolve("t").await.expect("there").is_none());
        store.away.store(true, Ordering::SeqCst);
        assert!(tokens.resolve("t").await.is_err());
    }

    #[tokio::test]
    async fn a_grant_that_ended_is_not_given_from_memory() {
        let (store, clock, tokens) = cached();
        store.ends.store(2000, Ordering::SeqCst);
        assert!(tokens.resolve("t").await.expect("there").is_some());
        store.away.store(true, Ordering::SeqCst);
        clock.store(1999, Ordering::SeqCst);
        assert!(tokens.resolve("t").await.expect("remembered").is_some());
        clock.store(2000, Ordering::SeqCst);
        assert!(tokens.resolve("t").await.is_err());
    }

    #[tokio::test]
    async fn a_revoked_token_never_comes_back_also_when_its_look_up_was_on_the_way() {
        let (store, _, tokens) = cached();
        for by_others in [true, false] {
            assert!(tokens.resolve("t").await.expect("there").is_some());
            store.away.store(true, Ordering::SeqCst);
            if by_others {
                tokens.forget(&TokenDigest::of("t"));
            } else {
                assert!(tokens.revoke(&[tokens.hold("t")]).await.is_err());
            }
            assert!(tokens.resolve("t").await.is_err());
            store.away.store(false, Ordering::SeqCst);
        }
        // Asked before the revocation, answered behind it.
        let asked = tokens.revocations();
        let grant = store.grant();
        tokens.forget(&TokenDigest::of("t"));
        tokens.note(asked, TokenDigest::of("t"), grant.as_ref());
        assert_eq!(tokens.remembered(&TokenDigest::of("t")), None);
    }

    #[test]
    fn the_memory_of_revocations_is_bounded_and_says_so_when_it_does_not_know() {
        let mut revoked = Revoked::default();
        let token = TokenDigest::of("t");
        assert!(!revoked.since(0, &token));
        for n in 0..REVOKED {
            revoked.add(TokenDigest::of(&n.to_string()));
        }
        assert!(!revoked.since(0, &token));
        revoked.add(TokenDigest::of("one more"));
        assert!(revoked.since(0, &token), "it may be the one forgotten");
        assert!(!revoked.since(1, &token));
        assert_eq!(revoked.recent.len(), REVOKED);
    }
}
