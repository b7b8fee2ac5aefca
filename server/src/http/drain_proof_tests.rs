use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use warp::http::HeaderValue;

use super::*;

/// The first test vector of RFC 8032, section 7.1: a key pair that everybody knows.
const SECRET: [u8; 32] = [
    0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4,
    0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
];
const PUBLIC: [u8; 32] = [
    0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a,
    0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
];
/// What PKCS #8 puts before the 32 bytes of an Ed25519 key.
const PKCS8_HEAD: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

fn signed(secret: [u8; 32], claims: &Value) -> String {
    let key = EncodingKey::from_ed_der(&[&PKCS8_HEAD[..], &secret].concat());
    encode(&Header::new(Algorithm::EdDSA), claims, &key).unwrap()
}

fn in_seconds(seconds: i64) -> u64 {
    (Clock::System.now() / 1000).saturating_add_signed(seconds)
}

fn may_drain(credential: Option<&str>, keys: &[DrainKey]) -> bool {
    let mut headers = HeaderMap::new();
    if let Some(credential) = credential {
        let value = HeaderValue::from_str(&format!("Bearer {credential}")).unwrap();
        headers.insert(warp::http::header::AUTHORIZATION, value);
    }
    check(&headers, keys, "node-a").is_ok()
}

#[test]
fn a_proof_by_any_of_the_keys_that_names_this_node_and_ends_soon_is_taken() {
    let claims = json!({"aud": "node-a", "exp": in_seconds(300)});
    let proof = signed(SECRET, &claims);
    assert!(may_drain(Some(&proof), &[DrainKey(PUBLIC)]));
    assert!(may_drain(
        Some(&proof),
        &[DrainKey([9; 32]), DrainKey(PUBLIC)]
    ));
    let several = json!({"aud": ["node-b", "node-a"], "exp": in_seconds(300)});
    assert!(may_drain(
        Some(&signed(SECRET, &several)),
        &[DrainKey(PUBLIC)]
    ));
}

#[test]
fn a_proof_for_another_node_over_too_long_or_without_an_end_is_refused() {
    let refused = [
        json!({"aud": "node-b", "exp": in_seconds(300)}),
        json!({"exp": in_seconds(300)}),
        json!({"aud": "node-a"}),
        json!({"aud": "node-a", "exp": in_seconds(-60)}),
        json!({"aud": "node-a", "exp": in_seconds(3600)}),
        json!({"aud": "node-a", "exp": in_seconds(300), "nbf": in_seconds(120)}),
    ];
    for claims in refused {
        let proof = signed(SECRET, &claims);
        assert!(!may_drain(Some(&proof), &[DrainKey(PUBLIC)]), "{claims}");
    }
}

#[test]
fn a_proof_by_another_key_of_another_kind_or_none_is_refused() {
    let claims = json!({"aud": "node-a", "exp": in_seconds(300)});
    let proof = signed([7; 32], &claims);
    assert!(!may_drain(Some(&proof), &[DrainKey(PUBLIC)]));
    assert!(!may_drain(Some(&signed(SECRET, &claims)), &[]));
    // The public key as a shared secret: the classic confusion of algorithms.
    let confused = EncodingKey::from_secret(&PUBLIC);
    let confused = encode(&Header::new(Algorithm::HS256), &claims, &confused).unwrap();
    for credential in [None, Some(""), Some("a.b.c"), Some(confused.as_str())] {
        assert!(
            !may_drain(credential, &[DrainKey(PUBLIC)]),
            "{credential:?}"
        );
    }
}

#[test]
fn a_proof_may_be_good_for_a_quarter_of_an_hour_and_no_longer() {
    let now = Clock::System.now();
    let at = |seconds: u64| {
        let mut headers = HeaderMap::new();
        let proof = signed(
            SECRET,
            &json!({"aud": "node-a", "exp": now / 1000 + seconds}),
        );
        let value = HeaderValue::from_str(&format!("Bearer {proof}")).unwrap();
        headers.insert(warp::http::header::AUTHORIZATION, value);
        check_at(&headers, &[DrainKey(PUBLIC)], "node-a", now).is_ok()
    };
    assert!(at(LONGEST_SECONDS));
    assert!(!at(LONGEST_SECONDS + 1));
}
