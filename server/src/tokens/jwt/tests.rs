use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk};
use jsonwebtoken::{Algorithm, EncodingKey, encode};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};

use super::fetch::{Site, Source};
use super::refresh::Pace;
use super::*;
use crate::config::{JwtAlgorithm, Secret};

/// Keys that everybody knows: they protect nothing.
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const RSA: &[u8] = include_bytes!("testdata/rsa.pem");
const RSA_PUBLIC: &str = include_str!("testdata/rsa.pub.pem");
const RSA_WEAK: &str = include_str!("testdata/rsa-1024.pub.pem");
const P384: &str = include_str!("testdata/p384.pub.pem");

/// What PKCS #8 puts before the 32 bytes of a P-256 key.
const P256_PRIVATE: [u8; 35] = [
    0x30, 0x41, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
    0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x27, 0x30, 0x25, 0x02, 0x01,
    0x01, 0x04, 0x20,
];

/// What a public key in DER begins with, before the 65 bytes of a point of P-256.
const P256_PUBLIC: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

const LEEWAY: Millis = 5_000;
const NOW: Millis = 1_800_000_000_000;
const NOW_SECONDS: u64 = NOW / 1000;

fn ec(number: u8) -> EncodingKey {
    EncodingKey::from_ec_der(&[&P256_PRIVATE[..], &[number; 32]].concat())
}

fn rsa() -> EncodingKey {
    EncodingKey::from_rsa_pem(RSA).unwrap()
}

fn hmac() -> EncodingKey {
    EncodingKey::from_secret(SECRET.as_bytes())
}

/// The public half as a set writes it.
fn written(key: &EncodingKey, algorithm: Algorithm, kid: Option<&str>) -> Value {
    let mut jwk = Jwk::from_encoding_key(key, algorithm).unwrap();
    jwk.common.key_id = kid.map(str::to_owned);
    serde_json::to_value(jwk).unwrap()
}

/// The public half in PEM.
fn ec_pem(number: u8) -> String {
    let jwk = Jwk::from_encoding_key(&ec(number), Algorithm::ES256).unwrap();
    let AlgorithmParameters::EllipticCurve(point) = jwk.algorithm else {
        panic!("a point");
    };
    let half = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let der = [&P256_PUBLIC[..], &[4], &half(&point.x), &half(&point.y)].concat();
    let text = STANDARD.encode(der);
    format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
}

fn config(algorithms: &[JwtAlgorithm], keys: JwtKeys) -> JwtConfig {
    JwtConfig {
        issuer: "https://issuer.example".to_owned(),
        audience: vec!["notice".to_owned(), "chat".to_owned()],
        algorithms: algorithms.to_owned(),
        keys,
        key_file: None,
        account_claim: "sub".to_owned(),
        leeway: Duration::from_millis(LEEWAY),
    }
}

fn verifier(algorithm: JwtAlgorithm, keys: JwtKeys) -> JwtVerifier {
    JwtVerifier::new(&config(&[algorithm], keys), 16).unwrap()
}

fn by_secret() -> JwtVerifier {
    verifier(JwtAlgorithm::Hs256, JwtKeys::Shared(Secret::new(SECRET)))
}

/// Claims that hold, but for what `changes` says; null takes a claim out.
fn claims(changes: Value) -> Value {
    let mut claims = json!({
        "iss": "https://issuer.example",
        "aud": "notice",
        "sub": "u1",
        "exp": NOW_SECONDS + 60,
    });
    let all = claims.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap().clone() {
        match value {
            Value::Null => drop(all.remove(&name)),
            value => drop(all.insert(name, value)),
        }
    }
    claims
}

fn signed(key: &EncodingKey, algorithm: Algorithm, kid: Option<&str>, claims: &Value) -> String {
    let mut header = Header::new(algorithm);
    header.kid = kid.map(str::to_owned);
    encode(&header, claims, key).unwrap()
}

fn by_hmac(changes: Value) -> String {
    signed(&hmac(), Algorithm::HS256, None, &claims(changes))
}

fn holds(verifier: &JwtVerifier, token: &str) -> bool {
    verifier.verify(token, NOW).unwrap().is_some()
}

