//! Two of this project's servers on MongoDB and Redis: what is staged at one is pushed by the other.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};

use super::notice::{Notice, NoticeServer};
use super::{Server, System};
use crate::dialect::{Credential, DialectKind};
use crate::random::secret;

/// How to start them.
pub(crate) struct Cluster {
    node: Notice,
    mongodb: String,
    redis: String,
}

/// The running ones.
struct TwoNodes {
    staging: NoticeServer,
    clients: NoticeServer,
}

impl Cluster {
    /// With nodes of this kind, and the services that the environment names.
    pub(crate) fn new(node: Notice) -> Result<Self> {
        let variable = |name| {
            std::env::var(name)
                .with_context(|| format!("set {name}, as by `eval \"$(scripts/services start)\"`"))
        };
        Ok(Self {
            node,
            mongodb: variable("MONGODB_URI")?,
            redis: variable("REDIS_URI")?,
        })
    }

    /// A database and a namespace of their own for each measurement.
    fn environment(&self, name: &str) -> Vec<(String, String)> {
        let own = format!("bench_{}", &secret()[..12]);
        let variables = [
            ("NOTICE_MONGODB_URI", self.mongodb.as_str()),
            ("NOTICE_MONGODB_DATABASE", &own),
            ("NOTICE_REDIS_URI", self.redis.as_str()),
            ("NOTICE_REDIS_KEY_PREFIX", &format!("{own}:session:")),
            ("NOTICE_REDIS_NAMESPACE", &format!("{own}:notice:")),
            ("NOTICE_NODE_NAME", name),
        ];
        variables
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec()
    }
}

impl System for Cluster {
    fn name(&self) -> &'static str {
        "notice cluster"
    }

    fn description(&self) -> String {
        format!(
            "two nodes of notice-server {} on MongoDB and Redis: services stage at one, clients are at the other; CPU \
             is that of the one where services stage; {}; {}",
            env!("CARGO_PKG_VERSION"),
            self.node.mode_in_words(),
            self.node.extra_in_words(),
        )
    }

    fn start(&self, folder: &Path) -> Result<Box<dyn Server>> {
        let (key, mut environment) = (secret(), self.environment("bench"));
        let mut start = |name: &str| {
            environment.retain(|(variable, _)| variable != "NOTICE_NODE_NAME");
            environment.push(("NOTICE_NODE_NAME".to_owned(), name.to_owned()));
            let folder = folder.join(name);
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("could not make {}", folder.display()))?;
            self.node.start_node(&folder, &key, &environment)
        };
        Ok(Box::new(TwoNodes {
            staging: start("staging")?,
            clients: start("clients")?,
        }))
    }
}

impl Server for TwoNodes {
    fn pid(&self) -> u32 {
        self.staging.pid()
    }

    fn address(&self) -> SocketAddr {
        self.clients.address()
    }

    fn staging_address(&self) -> SocketAddr {
        self.staging.address()
    }

    fn dialect(&self) -> DialectKind {
        self.clients.dialect()
    }

    fn credentials(&self, count: usize) -> Result<Vec<Credential>> {
        self.clients.credentials(count)
    }

    fn acknowledged(&self) -> Result<Option<u64>> {
        let both = (self.staging.acknowledged()?, self.clients.acknowledged()?);
        Ok(both.0.zip(both.1).map(|(one, other)| one + other))
    }
}
