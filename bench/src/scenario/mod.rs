//! The scenarios: each loads every system in the same way, by turns, and reports medians.

pub(crate) mod idle;
pub(crate) mod lag;
pub(crate) mod many;
pub(crate) mod storm;
pub(crate) mod throughput;
pub(crate) mod transports;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::dialect::Credential;
use crate::measure::process::{CpuTime, open_files};
use crate::measure::table::Table;
use crate::system::{Server, System, SystemArgs};
use crate::worker::ledger::Tally;
use crate::workers::{Outcome, Workers};

/// What every scenario wants to know.
#[derive(Debug, Clone, Args)]
pub(crate) struct CommonArgs {
    #[command(flatten)]
    pub(crate) systems: SystemArgs,
    /// Repetitions; systems take turns, medians count.
    #[arg(long, default_value_t = 3)]
    repetitions: u32,
    /// Also write the report to this Markdown file.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
}

/// One scenario's part of the report.
#[derive(Debug)]
pub(crate) struct Section {
    /// Its heading.
    pub(crate) title: String,
    /// What was done and what the columns mean.
    pub(crate) explanation: String,
    /// The figures.
    pub(crate) table: Table,
    /// Lines below the table: targets and whether they are met.
    pub(crate) notes: Vec<String>,
    /// What must not happen and did: lost messages, failed clients.
    pub(crate) problems: Vec<String>,
}

/// The systems and how often to measure them.
pub(crate) struct Lab {
    systems: Vec<Box<dyn System>>,
    data_dir: PathBuf,
    repetitions: u32,
}

/// All repetitions of one system.
pub(crate) struct Runs<T> {
    /// The system's name.
    pub(crate) system: &'static str,
    /// One entry for each repetition.
    pub(crate) runs: Vec<T>,
}

impl Lab {
    /// Finds or builds the systems.
    pub(crate) fn new(args: &CommonArgs) -> Result<Self> {
        Self::of(args, args.systems.systems()?)
    }

    /// The notice server once for each way to its clients, whatever systems were chosen.
    pub(crate) fn of_transports(args: &CommonArgs) -> Result<Self> {
        Self::of(args, args.systems.transports()?)
    }

    fn of(args: &CommonArgs, systems: Vec<Box<dyn System>>) -> Result<Self> {
        ensure!(args.repetitions > 0, "--repetitions must be 1 or more");
        let data_dir = args.systems.data_dir.clone();
        std::fs::create_dir_all(&data_dir)
            .with_context(|| format!("could not make {}", data_dir.display()))?;
        Ok(Self {
            systems,
            data_dir,
            repetitions: args.repetitions,
        })
    }

    /// What is measured, one line a system.
    pub(crate) fn descriptions(&self) -> Vec<String> {
        self.systems
            .iter()
            .map(|system| system.description())
            .collect()
    }

    /// Where servers keep their data.
    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Measures every system by turns, each time on a server started anew.
    fn by_turns<T>(
        &self,
        what: &str,
        measure: impl Fn(&dyn Server) -> Result<T>,
    ) -> Result<Vec<Runs<T>>> {
        let names = self.systems.iter().map(|system| system.name());
        let mut all: Vec<Runs<T>> = names
            .map(|system| Runs {
                system,
                runs: Vec::new(),
            })
            .collect();
        for repetition in 1..=self.repetitions {
            for (system, runs) in self.systems.iter().zip(&mut all) {
                crate::progress!(
                    "{what}: {}, repetition {repetition} of {}",
                    system.name(),
                    self.repetitions
                );
                let measured = self.on_new_server(system.as_ref(), &measure);
                runs.runs
                    .push(measured.with_context(|| format!("{what} on {} failed", system.name()))?);
            }
        }
        Ok(all)
    }

    fn on_new_server<T>(
        &self,
        system: &dyn System,
        measure: impl Fn(&dyn Server) -> Result<T>,
    ) -> Result<T> {
        let folder = tempfile::Builder::new()
            .prefix("server")
            .tempdir_in(&self.data_dir)
            .with_context(|| format!("could not make a folder in {}", self.data_dir.display()))?;
        // The server ends before its folder is removed.
        let server = system.start(folder.path())?;
        measure(server.as_ref())
    }
}