#[test]
fn a_jwt_by_each_algorithm_gives_its_account_and_its_end() {
    for (algorithm, keys, key, alg) in [
        (
            JwtAlgorithm::Hs256,
            JwtKeys::Shared(Secret::new(SECRET)),
            hmac(),
            Algorithm::HS256,
        ),
        (
            JwtAlgorithm::Rs256,
            JwtKeys::PublicKey(RSA_PUBLIC.to_owned()),
            rsa(),
            Algorithm::RS256,
        ),
        (
            JwtAlgorithm::Es256,
            JwtKeys::PublicKey(ec_pem(1)),
            ec(1),
            Algorithm::ES256,
        ),
    ] {
        let verifier = verifier(algorithm, keys);
        let token = signed(&key, alg, Some("any"), &claims(json!({})));
        let found = verifier.verify(&token, NOW).unwrap().expect("it holds");
        assert_eq!(found.account.as_str(), "u1");
        assert_eq!(found.expires, Some(NOW + 60_000 + LEEWAY));
        assert_eq!(Some(found.digest), JwtVerifier::digest_of(&token));
    }
}

#[test]
fn issuer_and_audience_must_be_there_and_ours() {
    let verifier = by_secret();
    assert!(holds(&verifier, &by_hmac(json!({"aud": "chat"}))));
    assert!(holds(&verifier, &by_hmac(json!({"aud": ["x", "notice"]}))));
    for changes in [
        json!({"iss": "https://other.example"}),
        json!({"iss": ["https://issuer.example"]}),
        json!({"iss": null}),
        json!({"aud": "other"}),
        json!({"aud": []}),
        json!({"aud": ["other", 7]}),
        json!({"aud": 7}),
        json!({"aud": null}),
    ] {
        assert!(!holds(&verifier, &by_hmac(changes.clone())), "{changes}");
    }
}

#[test]
fn a_jwt_holds_between_nbf_and_exp_on_the_clock_that_is_given() {
    let verifier = by_secret();
    let token = by_hmac(json!({"nbf": NOW_SECONDS, "exp": NOW_SECONDS + 60}));
    let holds_at = |at: Millis| verifier.verify(&token, at).unwrap().is_some();
    assert!(!holds_at(NOW - LEEWAY - 1));
    assert!(holds_at(NOW - LEEWAY));
    assert!(holds_at(NOW + 60_000 + LEEWAY - 1));
    assert!(!holds_at(NOW + 60_000 + LEEWAY));
    assert!(!holds_at(0) && !holds_at(Millis::MAX));
}

#[test]
fn times_may_have_fractions_and_must_be_times() {
    let verifier = by_secret();
    let token = by_hmac(json!({"exp": 1_800_000_001.5}));
    let found = verifier.verify(&token, NOW).unwrap().expect("it holds");
    assert_eq!(found.expires, Some(NOW + 1_500 + LEEWAY));
    assert!(holds(&verifier, &by_hmac(json!({"exp": u64::MAX}))));
    for changes in [
        json!({"exp": null}),
        json!({"exp": "1800000060"}),
        json!({"exp": -1}),
        json!({"exp": 1e300}),
        json!({"exp": [1_800_000_060]}),
        json!({"exp": 0}),
        json!({"nbf": "soon"}),
        json!({"nbf": 1e300}),
        json!({"nbf": u64::MAX}),
    ] {
        assert!(!holds(&verifier, &by_hmac(changes.clone())), "{changes}");
    }
}

#[test]
fn the_account_is_a_text_of_bounded_length_in_the_claim_that_is_configured() {
    let verifier = by_secret();
    assert!(holds(&verifier, &by_hmac(json!({"sub": "x".repeat(16)}))));
    for changes in [
        json!({"sub": null}),
        json!({"sub": ""}),
        json!({"sub": 7}),
        json!({"sub": ["u1"]}),
        json!({"sub": "x".repeat(17)}),
        json!({"sub": "a\nb"}),
    ] {
        assert!(!holds(&verifier, &by_hmac(changes.clone())), "{changes}");
    }
    let mut config = config(&[JwtAlgorithm::Hs256], JwtKeys::Shared(Secret::new(SECRET)));
    config.account_claim = "https://issuer.example/account".to_owned();
    let verifier = JwtVerifier::new(&config, 16).unwrap();
    let token = by_hmac(json!({"https://issuer.example/account": "u7"}));
    let found = verifier.verify(&token, NOW).unwrap().expect("it holds");
    assert_eq!(found.account.as_str(), "u7");
    assert!(!holds(&verifier, &by_hmac(json!({}))));
}

