//! Fingerprints that every node, of every version, makes alike.
//!
//! A store that several nodes write to compares drafts by them, so they must not depend on a process's key, on the
//! machine, or on how a compiler lays things out. Parts are written with their length in front, so that no two
//! different sequences of parts have the same bytes, into SHA-256, of which 128 bits are kept.

use sha2::Digest as _;

use super::{AccountId, Draft, Lifetime, Source};

/// 128 bits of SHA-256.
pub type Fingerprint = [u8; 16];

/// Writes parts, each of them so that nothing else has its bytes.
struct Parts(sha2::Sha256);

impl Parts {
    /// Begins with what the fingerprint is of, and the version of its encoding.
    fn of(what: &'static str) -> Self {
        Self(sha2::Sha256::new()).text(what)
    }

    fn number(mut self, number: u64) -> Self {
        self.0.update(number.to_be_bytes());
        self
    }

    fn text(mut self, text: &str) -> Self {
        self = self.number(text.len() as u64);
        self.0.update(text.as_bytes());
        self
    }

    fn optional(self, text: Option<&str>) -> Self {
        match text {
            None => self.number(0),
            Some(text) => self.number(1).text(text),
        }
    }

    fn finish(self) -> Fingerprint {
        let digest: [u8; 32] = self.0.finalize().into();
        let mut kept = [0; 16];
        kept.copy_from_slice(&digest[..16]);
        kept
    }
}

impl Draft {
    /// The scope and the text of the draft's idempotency key; none when it has none. A service's key is unique for
    /// each producer and receiver, a client's for its own account.
    #[must_use]
    pub fn idempotency_fingerprint(&self) -> Option<Fingerprint> {
        let key = self.idempotency_key.as_deref()?;
        let parts = Parts::of("notice idempotency 1");
        let scope = match self.source {
            Source::Service => parts
                .number(0)
                .text(&self.producer)
                .text(self.receiver.as_str()),
            Source::Client => parts.number(1).optional(self.sender_text()),
        };
        Some(scope.text(key).finish())
    }

    /// The draft's body: two calls with one key must agree in it.
    #[must_use]
    pub fn body_fingerprint(&self) -> Fingerprint {
        let lifetime = match self.lifetime {
            Lifetime::Kept => (0, 0),
            Lifetime::Seconds(seconds) => (1, seconds),
            Lifetime::Ephemeral => (2, 0),
        };
        Parts::of("notice body 1")
            .text(self.receiver.as_str())
            .optional(self.sender_text())
            .text(&self.message)
            .optional(self.kind.as_deref())
            .optional(self.data.as_ref().map(|data| data.get()))
            .number(lifetime.0)
            .number(lifetime.1)
            .optional(self.collapse_key.as_deref())
            .finish()
    }

    /// The scope in which a newer notice replaces an older one; none when the draft does not collapse.
    #[must_use]
    pub fn collapse_fingerprint(&self) -> Option<Fingerprint> {
        let key = self.collapse_key.as_deref()?;
        let parts = Parts::of("notice collapse 1")
            .text(self.receiver.as_str())
            .optional(self.sender_text())
            .text(&self.producer);
        Some(parts.text(key).finish())
    }

    fn sender_text(&self) -> Option<&str> {
        self.sender.as_ref().map(AccountId::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::conformance::draft;
    use proptest::prelude::*;

    fn hex(print: Fingerprint) -> String {
        print.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn fingerprints_are_the_same_for_ever() {
        let one = Draft {
            idempotency_key: Some("k".into()),
            collapse_key: Some("c".into()),
            ..draft("u1", "hello")
        };
        assert_eq!(
            (
                hex(one.idempotency_fingerprint().expect("a key")),
                hex(one.body_fingerprint()),
                hex(one.collapse_fingerprint().expect("a key")),
            ),
            (
                "0d513b28fcaadac17597ade68f4fc5de".to_owned(),
                "4f95189e7bb635c2a5c55f8cfdc6674c".to_owned(),
                "bdef8c1fefb0845e05c7a825ca452fa2".to_owned(),
            )
        );
    }

    #[test]
    fn without_a_key_there_is_no_fingerprint() {
        let plain = draft("u1", "a");
        assert_eq!(plain.idempotency_fingerprint(), None);
        assert_eq!(plain.collapse_fingerprint(), None);
    }

    proptest! {
        #[test]
        fn the_parts_of_a_body_do_not_run_into_each_other(
            (a, b) in ("[ab]{0,3}", "[ab]{0,3}"), (c, d) in ("[ab]{0,3}", "[ab]{0,3}")
        ) {
            let body = |message: &str, kind: &str| Draft {
                message: message.into(),
                kind: Some(kind.into()),
                ..draft("u1", "")
            };
            let same = body(&a, &b).body_fingerprint() == body(&c, &d).body_fingerprint();
            prop_assert_eq!(same, (a, b) == (c, d));
        }

        #[test]
        fn a_scope_is_told_from_every_other(
            (a, b) in ("[ab]{1,3}", "[ab]{0,3}"), (c, d) in ("[ab]{1,3}", "[ab]{0,3}")
        ) {
            let keyed = |receiver: &str, key: &str| Draft {
                idempotency_key: Some(key.into()),
                ..draft(receiver, "")
            };
            let same = keyed(&a, &b).idempotency_fingerprint() == keyed(&c, &d).idempotency_fingerprint();
            prop_assert_eq!(same, (a, b) == (c, d));
        }
    }
}
