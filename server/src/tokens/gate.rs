//! The two ways in: tokens that a store knows, and tokens that carry their own proof (JWT).

use std::sync::Arc;

use async_trait::async_trait;

use super::jwt::JwtVerifier;
use super::{DenyList, Grant, HeldToken, IssuedToken, Proof, SessionTokens, TokenDigest};
use crate::clock::{Millis, Now};
use crate::domain::AccountId;
use crate::inbox::InboxError;

/// How JWTs are judged.
pub struct Proofs {
    /// Whether one is genuine.
    pub verifier: Arc<JwtVerifier>,
    /// Which ended before their time.
    pub denied: Arc<dyn DenyList>,
}

/// Lets in who shows a token of either kind. What is no valid JWT is looked up like any other token.
pub struct TokenGate {
    known: Arc<dyn SessionTokens>,
    proofs: Proofs,
    clock: Now,
}

impl TokenGate {
    /// A gate before the store of `known` tokens.
    #[must_use]
    pub fn new(known: Arc<dyn SessionTokens>, proofs: Proofs, clock: Now) -> Self {
        Self {
            known,
            proofs,
            clock,
        }
    }

    fn proof(&self, token: &str) -> Result<Option<Arc<Proof>>, InboxError> {
        if !looks_like_a_jwt(token) {
            return Ok(None);
        }
        let verified = self.proofs.verifier.verify(token, (self.clock)())?;
        Ok(verified.map(|verified| {
            Arc::new(Proof {
                digest: verified.digest,
                grant: Grant {
                    account: verified.account,
                    expires: verified.expires,
                },
            })
        }))
    }

    /// The grants of proofs, as long as they are neither over nor denied. One that is over needs no look at the list:
    /// it ends also while that can't be asked.
    async fn still_hold(&self, proofs: &[Arc<Proof>]) -> Result<Vec<Option<Grant>>, InboxError> {
        let over = |proof: &Proof| {
            let expires = proof.grant.expires;
            expires.is_some_and(|expires| expires <= (self.clock)())
        };
        let asked: Vec<bool> = proofs.iter().map(|proof| !over(proof)).collect();
        let current = proofs.iter().zip(&asked).filter(|(_, asked)| **asked);
        let digests: Vec<TokenDigest> = current.map(|(proof, _)| proof.digest).collect();
        let denied = match digests.is_empty() {
            true => Vec::new(),
            false => self.proofs.denied.denied(&digests).await?,
        };
        let mut denied = denied.into_iter();
        // Looked at once more: the list forgets one at its end, which may have come meanwhile.
        let grant = |(proof, asked): (&Arc<Proof>, bool)| {
            let holds = asked && !denied.next().unwrap_or(true) && !over(proof);
            holds.then(|| proof.grant.clone())
        };
        Ok(proofs.iter().zip(asked).map(grant).collect())
    }
}

/// Three parts, the first of them a JSON object in base64.
fn looks_like_a_jwt(token: &str) -> bool {
    token.starts_with("eyJ") && token.split('.').count() == 3
}

#[async_trait]
impl SessionTokens for TokenGate {
    fn hold(&self, token: &str) -> HeldToken {
        match self.proof(token) {
            Ok(Some(proof)) => HeldToken::Proof(proof),
            _ => self.known.hold(token),
        }
    }

    async fn resolve(&self, token: &str) -> Result<Option<Grant>, InboxError> {
        match self.proof(token)? {
            Some(proof) => Ok(self
                .still_hold(&[proof])
                .await?
                .into_iter()
                .next()
                .flatten()),
            None => self.known.resolve(token).await,
        }
    }

    async fn recheck(&self, tokens: &[HeldToken]) -> Result<Vec<Option<Grant>>, InboxError> {
        let (mut proofs, mut known) = (Vec::new(), Vec::new());
        for token in tokens {
            match token {
                HeldToken::Proof(proof) => proofs.push(Arc::clone(proof)),
                other => known.push(other.clone()),
            }
        }
        let mut proven = self.still_hold(&proofs).await?.into_iter();
        let mut known = match known.is_empty() {
            true => Vec::new(),
            false => self.known.recheck(&known).await?,
        }
        .into_iter();
        let in_order = |token: &HeldToken| match token {
            HeldToken::Proof(_) => proven.next().flatten(),
            _ => known.next().flatten(),
        };
        Ok(tokens.iter().map(in_order).collect())
    }