/// A token with this header, signed by HMAC with `key`.
fn with_header(header: &Value, key: &[u8]) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(&claims(json!({}))));
    let key = EncodingKey::from_secret(key);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256);
    format!("{message}.{}", signature.unwrap())
}

#[test]
fn a_jwt_without_a_signature_or_by_another_algorithm_does_not_hold() {
    let verifier = by_secret();
    let good = with_header(&json!({"alg": "HS256"}), SECRET.as_bytes());
    assert!(holds(&verifier, &good));
    let (signed_part, _) = good.rsplit_once('.').unwrap();
    assert!(!holds(&verifier, &format!("{signed_part}.")));
    for alg in [
        "none", "None", "NONE", "HS384", "RS256", "EdDSA", "hs256", "",
    ] {
        let token = with_header(&json!({"alg": alg}), SECRET.as_bytes());
        let (unsigned, _) = token.rsplit_once('.').unwrap();
        assert!(!holds(&verifier, &token), "{alg}");
        assert!(!holds(&verifier, &format!("{unsigned}.")), "{alg}");
    }
    let hs512 = signed(&hmac(), Algorithm::HS512, None, &claims(json!({})));
    assert!(!holds(&verifier, &hs512));
}

#[test]
fn a_public_key_does_not_pass_for_a_secret() {
    let cases = [
        (JwtAlgorithm::Rs256, RSA_PUBLIC.to_owned()),
        (JwtAlgorithm::Es256, ec_pem(1)),
    ];
    for (algorithm, pem) in cases {
        let verifier = verifier(algorithm, JwtKeys::PublicKey(pem.clone()));
        for key in [pem.as_bytes(), pem.trim_end().as_bytes(), b""] {
            for alg in ["HS256", "RS256", "ES256"] {
                let token = with_header(&json!({"alg": alg}), key);
                assert!(!holds(&verifier, &token), "{alg}");
            }
        }
    }
}

#[test]
fn a_jwt_by_another_key_or_with_a_changed_claim_does_not_hold() {
    let verifier = verifier(JwtAlgorithm::Es256, JwtKeys::PublicKey(ec_pem(1)));
    let other = signed(&ec(2), Algorithm::ES256, None, &claims(json!({})));
    assert!(!holds(&verifier, &other));
    let good = signed(&ec(1), Algorithm::ES256, None, &claims(json!({})));
    assert!(holds(&verifier, &good));
    let parts: Vec<&str> = good.split('.').collect();
    let forged = URL_SAFE_NO_PAD.encode(claims(json!({"sub": "u2"})).to_string());
    assert!(!holds(&verifier, &[parts[0], &forged, parts[2]].join(".")));
}

#[test]
fn a_header_that_must_be_understood_and_is_not_does_not_hold() {
    let header = json!({"alg": "HS256", "crit": ["b64"], "b64": false});
    assert!(!holds(
        &by_secret(),
        &with_header(&header, SECRET.as_bytes())
    ));
    // Nor does a key that the token brings along count.
    let header = json!({"alg": "HS256", "jwk": {"kty": "oct", "k": "AAAA"}});
    assert!(!holds(&by_secret(), &with_header(&header, b"\0\0\0")));
}

#[test]
fn a_token_that_is_too_long_is_refused_unread() {
    let verifier = by_secret();
    let padded = |length: usize| by_hmac(json!({"pad": "x".repeat(length)}));
    assert!(holds(&verifier, &padded(5_000)));
    assert!(!holds(&verifier, &padded(7_000)));
    assert_eq!(JwtVerifier::digest_of(&padded(7_000)), None);
}

