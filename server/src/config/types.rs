//! The typed configuration that the rest of the server reads. Plain data: every range and
//! contradiction has been checked before one of these exists.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use super::backends::{InboxBackend, RedisConfig};
use super::jwt::JwtConfig;
use super::{ApiKeys, DrainKey, TrustedProxies};

/// Everything the server was told, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where clients and services connect. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where probes, metrics and the drain verbs are served. Port 0 takes a free one.
    pub admin_listen: SocketAddr,
    /// What every public path begins with: `/notice`, or empty for the root; no slash at the end.
    pub base_path: String,
    /// This node's name, at most 253 characters of `[A-Za-z0-9._-]`.
    pub node_name: String,
    /// The folder of the embedded store; relative to the working directory unless absolute. Of no
    /// use with another [`InboxBackend`].
    pub data_dir: PathBuf,
    /// Whose `X-Forwarded-For` and `X-Real-IP` are believed.
    pub trusted_proxies: TrustedProxies,
    /// Who may do what.
    pub auth: AuthConfig,
    /// Session tokens.
    pub sessions: SessionConfig,
    /// Pushing to one session.
    pub delivery: DeliveryConfig,
    /// The page without scripts.
    pub page: PageConfig,
    /// Leaving in good order.
    pub drain: DrainConfig,
    /// What is refused above a bound.
    pub limits: Limits,
    /// How long things are kept.
    pub retention: Retention,
    /// The embedded store's size.
    pub store: StoreConfig,
    /// Where notices are kept.
    pub inbox: InboxBackend,
    /// Redis, for session tokens and between the nodes; none: it is not used.
    pub redis: Option<RedisConfig>,
    /// JWTs as session tokens; none: they are not taken.
    pub jwt: Option<JwtConfig>,
    /// What is logged, and how.
    pub log: LogConfig,
}

impl Config {
    /// Whether the public listener can be reached from other machines.
    #[must_use]
    pub fn listens_publicly(&self) -> bool {
        is_public(self.listen.ip())
    }
}

/// Whether an address to listen on is more than this machine's own loopback.
pub(super) fn is_public(ip: IpAddr) -> bool {
    !ip.to_canonical().is_loopback()
}

/// Credentials and origins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthConfig {
    /// The keys of the services. Empty only where [`Config::listens_publicly`] is false: there the
    /// server makes up one.
    pub api_keys: ApiKeys,
    /// The file that they are from, if it is one: it is read again while the server runs.
    pub api_keys_file: Option<PathBuf>,
    /// The public keys whose signature allows a drain from off loopback.
    pub drain_keys: Vec<DrainKey>,
    /// The file that they are from, as above.
    pub drain_keys_file: Option<PathBuf>,
    /// Other sites whose pages may use the session cookie, as browsers send them: lower case, no
    /// default port, no path.
    pub allowed_origins: Vec<String>,
}

/// Session tokens and sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// A token's life when its maker does not say.
    pub default_ttl: Duration,
    /// The longest life its maker may ask for; at least `default_ttl`.
    pub max_ttl: Duration,
    /// How long before its token expires a live session is told.
    pub expiring_notice: Duration,
    /// Whether a new session of an account closes the older one (4409).
    pub one_per_account: bool,
}

/// How notices are pushed to one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryConfig {
    /// Pushed notices that may be unacknowledged, 1 to 4096.
    pub window: usize,
    /// Time between pings of a quiet connection.
    pub ping: Duration,
    /// Time to wait for a pong; at most `ping`.
    pub pong_timeout: Duration,
    /// How often each online account is looked at for notices that no wake-up brought, while
    /// wake-ups work.
    pub sweep: Duration,
    /// The pause after a poll that found something, while there are no wake-ups.
    pub poll_busy: Duration,
    /// The pause after a poll that found nothing; at least `poll_busy`.
    pub poll_idle: Duration,
}

/// The page without scripts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageConfig {
    /// How often it loads itself again.
    pub refresh: Duration,
}

/// How the node empties itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainConfig {
    /// The time over which sessions are moved away.
    pub window: Duration,
    /// The time after the window until what is left is closed with 1001.
    pub margin: Duration,
}

/// Bounds. What is above one is refused, never cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Message and data of one notice, in bytes.
    pub message_bytes: usize,
    /// An account id, in bytes.
    pub account_id_bytes: usize,
    /// Notices in one staging call, all receivers counted.
    pub notices_per_call: usize,
    /// Ids in one acknowledgement.
    pub ids_per_ack: usize,
    /// Unread notices of one account.
    pub unread_per_account: usize,
    /// Sessions of one account at a time.
    pub sessions_per_account: usize,
    /// Sessions on this node.
    pub sessions: usize,
    /// New connections a second on this node.
    pub connects_per_second: u32,
    /// The body of one HTTP call, in bytes; at least twice `message_bytes`.
    pub body_bytes: usize,
    /// Notices a second that one producer may stage; none: no limit.
    pub stage_rate_per_key: Option<NonZeroU32>,
    /// Notices a second that one account may send; none: no limit.
    pub send_rate_per_account: Option<NonZeroU32>,
    /// Time for the head of a request.
    pub header_timeout: Duration,
    /// Time for the body of a request.
    pub body_timeout: Duration,
}

/// How long things are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// A notice's longest life, read or not.
    pub notices: Duration,
    /// How long an idempotency key is remembered.
    pub idempotency: Duration,
}

/// Bounds of the embedded store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// How large the data folder may grow, in bytes.
    pub max_bytes: u64,
    /// What must stay free on its disk, in bytes.
    pub min_free_bytes: u64,
    /// Memory for the store's cache, in bytes.
    pub cache_bytes: u64,
}

/// The log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// The least important lines that are written.
    pub level: LogLevel,
    /// How a line is written.
    pub format: LogFormat,
}

/// How important a log line is, the most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something is odd.
    Warn,
    /// What a person running it wants to know.
    Info,
    /// What a person looking for a fault wants to know.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// All levels with their names in the configuration.
    pub const ALL: &[(&str, Self)] = &[
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("info", Self::Info),
        ("debug", Self::Debug),
        ("trace", Self::Trace),
    ];
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

impl LogFormat {
    /// All formats with their names in the configuration.
    pub const ALL: &[(&str, Self)] = &[("text", Self::Text), ("json", Self::Json)];
}
