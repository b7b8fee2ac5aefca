//! The server's configuration file. Only what differs from the server's defaults; secrets stand in files of their own, which
//! it names.

use toml::{Table, Value};

use super::config_map::DRAIN_KEYS;
use super::pod::{ADMIN_PORT, DATA_FOLDER, HTTP_PORT};
use crate::api::{JwtSpec, LimitsSpec, LogFormat, LogLevel, RetentionSpec, SessionsSpec};
use crate::validate::{CONFIG_FOLDER, SecretPurpose, Store, Validated, Volume};

/// The server's own defaults, where the operator's word is the same.
const SERVER_BASE_PATH: &str = "/notice";
const SERVER_SESSIONS: i32 = 20_000;
const SERVER_CONNECT_RATE: i32 = 2000;
const SERVER_DRAIN_WINDOW: i64 = 60;
const SERVER_MAX_BYTES: i64 = 10 << 30;
const SERVER_MIN_FREE: i64 = 512 << 20;

/// The configuration as TOML.
#[must_use]
pub fn toml(cluster: &Validated, has_drain_key: bool) -> String {
    let mut file = File(top(cluster));
    file.section("auth", auth(cluster, has_drain_key));
    if let Some(jwt) = &cluster.auth.jwt {
        file.section("jwt", self::jwt(cluster, jwt));
    }
    let delivery = &cluster.delivery;
    file.section(
        "sessions",
        sessions(&delivery.sessions.clone().unwrap_or_default()),
    );
    file.section("delivery", self::delivery(cluster));
    file.section(
        "drain",
        Section::default().unless(
            "window_seconds",
            cluster.drain_window_seconds,
            SERVER_DRAIN_WINDOW,
        ),
    );
    file.section(
        "limits",
        limits(cluster, &delivery.limits.clone().unwrap_or_default()),
    );
    file.section(
        "retention",
        retention(&delivery.retention.clone().unwrap_or_default()),
    );
    match &cluster.store {
        Store::Embedded(volume) => file.section("store", store(volume)),
        Store::MongoDb(mongodb) => {
            let section = Section::default()
                .some("uri_file", secret(cluster, SecretPurpose::MongoDbUri))
                .some("database", mongodb.database.clone());
            file.section("mongodb", section);
        }
    }
    file.section("redis", redis(cluster));
    file.section("log", log(cluster));
    file.0.0.to_string()
}

/// A table under construction.
#[derive(Default)]
struct Section(Table);

impl Section {
    /// A setting that is always written.
    fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.insert(key.to_owned(), value.into());
        self
    }

    /// A setting that is written if somebody gave it.
    fn some(self, key: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// A setting that is written unless it is the server's default.
    fn unless<T: Into<Value> + PartialEq>(self, key: &str, value: T, default: T) -> Self {
        self.some(key, (value != default).then_some(value))
    }

    /// A list that is written unless it is empty.
    fn list<T: Into<Value>>(self, key: &str, items: impl IntoIterator<Item = T>) -> Self {
        let items: Vec<Value> = items.into_iter().map(Into::into).collect();
        self.some(key, (!items.is_empty()).then_some(items))
    }
}

struct File(Section);

impl File {
    fn section(&mut self, name: &str, section: Section) {
        if !section.0.is_empty() {
            self.0.0.insert(name.to_owned(), Value::Table(section.0));
        }
    }
}

fn top(cluster: &Validated) -> Section {
    let base_path = match cluster.base_path.as_str() {
        "" => "/",
        path => path,
    };
    Section::default()
        .with("listen", format!("0.0.0.0:{HTTP_PORT}"))
        .with("admin_listen", format!("0.0.0.0:{ADMIN_PORT}"))
        .unless("base_path", base_path, SERVER_BASE_PATH)
        .some("data_dir", cluster.is_embedded().then_some(DATA_FOLDER))
        .list("trusted_proxies", cluster.trusted_proxies.clone())
}

fn secret(cluster: &Validated, purpose: SecretPurpose) -> Option<String> {
    cluster.secret(purpose).map(|used| used.file())
}

