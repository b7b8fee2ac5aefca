//! Why the store could not be opened: what is wrong, and what to do about it. Never with the URI, which holds
//! credentials.

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum MongoOpenError {
    /// The URI says nothing that the driver understands.
    #[error(
        "the MongoDB URI can not be used ({why}): it looks like mongodb://user:password@host:27017/?replicaSet=rs0"
    )]
    BadUri {
        /// What is wrong, without the URI.
        why: String,
    },
    /// No server answered.
    #[error(
        "MongoDB is not available ({why}): check that it runs, that its address is right, and that its firewall lets this server in"
    )]
    Away {
        /// What happened.
        why: String,
    },
    /// It does not know us, or does not let us.
    #[error(
        "MongoDB refused this server's user ({why}): check user, password and authSource in the URI, and that the user has the role readWrite on the database {database:?}"
    )]
    Refused {
        /// What it said.
        why: String,
        /// The database.
        database: String,
    },
    /// An index of ours can't be made.
    #[error(
        "the index {index:?} on {database}.{collection} can not be made ({why}): an index of other options is in its place; drop that one, or give this server a database of its own"
    )]
    Index {
        /// Its name.
        index: String,
        /// The database.
        database: String,
        /// The collection.
        collection: String,
        /// What MongoDB said.
        why: String,
    },
    /// The unique index can't be made.
    #[error(
        "notices of {database}.{collection} have the same idempotency key, so the index {index:?} can not be made ({why})"
    )]
    Repeated {
        /// Its name.
        index: String,
        /// The database.
        database: String,
        /// The collection.
        collection: String,
        /// What MongoDB said.
        why: String,
    },
    /// Something of this machine.
    #[error("the system has no random numbers")]
    NoRandomNumbers,
}
