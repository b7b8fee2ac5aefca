//! Secrets that specs refer to: read by name, and only digests of their values kept.
//!
//! A value never leaves this file: what goes on is a keyed digest, which tells whether a value has changed and nothing
//! else. It must not be logged either.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Makes digests; its key is the operator's own, so that a digest on a pod can't be compared with guesses.
#[derive(Clone)]
pub struct Digester([u8; 32]);

impl std::fmt::Debug for Digester {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Digester(..)")
    }
}

/// The digest of one value.
pub type ValueDigest = [u8; 16];

impl Digester {
    /// Digests with this key.
    #[must_use]
    pub const fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The first half of SHA-256 over the key, each part's length and the part: cut, so that it can't be extended.
    fn digest<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> ValueDigest {
        let mut hash = Sha256::new();
        hash.update(self.0);
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let whole: [u8; 32] = hash.finalize().into();
        let mut half = [0; 16];
        half.copy_from_slice(&whole[..16]);
        half
    }

    /// What is kept of a Secret: a digest for each of its keys.
    #[must_use]
    pub fn secret(&self, object: &Value) -> BTreeMap<String, ValueDigest> {
        let data = object["data"].as_object();
        let entries = data.into_iter().flatten().filter_map(|(key, value)| {
            let value = STANDARD.decode(value.as_str()?).ok()?;
            Some((key.clone(), self.digest([value.as_slice()])))
        });
        entries.collect()
    }

    /// One digest of many values, for the pod template, as hex.
    #[must_use]
    pub fn combined<'a>(&self, values: impl IntoIterator<Item = (&'a SecretKey, &'a ValueDigest)>) -> String {
        let parts: Vec<_> = values
            .into_iter()
            .flat_map(|(at, value)| [at.name.as_bytes(), at.key.as_bytes(), value.as_slice()])
            .collect();
        self.digest(parts).iter().map(|it| format!("{it:02x}")).collect()
    }
}

/// What is known of a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum SecretSeen {
    /// Not yet asked, or the API server does not answer.
    #[default]
    Unknown,
    /// The operator may not read it.
    Denied,
    /// There is none.
    Missing,
    /// It is there, with these keys.
    Present(BTreeMap<String, ValueDigest>),
}

/// One value that a spec refers to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretKey {
    /// The Secret's name.
    pub name: String,
    /// The key in it; empty when only the Secret itself is referred to.
    pub key: String,
}

/// What the Secrets of one cluster add up to.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Needs {
    /// Secrets that do not exist.
    pub missing: BTreeSet<String>,
    /// Keys that their Secret does not have.
    pub missing_keys: BTreeSet<SecretKey>,
    /// Secrets that may not be read.
    pub denied: BTreeSet<String>,
    /// Secrets of which nothing is known yet.
    pub unknown: BTreeSet<String>,
}

impl Needs {
    /// Adds up what `wanted` finds, by `look`.
    #[must_use]
    pub fn of<'a>(wanted: impl IntoIterator<Item = &'a SecretKey>, look: impl Fn(&str) -> SecretSeen) -> Self {
        let mut needs = Self::default();
        for at in wanted {
            match look(&at.name) {
                SecretSeen::Unknown => drop(needs.unknown.insert(at.name.clone())),
                SecretSeen::Denied => drop(needs.denied.insert(at.name.clone())),
                SecretSeen::Missing => drop(needs.missing.insert(at.name.clone())),
                SecretSeen::Present(keys) if at.key.is_empty() || keys.contains_key(&at.key) => {}
                SecretSeen::Present(_) => drop(needs.missing_keys.insert(at.clone())),
            }
        }
        needs
    }

    /// Whether a pod made now would lack something.
    #[must_use]
    pub fn lacks_something(&self) -> bool {
        !self.missing.is_empty() || !self.missing_keys.is_empty()
    }
}

/// The digest for the pod template: of the values that roll pods. `None` when one of them can't be told, so that
/// what is on the pods stays.
#[must_use]
pub fn rolling_digest(
    digester: &Digester,
    wanted: &BTreeSet<SecretKey>,
    look: impl Fn(&str) -> SecretSeen,
) -> Option<String> {
    let mut values = Vec::new();
    for at in wanted {
        let SecretSeen::Present(keys) = look(&at.name) else {
            return None;
        };
        values.push((at, *keys.get(&at.key)?));
    }
    (!values.is_empty()).then(|| digester.combined(values.iter().map(|(at, value)| (*at, value))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn digester() -> Digester {
        Digester::new([7; 32])
    }

    fn secret(uri: &str, other: &str) -> SecretSeen {
        let object = json!({"data": {"uri": STANDARD.encode(uri), "other": STANDARD.encode(other)}});
        SecretSeen::Present(digester().secret(&object))
    }

    fn wanted(name: &str, key: &str) -> BTreeSet<SecretKey> {
        BTreeSet::from([SecretKey { name: name.into(), key: key.into() }])
    }

    #[test]
    fn only_a_change_of_a_used_key_changes_the_digest() {
        let of = |seen: SecretSeen| rolling_digest(&digester(), &wanted("m", "uri"), |_| seen.clone()).unwrap();
        let before = of(secret("mongodb://a", "1"));
        assert_eq!(before, of(secret("mongodb://a", "2")));
        assert_ne!(before, of(secret("mongodb://b", "1")));
    }

    #[test]
    fn what_cannot_be_read_has_no_digest_and_no_use_has_none_either() {
        for seen in [SecretSeen::Unknown, SecretSeen::Denied, SecretSeen::Missing] {
            assert_eq!(rolling_digest(&digester(), &wanted("m", "uri"), |_| seen.clone()), None);
        }
        assert_eq!(rolling_digest(&digester(), &BTreeSet::new(), |_| SecretSeen::Missing), None);
    }

    #[test]
    fn needs_tell_missing_secrets_and_keys_apart() {
        let wanted: BTreeSet<_> = [("gone", "a"), ("there", "uri"), ("there", "b"), ("tls", ""), ("no", "a")]
            .map(|(name, key)| SecretKey { name: name.into(), key: key.into() })
            .into();
        let needs = Needs::of(&wanted, |name| match name {
            "gone" => SecretSeen::Missing,
            "no" => SecretSeen::Denied,
            _ => secret("x", "y"),
        });
        assert_eq!(needs.missing.iter().collect::<Vec<_>>(), ["gone"]);
        assert_eq!(needs.missing_keys.iter().next().unwrap().key, "b");
        assert_eq!(needs.denied.iter().collect::<Vec<_>>(), ["no"]);
        assert!(needs.lacks_something());
    }

    #[test]
    fn digests_depend_on_the_operators_key_and_show_no_value() {
        let object = json!({"data": {"uri": STANDARD.encode("mongodb://a")}});
        assert_ne!(digester().secret(&object), Digester::new([8; 32]).secret(&object));
        assert_eq!(format!("{:?}", digester()), "Digester(..)");
    }
}
