//! Session tokens: what a client shows, and the account that it stands for. This file is the contract.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;

use std::fmt;

use async_trait::async_trait;

use crate::clock::Millis;
use crate::domain::AccountId;
use crate::inbox::InboxError;

/// A token's SHA-256, by which live sessions are matched with it: the token itself is never kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenDigest(pub [u8; 32]);

impl TokenDigest {
    /// The digest of a token.
    #[must_use]
    pub fn of(token: &str) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(token.as_bytes()).into())
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(..)")
    }
}

/// What a valid token gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The account it stands for.
    pub account: AccountId,
    /// When it ends, if it does.
    pub expires: Option<Millis>,
}

/// A token that was just made. It is shown once, to the caller.
#[derive(Clone)]
pub struct IssuedToken {
    /// The token: 256 random bits, as base64url.
    pub token: String,
    /// When it ends.
    pub expires: Millis,
}

/// Where session tokens live.
#[async_trait]
pub trait SessionTokens: Send + Sync + 'static {
    /// The grant of a token; none when it is unknown, expired or revoked, without telling which.
    ///
    /// # Errors
    /// When the store is not available.
    async fn resolve(&self, token: &TokenDigest) -> Result<Option<Grant>, InboxError>;

    /// Makes a token for `account` that ends at `expires`. Durable when it answers.
    ///
    /// # Errors
    /// When the store is not available.
    async fn issue(&self, account: &AccountId, expires: Millis) -> Result<IssuedToken, InboxError>;

    /// Ends these tokens; unknown ones are passed over. Durable when it answers.
    ///
    /// # Errors
    /// When the store is not available.
    async fn revoke(&self, tokens: &[TokenDigest]) -> Result<(), InboxError>;
}
