//! JWTs: when they are taken, and which keys fit which algorithms.

use std::time::Duration;

use super::*;
use crate::config::{JwtAlgorithm, JwtConfig, JwtKeys, Secret, Warning};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const PEM: &str = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----";
const URL: &str = "https://keys.example/jwks.json";

/// Loads an issuer, an audience, these algorithms, and one more variable.
fn load_jwt(algorithms: &str, variable: &str, value: &str) -> Result<Loaded, ConfigErrors> {
    let env = [
        ("NOTICE_JWT_ISSUER", "https://issuer.example"),
        ("NOTICE_JWT_AUDIENCE", "notice,other,notice"),
        ("NOTICE_JWT_ALGORITHMS", algorithms),
        (variable, value),
    ];
    load_with(&env, &[])
}

fn jwt(algorithms: &str, variable: &str, value: &str) -> JwtConfig {
    let loaded = load_jwt(algorithms, variable, value).expect("valid");
    assert_eq!(loaded.warnings, []);
    loaded.config.jwt.expect("a key was given")
}

#[test]
fn a_key_turns_jwts_on_with_the_documented_defaults() {
    let expected = JwtConfig {
        issuer: "https://issuer.example".to_owned(),
        audience: vec!["notice".to_owned(), "other".to_owned()],
        algorithms: vec![JwtAlgorithm::Hs256],
        keys: JwtKeys::Shared(Secret::new(SECRET)),
        key_file: None,
        account_claim: "sub".to_owned(),
        leeway: Duration::from_secs(5),
    };
    assert_eq!(jwt("HS256", "NOTICE_JWT_KEY", SECRET), expected);
}

#[test]
fn keys_come_as_a_text_a_file_a_set_or_a_url() {
    let folder = Folder::new();
    let (pem, set) = (folder.file("pem", PEM), folder.file("jwks", "{}"));
    let public = JwtKeys::PublicKey(PEM.to_owned());
    let (pem, set_path) = (pem.to_str().unwrap(), set.to_str().unwrap());
    assert_eq!(jwt("RS256", "NOTICE_JWT_KEY", PEM).keys, public);
    let in_file = jwt("ES256", "NOTICE_JWT_KEY_FILE", pem);
    assert_eq!(in_file.keys, public);
    assert_eq!(in_file.key_file, Some(pem.into()));
    let keys = jwt("RS256,ES256", "NOTICE_JWT_JWKS_FILE", set_path).keys;
    assert_eq!(keys, JwtKeys::JwksFile(set.clone()));
    let keys = jwt("HS256", "NOTICE_JWT_JWKS_FILE", set_path).keys;
    assert_eq!(keys, JwtKeys::JwksFile(set));
    let keys = jwt("RS256,ES256", "NOTICE_JWT_JWKS_URL", URL).keys;
    assert_eq!(keys, JwtKeys::JwksUrl(URL.to_owned()));
}

#[test]
fn keys_over_plain_http_are_for_this_machine_only() {
    for url in [
        "http://127.0.0.1:80/a",
        "http://[::1]/a",
        "http://localhost/a?b",
    ] {
        let keys = jwt("RS256", "NOTICE_JWT_JWKS_URL", url).keys;
        assert_eq!(keys, JwtKeys::JwksUrl(url.to_owned()));
    }
    for url in [
        "https://u:sesame@keys.example/",
        "http://localhost@10.0.0.1/sesame",
    ] {
        let told = mistake(load_jwt("RS256", "NOTICE_JWT_JWKS_URL", url));
        assert!(
            told.contains("a user or a password") && !told.contains("sesame"),
            "{told}"
        );
    }
}

#[test]
fn a_key_without_what_a_jwt_must_have_is_refused_for_each() {
    let all = mistakes(load_with(&[("NOTICE_JWT_KEY", SECRET)], &[]));
    let begins = [
        "jwt.issuer (default) and ",
        "jwt.audience (",
        "jwt.algorithms (",
    ];
    assert_eq!(all.len(), begins.len(), "{all:#?}");
    for (told, begins) in all.iter().zip(begins) {
        assert!(told.starts_with(begins), "{told}");
        assert!(
            told.contains("jwt.key (NOTICE_JWT_KEY): there is a key"),
            "{told}"
        );
    }
}

#[test]
fn a_key_that_could_be_taken_for_another_kind_is_refused() {
    for (algorithms, variable, value, why) in [
        (
            "HS256,RS256",
            "NOTICE_JWT_JWKS_FILE",
            "/dev/null",
            "HS256 stands beside",
        ),
        ("ES256,HS256", "NOTICE_JWT_KEY", PEM, "HS256 stands beside"),
        ("HS256", "NOTICE_JWT_KEY", PEM, "HS256 takes a secret"),
        (
            "HS256",
            "NOTICE_JWT_JWKS_URL",
            URL,
            "what a URL gives is none",
        ),
        (
            "HS256",
            "NOTICE_JWT_KEY",
            &SECRET[1..],
            "the secret has 31 bytes",
        ),
        (
            "RS256",
            "NOTICE_JWT_KEY",
            SECRET,
            "take a public key in PEM",
        ),
        (
            "RS256,ES256",
            "NOTICE_JWT_KEY",
            PEM,
            "one public key is of one algorithm",
        ),
    ] {
        let told = mistake(load_jwt(algorithms, variable, value));
        assert!(told.contains(why), "{algorithms} {variable}: {told}");
        assert!(!told.contains("0123456789"), "{told}");
    }
}

#[test]
fn a_private_key_is_refused_with_a_word_of_caution() {
    for kind in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"] {
        let private = PEM.replace("PUBLIC KEY", kind);
        let told = mistake(load_jwt("RS256", "NOTICE_JWT_KEY", &private));
        assert!(told.contains("this is a private key"), "{told}");
        assert!(!told.contains("AAAA"), "{told}");
    }
}

#[test]
fn keys_from_two_places_contradict_each_other() {
    let env = [
        ("NOTICE_JWT_JWKS_URL", URL),
        ("NOTICE_JWT_JWKS_FILE", "/dev/null"),
    ];
    let all = mistakes(load_with(&env, &[("jwt.issuer", "i")]));
    let told = "jwt.jwks_file (NOTICE_JWT_JWKS_FILE) and jwt.jwks_url (NOTICE_JWT_JWKS_URL): the \
                keys would come from more than one place; leave all but one empty";
    assert_eq!(all[0], told);
}

#[test]
fn what_a_jwt_must_have_without_a_key_is_a_warning() {
    let loaded = load_with(&[("NOTICE_JWT_ISSUER", "i")], &[]).expect("valid");
    assert_eq!(loaded.warnings, [Warning::JwtWithoutKey]);
    assert_eq!(loaded.config.jwt, None);
    let told = mistake(load_jwt("RS256", "NOTICE_JWT_JWKS_FILE", "/nowhere/jwks"));
    assert!(told.contains("No such file"), "{told}");
}
