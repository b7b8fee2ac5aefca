//! An issuer of JWTs, and the settings of a server that takes them.

use std::sync::atomic::{AtomicU64, Ordering};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use notice_server::clock::Clock;
use serde_json::{Value, json};

const NAME: &str = "https://issuer.example";
const AUDIENCE: &str = "notice";
/// Keys that everybody knows: they protect nothing.
const SECRET: &str = "only-for-tests-0123456789abcdef-jwt";
const RSA: &[u8] = include_bytes!("../../src/tokens/jwt/testdata/rsa.pem");

/// What PKCS #8 puts before the 32 bytes of a P-256 key.
const P256: [u8; 35] = [
    0x30, 0x41, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
    0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x27, 0x30, 0x25, 0x02, 0x01,
    0x01, 0x04, 0x20,
];

/// Numbers the JWTs: two of one account and one end differ.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Who signs JWTs, with one key.
pub struct Issuer {
    algorithm: Algorithm,
    key: EncodingKey,
    kid: Option<String>,
}

impl Issuer {
    /// With the secret that is in [`Self::settings`].
    pub fn hs256() -> Self {
        Self::with_secret(Algorithm::HS256, SECRET)
    }

    /// With another secret, or by another algorithm of its kind.
    pub fn with_secret(algorithm: Algorithm, secret: &str) -> Self {
        let key = EncodingKey::from_secret(secret.as_bytes());
        Self {
            algorithm,
            key,
            kid: None,
        }
    }

    /// By ES256, with the key of this number.
    pub fn es256(number: u8) -> Self {
        let key = EncodingKey::from_ec_der(&[&P256[..], &[number; 32]].concat());
        Self {
            algorithm: Algorithm::ES256,
            key,
            kid: None,
        }
    }

    /// By RS256.
    pub fn rs256() -> Self {
        Self {
            algorithm: Algorithm::RS256,
            key: EncodingKey::from_rsa_pem(RSA).unwrap(),
            kid: None,
        }
    }

    /// The same key, named in the header.
    pub fn named(mut self, kid: &str) -> Self {
        self.kid = Some(kid.to_owned());
        self
    }

    /// The secret of [`Self::hs256`].
    pub fn secret() -> &'static str {
        SECRET
    }

    /// A server that takes what [`Self::hs256`] signs.
    pub fn settings() -> [(&'static str, &'static str); 4] {
        [
            ("NOTICE_JWT_ISSUER", NAME),
            ("NOTICE_JWT_AUDIENCE", AUDIENCE),
            ("NOTICE_JWT_ALGORITHMS", "HS256"),
            ("NOTICE_JWT_KEY", SECRET),
        ]
    }

    /// The public half of the key, as a set has it.
    pub fn public(&self) -> Value {
        let mut written = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        written.common.key_id.clone_from(&self.kid);
        serde_json::to_value(written).unwrap()
    }

    /// A JWT of an account that ends in so many seconds.
    pub fn jwt(&self, account: &str, seconds: u64) -> String {
        self.jwt_with(account, &json!({"exp": Self::now() + seconds}))
    }

    /// A JWT of an account that holds for an hour, but for what `changes` says; null takes a claim out.
    pub fn jwt_with(&self, account: &str, changes: &Value) -> String {
        let mut claims = json!({
            "iss": NAME,
            "aud": AUDIENCE,
            "sub": account,
            "exp": Self::now() + 3600,
            "jti": NUMBER.fetch_add(1, Ordering::Relaxed).to_string(),
        });
        let all = claims.as_object_mut().unwrap();
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => drop(all.remove(name)),
                value => drop(all.insert(name.clone(), value.clone())),
            }
        }
        let mut header = Header::new(self.algorithm);
        header.kid.clone_from(&self.kid);
        encode(&header, &claims, &self.key).unwrap()
    }

    /// A JWT that has at least so many bytes, and a few more.
    pub fn jwt_of_bytes(&self, account: &str, bytes: usize) -> String {
        // Three bytes are four characters.
        let long = self.jwt_with(account, &json!({"groups": "x".repeat(bytes / 4 * 3)}));
        assert!((bytes..bytes + 512).contains(&long.len()), "{}", long.len());
        long
    }

    /// The time by which JWTs end, in seconds.
    pub fn now() -> u64 {
        Clock::System.now() / 1000
    }
}
