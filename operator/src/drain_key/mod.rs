//! The operator's own key: made once, kept in a Secret of its namespace.
//!
//! With the private half it proves itself to the servers' drain verbs; the public half goes into their configuration. The
//! same Secret holds the key of the digests by which changed Secrets are noticed. The private half never leaves this
//! file.

use std::collections::BTreeMap;

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use serde::Serialize;

use crate::apply::within;
use crate::secrets::Digester;

/// The Secret's name.
pub const SECRET: &str = "notice-operator-drain-key";
const PRIVATE: &str = "private.pem";
const PUBLIC: &str = "public.pem";
const DIGEST_KEY: &str = "digest-key";
/// A proof is good for so long; servers take at most 15 minutes.
const PROOF_SECONDS: u64 = 120;

/// The operator's key.
#[derive(Clone)]
pub struct DrainKey {
    signing: SigningKey,
    digest_key: [u8; 32],
}

impl std::fmt::Debug for DrainKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DrainKey(..)")
    }
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The Secret can't be read or written.
    #[error("the Secret {SECRET} in the operator's namespace {namespace} can't be read or made: {why}")]
    Call {
        /// The operator's namespace.
        namespace: String,
        /// The chain of causes.
        why: String,
    },
    /// What it holds is no key.
    #[error("the Secret {SECRET} has a broken entry {0}: remove that entry, and a new one is made")]
    Broken(&'static str),
    /// No source of chance.
    #[error("no random numbers can be had for a new key")]
    Chance,
}

#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    exp: u64,
}

impl DrainKey {
    /// A new one.
    ///
    /// # Errors
    /// [`KeyError::Chance`].
    pub fn generate() -> Result<Self, KeyError> {
        Ok(Self {
            signing: SigningKey::from_bytes(&random()?),
            digest_key: random()?,
        })
    }

    /// The public half, in PEM.
    ///
    /// # Errors
    /// The key can't be written down.
    pub fn public_pem(&self) -> Result<String, KeyError> {
        let public = self.signing.verifying_key();
        public.to_public_key_pem(LineEnding::LF).map_err(|_| KeyError::Broken(PUBLIC))
    }

    /// What makes digests of Secrets' values.
    #[must_use]
    pub const fn digester(&self) -> Digester {
        Digester::new(self.digest_key)
    }

    /// What proves the operator to the node of this name, for two minutes: the text behind `Authorization: Bearer`.
    ///
    /// # Errors
    /// The key can't be used.
    pub fn proof(&self, node: &str, now: u64) -> Result<String, KeyError> {
        let pem = self.private_pem()?;
        let key = EncodingKey::from_ed_pem(pem.as_bytes()).map_err(|_| KeyError::Broken(PRIVATE))?;
        let claims = Claims {
            aud: node,
            exp: now + PROOF_SECONDS,
        };
        jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims, &key).map_err(|_| KeyError::Broken(PRIVATE))
    }

    fn private_pem(&self) -> Result<impl std::ops::Deref<Target = String> + use<>, KeyError> {
        self.signing.to_pkcs8_pem(LineEnding::LF).map_err(|_| KeyError::Broken(PRIVATE))
    }

    /// The entries of its Secret.
    fn entries(&self) -> Result<BTreeMap<String, ByteString>, KeyError> {
        let private = ByteString(self.private_pem()?.as_bytes().to_vec());
        let public = ByteString(self.public_pem()?.into_bytes());
        let digest_key = ByteString(self.digest_key.to_vec());
        Ok([(PRIVATE, private), (PUBLIC, public), (DIGEST_KEY, digest_key)]
            .map(|(name, value)| (name.to_owned(), value))
            .into())
    }

    /// From the entries of its Secret; what is missing is taken from `fresh`. Also whether anything was.
    fn from_entries(entries: &BTreeMap<String, ByteString>, fresh: Self) -> Result<(Self, bool), KeyError> {
        let signing = match entries.get(PRIVATE) {
            None => fresh.signing,
            Some(pem) => {
                let pem = std::str::from_utf8(&pem.0).map_err(|_| KeyError::Broken(PRIVATE))?;
                SigningKey::from_pkcs8_pem(pem).map_err(|_| KeyError::Broken(PRIVATE))?
            }
        };
        let digest_key = match entries.get(DIGEST_KEY) {
            None => fresh.digest_key,
            Some(key) => key.0.as_slice().try_into().map_err(|_| KeyError::Broken(DIGEST_KEY))?,
        };
        let complete = entries.contains_key(PRIVATE) && entries.contains_key(DIGEST_KEY);
        Ok((Self { signing, digest_key }, !complete))
    }
}

