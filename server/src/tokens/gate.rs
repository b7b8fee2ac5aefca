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

    /// The grants of proofs, as long as they are neither over nor denied.
    async fn still_hold(&self, proofs: &[Arc<Proof>]) -> Result<Vec<Option<Grant>>, InboxError> {
        if proofs.is_empty() {
            return Ok(Vec::new());
        }
        let digests: Vec<TokenDigest> = proofs.iter().map(|proof| proof.digest).collect();
        let denied = self.proofs.denied.denied(&digests).await?;
        let now = (self.clock)();
        let grant = |(proof, denied): (&Arc<Proof>, bool)| {
            let over = proof.grant.expires.is_some_and(|expires| expires <= now);
            (!denied && !over).then(|| proof.grant.clone())
        };
        Ok(proofs.iter().zip(denied).map(grant).collect())
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
