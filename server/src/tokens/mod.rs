//! Session tokens: what a client shows, and the account that it stands for. This file is the contract.

mod cached;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod gate;
mod jwt;
mod metered;

pub use gate::{Proofs, TokenGate};
pub use jwt::{JwtSetupError, JwtVerifier, VerifiedJwt};
pub use metered::MeteredTokens;

pub use self::cached::CachedTokens;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

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

    /// As 64 hexadecimal digits: for keys and messages, never for a log.
    #[must_use]
    pub fn to_hex(&self) -> String {
        use fmt::Write as _;
        let write = |mut text: String, byte: &u8| {
            let _never_fails = write!(text, "{byte:02x}");
            text
        };
        self.0.iter().fold(String::with_capacity(64), write)
    }

    /// Reads it from there; none from another text.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(..)")
    }
}

/// A token as a session or a call keeps it: enough to look it up again, to compare it, and to revoke it.
///
/// Which kind it is, is the store's choice ([`SessionTokens::hold`]). A store that knows tokens by their digest keeps
/// no token in memory; one whose keys other systems write needs the text. It never shows itself.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum HeldToken {
    /// Its digest.
    Digest(TokenDigest),
    /// Its text, and its digest, which is asked for more often than it is worth reckoning anew.
    Text(Arc<str>, TokenDigest),
    /// What it proved.
    Proof(Arc<Proof>),
}

/// A token that carried its own proof.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Proof {
    /// The token's digest.
    pub digest: TokenDigest,
    /// What it gave.
    pub grant: Grant,
}

impl HeldToken {
    /// A token kept by its text.
    #[must_use]
    pub fn of_text(token: &str) -> Self {
        Self::Text(Arc::from(token), TokenDigest::of(token))
    }

    /// The token's digest, by which nodes speak of it among themselves.
    #[must_use]
    pub fn digest(&self) -> TokenDigest {
        match self {
            Self::Digest(digest) => *digest,
            Self::Text(_, digest) => *digest,
            Self::Proof(proof) => proof.digest,
        }
    }
}

impl fmt::Debug for HeldToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeldToken(..)")
    }
}

/// What a valid token gives.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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

/// The text of a new token: 256 random bits, as base64url.
///
/// # Errors
/// When the system has no random numbers.
pub fn new_token() -> Result<String, getrandom::Error> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret)?;
    Ok(URL_SAFE_NO_PAD.encode(secret))
}

/// Where session tokens live.
#[async_trait]
pub trait SessionTokens: Send + Sync + 'static {
    /// How this store wants a token to be kept. Says nothing about whether it is valid.
    fn hold(&self, token: &str) -> HeldToken;

    /// The grant of a token; none when it is unknown, expired or revoked, without telling which.
    ///
    /// # Errors
    /// When the store is not available.
    async fn resolve(&self, token: &str) -> Result<Option<Grant>, InboxError>;

    /// The grants of tokens that resolved once, in their order, none for each that no longer holds; by as few trips
    /// to the store as it can.
    ///
    /// # Errors
    /// When the store is not available: nothing is known then.
    async fn recheck(&self, tokens: &[HeldToken]) -> Result<Vec<Option<Grant>>, InboxError>;

    /// Makes a token for `account` that ends at `expires`. Durable when it answers.
    ///
    /// # Errors
    /// When the store is not available.
    async fn issue(&self, account: &AccountId, expires: Millis) -> Result<IssuedToken, InboxError>;

    /// Ends these tokens; unknown ones are passed over. Durable when it answers.
    ///
    /// # Errors
    /// When the store is not available.
    async fn revoke(&self, tokens: &[HeldToken]) -> Result<(), InboxError>;

    /// The token was revoked, here or by another node: nothing that is remembered of it counts any more.
    fn forget(&self, _token: &TokenDigest) {}

    /// Counts how often the store was found to have lost all it held, as one in memory does when it starts again. A
    /// token that was known before such a loss and is missing since may hold all the same.
    fn losses(&self) -> u32 {
        0
    }

    /// Whether others than this process write tokens, so that live sessions must look at theirs again from time to
    /// time.
    fn is_shared(&self) -> bool;
}

/// Tokens that carry their own proof, and were revoked before their end.
#[async_trait]
pub trait DenyList: Send + Sync + 'static {
    /// Denies a token until `until`, when it ends by itself. Durable, and seen by every node, when it answers.
    ///
    /// # Errors
    /// When the store is not available.
    async fn deny(&self, token: &TokenDigest, until: Millis) -> Result<(), InboxError>;

    /// Which of these are denied, in their order.
    ///
    /// # Errors
    /// When the store is not available.
    async fn denied(&self, tokens: &[TokenDigest]) -> Result<Vec<bool>, InboxError>;
}
