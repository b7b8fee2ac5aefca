//! Centrifugo 6.9.6 on its memory engine, built once from its Go module.
//!
//! One connection is one subscription, as with an account of a notice server: the connection
//! token names the account's channel, which keeps a history and recovers. Settings beyond the
//! defaults are those that its documentation recommends for less memory.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

use super::process::{ServerProcess, free_address};
use super::{Server, System};
use crate::dialect::{CHANNEL_NAMESPACE, Credential, DialectKind};
use crate::random::secret;

const VERSION: &str = "6.9.6";
const MODULE: &str = "github.com/centrifugal/centrifugo/v6";

/// How to start it.
pub(crate) struct Centrifugo {
    program: PathBuf,
}

/// A running one.
struct CentrifugoServer {
    process: ServerProcess,
    address: SocketAddr,
    api_key: String,
    token_key: String,
}

/// Builds it with Go if the user's cache does not hold it, and says where it is.
pub(crate) fn build() -> Result<PathBuf> {
    let cache = cache_folder()?;
    let program = cache.join("centrifugo");
    if program.is_file() {
        return Ok(program);
    }
    crate::progress!(
        "building Centrifugo {VERSION} with Go, once, into {}",
        cache.display()
    );
    fs::create_dir_all(&cache).with_context(|| format!("could not make {}", cache.display()))?;
    let module = tempfile::tempdir().context("could not make a folder for the build")?;
    let requirement = format!("module build\n\ngo 1.24\n\nrequire {MODULE} v{VERSION}\n");
    fs::write(module.path().join("go.mod"), requirement)?;
    let status = Command::new("go")
        .current_dir(module.path())
        .env("CGO_ENABLED", "0")
        .args(["build", "-mod=mod", "-trimpath", "-ldflags", "-s -w", "-o"])
        .arg(&program)
        .arg(MODULE)
        .status()
        .context("could not run go: install Go, or say where Centrifugo is with --centrifugo")?;
    ensure!(
        status.success(),
        "building Centrifugo {VERSION} failed: {status}; see above"
    );
    Ok(program)
}

fn cache_folder() -> Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let base = base
        .or_else(home)
        .context("neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(base.join("notice").join(format!("centrifugo-{VERSION}")))
}

impl Centrifugo {
    /// With a program that must be there.
    pub(crate) fn new(program: PathBuf) -> Result<Self> {
        ensure!(program.is_file(), "there is no {}", program.display());
        Ok(Self { program })
    }
}

impl System for Centrifugo {
    fn name(&self) -> &'static str {
        "centrifugo"
    }

    fn description(&self) -> String {
        format!(
            "Centrifugo {VERSION}, memory engine, a channel with history an account, JSON protocol, \
             write buffer pool, no compression, not durable, no acknowledgement"
        )
    }

    fn start(&self, folder: &Path) -> Result<Box<dyn Server>> {
        let (address, api_key, token_key) = (free_address()?, secret(), secret());
        let config = folder.join("centrifugo.json");
        fs::write(
            &config,
            configuration(address, &api_key, &token_key).to_string(),
        )
        .with_context(|| format!("could not write {}", config.display()))?;
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(&config);
        let mut process = ServerProcess::spawn(&mut command, folder)?;
        process.wait_until_ready(address, "/health")?;
        Ok(Box::new(CentrifugoServer {
            process,
            address,
            api_key,
            token_key,
        }))
    }
}

fn configuration(address: SocketAddr, api_key: &str, token_key: &str) -> serde_json::Value {
    json!({
        "http_server": { "address": address.ip().to_string(), "port": address.port() },
        "log": { "level": "error" },
        "engine": { "type": "memory" },
        "http_api": { "key": api_key },
        "health": { "enabled": true },
        "admin": { "enabled": false },
        "usage_stats": { "disabled": true },
        "client": {
            "token": { "hmac_secret_key": token_key },
            "allowed_origins": ["*"],
            "ping_interval": "25s",
            "pong_timeout": "10s",
        },
        "websocket": { "compression": false, "use_write_buffer_pool": true },
        "channel": {
            "namespaces": [{
                "name": CHANNEL_NAMESPACE,
                "history_size": 100,
                "history_ttl": "600s",
                "force_recovery": true,
            }],
        },
    })
}

impl Server for CentrifugoServer {
    fn pid(&self) -> u32 {
        self.process.pid()
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn dialect(&self) -> DialectKind {
        DialectKind::Centrifugo {
            key: self.api_key.clone(),
        }
    }

    fn credentials(&self, count: usize) -> Result<Vec<Credential>> {
        let credential = |number| {
            let account = format!("u{number}");
            let token = token(&account, &self.token_key)?;
            Ok(Credential { account, token })
        };
        (0..count).map(credential).collect()
    }

    fn acknowledged(&self) -> Result<Option<u64>> {
        Ok(None)
    }
}

/// A connection token (JWT, HS256) that subscribes its account's channel and does not expire.
fn token(account: &str, key: &str) -> Result<String> {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let channel = format!("{CHANNEL_NAMESPACE}:{account}");
    let claims = json!({ "sub": account, "channels": [channel] }).to_string();
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key.as_bytes()).map_err(|_| anyhow!("a bad key"))?;
    mac.update(signed.as_bytes());
    Ok(format!(
        "{signed}.{}",
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_account_and_channel() -> Result<()> {
        let token = token("u1", "key")?;
        let parts: Vec<&str> = token.split('.').collect();
        let claims: serde_json::Value =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts.get(1).context("no claims")?)?)?;
        assert_eq!(parts.len(), 3);
        assert_eq!(claims, json!({"sub": "u1", "channels": ["user:u1"]}));
        Ok(())
    }
}
