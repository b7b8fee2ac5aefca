//! From settings to the typed configuration: the range of each, and what does not go together.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use super::layers::{Settings, Source, Variables};
use super::mistakes::{Findings, Warning};
use super::reader::Reader;
use super::secret_files::InFile;
use super::types::{
    AuthConfig, Config, DeliveryConfig, DrainConfig, Limits, LogConfig, LogFormat, LogLevel,
    PageConfig, Retention, SessionConfig, StoreConfig, is_public,
};
use super::value::{Value, items};
use super::{
    ApiKeys, DrainKey, TrustedProxies, backends, drain_keys, files, jwt, parse, secret_files,
};

/// The units of time in seconds.
const SECOND: u64 = 1;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// Ten years: longer is a slip.
const MOST_TTL: i64 = 315_360_000;

/// No disk of one node is larger: 1 PiB.
const MOST_DISK: i64 = 1 << 50;

/// The highest rate that can be asked for.
const MOST_RATE: i64 = 1_000_000;

/// How long a pause between two polls may be, in milliseconds.
const POLL: RangeInclusive<i64> = 10..=60_000;

/// Reads all settings; what is wrong is left in `findings`, and the result is then of no use.
pub(super) fn config(
    settings: &mut Settings,
    variables: &Variables,
    findings: &mut Findings,
) -> Config {
    let mut reader = Reader::new(settings, findings);
    let config = read(&mut reader, variables);
    contradictions(&mut reader, &config);
    config
}

pub(super) fn read(reader: &mut Reader<'_>, variables: &Variables) -> Config {
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Config {
        listen: reader.parsed("listen", nowhere, parse::address),
        admin_listen: reader.parsed("admin_listen", nowhere, parse::address),
        base_path: reader.parsed("base_path", String::new(), parse::base_path),
        node_name: node_name(reader, variables),
        data_dir: reader.parsed("data_dir", PathBuf::new(), parse::folder),
        trusted_proxies: trusted_proxies(reader),
        auth: auth(reader),
        sessions: sessions(reader),
        delivery: delivery(reader),
        page: page(reader),
        drain: drain(reader),
        limits: limits(reader),
        retention: retention(reader),
        store: store(reader),
        inbox: backends::inbox(reader),
        redis: backends::redis(reader),
        jwt: jwt::jwt(reader),
        log: log(reader),
    }
}

/// The name given, otherwise the host's. A machine that does not even know that is "localhost".
fn node_name(reader: &mut Reader<'_>, variables: &Variables) -> String {
    const PATH: &str = "node_name";
    if let Some(setting) = reader.settings.get_mut(PATH)
        && !setting.rejected
        && setting.value == Value::Text(String::new())
    {
        let name = files::host_name(variables).unwrap_or_else(|| "localhost".to_owned());
        setting.value = Value::Text(name);
        setting.source = Source::HostName;
    }
    reader.parsed(PATH, String::new(), parse::node_name)
}

fn trusted_proxies(reader: &mut Reader<'_>) -> TrustedProxies {
    const PATH: &str = "trusted_proxies";
    let networks = reader.parsed_list(PATH, parse::network);
    if networks.iter().any(|network| network.prefix_len() == 0)
        && let Some(setting) = reader.settings.get(PATH)
    {
        reader.findings.warn(Warning::EveryoneTrusted {
            source: setting.source.clone(),
        });
    }
    TrustedProxies::new(networks)
}

fn auth(reader: &mut Reader<'_>) -> AuthConfig {
    let mut allowed_origins = reader.parsed_list("auth.allowed_origins", parse::origin);
    allowed_origins.sort();
    allowed_origins.dedup();
    let (api_keys, api_keys_file) = api_keys(reader);
    let (drain_keys, drain_keys_file) = drain_keys(reader);
    AuthConfig {
        api_keys,
        api_keys_file,
        drain_keys,
        drain_keys_file,
        allowed_origins,
    }
}

