//! Where Redis is, and how to be let in. Plain data; passwords never show themselves.

use std::path::PathBuf;

use crate::config::Secret;

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// A name or an IP address; of an IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A user of Redis.
#[derive(Debug, Clone, Default)]
pub struct Login {
    /// The name; none for the default user.
    pub username: Option<String>,
    /// The password; none where none is asked for.
    pub password: Option<Secret>,
}

/// What kind of Redis it is.
#[derive(Debug, Clone)]
pub enum Kind {
    /// One server, or one name that leads to the master.
    Single(Address),
    /// Sentinels say which server is the master now.
    Sentinel {
        /// The sentinels, each with its port.
        nodes: Vec<Address>,
        /// The name under which they watch the master.
        master: String,
        /// How the sentinels let us in.
        login: Login,
    },
    /// A Redis Cluster; some of its nodes, which know the others.
    Cluster(Vec<Address>),
}

/// Encryption.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// A PEM file of the authorities to trust, in place of the well-known ones.
    pub ca_file: Option<PathBuf>,
    /// A PEM file with our certificate and its chain; with `client_key_file`.
    pub client_cert_file: Option<PathBuf>,
    /// A PEM file with the key of our certificate.
    pub client_key_file: Option<PathBuf>,
}

/// Where Redis is, and how to be let in.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// What kind it is, and its addresses.
    pub kind: Kind,
    /// Encryption, to servers and sentinels alike; none for plain connections.
    pub tls: Option<Tls>,
    /// How the servers let us in.
    pub login: Login,
    /// The number of the database; 0 in a cluster. Channels are the same in all of them.
    pub database: u32,
}

impl Endpoint {
    /// A plain connection to one server.
    #[must_use]
    pub fn single(host: impl Into<String>, port: u16) -> Self {
        Self {
            kind: Kind::Single(Address {
                host: host.into(),
                port,
            }),
            tls: None,
            login: Login::default(),
            database: 0,
        }
    }
}