/// The same signature by ES256, written another way: with the order of the curve minus `s`.
fn twisted(token: &str) -> String {
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63,
        0x25, 0x51,
    ];
    let (message, signature) = token.rsplit_once('.').unwrap();
    let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let mut borrow = false;
    for (digit, order) in signature[32..].iter_mut().zip(ORDER).rev() {
        let (difference, first) = order.overflowing_sub(*digit);
        let (difference, second) = difference.overflowing_sub(u8::from(borrow));
        borrow = first || second;
        *digit = difference;
    }
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn a_jwt_is_known_by_what_is_signed_so_a_second_signature_does_not_make_it_another() {
    let verifier = verifier(JwtAlgorithm::Es256, JwtKeys::PublicKey(ec_pem(1)));
    let token = signed(&ec(1), Algorithm::ES256, None, &claims(json!({})));
    let twisted = twisted(&token);
    assert_ne!(token, twisted);
    let digest = |token: &str| verifier.verify(token, NOW).unwrap().map(|jwt| jwt.digest);
    assert_eq!(digest(&token), digest(&twisted));
    assert!(digest(&token).is_some());
    assert_eq!(JwtVerifier::digest_of("abc"), None);
    assert_eq!(JwtVerifier::digest_of("a.b.c.d"), None);
}

#[test]
fn a_public_key_that_fits_no_algorithm_or_is_weak_is_refused_at_the_start() {
    for (algorithm, pem) in [
        (JwtAlgorithm::Rs256, ec_pem(1)),
        (JwtAlgorithm::Es256, RSA_PUBLIC.to_owned()),
        (JwtAlgorithm::Rs256, RSA_WEAK.to_owned()),
        (JwtAlgorithm::Es256, P384.to_owned()),
        (JwtAlgorithm::Rs256, "-----BEGIN PUBLIC KEY-----".to_owned()),
        (JwtAlgorithm::Rs256, RSA_PUBLIC.replace("MII", "AII")),
    ] {
        let config = config(&[algorithm], JwtKeys::PublicKey(pem.clone()));
        let error = JwtVerifier::new(&config, 16).expect_err(&pem);
        assert!(
            error.to_string().contains("is no public key in PEM"),
            "{error}"
        );
    }
}

fn set(keys: &[Value]) -> String {
    json!({"keys": keys}).to_string()
}

/// A verifier with the keys of a file.
fn by_file(algorithms: &[JwtAlgorithm], text: &str) -> Result<JwtVerifier, JwtSetupError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    std::fs::write(&path, text).unwrap();
    JwtVerifier::new(&config(algorithms, JwtKeys::JwksFile(path)), 16)
}

#[test]
fn the_kid_of_a_jwt_picks_the_key_of_a_set() {
    let text = set(&[
        written(&ec(1), Algorithm::ES256, Some("one")),
        written(&ec(2), Algorithm::ES256, Some("two")),
        written(&rsa(), Algorithm::RS256, Some("three")),
    ]);
    let verifier = by_file(&[JwtAlgorithm::Rs256, JwtAlgorithm::Es256], &text).unwrap();
    let holds =
        |key: &EncodingKey, alg, kid| holds(&verifier, &signed(key, alg, kid, &claims(json!({}))));
    assert!(holds(&ec(1), Algorithm::ES256, Some("one")));
    assert!(holds(&ec(2), Algorithm::ES256, Some("two")));
    assert!(holds(&rsa(), Algorithm::RS256, Some("three")));
    assert!(!holds(&ec(1), Algorithm::ES256, Some("two")));
    assert!(!holds(&ec(1), Algorithm::ES256, Some("three")));
    assert!(!holds(&ec(1), Algorithm::ES256, Some("four")));
    // Without a kid those that fit are tried.
    assert!(holds(&ec(2), Algorithm::ES256, None));
    assert!(!holds(&ec(3), Algorithm::ES256, None));
}