fn api_keys(reader: &mut Reader<'_>) -> (ApiKeys, Option<PathBuf>) {
    const LIST: &str = "auth.api_keys";
    const FILE: &str = "auth.api_keys_file";
    let listed = reader.list(LIST);
    if !listed.is_empty() {
        secret_files::warn_if_readable(reader, LIST);
    }
    match secret_files::keys(reader, (LIST, !listed.is_empty()), FILE) {
        Some(InFile { text, file }) => (parse_api_keys(reader, FILE, items(&text)), Some(file)),
        None => {
            let listed = listed.iter().map(String::as_str);
            (parse_api_keys(reader, LIST, listed), None)
        }
    }
}

fn parse_api_keys<'a>(
    reader: &mut Reader<'_>,
    path: &str,
    texts: impl Iterator<Item = &'a str>,
) -> ApiKeys {
    let read = ApiKeys::read(texts);
    for number in read.short {
        reader.findings.warn(Warning::ShortSecret { number });
    }
    for unfit in read.unfit {
        reader.reject(path, unfit);
    }
    read.keys
}

fn drain_keys(reader: &mut Reader<'_>) -> (Vec<DrainKey>, Option<PathBuf>) {
    const LIST: &str = "auth.drain_keys";
    const FILE: &str = "auth.drain_keys_file";
    let listed = reader.list(LIST);
    let (texts, file) = match secret_files::keys(reader, (LIST, !listed.is_empty()), FILE) {
        Some(InFile { text, file }) => (vec![text], Some(file)),
        None => (listed, None),
    };
    let path = if file.is_some() { FILE } else { LIST };
    let mut keys = Vec::new();
    for (number, text) in (1..).zip(&texts) {
        match drain_keys::read(text) {
            Ok(some) => some.into_iter().for_each(|key| {
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }),
            Err((problem, remedy)) => {
                let which = if file.is_some() {
                    ""
                } else {
                    &format!("key {number}: ")
                };
                reader.reject(path, (format!("{which}{problem}"), remedy));
            }
        }
    }
    (keys, file)
}

fn sessions(reader: &mut Reader<'_>) -> SessionConfig {
    SessionConfig {
        default_ttl: reader.time("sessions.default_ttl_seconds", 1..=MOST_TTL, SECOND),
        max_ttl: reader.time("sessions.max_ttl_seconds", 1..=MOST_TTL, SECOND),
        expiring_notice: reader.time("sessions.expiring_notice_seconds", 0..=86_400, SECOND),
        one_per_account: reader.switch("sessions.one_per_account"),
    }
}

fn delivery(reader: &mut Reader<'_>) -> DeliveryConfig {
    DeliveryConfig {
        window: reader.number("delivery.window", 1..=4096),
        ping: reader.time("delivery.ping_seconds", 1..=3600, SECOND),
        pong_timeout: reader.time("delivery.pong_timeout_seconds", 1..=600, SECOND),
        sweep: reader.time("delivery.sweep_seconds", 1..=3600, SECOND),
        poll_busy: reader.millis("delivery.poll_busy_ms", POLL),
        poll_idle: reader.millis("delivery.poll_idle_ms", POLL),
    }
}

fn page(reader: &mut Reader<'_>) -> PageConfig {
    PageConfig {
        refresh: reader.time("page.refresh_seconds", 2..=3600, SECOND),
    }
}

fn drain(reader: &mut Reader<'_>) -> DrainConfig {
    DrainConfig {
        window: reader.time("drain.window_seconds", 0..=86_400, SECOND),
        margin: reader.time("drain.margin_seconds", 1..=600, SECOND),
    }
}

