//! Account ids: who receives.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// The id of an account, as the product's own systems name it. Never empty, no control characters, bounded
/// in bytes by configuration. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(Arc<str>);

/// Why a text is no account id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountIdError {
    /// It has no characters.
    #[error("an account id must not be empty")]
    Empty,
    /// It has more bytes than the configured limit.
    #[error("an account id has at most {max} bytes, this one has {bytes}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit in force.
        max: usize,
    },
    /// It has a control character, which no log or header could show safely.
    #[error("an account id must not contain control characters")]
    ControlCharacter,
}

impl AccountId {
    /// Takes `text` as an account id of at most `max` bytes.
    ///
    /// # Errors
    /// When it is empty, longer, or has control characters.
    pub fn parse(text: &str, max: usize) -> Result<Self, AccountIdError> {
        if text.is_empty() {
            return Err(AccountIdError::Empty);
        }
        if text.len() > max {
            return Err(AccountIdError::TooLong {
                bytes: text.len(),
                max,
            });
        }
        if text.chars().any(char::is_control) {
            return Err(AccountIdError::ControlCharacter);
        }
        Ok(Self(Arc::from(text)))
    }

    /// An id that was checked when it was stored: limits may have been lowered since, which must not make
    /// what is stored unreadable.
    #[must_use]
    pub fn trusted(text: &str) -> Self {
        Self(Arc::from(text))
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for AccountId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Serialize for AccountId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_id_is_bounded_in_bytes_not_characters() {
        assert!(AccountId::parse(&"ä".repeat(64), 128).is_ok());
        let refused = AccountId::parse(&"ä".repeat(65), 128);
        assert_eq!(
            refused,
            Err(AccountIdError::TooLong {
                bytes: 130,
                max: 128
            })
        );
    }

    #[test]
    fn an_empty_id_and_control_characters_are_refused() {
        assert_eq!(AccountId::parse("", 128), Err(AccountIdError::Empty));
        for bad in ["a\0", "\n", "x\u{7f}", "\u{85}"] {
            assert_eq!(
                AccountId::parse(bad, 128),
                Err(AccountIdError::ControlCharacter),
                "{bad:?}"
            );
        }
    }
}
