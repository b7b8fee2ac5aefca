//! What a JWT whose signature holds must claim. Pure.

use std::time::Duration;

use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use crate::clock::{Millis, whole_millis};
use crate::config::{JwtAlgorithm, JwtConfig};
use crate::domain::AccountId;

/// The claims of a JWT.
pub(super) type Claims = Map<String, Value>;

/// What is asked of a JWT.
pub(super) struct Rules {
    pub(super) issuer: String,
    pub(super) audience: Vec<String>,
    pub(super) algorithms: Vec<Algorithm>,
    account_claim: String,
    account_id_bytes: usize,
    leeway: Millis,
}

impl Rules {
    pub(super) fn new(config: &JwtConfig, account_id_bytes: usize) -> Self {
        let algorithms = config.algorithms.iter().map(|algorithm| match algorithm {
            JwtAlgorithm::Hs256 => Algorithm::HS256,
            JwtAlgorithm::Rs256 => Algorithm::RS256,
            JwtAlgorithm::Es256 => Algorithm::ES256,
        });
        Self {
            issuer: config.issuer.clone(),
            audience: config.audience.clone(),
            algorithms: algorithms.collect(),
            account_claim: config.account_claim.clone(),
            account_id_bytes,
            leeway: whole_millis(config.leeway),
        }
    }

    /// The account and the end, leeway included, of a JWT with these claims; none if it does not hold at `now`.
    pub(super) fn accept(&self, claims: &Claims, now: Millis) -> Option<(AccountId, Millis)> {
        let expires = instant(claims.get("exp")?)?.saturating_add(self.leeway);
        let begins = claims.get("nbf").map_or(Some(0), instant)?;
        let timely = now < expires && begins <= now.saturating_add(self.leeway);
        let ours =
            claims.get("iss")?.as_str()? == self.issuer && self.is_for_us(claims.get("aud")?);
        if !(timely && ours) {
            return None;
        }
        let account = claims.get(&self.account_claim)?.as_str()?;
        let account = AccountId::parse(account, self.account_id_bytes).ok()?;
        Some((account, expires))
    }

    /// Whether `aud`, a text or several, names one of those that we are.
    fn is_for_us(&self, audience: &Value) -> bool {
        let names_us = |name: &Value| {
            let name = name.as_str();
            name.is_some_and(|name| self.audience.iter().any(|ours| ours == name))
        };
        match audience {
            Value::Array(names) => names.iter().any(names_us),
            name => names_us(name),
        }
    }
}

/// A NumericDate, which may have a fraction; none for what is no time from 1970 on.
fn instant(value: &Value) -> Option<Millis> {
    if let Some(seconds) = value.as_u64() {
        return Some(seconds.saturating_mul(1000));
    }
    let since = Duration::try_from_secs_f64(value.as_f64()?).ok()?;
    Some(whole_millis(since))
}