#[test]
fn keys_of_a_set_that_are_not_for_us_do_not_spoil_the_others() {
    let with = |name: &str, value: Value| {
        let mut key = written(&ec(1), Algorithm::ES256, Some("one"));
        key[name] = value;
        key
    };
    let secret = json!({"kty": "oct", "kid": "one", "k": URL_SAFE_NO_PAD.encode(SECRET)});
    let strange = [
        json!(7),
        json!({"kty": "AKP", "alg": "ML-DSA-44", "kid": "one", "pub": "AAAA"}),
        with("use", json!("enc")),
        with("key_ops", json!(["sign"])),
        with("alg", json!("ES384")),
        with("alg", json!("ES257")),
        with("crv", json!("P-521")),
        with("x", json!(URL_SAFE_NO_PAD.encode([1; 32]))),
        with("x", json!("AQ")),
        secret,
    ];
    let token = signed(&ec(1), Algorithm::ES256, Some("one"), &claims(json!({})));
    for key in strange {
        let error = by_file(&[JwtAlgorithm::Es256], &set(std::slice::from_ref(&key)))
            .expect_err("no key fits");
        assert!(
            error.to_string().contains("holds no key that fits"),
            "{key}: {error}"
        );
        let good = written(&ec(1), Algorithm::ES256, Some("one"));
        let verifier = by_file(&[JwtAlgorithm::Es256], &set(&[key, good])).unwrap();
        assert!(holds(&verifier, &token));
    }
    let good = with("use", json!("sig"));
    assert!(by_file(&[JwtAlgorithm::Es256], &set(&[good])).is_ok());
}

#[test]
fn a_set_in_a_file_may_hold_the_secret_of_hs256_if_it_is_long_enough() {
    let secret = |k: &str| json!({"kty": "oct", "kid": "s", "k": URL_SAFE_NO_PAD.encode(k)});
    let verifier = by_file(&[JwtAlgorithm::Hs256], &set(&[secret(SECRET)])).unwrap();
    let token = signed(&hmac(), Algorithm::HS256, Some("s"), &claims(json!({})));
    assert!(holds(&verifier, &token));
    assert!(by_file(&[JwtAlgorithm::Hs256], &set(&[secret(&SECRET[1..])])).is_err());
}

#[test]
fn a_file_of_keys_that_cannot_be_used_is_refused_at_the_start() {
    for (text, why) in [
        ("", "is no set of keys"),
        ("{}", "is no set of keys"),
        ("[]", "is no set of keys"),
        ("{\"keys\":[]}", "holds no key"),
        (&"[".repeat(100_000), "is no set of keys"),
        (&" ".repeat(2 << 20), "is longer than 1048576 bytes"),
    ] {
        let error = by_file(&[JwtAlgorithm::Rs256], text).expect_err(why);
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn neither_tokens_nor_keys_show_for_debugging() {
    let verifier = by_secret();
    let token = by_hmac(json!({}));
    let found = verifier.verify(&token, NOW).unwrap();
    let text = format!("{verifier:?} {verifier:#?} {found:?}");
    assert!(text.contains("issuer.example"), "{text}");
    for hidden in [SECRET, &token, token.rsplit('.').next().unwrap()] {
        assert!(!text.contains(hidden), "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_verifier_panic(text in "\\PC{0,200}|[A-Za-z0-9_-]{0,60}(\\.[A-Za-z0-9_-]{0,60}){0,4}") {
        prop_assert!(!holds(&by_secret(), &text));
        let _either_way = JwtVerifier::digest_of(&text);
    }

    #[test]
    fn no_header_and_no_claims_make_the_verifier_panic(header in "\\PC{0,60}", body in "\\PC{0,60}") {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let header = format!("{{\"alg\":\"HS256\",\"x\":{header}}}");
        for header in [header.as_str(), "{\"alg\":\"HS256\"}"] {
            let message = format!("{}.{}", part(header), part(&body));
            let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &hmac(), Algorithm::HS256);
            let token = format!("{message}.{}", signature.unwrap());
            prop_assert!(!holds(&by_secret(), &token));
        }
    }

    #[test]
    fn no_set_of_keys_makes_the_reader_panic(text in "\\PC{0,60}", x in "[A-Za-z0-9_=-]{0,50}", y in "[A-Za-z0-9_=-]{0,50}") {
        let all = [Algorithm::HS256, Algorithm::RS256, Algorithm::ES256];
        let _either_way = KeySet::from_jwks(text.as_bytes(), &all);
        let keys = json!([
            {"kty": "EC", "crv": "P-256", "x": x, "y": y},
            {"kty": "RSA", "n": x.repeat(8), "e": y},
            {"kty": "oct", "k": x},
        ]);
        if let Ok(set) = KeySet::from_jwks(json!({"keys": keys}).to_string().as_bytes(), &all) {
            for alg in all {
                for key in set.fitting(alg, None) {
                    let _either_way = jsonwebtoken::crypto::verify("AAAA", b"x", key, alg);
                }
            }
        }
    }
}

/// A web server that gives one answer after the other the same way, until it is told otherwise.
#[derive(Clone)]
struct Issuer {
    url: String,
    answer: Arc<Mutex<(String, usize)>>,
}

impl Issuer {
    async fn start(answer: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks?x=sesame", listener.local_addr().unwrap());
        let answer = Arc::new(Mutex::new((answer, 0)));
        let served = Arc::clone(&answer);
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut head = [0; 4096];
                let _request = socket.read(&mut head).await;
                let text = {
                    let mut answer = served.lock().unwrap();
                    answer.1 += 1;
                    answer.0.clone()
                };
                let _sent = socket.write_all(text.as_bytes()).await;
                let _closed = socket.shutdown().await;
            }
        });
        Self { url, answer }
    }

    fn answer(&self, text: String) {
        self.answer.lock().unwrap().0 = text;
    }

    /// How often it was asked.
    fn asked(&self) -> usize {
        self.answer.lock().unwrap().1
    }
}

