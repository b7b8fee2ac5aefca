//! Redis URIs: one server, a master that sentinels know, or a cluster. Pure; what is wrong is said
//! without a piece of the text, which may be the password.

use std::fmt;

use super::Secret;
use super::parse::is_name;
use super::uri::{ENCODE, HostPort, Parts, credentials, decoded, hosts, take_apart, wrong};
use super::value::Unfit;

/// Redis' port, and that of its sentinels.
const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// A master's name has at most so many characters.
const MOST_MASTER: usize = 253;

/// The highest number of a database: it has to fit a signed integer of 32 bits.
const MOST_DATABASE: u32 = i32::MAX.unsigned_abs();

/// Where Redis is and how to be let in.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisEndpoint {
    /// What to connect to.
    pub servers: RedisServers,
    /// Whether every connection is TLS, those to sentinels too.
    pub tls: bool,
    /// What Redis itself is shown.
    pub credentials: RedisCredentials,
    /// The number of the database; 0 with a cluster.
    pub database: u32,
}

/// What to connect to.
#[derive(Clone, PartialEq, Eq)]
pub enum RedisServers {
    /// One server.
    Single(HostPort),
    /// A master that sentinels know.
    Sentinel {
        /// The sentinels, at least one.
        sentinels: Vec<HostPort>,
        /// The master's name.
        master: String,
        /// What the sentinels are shown.
        credentials: RedisCredentials,
    },
    /// Some nodes of a cluster, at least one; the others become known by these.
    Cluster(Vec<HostPort>),
}

/// A user and a password. `Debug` shows neither: a slip may put the one in the other's place.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RedisCredentials {
    /// The user; none: Redis' default user.
    pub username: Option<String>,
    /// The password.
    pub password: Option<Secret>,
}

impl fmt::Debug for RedisCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_empty = self.username.is_none() && self.password.is_none();
        f.write_str(if is_empty { "none" } else { "<hidden>" })
    }
}

impl fmt::Display for RedisEndpoint {
    /// The URI without credentials, for a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tls = if self.tls { "s" } else { "" };
        let database = self.database;
        match &self.servers {
            RedisServers::Single(at) => write!(f, "redis{tls}://{at}/{database}"),
            RedisServers::Sentinel {
                sentinels, master, ..
            } => {
                let sentinels = listed(sentinels);
                write!(f, "redis{tls}+sentinel://{sentinels}/{master}/{database}")
            }
            RedisServers::Cluster(nodes) => write!(f, "redis{tls}+cluster://{}", listed(nodes)),
        }
    }
}

impl fmt::Debug for RedisEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisEndpoint({self}, {:?})", self.credentials)
    }
}

impl fmt::Debug for RedisServers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Single(at) => write!(f, "Single({at})"),
            Self::Sentinel {
                sentinels, master, ..
            } => write!(f, "Sentinel({}, {master})", listed(sentinels)),
            Self::Cluster(nodes) => write!(f, "Cluster({})", listed(nodes)),
        }
    }
}

fn listed(hosts: &[HostPort]) -> String {
    let texts: Vec<String> = hosts.iter().map(HostPort::to_string).collect();
    texts.join(",")
}

/// Reads a Redis URI.
pub(super) fn read(text: &str) -> Result<RedisEndpoint, Unfit> {
    let (scheme, rest) = text.split_once("://").ok_or_else(no_scheme)?;
    let parts = || take_apart(rest);
    match scheme {
        "redis" => single(parts()?, false),
        "rediss" => single(parts()?, true),
        "redis+sentinel" => sentinel(parts()?, false),
        "rediss+sentinel" => sentinel(parts()?, true),
        "redis+cluster" => cluster(parts()?, false),
        "rediss+cluster" => cluster(parts()?, true),
        _ => Err(no_scheme()),
    }
}

fn single(parts: Parts<'_>, tls: bool) -> Result<RedisEndpoint, Unfit> {
    let [host] = <[HostPort; 1]>::try_from(hosts(parts.hosts, PORT)?).map_err(|_| {
        let remedy = "write redis+sentinel:// or redis+cluster:// in front of several";
        wrong("it names several hosts", remedy)
    })?;
    no_query(parts)?;
    Ok(RedisEndpoint {
        servers: RedisServers::Single(host),
        tls,
        credentials: shown(parts.credentials)?,
        database: database(parts.path)?,
    })
}

