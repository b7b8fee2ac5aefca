//! A server's process: started with its output in a file, asked until it is ready, ended on drop.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};

use crate::net::blocking::HttpClient;

const START_TIME: Duration = Duration::from_secs(30);
const STOP_TIME: Duration = Duration::from_secs(10);

/// A running server.
pub(crate) struct ServerProcess {
    child: Child,
    log: PathBuf,
}

impl ServerProcess {
    /// Starts a server; what it prints goes to a file in `folder`.
    pub(crate) fn spawn(command: &mut Command, folder: &Path) -> Result<Self> {
        let log = folder.join("server.log");
        let file =
            File::create(&log).with_context(|| format!("could not make {}", log.display()))?;
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("could not start {program}"))?;
        Ok(Self { child, log })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until a GET of the path is answered with 200.
    pub(crate) fn wait_until_ready(&mut self, address: SocketAddr, path: &str) -> Result<()> {
        let end = Instant::now() + START_TIME;
        loop {
            let last = HttpClient::connect(address).and_then(|mut client| client.get(path));
            if matches!(last, Ok((200, _))) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "the server ended at once with {status}; its last words:\n{}",
                    self.last_words()
                );
            }
            if Instant::now() >= end {
                let state =
                    last.map_or_else(|e| format!("{e:#}"), |(status, _)| format!("HTTP {status}"));
                bail!(
                    "http://{address}{path} was not ready in {} s: {state}; its last words:\n{}",
                    START_TIME.as_secs(),
                    self.last_words()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn stop(&mut self) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.context("the server has no process id")?;
        kill_process(pid, Signal::TERM)?;
        let end = Instant::now() + STOP_TIME;
        while Instant::now() < end {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("the server did not end in {} s", STOP_TIME.as_secs())
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        if self.stop().is_err() {
            // It is of no use any more, and the next one needs the machine.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A loopback address with a port that was free a moment ago.
pub(crate) fn free_address() -> Result<SocketAddr> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?)
}

/// Lets this process and those it starts open as many files as the system allows.
pub(crate) fn raise_file_limit() -> Result<u64> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )
    .context("could not raise the limit of open files")?;
    Ok(maximum.unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_ends_at_once_is_an_error_with_its_words() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such option; exit 3"]);
        let mut process = ServerProcess::spawn(&mut command, folder.path())?;
        let error = process.wait_until_ready(free_address()?, "/readyz").err();
        let text = error.map(|e| format!("{e:#}")).unwrap_or_default();
        assert!(
            text.contains("exit status: 3") && text.contains("no such option"),
            "{text}"
        );
        Ok(())
    }
}
