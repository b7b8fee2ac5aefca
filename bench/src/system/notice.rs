//! This project's server on its embedded store.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::process::{ServerProcess, free_address};
use super::{Server, System};
use crate::dialect::{Credential, DialectKind, Fetch};
use crate::net::blocking::HttpClient;
use crate::random::secret;

/// Calls for tokens at a time: many, as the server makes those of one moment durable together.
const TOKEN_CALLS: usize = 32;

/// Longer than any measurement.
const TOKEN_SECONDS: u32 = 24 * 3600;

/// How notices come to its clients.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    /// By `notice.v1`.
    V1,
    /// By raw frames.
    Legacy,
    /// By HTTP alone.
    Fetch(Fetch),
}

/// How to start it.
pub(crate) struct Notice {
    program: PathBuf,
    way: Way,
    environment: Vec<(String, String)>,
}

/// A running one.
pub(super) struct NoticeServer {
    process: ServerProcess,
    address: SocketAddr,
    admin: SocketAddr,
    key: String,
    way: Way,
}

#[derive(Deserialize)]
struct Session {
    token: String,
}

/// The server's program beside this one.
pub(crate) fn program_beside() -> Result<PathBuf> {
    let own = std::env::current_exe().context("could not find this program's own file")?;
    Ok(own.with_file_name("notice-server"))
}

impl Notice {
    /// With a program that must be there.
    pub(crate) fn new(
        program: PathBuf,
        way: Way,
        environment: Vec<(String, String)>,
    ) -> Result<Self> {
        ensure!(
            program.is_file(),
            "there is no {}: build it with `cargo build --release -p notice-server`, or say where it is \
             with --notice-server",
            program.display()
        );
        Ok(Self {
            program,
            way,
            environment,
        })
    }

    /// With one more variable, unless it was given another value already.
    pub(crate) fn with_variable(mut self, variable: (String, String)) -> Self {
        if self.environment.iter().all(|(name, _)| *name != variable.0) {
            self.environment.push(variable);
        }
        self
    }
}

impl System for Notice {
    fn name(&self) -> &'static str {
        match self.way {
            Way::V1 => "notice",
            Way::Legacy => "notice (legacy)",
            Way::Fetch(Fetch::Events) => "notice (server-sent events)",
            Way::Fetch(Fetch::LongPoll) => "notice (long poll)",
            Way::Fetch(Fetch::ShortPoll { .. }) => "notice (short poll)",
            Way::Fetch(Fetch::Page { .. }) => "notice (page)",
        }
    }

    fn description(&self) -> String {
        format!(
            "notice-server {}, embedded store, durable before the answer, {}; {}",
            env!("CARGO_PKG_VERSION"),
            self.mode_in_words(),
            self.extra_in_words(),
        )
    }

    fn start(&self, folder: &Path) -> Result<Box<dyn Server>> {
        Ok(Box::new(self.start_node(folder, &secret(), &[])?))
    }
}

impl Notice {
    /// Starts one node with this key and these variables besides.
    pub(super) fn start_node(
        &self,
        folder: &Path,
        key: &str,
        environment: &[(String, String)],
    ) -> Result<NoticeServer> {
        let (address, admin) = (free_address()?, free_address()?);
        let mut command = Command::new(&self.program);
        command
            .env("NOTICE_LISTEN", address.to_string())
            .env("NOTICE_ADMIN_LISTEN", admin.to_string())
            .env("NOTICE_DATA_DIR", folder.join("data"))
            .env("NOTICE_API_KEYS", format!("bench:{key}"))
            .envs(environment.iter().cloned())
            .envs(self.environment.iter().cloned());
        let mut process = ServerProcess::spawn(&mut command, folder)?;
        process.wait_until_ready(admin, "/readyz")?;
        Ok(NoticeServer {
            process,
            address,
            admin,
            key: key.to_owned(),
            way: self.way,
        })
    }

    /// What its clients speak, in words.
    pub(super) fn mode_in_words(&self) -> String {
        match self.way {
            Way::V1 => "clients speak notice.v1 and acknowledge".to_owned(),
            Way::Legacy => "clients without a subprotocol, read by pong".to_owned(),
            Way::Fetch(Fetch::Events) => {
                "clients take server-sent events, read once their bytes are taken".to_owned()
            }
            Way::Fetch(Fetch::LongPoll) => {
                "clients poll and wait at the server; each poll acknowledges the one before"
                    .to_owned()
            }
            Way::Fetch(Fetch::ShortPoll { every }) => {
                format!("clients poll every {every:?}; each poll acknowledges the one before")
            }
            Way::Fetch(Fetch::Page { every }) => {
                format!(
                    "clients load a page every {every:?}; what it showed is read at its next load"
                )
            }
        }
    }

