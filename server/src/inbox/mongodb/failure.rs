//! What the driver reports, sorted by what it means for us. No text here has a document or a credential in it.

use std::time::Duration;

use mongodb::error::{Error, ErrorKind, WriteFailure};

use crate::chance;
use crate::inbox::InboxError;

/// Why an operation gave no result.
#[derive(Debug)]
pub(super) enum Failure {
    /// It took too long.
    TimedOut,
    /// The driver, or MongoDB, says why.
    Driver(Error),
    /// It was not tried, since the store is away.
    Away(InboxError),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Driver(error)
    }
}

/// Answers of a server that is no longer, or not yet, the one that takes writes.
const MOVED: [i32; 15] = [
    6, 7, 89, 91, 133, 134, 189, 262, 9001, 10058, 10107, 11600, 11602, 13435, 13436,
];

/// An answer that says nothing: one operation may have met a fault of the engine, or the engine behind is gone.
const INTERNAL: i32 = 1;

/// Answers to who may not do what it asks for: nothing else will go better.
const REFUSED: [i32; 2] = [13, 18];

/// Answers to who ran into another write: MongoDB's WriteConflict, and what DocumentDB makes of PostgreSQL's deadlocks.
/// Another try goes well as a rule.
const COLLIDED: [i32; 2] = [112, 16_908_292];

/// Whether this answer is to a write that ran into another one.
pub(super) fn is_collision(code: i32) -> bool {
    COLLIDED.contains(&code)
}

/// A part of an update command that MongoDB refused.
#[derive(Debug, Clone, Copy)]
pub(super) struct RefusedUpdate(pub(super) i32);

impl Failure {
    /// Whether it ran into another write, and is to be tried again.
    pub(super) fn collided(&self) -> bool {
        let Self::Driver(error) = self else {
            return false;
        };
        match error.kind.as_ref() {
            ErrorKind::Command(command) => is_collision(command.code),
            _ => error
                .get_custom::<RefusedUpdate>()
                .is_some_and(|refused| is_collision(refused.0)),
        }
    }

    /// Whether the engine failed without saying why.
    pub(super) fn internal(&self) -> bool {
        let Self::Driver(error) = self else {
            return false;
        };
        match error.kind.as_ref() {
            ErrorKind::Command(command) => command.code == INTERNAL,
            _ => error
                .get_custom::<RefusedUpdate>()
                .is_some_and(|refused| refused.0 == INTERNAL),
        }
    }

    /// Whether the connection, or the server behind it, went away under the operation: another try may find the next
    /// one.
    pub(super) fn broke(&self) -> bool {
        let Self::Driver(error) = self else {
            return false;
        };
        match error.kind.as_ref() {
            ErrorKind::Io(_) | ErrorKind::ConnectionPoolCleared { .. } => true,
            ErrorKind::Command(command) => MOVED.contains(&command.code),
            _ => error.contains_label("RetryableWriteError"),
        }
    }

    /// Whether MongoDB answered, and only did not like this one operation.
    pub(super) fn only_this(&self) -> bool {
        let Self::Driver(error) = self else {
            return false;
        };
        match error.kind.as_ref() {
            ErrorKind::Command(command) => {
                !MOVED.contains(&command.code) && !REFUSED.contains(&command.code)
            }
            ErrorKind::Write(WriteFailure::WriteError(_))
            | ErrorKind::InvalidArgument { .. }
            | ErrorKind::BsonDeserialization(_)
            | ErrorKind::BsonSerialization(_) => true,
            _ => error.get_custom::<RefusedUpdate>().is_some(),
        }
    }

    /// Whether MongoDB does not let us.
    pub(super) fn refused(&self) -> bool {
        let Self::Driver(error) = self else {
            return false;
        };
        match error.kind.as_ref() {
            ErrorKind::Authentication { .. } => true,
            ErrorKind::Command(command) => REFUSED.contains(&command.code),
            _ => false,
        }
    }

