//! Keys that may change while the server runs: those in force, and the files that they are read from again. What a key
//! looks like is `config`'s business, what it opens its users'. No key and no file's text goes into a log or a metric.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use sha2::{Digest as _, Sha256};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::{ApiKeys, Config, DrainKey, reread};
use crate::metrics::Metrics;
use crate::tokens::JwtVerifier;

/// How often each file is looked at. A change counts when two looks saw it, so a key that was taken out opens nothing
/// after 10 s, which is what is promised, also on a busy machine.
const LOOK: Duration = Duration::from_secs(2);

/// A value that may be replaced while others use it.
#[derive(Debug, Default)]
pub struct Live<T>(RwLock<Arc<T>>);

impl<T> Live<T> {
    /// A value to begin with.
    pub fn new(value: T) -> Self {
        Self(RwLock::new(Arc::new(value)))
    }

    /// The value now.
    pub fn get(&self) -> Arc<T> {
        Arc::clone(&self.0.read())
    }

    /// Another value from now on.
    pub fn put(&self, value: T) {
        *self.0.write() = Arc::new(value);
    }
}

/// The keys in force.
#[derive(Debug, Default)]
pub struct Keys {
    /// Of services.
    pub api: Live<ApiKeys>,
    /// Of those who may drain this node from another machine.
    pub drain: Live<Vec<DrainKey>>,
}

/// A file of credentials that is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialFile {
    /// `auth.api_keys_file`.
    ApiKeys,
    /// `auth.drain_keys_file`.
    DrainKeys,
    /// `jwt.key_file`.
    JwtKey,
}

impl CredentialFile {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ApiKeys, Self::DrainKeys, Self::JwtKey];

    /// Its name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ApiKeys => "api_keys",
            Self::DrainKeys => "drain_keys",
            Self::JwtKey => "jwt_key",
        }
    }

    fn setting(self) -> &'static str {
        match self {
            Self::ApiKeys => "auth.api_keys_file",
            Self::DrainKeys => "auth.drain_keys_file",
            Self::JwtKey => "jwt.key_file",
        }
    }
}

/// What a file of credentials was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// What it was read as at the start.
    AsAtTheStart,
    /// Something new, which is in force now.
    Applied,
    /// Nothing that can be used: what was in force before still is.
    Refused,
}

/// Looks after the files of credentials.
pub struct CredentialFiles {
    watched: Vec<Watched>,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for CredentialFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let paths = self.watched.iter().map(|watched| &watched.path);
        f.debug_list().entries(paths).finish()
    }
}

impl CredentialFiles {
    /// Those that `config` names, for these keys and the one of `jwt`.
    #[must_use]
    pub fn new(
        config: &Config,
        keys: &Arc<Keys>,
        jwt: Option<&Arc<JwtVerifier>>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let api = config.auth.api_keys_file.clone().map(|path| {
            let keys = Arc::clone(keys);
            Watched::new(CredentialFile::ApiKeys, path, move |text| {
                take_api_keys(&keys, text)
            })
        });
        let drain = config.auth.drain_keys_file.clone().map(|path| {
            let keys = Arc::clone(keys);
            Watched::new(CredentialFile::DrainKeys, path, move |text| {
                keys.drain.put(reread::drain_keys(text)?);
                Ok(())
            })
        });
        let jwt = jwt.zip(config.jwt.as_ref()).and_then(|(verifier, config)| {
            let (verifier, algorithms) = (Arc::clone(verifier), config.algorithms.clone());
            let path = config.key_file.clone()?;
            Some(Watched::new(CredentialFile::JwtKey, path, move |text| {
                let key = reread::jwt_key(text, &algorithms)?;
                verifier.use_key(&key).map_err(|error| error.to_string())
            }))
        });
        Self {
            watched: [api, drain, jwt].into_iter().flatten().collect(),
            metrics,
        }
    }

    /// Looks at all of them, for ever.
    pub async fn run(mut self) {
        if self.watched.is_empty() {
            return std::future::pending().await;
        }
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            for watched in &mut self.watched {
                if let Some(reload) = watched.look().await {
                    self.metrics.credential_file(watched.which, reload);
                }
            }
        }
    }
}

fn take_api_keys(keys: &Keys, text: &str) -> Result<(), String> {
    let (read, warnings) = reread::api_keys(text)?;
    for warning in warnings {
        tracing::warn!("{}: {warning}", CredentialFile::ApiKeys.setting());
    }
    keys.api.put(read);
    Ok(())
}

/// Puts the keys in a text in force; the error says why it can't.
type Take = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// One file.
struct Watched {
    which: CredentialFile,
    path: PathBuf,
    memory: Memory,
    take: Take,
}

impl Watched {
    fn new(
        which: CredentialFile,
        path: PathBuf,
        take: impl Fn(&str) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            which,
            path,
            memory: Memory::default(),
            take: Box::new(take),
        }
    }

    /// Reads it; tells what became of a change.
    async fn look(&mut self) -> Option<Reload> {
        let path = self.path.clone();
        let read = spawn_blocking(move || reread::read(&path)).await;
        let content = read.unwrap_or_else(|_| Err("was not read to its end".to_owned()));
        let first = self.memory.is_new();
        if !self.memory.acts_on(print(&content)) {
            return None;
        }
        let taken = content.and_then(|text| (self.take)(&text));
        Some(self.tell(taken, first))
    }

    fn tell(&self, taken: Result<(), String>, first: bool) -> Reload {
        let (setting, file) = (self.which.setting(), self.path.display());
        match taken {
            Ok(()) if first => Reload::AsAtTheStart,
            Ok(()) => {
                tracing::info!(setting, %file, "new credentials are in force");
                Reload::Applied
            }
            Err(why) => {
                tracing::warn!(setting, %file, why, "credentials can't be used: those before stay in force");
                Reload::Refused
            }
        }
    }
}

/// A digest of what a file holds, or of why it can't be read.
type Print = [u8; 32];

fn print(content: &Result<String, String>) -> Print {
    let (kind, text) = match content {
        Ok(text) => (b"+", text),
        Err(why) => (b"-", why),
    };
    let hash = Sha256::new().chain_update(kind).chain_update(text);
    hash.finalize().into()
}

/// What was seen of a file. Pure.
#[derive(Debug, Default)]
struct Memory {
    seen: Option<Print>,
    acted_on: Option<Print>,
}

impl Memory {
    /// Nothing was acted on yet.
    fn is_new(&self) -> bool {
        self.acted_on.is_none()
    }

    /// Whether to act on what it holds now: it is new, and a look ago it was the same, so nobody is in the middle of
    /// writing it.
    fn acts_on(&mut self, now: Print) -> bool {
        let settled = self.seen.replace(now) == Some(now);
        let acts = settled && self.acted_on != Some(now);
        if acts {
            self.acted_on = Some(now);
        }
        acts
    }
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;
