//! The real services below a cluster: the ones that all tests share, and sets of their own for tests that break them.

use std::process::{Command, Output, id};

use tokio::task::spawn_blocking;

/// Where MongoDB and Redis are.
#[derive(Debug, Clone)]
pub struct Services {
    /// A `mongodb://` URI.
    pub mongodb: String,
    /// A `redis://` URI.
    pub redis: String,
}

impl Services {
    /// Those that every test uses side by side, each under names of its own.
    pub fn shared() -> Self {
        let of = |name| {
            std::env::var(name).unwrap_or_else(|_| {
                panic!("set MONGODB_URI and REDIS_URI, or run scripts/services start")
            })
        };
        Self {
            mongodb: of("MONGODB_URI"),
            redis: of("REDIS_URI"),
        }
    }
}

/// A part of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The database engine below MongoDB's protocol.
    Postgres,
    /// Who speaks MongoDB's protocol.
    Ferretdb,
    /// Redis.
    Redis,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Ferretdb => "ferretdb",
            Self::Redis => "redis",
        }
    }
}

/// A set of services that is this process's alone, so that it may break them. Stopped when dropped.
#[derive(Debug)]
pub struct ServiceSet {
    name: String,
    services: Services,
}

impl ServiceSet {
    /// Starts one. One left behind by a process that was killed is removed by the next start of any.
    pub async fn start(kind: &str) -> Self {
        let name = format!("{kind}-{}", id());
        let printed = script(&["start", &name]).await;
        let services = Services {
            mongodb: exported(&printed, "MONGODB_URI"),
            redis: exported(&printed, "REDIS_URI"),
        };
        Self { name, services }
    }

    /// Where it is; parts that are started again are found at the same place.
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Kills a part, with no chance to do anything more.
    pub async fn kill(&self, part: Part) {
        script(&["stop-part", &self.name, part.name()]).await;
    }

    /// Starts a part again. Redis begins empty.
    pub async fn revive(&self, part: Part) {
        script(&["start-part", &self.name, part.name()]).await;
    }
}

impl Drop for ServiceSet {
    fn drop(&mut self) {
        if let Err(said) = run(&["stop".to_owned(), self.name.clone()]) {
            eprintln!("{said}");
        }
    }
}

async fn script(arguments: &[&str]) -> String {
    let arguments: Vec<_> = arguments.iter().map(|text| (*text).to_owned()).collect();
    let ran = spawn_blocking(move || run(&arguments)).await.unwrap();
    ran.unwrap_or_else(|said| panic!("{said}"))
}

fn run(arguments: &[String]) -> Result<String, String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/services");
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(script).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&stderr);
    if !status.success() {
        return Err(format!(
            "scripts/services {} ended with {status}:\n{said}",
            arguments.join(" ")
        ));
    }
    Ok(String::from_utf8(stdout).unwrap())
}

/// The value in a line `export NAME=VALUE`, as a shell would read it.
fn exported(printed: &str, name: &str) -> String {
    let prefix = format!("export {name}=");
    let value = printed.lines().find_map(|line| line.strip_prefix(&prefix));
    value
        .unwrap_or_else(|| panic!("no {name} in {printed:?}"))
        .replace('\\', "")
}