fn limits(reader: &mut Reader<'_>) -> Limits {
    Limits {
        message_bytes: reader.number("limits.message_bytes", 1024..=1 << 20),
        account_id_bytes: reader.number("limits.account_id_bytes", 16..=1024),
        notices_per_call: reader.number("limits.notices_per_call", 1..=10_000),
        ids_per_ack: reader.number("limits.ids_per_ack", 1..=10_000),
        unread_per_account: reader.number("limits.unread_per_account", 1..=1_000_000),
        sessions_per_account: reader.number("limits.sessions_per_account", 1..=10_000),
        sessions: reader.number("limits.sessions", 1..=1_000_000),
        connects_per_second: reader.number("limits.connects_per_second", 1..=MOST_RATE),
        body_bytes: reader.number("limits.body_bytes", 1 << 16..=1 << 28),
        stage_rate_per_key: rate(reader, "limits.stage_rate_per_key"),
        send_rate_per_account: rate(reader, "limits.send_rate_per_account"),
        header_timeout: reader.time("limits.header_timeout_seconds", 1..=600, SECOND),
        body_timeout: reader.time("limits.body_timeout_seconds", 1..=3600, SECOND),
    }
}

/// A rate, 0 for none.
fn rate(reader: &mut Reader<'_>, path: &str) -> Option<NonZeroU32> {
    NonZeroU32::new(reader.number(path, 0..=MOST_RATE))
}

fn retention(reader: &mut Reader<'_>) -> Retention {
    Retention {
        notices: reader.time("retention.notices_days", 1..=3650, DAY),
        idempotency: reader.time("retention.idempotency_hours", 1..=720, HOUR),
    }
}

fn store(reader: &mut Reader<'_>) -> StoreConfig {
    StoreConfig {
        max_bytes: reader.number("store.max_bytes", 1 << 26..=MOST_DISK),
        min_free_bytes: reader.number("store.min_free_bytes", 0..=MOST_DISK),
        cache_bytes: reader.number("store.cache_bytes", 1 << 20..=1 << 36),
    }
}

fn log(reader: &mut Reader<'_>) -> LogConfig {
    LogConfig {
        level: reader.parsed("log.level", LogLevel::Info, |s| {
            parse::choice(s, LogLevel::ALL)
        }),
        format: reader.parsed("log.format", LogFormat::Text, |s| {
            parse::choice(s, LogFormat::ALL)
        }),
    }
}

fn contradictions(reader: &mut Reader<'_>, config: &Config) {
    refuse_open_door(reader, config);
    if same_port(config.listen, config.admin_listen) {
        let paths = ["listen", "admin_listen"];
        reader.contradiction(&paths, "both want the same port", "give each its own");
    }
    if config.sessions.default_ttl > config.sessions.max_ttl {
        let paths = ["sessions.default_ttl_seconds", "sessions.max_ttl_seconds"];
        reader.contradiction(
            &paths,
            "the default is more than the most",
            "make it no longer",
        );
    }
    if config.delivery.pong_timeout > config.delivery.ping {
        let paths = ["delivery.pong_timeout_seconds", "delivery.ping_seconds"];
        let problem = "a pong may take longer than the time to the next ping";
        reader.contradiction(&paths, problem, "make the first no more than the second");
    }
    if config.delivery.poll_busy > config.delivery.poll_idle {
        let paths = ["delivery.poll_busy_ms", "delivery.poll_idle_ms"];
        let problem = "a busy node would poll less often than an idle one";
        reader.contradiction(&paths, problem, "make the first no more than the second");
    }
    backends::contradictions(reader, config);
    if config.limits.body_bytes < 2 * config.limits.message_bytes {
        let paths = ["limits.body_bytes", "limits.message_bytes"];
        let problem = "a body would be too small for one notice with its escapes";
        reader.contradiction(&paths, problem, "make the first at least twice the second");
    }
}

/// Nobody may find a server that takes notices from everyone because it was told an address only.
fn refuse_open_door(reader: &mut Reader<'_>, config: &Config) {
    if is_public(config.listen.ip()) && config.auth.api_keys.is_empty() {
        reader.contradiction(
            &["listen", "auth.api_keys", "auth.api_keys_file"],
            "other machines can reach this address, but there is no API key",
            "set one, for example NOTICE_API_KEYS=orders:$(openssl rand -hex 24), or name a file \
             by NOTICE_API_KEYS_FILE, or listen on 127.0.0.1",
        );
    }
}

/// Whether the second listener could not be opened beside the first.
fn same_port(a: SocketAddr, b: SocketAddr) -> bool {
    let everywhere = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && (everywhere || a.ip() == b.ip())
}
