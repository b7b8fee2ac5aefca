//! Who may drain or rebalance a node from off loopback: the holder of a drain key, by a JWT that names the node and ends soon.

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;
use warp::http::HeaderMap;

use super::caller;
use super::problem::{Code, Problem};
use crate::clock::{Clock, Millis};
use crate::config::DrainKey;

/// A proof may not be good for longer than this: it travels in the open inside a cluster.
const LONGEST_SECONDS: u64 = 15 * 60;

#[derive(Deserialize)]
struct Claims {
    exp: u64,
}

/// Lets the holder of one of `keys` pass.
///
/// # Errors
/// `UNAUTHENTICATED`, with what to do.
pub(super) fn check(headers: &HeaderMap, keys: &[DrainKey], node: &str) -> Result<(), Problem> {
    check_at(headers, keys, node, Clock::System.now())
}

fn check_at(
    headers: &HeaderMap,
    keys: &[DrainKey],
    node: &str,
    now: Millis,
) -> Result<(), Problem> {
    let refused = |detail: &str| Err(Problem::new(Code::Unauthenticated, detail));
    let Some(token) = caller::api_key(headers) else {
        return refused(
            "from another machine this needs Authorization: Bearer with a JWT signed by a drain key",
        );
    };
    let mut rules = Validation::new(Algorithm::EdDSA);
    rules.set_audience(&[node]);
    rules.set_required_spec_claims(&["exp", "aud"]);
    rules.leeway = 5;
    rules.validate_nbf = true;
    let claims = keys.iter().find_map(|key| {
        let key = DecodingKey::from_ed_der(&key.0);
        decode::<Claims>(token, &key, &rules)
            .ok()
            .map(|decoded| decoded.claims)
    });
    match claims {
        Some(claims) if claims.exp <= now / 1000 + LONGEST_SECONDS => Ok(()),
        Some(_) => refused("the JWT is good for longer than 15 minutes: make one that ends sooner"),
        None => refused(
            "the JWT is not signed (EdDSA) by a key in auth.drain_keys, is over, or its aud is not this node's name",
        ),
    }
}

#[cfg(test)]
#[path = "drain_proof_tests.rs"]
mod tests;
