//! The page's form, and how it is told from a form of another site: by a token that only who knows the session token
//! can make, so every node can check it and none has to keep it. Pure, but for chance.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::http::intake::ClientInput;

/// Proves that a form was given to who sends it.
pub(super) struct FormToken(String);

impl FormToken {
    /// The form token of a session token, from which nobody gets back to that.
    pub(super) fn of(session_token: &str) -> Self {
        let digest = Sha256::new()
            .chain_update(b"notice page form\0")
            .chain_update(session_token.as_bytes())
            .finalize();
        Self(URL_SAFE_NO_PAD.encode(digest))
    }

    /// Whether this is it.
    pub(super) fn is(&self, text: &str) -> bool {
        self.0.as_bytes().ct_eq(text.as_bytes()).into()
    }
}

impl fmt::Display for FormToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What was sent.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) receiver: String,
    pub(super) message: String,
    /// Makes a form that is sent twice one notice.
    pub(super) key: String,
    pub(super) token: String,
}

impl Form {
    /// Reads a form (`application/x-www-form-urlencoded`). What is missing is empty.
    pub(super) fn read(body: &[u8]) -> Self {
        let mut form = Self::default();
        for (name, value) in form_urlencoded::parse(body) {
            let member = match &*name {
                "receiverId" => &mut form.receiver,
                "message" => &mut form.message,
                "key" => &mut form.key,
                "formToken" => &mut form.token,
                _ => continue,
            };
            *member = value.into_owned();
        }
        // Browsers end a text's lines as no other client does.
        form.message = form.message.replace("\r\n", "\n");
        form
    }

    /// As every other client's notice.
    pub(super) fn input(&self) -> ClientInput<'_> {
        let given = |text: &str| (!text.is_empty()).then(|| Cow::Owned(text.to_owned()));
        ClientInput {
            receiver_id: given(&self.receiver),
            message: given(&self.message),
            idempotency_key: given(&self.key),
            ..ClientInput::default()
        }
    }
}

/// A key for a form; none where the system has no random numbers, which is no reason not to send.
pub(super) fn new_key() -> String {
    let mut bytes = [0; 12];
    match getrandom::fill(&mut bytes) {
        Ok(()) => format!("page-{}", URL_SAFE_NO_PAD.encode(bytes)),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_token_is_only_that_of_its_own_session() {
        let own = FormToken::of("token");
        assert!(own.is(&FormToken::of("token").to_string()));
        assert!(!own.is(&FormToken::of("other").to_string()));
        assert!(!own.is(""));
        assert!(!own.to_string().contains("token"));
    }

    #[test]
    fn a_form_is_read_as_browsers_write_it() {
        let form = Form::read(b"formToken=t&key=k&receiverId=u%202&message=a+b%0D%0Ac&x=y");
        let expected = Form {
            receiver: "u 2".to_owned(),
            message: "a b\nc".to_owned(),
            key: "k".to_owned(),
            token: "t".to_owned(),
        };
        assert_eq!(form, expected);
        assert_eq!(Form::read(b""), Form::default());
        assert!(Form::default().input().receiver_id.is_none());
    }

    #[test]
    fn every_form_has_a_key_of_its_own() {
        assert_ne!(new_key(), new_key());
    }
}
