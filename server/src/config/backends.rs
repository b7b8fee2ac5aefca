//! The back ends that several nodes share: MongoDB for notices, Redis for session tokens and
//! between the nodes. Their settings, and what does not go together.

use std::path::PathBuf;

use super::mistakes::Warning;
use super::reader::Reader;
use super::redis_uri::{self, RedisEndpoint};
use super::value::{Unfit, one_line};
use super::{Config, Secret, mongodb_uri, parse, secret_files};

/// A MongoDB database's most bytes.
const MOST_DATABASE: usize = 63;

/// The most of a prefix of keys, in bytes.
const MOST_PREFIX: usize = 200;

/// A replica set has no more members.
const MOST_MEMBERS: u32 = 50;

/// Where notices are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InboxBackend {
    /// In a folder of this node: `data_dir`, with the bounds of `[store]`.
    Embedded,
    /// In MongoDB, for any number of nodes.
    MongoDb(MongoDbConfig),
}

/// MongoDB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MongoDbConfig {
    /// The connection string: `mongodb://` or `mongodb+srv://` with hosts. The driver may still
    /// refuse its options.
    pub uri: Secret,
    /// The database's name.
    pub database: String,
    /// When a write counts as done.
    pub write_concern: WriteConcern,
    /// Connections of this node to each server at a time, at most.
    pub max_connections: u32,
}

/// When a write counts as done: on the disk of how many members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteConcern {
    /// More than half of those that vote.
    Majority,
    /// So many, at least 1.
    Members(u32),
}

/// Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisConfig {
    /// Where it is and how to be let in.
    pub endpoint: RedisEndpoint,
    /// What the keys of session tokens begin with; may be empty.
    pub key_prefix: String,
    /// What all other keys and channels begin with, never empty. `key_prefix` does not begin with
    /// it; it may begin with `key_prefix`, so a token whose key would fall into it must be refused.
    pub namespace: String,
    /// What TLS needs besides, if the endpoint has it.
    pub tls: RedisTls,
}

/// Files for TLS, all PEM. They were read once at the start and may have changed since.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisTls {
    /// Roots to trust instead of the usual ones.
    pub ca_file: Option<PathBuf>,
    /// What to show to a server that asks who we are.
    pub client: Option<ClientCertificate>,
}

/// A certificate of our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate and those between it and its root.
    pub certificate_file: PathBuf,
    /// Its private key.
    pub key_file: PathBuf,
}

pub(super) fn inbox(reader: &mut Reader<'_>) -> InboxBackend {
    let database = reader.parsed("mongodb.database", String::new(), database);
    let concern = WriteConcern::Majority;
    let write_concern = reader.parsed("mongodb.write_concern", concern, write_concern);
    let max_connections = reader.number("mongodb.max_connections", 1..=1000);
    let Some(given) = secret_files::text(reader, "mongodb.uri", "mongodb.uri_file") else {
        return InboxBackend::Embedded;
    };
    let uri = given.text.trim();
    if let Err(unfit) = mongodb_uri::check(uri) {
        reader.reject(given.path, unfit);
    }
    InboxBackend::MongoDb(MongoDbConfig {
        uri: Secret::new(uri),
        database,
        write_concern,
        max_connections,
    })
}

pub(super) fn redis(reader: &mut Reader<'_>) -> Option<RedisConfig> {
    let key_prefix = reader.parsed("redis.key_prefix", String::new(), key_prefix);
    let namespace = namespace(reader);
    let tls = redis_tls(reader);
    let given = secret_files::text(reader, "redis.uri", "redis.uri_file")?;
    match redis_uri::read(given.text.trim()) {
        Ok(endpoint) => Some(RedisConfig {
            endpoint,
            key_prefix,
            namespace,
            tls,
        }),
        Err(unfit) => {
            reader.reject(given.path, unfit);
            None
        }
    }
}

fn redis_tls(reader: &mut Reader<'_>) -> RedisTls {
    const CERTIFICATE: &str = "redis.client_cert_file";
    const KEY: &str = "redis.client_key_file";
    let ca_file = secret_files::pem(reader, "redis.ca_file", "CERTIFICATE");
    let certificate = secret_files::pem(reader, CERTIFICATE, "CERTIFICATE");
    let key = secret_files::pem(reader, KEY, "PRIVATE KEY");
    if certificate.is_some() != key.is_some() {
        let remedy = "name both, or none";
        reader.contradiction(&[CERTIFICATE, KEY], "one without the other", remedy);
    }
    let client = certificate.zip(key);
    let client = client.map(|(certificate_file, key_file)| ClientCertificate {
        certificate_file,
        key_file,
    });
    RedisTls { ca_file, client }
}

