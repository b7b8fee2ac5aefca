//! The first minutes: started with nothing, the server makes what a person needs to try it.
//!
//! Kept in the data folder, so that the same links work after a restart. Only ever used on loopback, where whoever
//! can read the file could also read the store.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::clock::Millis;
use crate::config::{ApiKey, Secret};
use crate::domain::{AccountId, DEFAULT_PRODUCER};
use crate::inbox::InboxError;
use crate::tokens::SessionTokens;

const FILE: &str = "demo.json";
const ACCOUNTS: [&str; 2] = ["alice", "bob"];
const LIFETIME: Millis = 30 * 24 * 3600 * 1000;

/// What the demo needs, as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Demo {
    key: String,
    tokens: Vec<String>,
}

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The file in the data folder can't be read or written.
    #[error("the demo's key can't be kept in {file}: {source}")]
    File {
        /// Which file.
        file: String,
        /// What the system says.
        source: io::Error,
    },
    /// The sessions can't be made.
    #[error(transparent)]
    Store(#[from] InboxError),
    /// Nothing secret can be made.
    #[error("the system has no random numbers: {0}")]
    NoRandomNumbers(io::Error),
}

impl Demo {
    /// The demo of this data folder: as it was kept, or new. Without a folder it is new each time.
    pub(crate) async fn prepare(
        folder: Option<&Path>,
        tokens: &dyn SessionTokens,
        now: Millis,
    ) -> Result<Self, DemoError> {
        let Some(folder) = folder else {
            return Self::new(tokens, now).await;
        };
        let path = folder.join(FILE);
        let failed = |source| DemoError::File {
            file: path.display().to_string(),
            source,
        };
        if let Some(kept) = read(&path).map_err(failed)?
            && kept.still_works(tokens).await?
        {
            return Ok(kept);
        }
        let made = Self::new(tokens, now).await?;
        write(&path, &made).map_err(failed)?;
        Ok(made)
    }

    async fn new(tokens: &dyn SessionTokens, now: Millis) -> Result<Self, DemoError> {
        let mut made = Self {
            key: random_key().map_err(DemoError::NoRandomNumbers)?,
            tokens: Vec::new(),
        };
        for account in ACCOUNTS {
            let issued = tokens
                .issue(&AccountId::trusted(account), now + LIFETIME)
                .await?;
            made.tokens.push(issued.token);
        }
        Ok(made)
    }

    /// Ends the demo of a folder that is used in earnest now: its sessions would let anyone in who saw the links.
    pub(crate) async fn retire(folder: &Path, tokens: &dyn SessionTokens) -> Result<(), DemoError> {
        let path = folder.join(FILE);
        let failed = |source| DemoError::File {
            file: path.display().to_string(),
            source,
        };
        let Some(kept) = read(&path).map_err(failed)? else {
            if path.exists() {
                tracing::warn!(file = %path.display(), "no demo can be read from it, so no sessions of it are ended");
            }
            return Ok(());
        };
        let held: Vec<_> = kept.tokens.iter().map(|token| tokens.hold(token)).collect();
        tokens.revoke(&held).await?;
        fs::remove_file(&path).map_err(failed)
    }

    async fn still_works(&self, tokens: &dyn SessionTokens) -> Result<bool, InboxError> {
        for token in &self.tokens {
            if tokens.resolve(token).await?.is_none() {
                return Ok(false);
            }
        }
        Ok(self.tokens.len() == ACCOUNTS.len())
    }

    /// The key of the demo's back end.
    pub(crate) fn api_key(&self) -> ApiKey {
        ApiKey {
            producer: DEFAULT_PRODUCER.to_owned(),
            secret: Secret::new(self.key.clone()),
        }
    }

    /// What a person is told, with `url` the address of the base path.
    pub(crate) fn greeting(&self, url: &str) -> String {
        let link = |own: usize, peer: usize| {
            // Base64url needs no escaping.
            format!("{url}/#token={}&peer={}", self.tokens[own], ACCOUNTS[peer])
        };
        format!(
            "\nNotice runs. No API key is configured, so it listens on this machine only, with a key of its own.\n\n\
             Chat with yourself: open these in two browser windows\n  \
             alice   {}\n  bob     {}\n\n\
             Stage a notice as a back end does\n  \
             curl {url}/notices -H 'Authorization: Bearer {}' \\\n    \
             -d '{{\"receiverId\":\"bob\",\"type\":\"ride.accepted\",\"message\":\"Your driver accepted\"}}'\n\n",
            link(0, 1),
            link(1, 0),
            self.key,
        )
    }
}

fn random_key() -> io::Result<String> {
    let mut bytes = [0_u8; 24];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(format!("demo-{}", URL_SAFE_NO_PAD.encode(bytes)))
}

fn read(path: &Path) -> io::Result<Option<Demo>> {
    match fs::read(path) {
        // A file that is no demo is made anew: nothing else is kept in it.
        Ok(text) => Ok(serde_json::from_slice(&text).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn write(path: &Path, demo: &Demo) -> io::Result<()> {
    let _absent = fs::remove_file(path);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(&serde_json::to_vec_pretty(demo)?)?;
    file.sync_all()
}