fn ok(body: &str, headers: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
}

/// A pace for people who do not want to wait.
const QUICK: Pace = Pace {
    refresh: Duration::from_secs(3600),
    shortest: Duration::from_millis(20),
    longest: Duration::from_secs(3600),
    asked: Duration::from_millis(50),
    retry: Duration::from_millis(20),
    most_retry: Duration::from_millis(40),
};

/// A verifier that gets its keys from there at that pace, and the fetching of them.
fn by_url(issuer: &Issuer, pace: Pace) -> (JwtVerifier, tokio::task::JoinHandle<()>) {
    let config = config(&[JwtAlgorithm::Es256], JwtKeys::JwksUrl(issuer.url.clone()));
    let rules = Rules::new(&config, 16);
    let source = Source::Url(Box::new(Site::new(&issuer.url).unwrap()));
    let ring = KeyRing::refreshed(None, source, &rules.algorithms, pace);
    let verifier = JwtVerifier { rules, ring };
    let fetching = tokio::spawn(verifier.keep_keys_fresh());
    (verifier, fetching)
}

/// Waits until `condition`; says what it waits for when that takes too long.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "it never came to this: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

fn by_ec(number: u8, kid: &str) -> String {
    signed(&ec(number), Algorithm::ES256, Some(kid), &claims(json!({})))
}

fn public(number: u8, kid: &str) -> Value {
    written(&ec(number), Algorithm::ES256, Some(kid))
}

#[tokio::test]
async fn keys_that_are_rotated_are_fetched_when_a_jwt_names_one() {
    let issuer = Issuer::start(ok(&set(&[public(1, "one")]), "")).await;
    let (verifier, fetching) = by_url(&issuer, QUICK);
    let (old, new) = (by_ec(1, "one"), by_ec(2, "two"));
    until("the first keys", || verifier.verify(&old, NOW).is_ok()).await;
    assert!(holds(&verifier, &old));
    assert!(!holds(&verifier, &new));
    let both = set(&[public(1, "one"), public(2, "two")]);
    issuer.answer(ok(&both, ""));
    until("the second key", || holds(&verifier, &new)).await;
    assert!(holds(&verifier, &old));
    issuer.answer(ok(&set(&[public(2, "two")]), ""));
    until("the first key is gone", || {
        assert!(holds(&verifier, &new));
        !holds(&verifier, &by_ec(3, "three")) && !holds(&verifier, &old)
    })
    .await;
    fetching.abort();
}