fn auth(cluster: &Validated, has_drain_key: bool) -> Section {
    let drain_keys = has_drain_key.then(|| format!("{CONFIG_FOLDER}/{DRAIN_KEYS}"));
    Section::default()
        .some("api_keys_file", secret(cluster, SecretPurpose::ApiKeys))
        .some("drain_keys_file", drain_keys)
        .list("allowed_origins", cluster.auth.allowed_origins.clone())
}

fn jwt(cluster: &Validated, jwt: &JwtSpec) -> Section {
    Section::default()
        .some("issuer", jwt.issuer.clone())
        .list("audience", jwt.audience.clone())
        .list(
            "algorithms",
            jwt.algorithms.iter().map(|algorithm| algorithm.name()),
        )
        .some("jwks_url", jwt.jwks_url.clone())
        .some("key_file", secret(cluster, SecretPurpose::JwtKey))
        .some("account_claim", jwt.account_claim.clone())
}

fn sessions(sessions: &SessionsSpec) -> Section {
    Section::default()
        .some("default_ttl_seconds", sessions.default_ttl_seconds)
        .some("max_ttl_seconds", sessions.max_ttl_seconds)
        .some("expiring_notice_seconds", sessions.expiring_notice_seconds)
        .some("one_per_account", sessions.one_per_account)
}

fn delivery(cluster: &Validated) -> Section {
    let delivery = &cluster.delivery;
    Section::default()
        .some("window", delivery.ack_window)
        .some("ping_seconds", delivery.ping_seconds)
        .some("pong_timeout_seconds", delivery.pong_timeout_seconds)
        .some("sweep_seconds", delivery.sweep_seconds)
        .some("poll_busy_ms", delivery.poll_busy_milliseconds)
        .some("poll_idle_ms", delivery.poll_idle_milliseconds)
}

fn limits(cluster: &Validated, limits: &LimitsSpec) -> Section {
    Section::default()
        .some("message_bytes", limits.message_bytes)
        .some("account_id_bytes", limits.account_id_bytes)
        .some("notices_per_call", limits.notices_per_call)
        .some("ids_per_ack", limits.ids_per_ack)
        .some("unread_per_account", limits.unread_per_account)
        .some("sessions_per_account", limits.sessions_per_account)
        .some("body_bytes", limits.body_bytes)
        .some("stage_rate_per_key", limits.stage_rate_per_key)
        .some("send_rate_per_account", limits.send_rate_per_account)
        .unless("sessions", cluster.capacity.max_sessions, SERVER_SESSIONS)
        .unless(
            "connects_per_second",
            cluster.capacity.connect_rate,
            SERVER_CONNECT_RATE,
        )
}

fn retention(retention: &RetentionSpec) -> Section {
    Section::default()
        .some("notices_days", retention.notices_days)
        .some("idempotency_hours", retention.idempotency_hours)
}

/// The store may fill its volume, but for an eighth, or half a gibibyte where that is less.
fn store(volume: &Volume) -> Section {
    let bytes = i64::try_from(volume.bytes).unwrap_or(i64::MAX);
    Section::default()
        .unless("max_bytes", bytes.clamp(1 << 26, 1 << 50), SERVER_MAX_BYTES)
        .unless(
            "min_free_bytes",
            (bytes / 8).min(SERVER_MIN_FREE),
            SERVER_MIN_FREE,
        )
}

fn redis(cluster: &Validated) -> Section {
    let Some(redis) = &cluster.redis else {
        return Section::default();
    };
    Section::default()
        .some("uri_file", secret(cluster, SecretPurpose::RedisUri))
        .some("key_prefix", redis.key_prefix.clone())
        .some("namespace", redis.namespace.clone())
        .some("ca_file", secret(cluster, SecretPurpose::RedisCa))
}

fn log(cluster: &Validated) -> Section {
    let level = match cluster.log.level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    let format = match cluster.log.format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    Section::default()
        .unless("level", level, "info")
        .unless("format", format, "text")
}
