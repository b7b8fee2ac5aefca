//! What the store is told when it opens.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use mongodb::bson::{Bson, Document, doc};

use crate::clock::{Millis, whole_millis};
use crate::config::Secret;
use crate::inbox::{NoMetrics, StoreMetrics};

/// How long a write waits for as many members as its concern asks for.
const WRITE_CONCERN_TIMEOUT: Duration = Duration::from_secs(4);

/// How many members of MongoDB must have a write before it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Acknowledged {
    /// Most of those that vote: what was answered survives the loss of any one member.
    #[default]
    Majority,
    /// So many. With one, a member that dies may take what was answered with it.
    Members(u32),
}

/// The text is no write concern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a write concern is \"majority\", or a number of members from 1 to 50")]
pub struct AcknowledgedError;

impl FromStr for Acknowledged {
    type Err = AcknowledgedError;

    fn from_str(text: &str) -> Result<Self, AcknowledgedError> {
        if text == "majority" {
            return Ok(Self::Majority);
        }
        match text.parse() {
            Ok(members @ 1..=50) => Ok(Self::Members(members)),
            _ => Err(AcknowledgedError),
        }
    }
}

impl Acknowledged {
    fn nodes(self) -> mongodb::options::Acknowledgment {
        match self {
            Self::Majority => mongodb::options::Acknowledgment::Majority,
            Self::Members(members) => mongodb::options::Acknowledgment::Nodes(members),
        }
    }

    /// As the driver takes it.
    pub(super) fn write_concern(self) -> mongodb::options::WriteConcern {
        mongodb::options::WriteConcern::builder()
            .w(self.nodes())
            .journal(true)
            .w_timeout(WRITE_CONCERN_TIMEOUT)
            .build()
    }

    /// As a command of our own carries it.
    pub(super) fn document(self) -> Document {
        let members = match self {
            Self::Majority => Bson::String("majority".to_owned()),
            Self::Members(members) => Bson::Int64(i64::from(members)),
        };
        let timeout = i64::try_from(WRITE_CONCERN_TIMEOUT.as_millis()).unwrap_or(i64::MAX);
        doc! { "w": members, "j": true, "wtimeout": timeout }
    }

    /// The read concern by which only what is as safe as an answered write is seen.
    pub(super) fn read_concern(self) -> mongodb::options::ReadConcern {
        match self {
            Self::Majority => mongodb::options::ReadConcern::majority(),
            Self::Members(_) => mongodb::options::ReadConcern::local(),
        }
    }
}

/// How the store in MongoDB is set up. [`MongoOptions::new`] has the defaults.
#[derive(Clone)]
pub struct MongoOptions {
    /// Where MongoDB is, with credentials.
    pub uri: Secret,
    /// The database that holds our collections.
    pub database: String,
    /// When a write counts as done.
    pub acknowledged: Acknowledged,
    /// The most connections to each member.
    pub max_connections: u32,
    /// How many unread notices an account may have.
    pub unread_per_account: u64,
    /// How long a notice is kept, read or not.
    pub retention: Duration,
    /// How long an idempotency key is kept.
    pub idempotency_kept: Duration,
    /// Who hears how the store fares.
    pub metrics: Arc<dyn StoreMetrics>,
}

impl MongoOptions {
    /// The defaults, for a store at `uri`.
    #[must_use]
    pub fn new(uri: Secret, database: impl Into<String>) -> Self {
        Self {
            uri,
            database: database.into(),
            acknowledged: Acknowledged::default(),
            max_connections: 32,
            unread_per_account: 10_000,
            retention: Duration::from_secs(30 * 24 * 3600),
            idempotency_kept: Duration::from_secs(24 * 3600),
            metrics: Arc::new(NoMetrics),
        }
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            unread_per_account: self.unread_per_account,
            retention: whole_millis(self.retention),
            idempotency_kept: whole_millis(self.idempotency_kept),
        }
    }
}

/// The bounds that the store was opened with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) unread_per_account: u64,
    pub(super) retention: Millis,
    pub(super) idempotency_kept: Millis,
}

impl Limits {
    /// What was created then or before is past its retention at `now`.
    pub(super) fn oldest(&self, now: Millis) -> Millis {
        now.saturating_sub(self.retention)
    }

    /// Whether the idempotency key of a notice that was created then still counts.
    pub(super) fn key_kept(&self, created: Millis, now: Millis) -> bool {
        created > now.saturating_sub(self.idempotency_kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_concern_is_majority_or_a_number_of_members() {
        assert_eq!("majority".parse(), Ok(Acknowledged::Majority));
        assert_eq!("2".parse(), Ok(Acknowledged::Members(2)));
        for bad in ["", "0", "51", "-1", "Majority", "1.5"] {
            assert_eq!(
                bad.parse::<Acknowledged>(),
                Err(AcknowledgedError),
                "{bad:?}"
            );
        }
    }
}
