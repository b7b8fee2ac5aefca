//! Two of this project's servers on MongoDB and Redis: what is staged at one is pushed by the other.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::notice::{Notice, NoticeServer};
use super::{Server, System};
use crate::dialect::{Credential, DialectKind};
use crate::net::blocking::HttpClient;
use crate::random::secret;

/// How to start them.
pub(crate) struct Cluster {
    node: Notice,
    mongodb: String,
    redis: String,
    prefill: usize,
}

/// The running ones.
struct TwoNodes {
    staging: NoticeServer,
    clients: NoticeServer,
}

impl Cluster {
    /// With nodes of this kind, the services that the environment names, and so many notices in the inbox already.
    pub(crate) fn new(node: Notice, prefill: usize) -> Result<Self> {
        let variable = |name| {
            std::env::var(name)
                .with_context(|| format!("set {name}, as by `eval \"$(scripts/services start)\"`"))
        };
        Ok(Self {
            node,
            mongodb: variable("MONGODB_URI")?,
            redis: variable("REDIS_URI")?,
            prefill,
        })
    }

    /// A database and a namespace of their own for each measurement.
    fn environment(&self) -> Vec<(String, String)> {
        let own = format!("bench_{}", &secret()[..12]);
        let variables = [
            ("NOTICE_MONGODB_URI", self.mongodb.as_str()),
            ("NOTICE_MONGODB_DATABASE", &own),
            ("NOTICE_REDIS_URI", self.redis.as_str()),
            ("NOTICE_REDIS_KEY_PREFIX", &format!("{own}:session:")),
            ("NOTICE_REDIS_NAMESPACE", &format!("{own}:notice:")),
        ];
        variables
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec()
    }

    fn start_node(
        &self,
        name: &str,
        folder: &Path,
        key: &str,
        environment: &[(String, String)],
    ) -> Result<NoticeServer> {
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("could not make {}", folder.display()))?;
        let mut environment = environment.to_vec();
        environment.push(("NOTICE_NODE_NAME".to_owned(), name.to_owned()));
        self.node.start_node(&folder, key, &environment)
    }
}

/// After filling, for the engine to write it out and gather its statistics: it is not what is measured.
const SETTLE: Duration = Duration::from_secs(60);

/// Stages notices to accounts that nobody asks for, 100 to each.
fn fill(address: SocketAddr, key: &str, count: usize) -> Result<()> {
    const BATCH: usize = 1000;
    let mut client = HttpClient::connect(address)?;
    for batch in 0..count.div_ceil(BATCH) {
        let notice = |number: usize| {
            let account = (batch * BATCH + number) / 100;
            format!(
                "{{\"receiverId\":\"off-{account}\",\"message\":\"A notice that waits for who does not come\"}}"
            )
        };
        let notices: Vec<String> = (0..BATCH).map(notice).collect();
        let (status, answer) =
            client.post("/notice/notices", key, &format!("[{}]", notices.join(",")))?;
        ensure!(
            status == 200,
            "filling the inbox: HTTP {status} {}",
            String::from_utf8_lossy(&answer)
        );
        if batch % 100 == 99 {
            crate::progress!("  {} notices are in the inbox", (batch + 1) * BATCH);
        }
    }
    if count > 0 {
        std::thread::sleep(SETTLE);
    }
    Ok(())
}

impl System for Cluster {
    fn name(&self) -> &'static str {
        "notice cluster"
    }

    fn description(&self) -> String {
        format!(
            "two nodes of notice-server {} on MongoDB and Redis: services stage at one, clients are at the other; CPU \
             is that of the one where services stage; {} notices unread before; {}; {}",
            env!("CARGO_PKG_VERSION"),
            self.prefill,
            self.node.mode_in_words(),
            self.node.extra_in_words(),
        )
    }

    fn start(&self, folder: &Path) -> Result<Box<dyn Server>> {
        let (key, environment) = (secret(), self.environment());
        let nodes = TwoNodes {
            staging: self.start_node("staging", folder, &key, &environment)?,
            clients: self.start_node("clients", folder, &key, &environment)?,
        };
        fill(nodes.staging.address(), &key, self.prefill)?;
        Ok(Box::new(nodes))
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