/// The namespace given, otherwise one that is named after the database.
fn namespace(reader: &mut Reader<'_>) -> String {
    let given = reader.parsed("redis.namespace", String::new(), prefix);
    if !given.is_empty() {
        return given;
    }
    let database = reader.settings.get("mongodb.database");
    let database = database.map_or("", |setting| setting.value.as_text());
    format!("notice:{database}:")
}

/// What does not go together in the checked whole.
pub(super) fn contradictions(reader: &mut Reader<'_>, config: &Config) {
    let Some(redis) = &config.redis else {
        if matches!(config.inbox, InboxBackend::MongoDb(_)) {
            let pause = config.delivery.poll_idle;
            reader.findings.warn(Warning::PollingOnly { pause });
        }
        return;
    };
    if redis.key_prefix.starts_with(&redis.namespace) {
        let problem = format!(
            "every session token's key would lie in the namespace \"{}\", which is kept for the \
             server's own keys: none could be taken",
            one_line(&redis.namespace)
        );
        let remedy = "choose another of the two";
        reader.contradiction(&["redis.key_prefix", "redis.namespace"], &problem, remedy);
    }
    if !redis.endpoint.tls {
        let files = ["redis.ca_file", "redis.client_cert_file"];
        let given = files.into_iter().filter(|path| reader.is_given(path));
        let paths: Vec<&str> = [uri_path(reader)].into_iter().chain(given).collect();
        if paths.len() > 1 {
            let problem = "there are files for TLS, but the URI has none";
            let remedy = "write rediss:// in the URI, or name no files";
            reader.contradiction(&paths, problem, remedy);
        }
    }
}

/// The setting that the URI of Redis came by.
fn uri_path(reader: &Reader<'_>) -> &'static str {
    match reader.is_given("redis.uri") {
        true => "redis.uri",
        false => "redis.uri_file",
    }
}

/// A name that MongoDB takes on every platform, and that can be a part of a key.
fn database(text: &str) -> Result<String, Unfit> {
    let odd = |c: char| c.is_control() || "/\\. \"$*<>:|?{}[]".contains(c);
    if (1..=MOST_DATABASE).contains(&text.len()) && !text.contains(odd) {
        return Ok(text.to_owned());
    }
    Err(parse::unfit(
        text,
        "is no name for a database",
        format!("write 1 to {MOST_DATABASE} letters, digits, \"_\" and \"-\""),
    ))
}

fn write_concern(text: &str) -> Result<WriteConcern, Unfit> {
    if text == "majority" {
        return Ok(WriteConcern::Majority);
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(members) if digits && (1..=MOST_MEMBERS).contains(&members) => {
            Ok(WriteConcern::Members(members))
        }
        _ => Err(parse::unfit(
            text,
            "is no write concern",
            format!(
                "write \"majority\", or a number of members from 1 to {MOST_MEMBERS} in quotes"
            ),
        )),
    }
}

fn key_prefix(text: &str) -> Result<String, Unfit> {
    let odd = |c: char| c.is_control();
    if text.len() <= MOST_PREFIX && !text.contains(odd) {
        return Ok(text.to_owned());
    }
    let remedy = format!("write at most {MOST_PREFIX} bytes without control characters");
    Err(parse::unfit(text, "is no prefix for keys", remedy))
}

/// The start of our own keys and channels. Braces would put all of them into one slot of a cluster,
/// and the others mean something in a pattern.
fn prefix(text: &str) -> Result<String, Unfit> {
    let odd = |c: char| c.is_control() || c.is_whitespace() || "{}*?[]\\^".contains(c);
    if text.len() <= MOST_PREFIX && !text.contains(odd) {
        return Ok(text.to_owned());
    }
    Err(parse::unfit(
        text,
        "is no namespace",
        format!(
            "write at most {MOST_PREFIX} bytes without spaces, braces, brackets, \"*\", \"?\", \
             \"^\" and \"\\\""
        ),
    ))
}