/// The key out of the Secret in the operator's namespace, made if it is not there. Several operators may start at once:
/// the first one's key counts.
///
/// # Errors
/// [`KeyError`].
pub async fn load_or_make(client: &Client, namespace: &str) -> Result<DrainKey, KeyError> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let failed = |error: kube::Error| KeyError::Call {
        namespace: namespace.to_owned(),
        why: crate::failure::chain(&error),
    };
    let fresh = DrainKey::generate()?;
    if let Some(found) = within(secrets.get_opt(SECRET)).await.map_err(failed)? {
        return completed(&secrets, found, fresh).await?.map_err(failed);
    }
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(SECRET.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some(fresh.entries()?),
        ..Secret::default()
    };
    match within(secrets.create(&PostParams::default(), &secret)).await {
        Ok(_) => Ok(fresh),
        Err(kube::Error::Api(status)) if status.code == 409 => {
            let found = within(secrets.get(SECRET)).await.map_err(failed)?;
            completed(&secrets, found, fresh).await?.map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

/// The key in a Secret; entries that it lacks are added to it.
async fn completed(
    secrets: &Api<Secret>,
    mut found: Secret,
    fresh: DrainKey,
) -> Result<Result<DrainKey, kube::Error>, KeyError> {
    let entries = found.data.take().unwrap_or_default();
    let (key, lacking) = DrainKey::from_entries(&entries, fresh)?;
    if lacking {
        found.data = Some(entries.into_iter().chain(key.entries()?).collect());
        if let Err(error) = within(secrets.replace(SECRET, &PostParams::default(), &found)).await {
            return Ok(Err(error));
        }
    }
    Ok(Ok(key))
}

fn random() -> Result<[u8; 32], KeyError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| KeyError::Chance)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{DecodingKey, Validation, decode};
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Read {
        exp: u64,
    }

    #[test]
    fn a_proof_holds_by_the_rules_of_the_servers() {
        let key = DrainKey::generate().unwrap();
        let now = crate::clock::unix_seconds();
        let proof = key.proof("notice-0", now).unwrap();
        let public = DecodingKey::from_ed_pem(key.public_pem().unwrap().as_bytes()).unwrap();
        let mut rules = Validation::new(Algorithm::EdDSA);
        rules.set_audience(&["notice-0"]);
        rules.set_required_spec_claims(&["exp", "aud"]);
        rules.validate_nbf = true;
        let claims = decode::<Read>(&proof, &public, &rules).unwrap().claims;
        assert!(claims.exp <= now + 15 * 60);
        rules.set_audience(&["notice-1"]);
        assert!(decode::<Read>(&proof, &public, &rules).is_err(), "another node");
    }

    #[test]
    fn a_key_is_the_same_after_its_secret_and_shows_nothing() {
        let key = DrainKey::generate().unwrap();
        let entries = key.entries().unwrap();
        let (again, lacking) = DrainKey::from_entries(&entries, DrainKey::generate().unwrap()).unwrap();
        assert!(!lacking);
        assert_eq!(again.entries().unwrap(), entries);
        assert_eq!(format!("{key:?}"), "DrainKey(..)");
    }

    #[test]
    fn a_lost_entry_is_made_anew_and_the_other_stays() {
        let key = DrainKey::generate().unwrap();
        let mut entries = key.entries().unwrap();
        entries.remove(PRIVATE);
        let (again, lacking) = DrainKey::from_entries(&entries, DrainKey::generate().unwrap()).unwrap();
        assert!(lacking);
        assert_eq!(again.digest_key, key.digest_key);
        assert_ne!(again.public_pem().unwrap(), key.public_pem().unwrap());
        entries.insert(DIGEST_KEY.into(), ByteString(vec![1]));
        assert!(DrainKey::from_entries(&entries, key).is_err());
    }
}
