//! MongoDB and Redis: how they are chosen, and what does not go together.

use std::time::Duration;

use super::*;
use crate::config::{InboxBackend, MongoDbConfig, RedisConfig, Secret, Warning, WriteConcern};

const MONGODB: (&str, &str) = (
    "NOTICE_MONGODB_URI",
    "mongodb://u:sesame@a,b/?replicaSet=rs0",
);
const REDIS: (&str, &str) = ("NOTICE_REDIS_URI", "redis://u:sesame@db/1");
const REDIS_TLS: (&str, &str) = ("NOTICE_REDIS_URI", "rediss://u:sesame@db");

fn mongodb(loaded: &Loaded) -> &MongoDbConfig {
    match &loaded.config.inbox {
        InboxBackend::MongoDb(config) => config,
        InboxBackend::Embedded => panic!("MongoDB was chosen"),
    }
}

fn redis(env: &[(&str, &str)]) -> RedisConfig {
    let loaded = load_with(env, &[]).expect("valid");
    loaded.config.redis.expect("Redis was chosen")
}

#[test]
fn a_uri_chooses_mongodb_with_the_documented_defaults() {
    let loaded = load_with(&[MONGODB, REDIS], &[]).expect("valid");
    assert_eq!(loaded.warnings, []);
    let expected = MongoDbConfig {
        uri: Secret::new(MONGODB.1),
        database: "notice".to_owned(),
        write_concern: WriteConcern::Majority,
        max_connections: 16,
    };
    assert_eq!(mongodb(&loaded), &expected);
    assert_eq!(loaded.config.jwt, None);
}

#[test]
fn a_write_concern_is_the_majority_or_a_number_of_members() {
    for (word, concern) in [
        ("majority", WriteConcern::Majority),
        ("1", WriteConcern::Members(1)),
        ("50", WriteConcern::Members(50)),
    ] {
        let loaded = load_with(&[MONGODB, REDIS], &[("mongodb.write_concern", word)]);
        assert_eq!(mongodb(&loaded.expect("valid")).write_concern, concern);
    }
}

#[test]
fn mongodb_without_redis_is_a_warning() {
    let loaded = load_with(&[MONGODB], &[("delivery.poll_idle_ms", "700")]).expect("valid");
    let pause = Duration::from_millis(700);
    assert_eq!(loaded.warnings, [Warning::PollingOnly { pause }]);
    assert!(loaded.warnings[0].to_string().contains("700 ms later"));
    assert_eq!(loaded.config.redis, None);
}

#[test]
fn redis_may_stand_beside_the_embedded_store() {
    let loaded = load_with(&[REDIS], &[]).expect("valid");
    assert_eq!(loaded.config.inbox, InboxBackend::Embedded);
    assert_eq!(loaded.warnings, []);
    let redis = loaded.config.redis.expect("chosen");
    assert_eq!(redis.endpoint.to_string(), "redis://db:6379/1");
    assert_eq!(redis.key_prefix, "session:");
    assert_eq!(redis.namespace, "notice:notice:");
}

#[test]
fn the_namespace_is_named_after_the_database_unless_it_is_given() {
    let database = ("NOTICE_MONGODB_DATABASE", "rides");
    let with = |namespace| redis(&[REDIS, database, ("NOTICE_REDIS_NAMESPACE", namespace)]);
    assert_eq!(with("").namespace, "notice:rides:");
    assert_eq!(with("n7/").namespace, "n7/");
}

#[test]
fn a_prefix_of_tokens_within_the_namespace_is_refused_and_the_reverse_is_fine() {
    for (prefix, namespace, fits) in [
        ("notice:notice:", "", false),
        ("notice:notice:s:", "", false),
        ("n:", "n:", false),
        ("notice:", "", true),
        ("", "n:", true),
        ("n", "n:", true),
    ] {
        let words = [
            REDIS,
            ("NOTICE_REDIS_KEY_PREFIX", prefix),
            ("NOTICE_REDIS_NAMESPACE", namespace),
        ];
        let result = load_with(&words, &[]);
        if fits {
            assert_eq!(
                result.expect("valid").config.redis.unwrap().key_prefix,
                prefix
            );
        } else {
            let told = mistake(result);
            assert!(told.starts_with("redis.key_prefix (NOTICE_REDIS_KEY_PREFIX) and "));
            assert!(told.contains("none could be taken"), "{told}");
        }
    }
}

#[test]
fn a_uri_that_cannot_be_right_is_refused_by_its_setting_without_its_text() {
    let folder = Folder::new();
    let file = folder.file("uri", "redis://u:sesame/x@db\n");
    let file = file.to_str().unwrap();
    for (variable, value, setting) in [
        (
            "NOTICE_MONGODB_URI",
            "postgres://u:sesame@db",
            "mongodb.uri",
        ),
        ("NOTICE_MONGODB_URI", "mongodb://u:sesame@", "mongodb.uri"),
        ("NOTICE_MONGODB_URI_FILE", file, "mongodb.uri_file"),
        (
            "NOTICE_REDIS_URI",
            "redis+cluster://u:sesame@a/7",
            "redis.uri",
        ),
        ("NOTICE_REDIS_URI_FILE", file, "redis.uri_file"),
    ] {
        let told = mistake(load_with(&[(variable, value)], &[]));
        assert!(
            told.starts_with(&format!("{setting} ({variable}): ")),
            "{told}"
        );
        assert!(!told.contains("sesame"), "{told}");
    }
}

#[test]
fn a_uri_in_a_file_may_have_space_around_it() {
    let folder = Folder::new();
    let file = folder.file("uri", "\n redis://db \r\n\n");
    let redis = redis(&[("NOTICE_REDIS_URI_FILE", file.to_str().unwrap())]);
    assert_eq!(redis.endpoint.to_string(), "redis://db:6379/0");
}

/// Flags that name a certificate for each of these settings.
fn certificates<'a>(files: &[(&'a str, &'a Path)]) -> Vec<(&'a str, &'a str)> {
    let named = files.iter();
    named
        .map(|(setting, path)| (*setting, path.to_str().unwrap()))
        .collect()
}

#[test]
fn files_for_tls_are_pem_come_in_pairs_and_need_tls() {
    let folder = Folder::new();
    let certificate = folder.file("cert", "-----BEGIN CERTIFICATE-----\n");
    let key = folder.file("key", "-----BEGIN EC PRIVATE KEY-----\n");
    let (ca, cert) = (
        ("redis.ca_file", &*certificate),
        ("redis.client_cert_file", &*certificate),
    );
    let pair = certificates(&[ca, cert, ("redis.client_key_file", &key)]);
    let loaded = load_with(&[REDIS_TLS], &pair).expect("valid");
    let tls = loaded.config.redis.unwrap().tls;
    assert_eq!(tls.ca_file.as_deref(), Some(&*certificate));
    assert_eq!(tls.client.unwrap().key_file, key);

    let told = mistake(load_with(&[REDIS_TLS], &certificates(&[cert])));
    assert!(told.contains("one without the other"), "{told}");
    let told = mistake(load_with(&[REDIS], &certificates(&[ca])));
    let both = "redis.uri (NOTICE_REDIS_URI) and redis.ca_file (command line): there are files";
    assert!(told.starts_with(both), "{told}");
    let told = mistake(load_with(&[], &certificates(&[("redis.ca_file", &key)])));
    assert!(
        told.contains("holds no PEM block \"BEGIN CERTIFICATE\""),
        "{told}"
    );
}
