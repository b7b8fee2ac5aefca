//! `notice-bench engines`: embedded storage engines on the work of a durable inbox.
//!
//! One thread commits groups of notices, each with the read marks of the group before, and each
//! commit is on the disk when it returns. Every phase runs in a child process.

mod child;
mod fjall_store;
mod log_store;
mod redb_store;
mod report;
mod runner;
mod store;
mod workload;

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};

use crate::measure::disk;
use report::Report;
use runner::Child;
use store::Engine;

/// Compare embedded storage engines on the work of a durable inbox.
#[derive(Debug, Args)]
pub(crate) struct EnginesArgs {
    /// Engines to compare.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["log", "fjall", "fjall-small", "redb", "redb-quick"])]
    engines: Vec<Engine>,
    /// Notices in a group.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 100, 1000])]
    groups: Vec<u64>,
    /// Seconds of committing for each engine, size of group and repetition.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Repetitions; engines take turns, the median counts.
    #[arg(long, default_value_t = 3)]
    repetitions: u32,
    /// Notices in the filled database.
    #[arg(long, default_value_t = 1_000_000)]
    notices: u64,
    /// Kills per engine of the crash test.
    #[arg(long, default_value_t = 3)]
    kills: u32,
    /// Where the databases are made; must be on a real disk.
    #[arg(long, default_value = "target/bench-data")]
    data_dir: PathBuf,
    /// Also write the report to this Markdown file.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// A phase in a child process; not for use by hand.
#[derive(Debug, Args)]
pub(crate) struct ChildArgs {
    #[arg(long, value_enum)]
    engine: Engine,
    #[arg(long)]
    folder: PathBuf,
    #[command(subcommand)]
    phase: Phase,
}

#[derive(Debug, Subcommand)]
enum Phase {
    Commit { group: u64, milliseconds: u64 },
    Fill { notices: u64 },
    WriteUntilKilled { from: u64 },
    Verify { answered: u64 },
}

/// Runs the comparison and prints its report.
pub(crate) fn run(args: &EnginesArgs) -> Result<()> {
    ensure!(
        !args.groups.contains(&0),
        "a group of 0 notices can't be committed: use 1 or more"
    );
    ensure!(args.notices >= 1000, "--notices must be 1000 or more");
    std::fs::create_dir_all(&args.data_dir)
        .with_context(|| format!("could not make {}", args.data_dir.display()))?;
    let report = compare(args)?.to_string();
    stdout().write_all(report.as_bytes())?;
    if let Some(path) = &args.out {
        std::fs::write(path, &report)
            .with_context(|| format!("could not write {}", path.display()))?;
    }
    Ok(())
}

/// Runs one phase and prints its result as one line of JSON.
pub(crate) fn run_child(args: &ChildArgs) -> Result<()> {
    let (engine, folder) = (args.engine, args.folder.as_path());
    let line = match args.phase {
        Phase::Commit {
            group,
            milliseconds,
        } => {
            let time = Duration::from_millis(milliseconds);
            serde_json::to_string(&child::commit_for(engine, folder, group, time)?)?
        }
        Phase::Fill { notices } => serde_json::to_string(&child::fill(engine, folder, notices)?)?,
        Phase::WriteUntilKilled { from } => return child::write_until_killed(engine, folder, from),
        Phase::Verify { answered } => {
            serde_json::to_string(&child::verify(engine, folder, answered)?)?
        }
    };
    writeln!(stdout(), "{line}")?;
    Ok(())
}

fn compare(args: &EnginesArgs) -> Result<Report> {
    let mut report = Report::new(disk::file_system(&args.data_dir));
    for bytes in report::APPEND_SIZES {
        let cost = disk::measure_appends(&args.data_dir, bytes, Duration::from_secs(2))?;
        report.appends.push((bytes, cost));
    }
    for repetition in 0..args.repetitions {
        for &group in &args.groups {
            for &engine in &args.engines {
                crate::progress!(
                    "repetition {}: {} in groups of {group}",
                    repetition + 1,
                    engine.name()
                );
                let cost = Child::new(engine, &args.data_dir)?.commit(group, args.seconds)?;
                report.add_commits(engine, group, cost);
            }
        }
    }
    for &engine in args.engines.iter().filter(|engine| engine.can_be_queried()) {
        fill_and_crash(args, engine, &mut report)?;
    }
    Ok(report)
}

fn fill_and_crash(args: &EnginesArgs, engine: Engine, report: &mut Report) -> Result<()> {
    crate::progress!("{}: filling with {} notices", engine.name(), args.notices);
    let child = Child::new(engine, &args.data_dir)?;
    let filled = child.fill(args.notices)?;
    let mut answered = filled.cost.notices;
    report.filled.push((engine, filled));
    for kill in 0..args.kills {
        crate::progress!("{}: kill {} of {}", engine.name(), kill + 1, args.kills);
        answered = child.write_and_kill(
            answered,
            Duration::from_millis(1500 + 700 * u64::from(kill)),
        )?;
        // The next writer writes the group again that was perhaps written but not answered.
        let verified = child.verify(answered)?;
        report.verified.push((engine, verified));
    }
    report
        .left_bytes
        .push((engine, disk::allocated_bytes(child.folder())?));
    Ok(())
}