#[tokio::test]
async fn unknown_keys_do_not_have_the_keys_fetched_more_often_than_allowed() {
    let issuer = Issuer::start(ok(&set(&[public(1, "one")]), "")).await;
    let pace = Pace {
        asked: Duration::from_secs(3600),
        ..QUICK
    };
    let (verifier, fetching) = by_url(&issuer, pace);
    let old = by_ec(1, "one");
    until("the first keys", || verifier.verify(&old, NOW).is_ok()).await;
    for number in 0..50 {
        assert!(!holds(&verifier, &by_ec(1, &format!("other-{number}"))));
        sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(issuer.asked(), 1);
    fetching.abort();
}

#[tokio::test]
async fn before_the_first_keys_a_jwt_is_not_judged_and_what_is_none_is_refused() {
    let refused = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
    let issuer = Issuer::start(refused.to_owned()).await;
    let (verifier, fetching) = by_url(&issuer, QUICK);
    until("two attempts", || issuer.asked() >= 2).await;
    let error = verifier.verify(&by_ec(1, "one"), NOW).expect_err("no keys");
    assert_eq!(error.retry_after, Duration::from_secs(1));
    for none in ["", "opaque", "a.b", "a.b.c", &by_hmac(json!({}))] {
        assert_eq!(verifier.verify(none, NOW), Ok(None), "{none}");
    }
    issuer.answer(ok(&set(&[public(1, "one")]), ""));
    until("keys", || verifier.verify(&by_ec(1, "one"), NOW).is_ok()).await;
    fetching.abort();
}

#[tokio::test]
async fn while_the_issuer_is_away_or_talks_nonsense_the_old_keys_stay() {
    let issuer = Issuer::start(ok(
        &set(&[public(1, "one")]),
        "cache-control: max-age=0\r\n",
    ))
    .await;
    let (verifier, fetching) = by_url(&issuer, QUICK);
    let token = by_ec(1, "one");
    until("the first keys", || verifier.verify(&token, NOW).is_ok()).await;
    let body = set(&[public(2, "one")]);
    for answer in [
        String::new(),
        "HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n".to_owned(),
        format!(
            "HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n",
            issuer.url
        ),
        ok("<html>", ""),
        ok("{\"keys\":[]}", ""),
        ok(&format!("{}{body}", " ".repeat(1 << 20)), ""),
        format!("HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n{body}"),
    ] {
        issuer.answer(answer.clone());
        let before = issuer.asked();
        until("two more attempts", || issuer.asked() >= before + 2).await;
        assert!(holds(&verifier, &token), "{answer:.60}");
    }
    issuer.answer(ok(&body, ""));
    until("the new key", || holds(&verifier, &by_ec(2, "one"))).await;
    fetching.abort();
}

#[tokio::test]
async fn a_file_of_keys_is_read_again_when_a_jwt_names_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    std::fs::write(&path, set(&[public(1, "one")])).unwrap();
    let config = config(&[JwtAlgorithm::Es256], JwtKeys::JwksFile(path.clone()));
    let rules = Rules::new(&config, 16);
    let source = Source::File(path.clone());
    let ring = KeyRing::refreshed(None, source, &rules.algorithms, QUICK);
    let verifier = JwtVerifier { rules, ring };
    let fetching = tokio::spawn(verifier.keep_keys_fresh());
    until("keys", || verifier.verify(&by_ec(1, "one"), NOW).is_ok()).await;
    std::fs::write(&path, set(&[public(2, "two")])).unwrap();
    until("the other key", || holds(&verifier, &by_ec(2, "two"))).await;
    fetching.abort();
}

#[tokio::test]
async fn a_source_is_named_without_what_may_be_secret_in_it() {
    let issuer = Issuer::start(String::new()).await;
    let source = Source::Url(Box::new(Site::new(&issuer.url).unwrap()));
    assert!(issuer.url.starts_with(&source.to_string()));
    assert!(!source.to_string().contains("sesame"));
    let why = source.fetch().await.err().expect("an empty answer");
    assert!(!why.contains("sesame"), "{why}");
}

#[tokio::test]
async fn a_key_that_is_fixed_needs_no_fetching() {
    let fetching = by_secret().keep_keys_fresh();
    assert!(timeout(Duration::from_millis(20), fetching).await.is_err());
}

#[tokio::test]
async fn a_url_by_https_can_be_prepared_without_a_connection() {
    let keys = JwtKeys::JwksUrl("https://issuer.example/jwks".to_owned());
    let verifier = verifier(JwtAlgorithm::Es256, keys);
    assert!(verifier.verify(&by_ec(1, "one"), NOW).is_err());
}
