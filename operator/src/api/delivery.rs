//! Settings of the server: `delivery`, `log`. What is left out has the server's own default.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How notices are delivered and kept.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(has(self.pongTimeoutSeconds) ? self.pongTimeoutSeconds : 10) <= (has(self.pingSeconds) ? self.pingSeconds : 25)")
        .message("delivery.pongTimeoutSeconds (default 10) is more than delivery.pingSeconds (default 25): a pong must come before the next ping"),
    validation = Rule::new("(has(self.pollBusyMilliseconds) ? self.pollBusyMilliseconds : 100) <= (has(self.pollIdleMilliseconds) ? self.pollIdleMilliseconds : 1000)")
        .message("delivery.pollBusyMilliseconds (default 100) is more than delivery.pollIdleMilliseconds (default 1000): a busy node must not poll less often than an idle one")
)]
pub struct DeliverySpec {
    /// How many pushed notices a session may leave unacknowledged. Default: 128.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4096))]
    pub ack_window: Option<i32>,
    /// How often a quiet connection is pinged. Stay below the idle timeout of every proxy between. Default: 25.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3600))]
    pub ping_seconds: Option<i32>,
    /// How long a pong may take before the connection counts as gone. Default: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 600))]
    pub pong_timeout_seconds: Option<i32>,
    /// How often each online account is looked at for notices that no wake-up brought. Default: 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3600))]
    pub sweep_seconds: Option<i32>,
    /// Without Redis: the pause after a poll that found something. Default: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 60_000))]
    pub poll_busy_milliseconds: Option<i32>,
    /// Without Redis: the pause after a poll that found nothing. Default: 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 60_000))]
    pub poll_idle_milliseconds: Option<i32>,
    /// How long things are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionSpec>,
    /// Session tokens and sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<SessionsSpec>,
    /// What is refused above a bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<LimitsSpec>,
}

/// How long things are kept.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetentionSpec {
    /// A notice at most, read or not. Default: 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3650))]
    pub notices_days: Option<i32>,
    /// How long an idempotency key is remembered. Default: 24.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 720))]
    pub idempotency_hours: Option<i32>,
}

/// Session tokens and sessions.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.defaultTtlSeconds) ? self.defaultTtlSeconds : 86400) <= (has(self.maxTtlSeconds) ? self.maxTtlSeconds : 2592000)")
    .message("delivery.sessions.defaultTtlSeconds (default 86400) is more than maxTtlSeconds (default 2592000): lower the first or raise the second"))]
pub struct SessionsSpec {
    /// A session token's life when its maker does not say. Default: 86400.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 315_360_000))]
    pub default_ttl_seconds: Option<i32>,
    /// The longest life that its maker may ask for. Default: 2592000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 315_360_000))]
    pub max_ttl_seconds: Option<i32>,
    /// How long before its token expires a live connection is told so. Default: 60.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86_400))]
    pub expiring_notice_seconds: Option<i32>,
    /// One session an account: a new one closes the older one. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_per_account: Option<bool>,
}

/// What is refused above a bound.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.bodyBytes) ? self.bodyBytes : 16777216) >= 2 * (has(self.messageBytes) ? self.messageBytes : 65536)")
    .message("delivery.limits.bodyBytes (default 16777216) must be at least twice messageBytes (default 65536): a body needs room for one notice with its escapes"))]
pub struct LimitsSpec {
    /// Message and data of one notice together. Default: 65536.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1024, max = 1_048_576))]
    pub message_bytes: Option<i32>,
    /// An account id. Default: 128.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 16, max = 1024))]
    pub account_id_bytes: Option<i32>,
    /// Notices in one staging call, all receivers counted. Default: 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub notices_per_call: Option<i32>,
    /// Ids in one acknowledgement. Default: 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub ids_per_ack: Option<i32>,
    /// Unread notices of one account; past it staging to it is refused. Default: 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub unread_per_account: Option<i32>,
    /// Sessions of one account at a time. Default: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub sessions_per_account: Option<i32>,
    /// The body of one staging call. Default: 16777216.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 65_536, max = 268_435_456))]
    pub body_bytes: Option<i32>,
    /// Notices a second that one producer may stage; 0: no limit. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub stage_rate_per_key: Option<i32>,
    /// Notices a second that one account may send; 0: no limit. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub send_rate_per_account: Option<i32>,
}

/// The servers' log, on stderr.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogSpec {
    /// The least important lines that are written. Default: info.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<LogLevel>,
    /// Text for people, json for log collectors. Default: json.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<LogFormat>,
}

/// How important a log line is.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// How log lines are written.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum LogFormat {
    Text,
    Json,
}
