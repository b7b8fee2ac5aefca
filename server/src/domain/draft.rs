//! Drafts: what a caller asks to be staged, checked, but not yet stored.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Instant;

use serde_json::value::RawValue;

use super::AccountId;

/// The producer of notices whose API key has no name, and of those that clients send.
pub const DEFAULT_PRODUCER: &str = "default";

/// Who asked for staging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A back end, by the service API.
    Service,
    /// A client, by its session.
    Client,
}

/// How long a notice is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// As long as the store keeps notices.
    Kept,
    /// So many seconds from staging on; at least one.
    Seconds(u64),
    /// Offered once to the sessions online now and never stored (`ttlSeconds: 0`).
    Ephemeral,
}

/// One notice to stage, to one receiver.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Who receives it.
    pub receiver: AccountId,
    /// Who sends it.
    pub sender: Option<AccountId>,
    /// The text.
    pub message: Box<str>,
    /// An application's own kind.
    pub kind: Option<Box<str>>,
    /// Any JSON, checked.
    pub data: Option<Box<RawValue>>,
    /// How long it is wanted.
    pub lifetime: Lifetime,
    /// See [`super::Notice::collapse_key`].
    pub collapse_key: Option<Box<str>>,
    /// The caller's own key, that makes a retry safe.
    pub idempotency_key: Option<Box<str>>,
    /// The service that stages it.
    pub producer: Arc<str>,
    /// Who asked.
    pub source: Source,
    /// When the server took the call: the lag of a live push is reckoned from here.
    pub accepted: Instant,
}

/// A 128-bit fingerprint under a keyed hash that the store supplies.
pub type Digest = u128;

impl Draft {
    /// Feeds the hasher with what identifies the draft's idempotency key; false when it has none. A
    /// service's key is unique for each producer and receiver, a client's for its own account.
    pub fn hash_idempotency_key(&self, hasher: &mut impl Hasher) -> bool {
        let Some(key) = &self.idempotency_key else {
            return false;
        };
        match self.source {
            Source::Service => (0_u8, &*self.producer, self.receiver.as_str()).hash(hasher),
            Source::Client => {
                (1_u8, self.sender.as_ref().map_or("", AccountId::as_str)).hash(hasher)
            }
        }
        key.hash(hasher);
        true
    }

    /// Feeds the hasher with the draft's body: two calls with one key must agree in it.
    pub fn hash_body(&self, hasher: &mut impl Hasher) {
        self.receiver.as_str().hash(hasher);
        self.sender.as_ref().map(AccountId::as_str).hash(hasher);
        self.message.hash(hasher);
        self.kind.hash(hasher);
        self.data.as_ref().map(|data| data.get()).hash(hasher);
        match self.lifetime {
            Lifetime::Kept => (0_u8, 0).hash(hasher),
            Lifetime::Seconds(seconds) => (1_u8, seconds).hash(hasher),
            Lifetime::Ephemeral => (2_u8, 0).hash(hasher),
        }
        self.collapse_key.hash(hasher);
    }

    /// Feeds the hasher with the scope in which a newer notice replaces an older one; false when the draft
    /// does not collapse.
    pub fn hash_collapse_scope(&self, hasher: &mut impl Hasher) -> bool {
        let Some(key) = &self.collapse_key else {
            return false;
        };
        (
            self.receiver.as_str(),
            self.sender.as_ref().map(AccountId::as_str),
            &*self.producer,
        )
            .hash(hasher);
        key.hash(hasher);
        true
    }
}