fn sentinel(parts: Parts<'_>, tls: bool) -> Result<RedisEndpoint, Unfit> {
    let path = parts.path.unwrap_or_default();
    let (master, number) = match path.split_once('/') {
        Some((master, number)) => (master, Some(number)),
        None => (path, None),
    };
    if !is_name(master, MOST_MASTER) {
        return Err(wrong(
            "the master's name is missing behind the sentinels, or is none",
            "write redis+sentinel://HOST:26379,HOST:26379/MASTER",
        ));
    }
    Ok(RedisEndpoint {
        servers: RedisServers::Sentinel {
            sentinels: hosts(parts.hosts, SENTINEL_PORT)?,
            master: master.to_owned(),
            credentials: for_sentinels(parts.query)?,
        },
        tls,
        credentials: shown(parts.credentials)?,
        database: database(number)?,
    })
}

fn cluster(parts: Parts<'_>, tls: bool) -> Result<RedisEndpoint, Unfit> {
    no_query(parts)?;
    if database(parts.path)? != 0 {
        let remedy = "leave the number out";
        return Err(wrong("a cluster has database 0 only", remedy));
    }
    Ok(RedisEndpoint {
        servers: RedisServers::Cluster(hosts(parts.hosts, PORT)?),
        tls,
        credentials: shown(parts.credentials)?,
        database: 0,
    })
}

fn shown(text: Option<&str>) -> Result<RedisCredentials, Unfit> {
    let (username, password) = credentials(text.unwrap_or_default())?;
    Ok(RedisCredentials {
        username,
        password: password.map(Secret::new),
    })
}

fn for_sentinels(query: Option<&str>) -> Result<RedisCredentials, Unfit> {
    let mut credentials = RedisCredentials::default();
    for (name, value) in pairs(query)? {
        let value = decoded(value)?;
        match name {
            "sentinel_username" if credentials.username.is_none() => credentials.username = value,
            "sentinel_password" if credentials.password.is_none() => {
                credentials.password = value.map(Secret::new);
            }
            _ => {
                return Err(unknown_parameter(
                    "only sentinel_username and sentinel_password, each once",
                ));
            }
        }
    }
    Ok(credentials)
}

/// The parameters of a query, as they stand.
fn pairs(query: Option<&str>) -> Result<Vec<(&str, &str)>, Unfit> {
    let parameters = query.unwrap_or_default().split('&');
    parameters
        .filter(|parameter| !parameter.is_empty())
        .map(|parameter| {
            let no_value = || {
                wrong(
                    "a parameter has no value",
                    "write NAME=VALUE behind the \"?\"",
                )
            };
            parameter.split_once('=').ok_or_else(no_value)
        })
        .collect()
}

fn no_query(parts: Parts<'_>) -> Result<(), Unfit> {
    match pairs(parts.query)?.is_empty() {
        true => Ok(()),
        false => Err(unknown_parameter("none")),
    }
}

fn unknown_parameter(known: &str) -> Unfit {
    let problem = "a parameter behind the \"?\" is not known or given twice".to_owned();
    (problem, format!("this form of URI takes {known}; {ENCODE}"))
}

/// The number of a database; 0 where none is written.
fn database(text: Option<&str>) -> Result<u32, Unfit> {
    let text = text.unwrap_or_default();
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits && number <= MOST_DATABASE => Ok(number),
        _ if text.is_empty() => Ok(0),
        _ => Err(wrong("what stands for the database is no number", ENCODE)),
    }
}

fn no_scheme() -> Unfit {
    wrong(
        "it is no URI of Redis",
        "write redis:// or rediss:// (TLS) and USER:PASSWORD@HOST:PORT/DB, redis+sentinel:// with \
         HOST:26379,HOST:26379/MASTER, or redis+cluster:// with HOST:6379,HOST:6379",
    )
}

#[cfg(test)]
#[path = "redis_uri_tests.rs"]
mod tests;