/// Connects clients gently, before a measurement of something else.
fn connect_all(server: &dyn Server, clients: Vec<Credential>, per_second: f64) -> Result<Workers> {
    let count = clients.len();
    let mut workers = Workers::start(server, clients, 1)?;
    let outcome = workers.connect(count, per_second)?;
    outcome.ensure_no_failures()?;
    ensure!(
        outcome.online == count,
        "{} of {count} clients are online",
        outcome.online
    );
    Ok(workers)
}

/// CPU time of a server from one moment to another.
fn cpu_seconds(server: &dyn Server, since: CpuTime) -> Result<f64> {
    Ok(CpuTime::of(server.pid())?.since(since).as_secs_f64())
}

/// A line of progress about a server's size.
fn note_size(server: &dyn Server) -> Result<()> {
    crate::progress!("  the server has {} files open", open_files(server.pid())?);
    Ok(())
}

/// Loss, doubles and refusals as one cell.
fn delivery_cell(tally: &Tally) -> String {
    if tally.is_clean() {
        return format!("all {}", tally.received);
    }
    format!(
        "{} of {}: {} lost, {} refused, {} doubled, {} misdelivered",
        tally.received,
        tally.staged,
        tally.lost(),
        tally.refused,
        tally.doubled,
        tally.misdelivered
    )
}

/// The sums of all repetitions.
fn total_tally<T>(runs: &[T], tally: impl Fn(&T) -> Tally) -> Tally {
    let mut total = Tally::default();
    runs.iter().for_each(|run| total.add(&tally(run)));
    total
}

/// Enters a problem if not everything arrived once.
fn check_delivery(problems: &mut Vec<String>, what: &str, tally: &Tally) {
    if !tally.is_clean() {
        problems.push(format!("{what}: {}", delivery_cell(tally)));
    }
}

/// Enters a problem if clients failed.
fn check_clients(problems: &mut Vec<String>, what: &str, outcome: &Outcome) {
    if outcome.failed() > 0 {
        problems.push(format!(
            "{what}: {} clients failed: {}",
            outcome.failed(),
            outcome.reasons()
        ));
    }
}

/// A target and whether a figure meets it.
fn target(what: &str, figure: f64, limit: f64, unit: &str) -> String {
    let verdict = if figure <= limit { "met" } else { "NOT met" };
    format!("target: {what} <= {limit:.2} {unit}: {figure:.2} {unit}, {verdict}")
}

/// The repetitions of this project's server on its embedded store, whose targets the notes are about, if it was measured.
fn ours<T>(all: &[Runs<T>]) -> Option<&Runs<T>> {
    let embedded = |system: &str| system.starts_with("notice") && system != "notice cluster";
    all.iter().find(|runs| embedded(runs.system))
}

/// The repetitions of the system to compare it with, if that was measured.
fn theirs<T>(all: &[Runs<T>]) -> Option<&Runs<T>> {
    all.iter().find(|runs| !runs.system.starts_with("notice"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_says_whether_it_is_met() {
        assert_eq!(
            target("x", 1.0, 2.0, "ms"),
            "target: x <= 2.00 ms: 1.00 ms, met"
        );
        assert!(target("x", 3.0, 2.0, "ms").ends_with("NOT met"));
    }

    #[test]
    fn a_lost_message_is_a_problem() {
        let mut problems = Vec::new();
        let mut tally = Tally {
            staged: 5,
            received: 5,
            ..Tally::default()
        };
        check_delivery(&mut problems, "lag", &tally);
        assert!(problems.is_empty());
        tally.received = 4;
        check_delivery(&mut problems, "lag", &tally);
        assert_eq!(
            problems,
            ["lag: 4 of 5: 1 lost, 0 refused, 0 doubled, 0 misdelivered"]
        );
    }
}