    /// The variables given besides, in words.
    pub(super) fn extra_in_words(&self) -> String {
        let extra: Vec<String> = self
            .environment
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if extra.is_empty() {
            "defaults".to_owned()
        } else {
            extra.join(" ")
        }
    }
}

impl NoticeServer {
    fn sessions(&self, accounts: std::ops::Range<usize>) -> Result<Vec<Credential>> {
        let mut client = HttpClient::connect(self.address)?;
        let mut credentials = Vec::with_capacity(accounts.len());
        for number in accounts {
            let account = format!("u{number}");
            let body = format!("{{\"accountId\":\"{account}\",\"ttlSeconds\":{TOKEN_SECONDS}}}");
            let (status, answer) = client.post("/notice/sessions", &self.key, &body)?;
            if status != 201 {
                bail!(
                    "POST /notice/sessions: HTTP {status} {}",
                    String::from_utf8_lossy(&answer)
                );
            }
            let Session { token } =
                serde_json::from_slice(&answer).context("no token in the answer")?;
            credentials.push(Credential { account, token });
        }
        Ok(credentials)
    }
}

impl Server for NoticeServer {
    fn pid(&self) -> u32 {
        self.process.pid()
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn dialect(&self) -> DialectKind {
        let key = self.key.clone();
        match self.way {
            Way::V1 => DialectKind::NoticeV1 { key },
            Way::Legacy => DialectKind::NoticeLegacy { key },
            Way::Fetch(fetch) => DialectKind::NoticeFetch { key, fetch },
        }
    }

    fn credentials(&self, count: usize) -> Result<Vec<Credential>> {
        let share = count.div_ceil(TOKEN_CALLS).max(1);
        std::thread::scope(|scope| {
            let starts = (0..count).step_by(share);
            let ranges = starts.map(|start| start..(start + share).min(count));
            let threads: Vec<_> = ranges
                .map(|range| scope.spawn(|| self.sessions(range)))
                .collect();
            let mut credentials = Vec::with_capacity(count);
            for thread in threads {
                match thread.join() {
                    Ok(part) => credentials.extend(part?),
                    Err(_) => bail!("a thread that made tokens broke off"),
                }
            }
            Ok(credentials)
        })
    }

    fn acknowledged(&self) -> Result<Option<u64>> {
        let (status, body) = HttpClient::connect(self.admin)?.get("/metrics")?;
        ensure!(
            status == 200,
            "GET /metrics on the admin listener: HTTP {status}"
        );
        Ok(metric_sum(
            &String::from_utf8_lossy(&body),
            "notice_read_total",
        ))
    }
}

/// The sum of a counter's series.
fn metric_sum(text: &str, name: &str) -> Option<u64> {
    let series = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let value = if rest.starts_with('{') {
            rest.rsplit_once('}')?.1
        } else {
            rest.strip_prefix(' ')?
        };
        value.trim().parse::<f64>().ok()
    });
    let values: Vec<f64> = series.collect();
    let sum = std::time::Duration::try_from_secs_f64(values.iter().sum())
        .ok()?
        .as_secs();
    (!values.is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metrics_series_are_summed() {
        let text = "# HELP notice_read_total x\nnotice_read_total{way=\"ack\"} 40\n\
                    notice_read_total{way=\"pong\"} 2\nnotice_read_total_other 7\n";
        assert_eq!(metric_sum(text, "notice_read_total"), Some(42));
        assert_eq!(
            metric_sum("notice_read_total 5\n", "notice_read_total"),
            Some(5)
        );
        assert_eq!(metric_sum(text, "notice_staged_total"), None);
    }

    #[test]
    fn a_missing_program_says_how_to_build_it() {
        let error = Notice::new(PathBuf::from("/nowhere/notice-server"), Way::V1, Vec::new()).err();
        let text = error.map(|e| e.to_string()).unwrap_or_default();
        assert!(
            text.contains("cargo build --release -p notice-server"),
            "{text}"
        );
    }
}
