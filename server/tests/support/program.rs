//! The real program, as a process: for signals, exit codes and what it prints.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::api::{Api, KEY};
use super::folder::Folder;
use super::wait::eventually;

/// A running program, killed when it is dropped.
#[derive(Debug)]
pub struct Program {
    child: Guarded,
    api: Api,
    output: Output,
}

/// A program that ended by itself.
#[derive(Debug)]
pub struct Exit {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed, on both ways.
    pub output: String,
}

#[derive(Debug, Clone)]
struct Output {
    out: PathBuf,
    log: PathBuf,
    folder: Folder,
}

impl Output {
    fn read(&self) -> String {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        read(&self.out) + &read(&self.log)
    }
}

impl Deref for Program {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

impl Program {
    /// Starts it on a folder, with an API key, and waits until it is ready.
    pub async fn start(folder: &Folder, settings: &[(&str, &str)]) -> Self {
        let data = folder.data().display().to_string();
        let usual = [
            ("NOTICE_NODE_NAME", "node-a"),
            ("NOTICE_API_KEYS", KEY),
            ("NOTICE_DATA_DIR", &data),
        ];
        Self::start_bare(folder, &[&usual, settings].concat()).await
    }

    /// The same with nothing but ports that are free: no key, the usual data folder in its working directory.
    pub async fn start_bare(folder: &Folder, settings: &[(&str, &str)]) -> Self {
        let (mut child, output) = spawn(folder, settings);
        let (public, admin) =
            eventually("the line that says that the server is ready", async || {
                let printed = output.read();
                if let Ok(Some(status)) = child.0.try_wait() {
                    panic!("the program ended with {status}:\n{}", output.read());
                }
                ready_line(&printed).ok_or(printed)
            })
            .await;
        let key = KEY.to_owned();
        Self {
            child,
            api: Api { public, admin, key },
            output,
        }
    }

    /// Starts it and waits until it ends by itself.
    pub async fn run(folder: &Folder, settings: &[(&str, &str)]) -> Exit {
        let (mut child, output) = spawn(folder, settings);
        ended(&mut child, &output).await
    }

    /// Starts it as [`Self::start`] does and kills it so soon that it may not be ready yet.
    pub async fn start_and_kill(folder: &Folder, settings: &[(&str, &str)], after: Duration) {
        let data = folder.data().display().to_string();
        let usual = [("NOTICE_API_KEYS", KEY), ("NOTICE_DATA_DIR", data.as_str())];
        let (mut child, output) = spawn(folder, &[&usual, settings].concat());
        tokio::time::sleep(after).await;
        child.0.kill().unwrap();
        ended(&mut child, &output).await;
    }

    /// What it printed so far.
    pub fn output(&self) -> String {
        self.output.read()
    }

    /// The memory it takes now, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: u64 = line
            .and_then(|line| line.trim().strip_suffix(" kB"))
            .and_then(|kib| kib.parse().ok())
            .unwrap();
        kib * 1024
    }

    /// Asks it to end, as an init system does.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Stops it where it stands, as a machine that hangs: its sockets stay open and nothing answers.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.0.id()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// Ends it with no chance to do anything more.
    pub async fn kill(mut self) {
        self.child.0.kill().unwrap();
        ended(&mut self.child, &self.output).await;
    }

    /// Waits until it ends by itself.
    pub async fn exit(mut self) -> Exit {
        ended(&mut self.child, &self.output).await
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.0.try_wait(), Ok(None))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("what the program printed:\n{}", self.output());
        }
    }
}

/// A child that does not outlive its test.
#[derive(Debug)]
struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        let _gone_already = self.0.kill();
        let _reaped = self.0.wait();
    }
}

async fn ended(child: &mut Guarded, output: &Output) -> Exit {
    let status = eventually("the program's end", async || {
        let ended = child.0.try_wait().unwrap();
        ended.ok_or_else(|| output.read())
    })
    .await;
    Exit {
        status,
        output: output.read(),
    }
}

fn spawn(folder: &Folder, settings: &[(&str, &str)]) -> (Guarded, Output) {
    // Each start has files of its own: what an earlier one printed is no sign of life of this one.
    let start = (0..)
        .find(|number| !folder.path().join(format!("out-{number}")).exists())
        .unwrap();
    let output = Output {
        out: folder.path().join(format!("out-{start}")),
        log: folder.path().join(format!("log-{start}")),
        folder: folder.clone(),
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_notice-server"));
    command
        .current_dir(folder.path())
        .env_clear()
        .env("NOTICE_LISTEN", "127.0.0.1:0")
        .env("NOTICE_ADMIN_LISTEN", "127.0.0.1:0")
        .env("NOTICE_LOG_FORMAT", "json")
        .envs(settings.iter().copied())
        .stdin(std::process::Stdio::null())
        .stdout(File::create(&output.out).unwrap())
        .stderr(File::create(&output.log).unwrap());
    (Guarded(command.spawn().unwrap()), output)
}

/// The addresses in the log line that says that the server is ready.
fn ready_line(printed: &str) -> Option<(SocketAddr, SocketAddr)> {
    printed.lines().find_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        let fields = line.get("fields").unwrap_or(&line);
        let address = |name: &str| fields[name].as_str()?.parse().ok();
        Some((address("listen")?, address("admin")?))
    })
}
