//! Starts this program again as a child for one phase, in a folder that is removed afterwards.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use tempfile::TempDir;

use super::child::{CommitCost, Filled, Verified};
use super::store::Engine;

/// The phases of one engine in one folder.
pub(crate) struct Child {
    engine: Engine,
    folder: TempDir,
}

impl Child {
    /// Makes an empty folder below `data_dir`.
    pub(crate) fn new(engine: Engine, data_dir: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix(engine.name())
            .tempdir_in(data_dir)
            .with_context(|| format!("could not make a folder in {}", data_dir.display()))?;
        Ok(Self { engine, folder })
    }

    /// Where the database is.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Commits groups for some seconds.
    pub(crate) fn commit(&self, group: u64, seconds: u64) -> Result<CommitCost> {
        self.run(&[
            "commit".into(),
            group.to_string(),
            (seconds * 1000).to_string(),
        ])
    }

    /// Fills the database.
    pub(crate) fn fill(&self, notices: u64) -> Result<Filled> {
        self.run(&["fill".into(), notices.to_string()])
    }

    /// Opens the database and looks for all that was answered.
    pub(crate) fn verify(&self, answered: u64) -> Result<Verified> {
        self.run(&["verify".into(), answered.to_string()])
    }

    /// Writes on, kills the writer after a while, and says how many notices it had answered.
    pub(crate) fn write_and_kill(&self, from: u64, after: Duration) -> Result<u64> {
        let mut child = self
            .command(&["write-until-killed".into(), from.to_string()])?
            .stdout(Stdio::piped())
            .spawn()
            .context("could not start a child process")?;
        let lines = BufReader::new(child.stdout.take().context("the child has no output")?).lines();
        let (mut answered, mut first) = (from, None);
        // Lines that were printed before the kill still come after it.
        for line in lines {
            answered = line?
                .parse()
                .context("the child printed something else than a number")?;
            if first.get_or_insert_with(Instant::now).elapsed() >= after {
                // SIGKILL; that it is dead already is what is wanted.
                let _ = child.kill();
            }
        }
        if child.wait()?.code().is_some() {
            bail!(
                "{} ended by itself while it was to write on",
                self.engine.name()
            );
        }
        Ok(answered)
    }

    fn command(&self, phase: &[String]) -> Result<Command> {
        let program = std::env::current_exe().context("could not find this program's own file")?;
        let mut command = Command::new(program);
        command
            .args(["engines-child", "--engine", self.engine.name(), "--folder"])
            .arg(self.folder.path())
            .args(phase);
        Ok(command)
    }

    fn run<T: DeserializeOwned>(&self, phase: &[String]) -> Result<T> {
        let output = self
            .command(phase)?
            .stderr(Stdio::inherit())
            .output()
            .context("could not start a child process")?;
        if !output.status.success() {
            bail!(
                "{} failed in phase {phase:?}: {}",
                self.engine.name(),
                output.status
            );
        }
        serde_json::from_slice(&output.stdout).with_context(|| {
            format!(
                "phase {phase:?} of {} printed no result",
                self.engine.name()
            )
        })
    }
}
