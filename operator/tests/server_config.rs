//! The server's own parser takes every configuration that the operator writes, and reads in it what the spec says.

mod support;

use std::path::Path;
use std::time::Duration;

use notice_operator::build::server_config;
use notice_operator::validate::{CONFIG_FOLDER, Validated};
use notice_server::config::{self, Config, InboxBackend, JwtAlgorithm, JwtKeys, Overrides};
use serde_json::json;
use support::{DRAIN_KEY, manifest, validated, with, without};

/// What a Secret of this purpose would hold.
fn secret(folder: &str) -> String {
    match folder {
        "mongodb" => "mongodb://user:password@mongo:27017/?replicaSet=rs0\n".to_owned(),
        "redis" => "rediss://user:password@redis:6379\n".to_owned(),
        "api-keys" => "rides:0123456789abcdef0123\n".to_owned(),
        "jwt" => std::fs::read_to_string(support::folder("tests/keys/rs256-public.pem")).unwrap(),
        _ => std::fs::read_to_string(support::folder("tests/keys/ca.pem")).unwrap(),
    }
}

/// The pod's files in a folder, and the configuration as the server reads it there.
fn load(cluster: &Validated, here: &Path) -> Result<Config, String> {
    let toml = server_config::toml(cluster, true);
    let toml = toml.replace(CONFIG_FOLDER, here.to_str().unwrap());
    std::fs::write(here.join("drain-keys.pem"), DRAIN_KEY).unwrap();
    std::fs::write(here.join("notice-server.toml"), &toml).unwrap();
    for used in cluster.secrets() {
        let file = here.join(used.relative_file());
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, secret(used.purpose.folder())).unwrap();
    }
    let overrides = Overrides {
        config: Some(here.join("notice-server.toml")),
        ..Overrides::default()
    };
    let environment = match cluster.auth.api_keys_secret_ref {
        Some(_) => vec![],
        None => vec![(
            "NOTICE_API_KEYS",
            "nobody:5d3e1b0c-0000-4000-8000-000000000001",
        )],
    };
    let loaded = config::load(overrides, environment);
    loaded
        .map(|loaded| loaded.config)
        .map_err(|errors| format!("{errors}\n{toml}"))
}

