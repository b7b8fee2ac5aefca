//! JWTs as session tokens: whether one holds, for which account, until when. What a JWT claims about
//! time is compared with the caller's clock, never with one that is read here. Which JWTs were
//! revoked is not known here, and neither a token nor a key shows in what `Debug` or an error says.

mod claims;
mod fetch;
mod keys;
mod refresh;

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use jsonwebtoken::{Header, Validation, decode, decode_header};

use super::TokenDigest;
use crate::clock::Millis;
use crate::config::{JwtConfig, JwtKeys};
use crate::domain::AccountId;
use crate::inbox::InboxError;
use claims::{Claims, Rules};
use keys::KeySet;
use refresh::KeyRing;

/// A longer token is refused unread.
const MOST_TOKEN: usize = 8 << 10;

/// When to come back for keys that are not there yet.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why JWTs can't be taken with what the configuration says.
#[derive(Debug, thiserror::Error)]
pub enum JwtSetupError {
    /// The key is none, or too weak a one.
    #[error("[jwt] the key {0}")]
    Key(String),
    /// The set of keys in a file can't be used.
    #[error("jwt.jwks_file: {path} {why}")]
    JwksFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The URL can't be used.
    #[error("jwt.jwks_url: {0}")]
    JwksUrl(String),
}

/// What a JWT that holds says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedJwt {
    /// The account it stands for.
    pub account: AccountId,
    /// When it ends: its `exp`, and the leeway.
    pub expires: Option<Millis>,
    /// What it is known by, see [`JwtVerifier::digest_of`].
    pub digest: TokenDigest,
}

/// Tells JWTs that hold from all others.
pub struct JwtVerifier {
    rules: Rules,
    ring: KeyRing,
}

impl fmt::Debug for JwtVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtVerifier")
            .field("issuer", &self.rules.issuer)
            .field("audience", &self.rules.audience)
            .field("algorithms", &self.rules.algorithms)
            .finish_non_exhaustive()
    }
}

impl JwtVerifier {
    /// Takes the rules and the keys of `config`. An account may have `account_id_bytes` bytes. Keys
    /// in a file are read here, which blocks for a moment; those of a URL come with
    /// [`JwtVerifier::keep_keys_fresh`].
    ///
    /// # Errors
    /// When a key or a file of keys can't be used.
    pub fn new(config: &JwtConfig, account_id_bytes: usize) -> Result<Self, JwtSetupError> {
        let rules = Rules::new(config, account_id_bytes);
        let ring = match &config.keys {
            key @ (JwtKeys::Shared(_) | JwtKeys::PublicKey(_)) => {
                KeyRing::fixed(one_key(key, &rules)?)
            }
            JwtKeys::JwksFile(path) => KeyRing::of_file(path, &rules.algorithms)?,
            JwtKeys::JwksUrl(url) => KeyRing::of_url(url, &rules.algorithms)?,
        };
        Ok(Self { rules, ring })
    }

    /// Checks with another key from now on: who came in by a JWT of the one before stays.
    ///
    /// # Errors
    /// When it can't be used; then nothing changes.
    pub fn use_key(&self, key: &JwtKeys) -> Result<(), JwtSetupError> {
        self.ring.replace(one_key(key, &self.rules)?);
        Ok(())
    }

    /// Fetches the keys, again and again. To be polled as long as JWTs are taken; it never ends. With
    /// a key that is fixed it does nothing.
    pub fn keep_keys_fresh(&self) -> impl Future<Output = ()> + Send + use<> {
        self.ring.clone().keep_fresh()
    }

    /// What a token says, if it is a JWT that holds at `now`; none otherwise, without telling why.
    ///
    /// It takes the time of a signature's check (below a millisecond), and never blocks. A key that
    /// is not known has [`JwtVerifier::keep_keys_fresh`] fetch the keys once more.
    ///
    /// # Errors
    /// When there are no keys yet to check it with. What is no JWT at all is never an error.
    pub fn verify(&self, token: &str, now: Millis) -> Result<Option<VerifiedJwt>, InboxError> {
        let Some((header, digest)) = self.acceptable(token) else {
            return Ok(None);
        };
        let keys = self.ring.keys().ok_or_else(|| InboxError {
            reason: "the keys that JWTs are checked with have not been fetched yet".to_owned(),
            retry_after: RETRY_AFTER,
        })?;
        let fitting = keys.fitting(header.alg, header.kid.as_deref());
        if fitting.is_empty() && header.kid.is_some() {
            self.ring.ask();
        }
        let validation = signature_only(header.alg);
        let claims = fitting.iter().find_map(|key| {
            let decoded = decode::<Claims>(token, key, &validation).ok()?;
            Some(decoded.claims)
        });
        let accepted = claims.and_then(|claims| self.rules.accept(&claims, now));
        Ok(accepted.map(|(account, expires)| VerifiedJwt {
            account,
            expires: Some(expires),
            digest,
        }))
    }

    /// What a JWT is known by, on a deny list for instance; none for what has not the form of one.
    ///
    /// It is the digest of what is signed, without the signature: from one signature by ES256
    /// everybody can make a second one that holds as well, and a revoked token would be back with
    /// another digest. So it differs from [`TokenDigest::of`] the token.
    #[must_use]
    pub fn digest_of(token: &str) -> Option<TokenDigest> {
        let (signed, _) = token.rsplit_once('.')?;
        let is_jwt = token.len() <= MOST_TOKEN && signed.matches('.').count() == 1;
        is_jwt.then(|| TokenDigest::of(signed))
    }

    /// The header of a JWT that may be looked into further, and what it is known by.
    fn acceptable(&self, token: &str) -> Option<(Header, TokenDigest)> {
        let digest = Self::digest_of(token)?;
        let header = decode_header(token).ok()?;
        // An extension that must be understood is not: none is.
        let plain = header.crit.is_none();
        let allowed = self.rules.algorithms.contains(&header.alg);
        (plain && allowed).then_some((header, digest))
    }
}

fn one_key(key: &JwtKeys, rules: &Rules) -> Result<KeySet, JwtSetupError> {
    match key {
        JwtKeys::Shared(secret) => Ok(KeySet::shared(secret)),
        JwtKeys::PublicKey(pem) => {
            KeySet::public(pem, &rules.algorithms).map_err(JwtSetupError::Key)
        }
        JwtKeys::JwksFile(_) | JwtKeys::JwksUrl(_) => {
            Err(JwtSetupError::Key("is a set of keys".to_owned()))
        }
    }
}

/// The library checks the signature; the claims are looked at by [`Rules`], on our clock.
fn signature_only(algorithm: jsonwebtoken::Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

#[cfg(test)]
mod tests;