    /// What happened, in words.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::TimedOut => "MongoDB did not answer in time".to_owned(),
            Self::Driver(error) => describe(error),
            Self::Away(why) => why.reason.clone(),
        }
    }
}

/// An error of the driver in words.
pub(super) fn describe(error: &Error) -> String {
    match error.kind.as_ref() {
        ErrorKind::Io(error) => format!("the connection to MongoDB broke: {}", error.kind()),
        ErrorKind::ConnectionPoolCleared { .. } => "the connections to MongoDB broke".to_owned(),
        ErrorKind::ServerSelection { .. } => {
            "no MongoDB server that takes writes was found".to_owned()
        }
        ErrorKind::Authentication { .. } => "MongoDB refused the credentials".to_owned(),
        ErrorKind::DnsResolve { .. } => "the address of MongoDB could not be looked up".to_owned(),
        ErrorKind::InvalidTlsConfig { .. } => "TLS could not be set up".to_owned(),
        ErrorKind::Command(command) => {
            format!(
                "MongoDB answered with error {} {}",
                command.code, command.code_name
            )
        }
        ErrorKind::Write(WriteFailure::WriteConcernError(_)) => NOT_ENOUGH_MEMBERS.to_owned(),
        ErrorKind::Write(WriteFailure::WriteError(error)) => {
            format!("MongoDB refused a document with error {}", error.code)
        }
        ErrorKind::InsertMany(error) if error.write_concern_error.is_some() => {
            NOT_ENOUGH_MEMBERS.to_owned()
        }
        ErrorKind::InvalidResponse { .. } => {
            "MongoDB gave an answer that makes no sense".to_owned()
        }
        _ => match (
            error.get_custom::<&'static str>(),
            error.get_custom::<RefusedUpdate>(),
        ) {
            (Some(own), _) => (*own).to_owned(),
            (_, Some(refused)) => format!("MongoDB refused an update with error {}", refused.0),
            _ => "the MongoDB driver failed".to_owned(),
        },
    }
}

/// What is said when the write concern was not met.
pub(super) const NOT_ENOUGH_MEMBERS: &str =
    "not enough members of MongoDB have confirmed the write in time";

/// Somewhere in the upper half of `most`, so that callers do not come back all at once.
pub(super) fn spread(most: Duration) -> Duration {
    most / 2 + most.mul_f64(chance::roll().unwrap_or(0.5) / 2.0)
}

/// An error for callers, with a wait that is right when the cause may pass.
pub(super) fn unavailable(reason: impl Into<String>) -> InboxError {
    InboxError {
        reason: reason.into(),
        retry_after: spread(Duration::from_secs(2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_spread_over_the_upper_half() {
        let most = Duration::from_secs(2);
        let waits: Vec<_> = (0..200).map(|_| spread(most)).collect();
        assert!(waits.iter().all(|wait| *wait >= most / 2 && *wait <= most));
        assert!(waits.iter().max() > waits.iter().min());
    }

    #[test]
    fn an_update_that_ran_into_another_is_told_from_one_that_is_wrong() {
        let refused = |code| Failure::from(Error::custom(RefusedUpdate(code)));
        assert!(refused(112).collided() && refused(112).only_this());
        assert!(!refused(9).collided() && refused(9).only_this());
        assert_eq!(
            refused(9).reason(),
            "MongoDB refused an update with error 9"
        );
    }

    #[test]
    fn a_broken_connection_is_told_from_a_refusal() {
        let broken = Failure::from(Error::from(std::io::Error::from(
            std::io::ErrorKind::ConnectionReset,
        )));
        assert!(broken.broke() && !broken.only_this());
        assert_eq!(
            broken.reason(),
            "the connection to MongoDB broke: connection reset"
        );
        assert!(!Failure::TimedOut.broke() && !Failure::TimedOut.only_this());
    }
}