    async fn issue(&self, account: &AccountId, expires: Millis) -> Result<IssuedToken, InboxError> {
        self.known.issue(account, expires).await
    }

    async fn revoke(&self, tokens: &[HeldToken]) -> Result<(), InboxError> {
        let mut known = Vec::new();
        for token in tokens {
            match token {
                HeldToken::Proof(proof) => {
                    let until = proof.grant.expires.unwrap_or(Millis::MAX);
                    self.proofs.denied.deny(&proof.digest, until).await?;
                }
                other => known.push(other.clone()),
            }
        }
        match known.is_empty() {
            true => Ok(()),
            false => self.known.revoke(&known).await,
        }
    }

    fn forget(&self, token: &TokenDigest) {
        self.known.forget(token);
    }

    fn losses(&self) -> u32 {
        self.known.losses()
    }

    fn is_shared(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::config::{JwtAlgorithm, JwtConfig, JwtKeys, Secret};

    const NOW: Millis = 1_800_000_000_000;

    /// A store and a deny list at once, which knows no token and denies one.
    struct Fake {
        denied: TokenDigest,
        away: AtomicBool,
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
    }

    #[async_trait]
    impl DenyList for Fake {
        async fn deny(&self, _: &TokenDigest, _: Millis) -> Result<(), InboxError> {
            self.check()
        }
        async fn denied(&self, tokens: &[TokenDigest]) -> Result<Vec<bool>, InboxError> {
            self.check()
                .map(|()| tokens.iter().map(|token| *token == self.denied).collect())
        }
    }

    #[async_trait]
    impl SessionTokens for Fake {
        fn hold(&self, token: &str) -> HeldToken {
            HeldToken::Digest(TokenDigest::of(token))
        }
        async fn resolve(&self, _: &str) -> Result<Option<Grant>, InboxError> {
            self.check().map(|()| None)
        }
        async fn recheck(&self, tokens: &[HeldToken]) -> Result<Vec<Option<Grant>>, InboxError> {
            self.check().map(|()| vec![None; tokens.len()])
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

    fn gate() -> (Arc<Fake>, TokenGate) {
        let fake = Arc::new(Fake {
            denied: TokenDigest::of("denied"),
            away: AtomicBool::new(false),
        });
        let config = JwtConfig {
            issuer: "https://issuer.example".to_owned(),
            audience: vec!["notice".to_owned()],
            algorithms: vec![JwtAlgorithm::Hs256],
            keys: JwtKeys::Shared(Secret::new("0123456789abcdef0123456789abcdef")),
            key_file: None,
            account_claim: "sub".to_owned(),
            leeway: Duration::ZERO,
        };
        let verifier = Arc::new(JwtVerifier::new(&config, 16).unwrap());
        let denied = Arc::<Fake>::clone(&fake);
        let proofs = Proofs { verifier, denied };
        let gate = TokenGate::new(Arc::<Fake>::clone(&fake), proofs, Arc::new(|| NOW));
        (fake, gate)
    }

    fn proof(name: &str, expires: Millis) -> HeldToken {
        HeldToken::Proof(Arc::new(Proof {
            digest: TokenDigest::of(name),
            grant: Grant {
                account: AccountId::trusted(name),
                expires: Some(expires),
            },
        }))
    }

    #[tokio::test]
    async fn each_proof_has_its_own_answer_whatever_is_beside_it() {
        let (fake, gate) = gate();
        let tokens = [
            proof("over", NOW),
            proof("denied", NOW + 1),
            fake.hold("unknown"),
            proof("over", 0),
            proof("good", NOW + 1),
            proof("denied", NOW),
            proof("fine", NOW + 2),
        ];
        let grants = gate.recheck(&tokens).await.unwrap();
        let accounts = grants
            .iter()
            .map(|grant| grant.as_ref().map(|grant| grant.account.as_str()));
        let expected = [None, None, None, None, Some("good"), None, Some("fine")];
        assert_eq!(accounts.collect::<Vec<_>>(), expected);
    }

    #[tokio::test]
    async fn while_the_list_is_away_what_is_over_is_over_and_of_the_rest_nothing_is_known() {
        let (fake, gate) = gate();
        fake.away.store(true, Ordering::SeqCst);
        assert_eq!(gate.recheck(&[proof("over", NOW)]).await, Ok(vec![None]));
        assert!(gate.recheck(&[proof("good", NOW + 1)]).await.is_err());
        let both = [proof("over", NOW), proof("good", NOW + 1)];
        assert!(gate.recheck(&both).await.is_err());
    }
}