fn config(cluster: &Validated) -> Config {
    let here = tempfile::tempdir().unwrap();
    load(cluster, here.path()).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn a_small_spec_leaves_the_server_with_its_defaults() {
    let config = config(&validated(&manifest("examples/embedded.yaml")));
    assert_eq!(config.listen, "0.0.0.0:8080".parse().unwrap());
    assert_eq!(config.admin_listen, "0.0.0.0:9090".parse().unwrap());
    assert_eq!(config.base_path, "/notice");
    assert_eq!(config.data_dir, Path::new("/var/lib/notice"));
    assert_eq!(config.inbox, InboxBackend::Embedded);
    assert_eq!(config.store.max_bytes, 10 << 30);
    assert_eq!(config.limits.sessions, 20_000);
    assert_eq!(config.drain.window, Duration::from_secs(60));
    assert_eq!(config.auth.drain_keys.len(), 1);
}

#[test]
fn each_setting_of_a_full_spec_reaches_the_server() {
    let cluster = validated(&manifest("tests/manifests/full.yaml"));
    let config = config(&cluster);
    assert_eq!(config.base_path, "/rides/push");
    assert_eq!(config.trusted_proxies.networks().len(), 3);
    let InboxBackend::MongoDb(mongodb) = &config.inbox else {
        panic!("{:?}", config.inbox)
    };
    assert_eq!(mongodb.database, "rides");
    let redis = config.redis.as_ref().unwrap();
    assert_eq!(
        (redis.key_prefix.as_str(), redis.namespace.as_str()),
        ("rides-session:", "rides:")
    );
    assert!(redis.tls.ca_file.is_some());
    let jwt = config.jwt.as_ref().unwrap();
    assert_eq!(jwt.issuer, "https://login.example.com/");
    assert_eq!(jwt.audience, ["rides"]);
    assert_eq!(jwt.algorithms, [JwtAlgorithm::Rs256]);
    assert_eq!(jwt.account_claim, "account");
    assert_eq!(config.auth.allowed_origins, ["https://app.example.com"]);
    assert_eq!(config.delivery.window, 64);
    assert_eq!(config.delivery.ping, Duration::from_secs(20));
    assert_eq!(config.delivery.pong_timeout, Duration::from_secs(9));
    assert_eq!(config.delivery.sweep, Duration::from_secs(31));
    assert_eq!(config.delivery.poll_busy, Duration::from_millis(110));
    assert_eq!(config.delivery.poll_idle, Duration::from_millis(1100));
    assert_eq!(config.retention.notices, Duration::from_secs(7 * 86_400));
    assert_eq!(config.retention.idempotency, Duration::from_secs(48 * 3600));
    assert_eq!(config.sessions.default_ttl, Duration::from_secs(3600));
    assert_eq!(config.sessions.max_ttl, Duration::from_secs(7200));
    assert_eq!(config.sessions.expiring_notice, Duration::from_secs(30));
    assert!(config.sessions.one_per_account);
    assert_eq!(config.drain.window, Duration::from_secs(120));
    let limits = &config.limits;
    assert_eq!(
        (
            limits.message_bytes,
            limits.account_id_bytes,
            limits.body_bytes
        ),
        (32_768, 64, 8 << 20)
    );
    assert_eq!((limits.notices_per_call, limits.ids_per_ack), (500, 501));
    assert_eq!(
        (limits.unread_per_account, limits.sessions_per_account),
        (5000, 10)
    );
    assert_eq!((limits.sessions, limits.connects_per_second), (50_000, 500));
    assert_eq!(limits.stage_rate_per_key.unwrap().get(), 10_000);
    assert_eq!(limits.send_rate_per_account.unwrap().get(), 20);
    assert_eq!(config.log.level, notice_server::config::LogLevel::Debug);
    assert_eq!(config.log.format, notice_server::config::LogFormat::Text);
}

#[test]
fn a_url_of_keys_reaches_the_server() {
    let config = config(&validated(&manifest("examples/gateway.yaml")));
    let keys = &config.jwt.unwrap().keys;
    assert!(matches!(keys, JwtKeys::JwksUrl(_)), "{keys:?}");
}

#[test]
fn the_root_as_base_path_reaches_the_server() {
    assert_eq!(
        config(&validated(&manifest("tests/manifests/root.yaml"))).base_path,
        ""
    );
}

#[test]
fn a_small_volume_is_filled_but_for_an_eighth() {
    let config = config(&validated(&with(
        &manifest("examples/embedded.yaml"),
        "spec.storage.size",
        json!("1Gi"),
    )));
    assert_eq!(
        (config.store.max_bytes, config.store.min_free_bytes),
        (1 << 30, 128 << 20)
    );
}

#[test]
fn a_server_without_api_keys_starts_with_one_that_nobody_is_told() {
    let manifest = without(
        &manifest("examples/ingress.yaml"),
        "spec.auth.apiKeysSecretRef",
    );
    let config = config(&validated(&manifest));
    assert!(!config.auth.api_keys.is_empty());
}

#[test]
fn no_secret_is_in_the_configuration() {
    let cluster = validated(&manifest("tests/manifests/full.yaml"));
    let toml = server_config::toml(&cluster, true);
    assert!(
        !toml.contains("\nuri ") && !toml.contains("api_keys =") && !toml.contains("\nkey ="),
        "{toml}"
    );
}

/// The extremes of each number that the schema admits are within the server's ranges.
#[test]
fn what_the_schema_admits_the_server_takes() {
    let schema = notice_operator::api::crd::schema().unwrap();
    let base = manifest("examples/ingress.yaml");
    let places = [
        "delivery",
        "delivery.limits",
        "delivery.retention",
        "delivery.sessions",
        "capacity",
        "drain",
    ];
    for place in places {
        let pointer = format!(
            "/properties/spec/properties/{}/properties",
            place.replace('.', "/properties/")
        );
        let fields = schema
            .pointer(&pointer)
            .unwrap_or_else(|| panic!("{pointer}"))
            .as_object()
            .unwrap();
        for (field, node) in fields.iter().filter(|(_, node)| node["type"] == "integer") {
            for bound in ["minimum", "maximum"] {
                let value = &node[bound];
                assert!(value.is_number(), "{place}.{field} has no {bound}");
                let at = format!("spec.{place}.{field}");
                let manifest = with(&base, &at, value.clone());
                if !notice_operator::validate::admission::admit(&manifest)
                    .unwrap()
                    .is_empty()
                {
                    continue; // Refused beside the others' defaults: a rule, not a range.
                }
                let here = tempfile::tempdir().unwrap();
                load(&validated(&manifest), here.path())
                    .unwrap_or_else(|errors| panic!("{at} = {value}: {errors}"));
            }
        }
    }
}
