//! Keys that JWTs are checked with: one that is fixed, or a set (JWKS). Pure.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde::Deserialize;
use serde_json::Value;

use crate::config::Secret;

/// Keys of a set that are looked at; an issuer has a few.
const MOST_KEYS: usize = 64;

/// Keys that a JWT without a `kid` is tried with.
const MOST_TRIED: usize = 4;

/// An RSA modulus in bytes: less is weak (RFC 7518 asks for 2048 bits), more the library refuses.
const RSA_MODULUS: std::ops::RangeInclusive<usize> = 256..=512;

/// A secret in bytes: less is weak (RFC 7518, section 3.2).
const LEAST_SECRET: usize = 32;

/// Some keys.
pub(super) struct KeySet {
    keys: Vec<Key>,
    /// The `kid` of a JWT picks the key. With one key that is fixed it says nothing.
    by_kid: bool,
}

struct Key {
    kid: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySet({} keys)", self.keys.len())
    }
}

/// A set as an issuer writes it. Its keys are read one by one: one of a kind that nobody here knows
/// must not spoil the others.
#[derive(Deserialize)]
struct WrittenSet {
    keys: Vec<Value>,
}

impl KeySet {
    /// The secret of HS256.
    pub(super) fn shared(secret: &Secret) -> Self {
        let key = DecodingKey::from_secret(secret.reveal().as_bytes());
        Self::fixed(Algorithm::HS256, key)
    }

    /// A public key in PEM, for the one of `algorithms` that it is of.
    pub(super) fn public(pem: &str, algorithms: &[Algorithm]) -> Result<Self, String> {
        let read = |algorithm: &Algorithm| {
            let key = match algorithm {
                Algorithm::RS256 => DecodingKey::from_rsa_pem(pem.as_bytes()),
                _ => DecodingKey::from_ec_pem(pem.as_bytes()),
            };
            let key = key.ok()?;
            let written = Jwk::from_decoding_key(&key, None).ok()?;
            (algorithm_of(&written)? == *algorithm).then(|| Self::fixed(*algorithm, key))
        };
        let set = algorithms.iter().find_map(read);
        set.ok_or_else(|| {
            "is no public key in PEM that fits jwt.algorithms: RS256 takes RSA of 2048 to 4096 \
             bits, ES256 takes P-256"
                .to_owned()
        })
    }

    fn fixed(algorithm: Algorithm, key: DecodingKey) -> Self {
        let key = Key {
            kid: None,
            algorithm,
            key,
        };
        Self {
            keys: vec![key],
            by_kid: false,
        }
    }

    /// The keys of a JWKS that fit `algorithms`. An error says what is wrong without a key.
    pub(super) fn from_jwks(text: &[u8], algorithms: &[Algorithm]) -> Result<Self, String> {
        let set: WrittenSet =
            serde_json::from_slice(text).map_err(|_| "is no set of keys (JWKS)".to_owned())?;
        let written = set.keys.into_iter().take(MOST_KEYS);
        let keys: Vec<Key> = written
            .filter_map(read)
            .filter(|key| algorithms.contains(&key.algorithm))
            .collect();
        if keys.is_empty() {
            return Err("holds no key that fits jwt.algorithms".to_owned());
        }
        Ok(Self { keys, by_kid: true })
    }

    /// How many keys these are.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The keys that a JWT with this header may be signed by, a few at most.
    pub(super) fn fitting(&self, algorithm: Algorithm, kid: Option<&str>) -> Vec<&DecodingKey> {
        let kid = kid.filter(|_| self.by_kid);
        self.keys
            .iter()
            .filter(|key| key.algorithm == algorithm)
            .filter(|key| kid.is_none() || key.kid.as_deref() == kid)
            .take(MOST_TRIED)
            .map(|key| &key.key)
            .collect()
    }
}

/// A key of a set; none if it is not for us or too weak.
fn read(value: Value) -> Option<Key> {
    let written: Jwk = serde_json::from_value(value).ok()?;
    let algorithm = algorithm_of(&written).filter(|algorithm| may_verify(&written, *algorithm))?;
    let key = DecodingKey::from_jwk(&written).ok()?;
    // Says no to a signature, and more than that to a point that is not on the curve.
    crypto::verify("", b"", &key, algorithm).ok()?;
    Some(Key {
        kid: written.common.key_id,
        algorithm,
        key,
    })
}

/// The algorithm that a key is good for, by its kind and its size.
fn algorithm_of(written: &Jwk) -> Option<Algorithm> {
    let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).map_or(0, |bytes| bytes.len());
    match &written.algorithm {
        AlgorithmParameters::RSA(key) if RSA_MODULUS.contains(&bytes(&key.n)) => {
            Some(Algorithm::RS256)
        }
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            Some(Algorithm::ES256)
        }
        AlgorithmParameters::OctetKey(key) if bytes(&key.value) >= LEAST_SECRET => {
            Some(Algorithm::HS256)
        }
        _ => None,
    }
}

/// Whether the issuer meant it for checking signatures of this kind.
fn may_verify(written: &Jwk, algorithm: Algorithm) -> bool {
    let common = &written.common;
    let for_signatures = match &common.public_key_use {
        Some(purpose) => *purpose == PublicKeyUse::Signature,
        None => true,
    };
    let for_verifying = match &common.key_operations {
        Some(operations) => operations.contains(&KeyOperations::Verify),
        None => true,
    };
    let meant = KeyAlgorithm::from(algorithm);
    for_signatures && for_verifying && common.key_algorithm.is_none_or(|given| given == meant)
}
