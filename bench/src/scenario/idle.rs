//! Many connections that do nothing: memory and CPU of each.

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::{Lab, Runs, Section, connect_all, cpu_seconds, note_size, ours, target};
use crate::measure::process::{CpuTime, resident_bytes};
use crate::measure::stats::median_of;
use crate::measure::table::Table;
use crate::system::Server;

/// Memory and CPU of idle connections.
#[derive(Debug, Clone, Args)]
pub(crate) struct IdleArgs {
    /// Connections, one account each.
    #[arg(
        id = "idle-connections",
        long,
        value_name = "CONNECTIONS",
        default_value_t = 10_000
    )]
    connections: usize,
    /// Seconds of idling that are measured.
    #[arg(
        id = "idle-seconds",
        long,
        value_name = "SECONDS",
        default_value_t = 60
    )]
    seconds: u64,
    /// Connections made a second.
    #[arg(
        id = "idle-connect-rate",
        long,
        value_name = "RATE",
        default_value_t = 1_000.0
    )]
    connect_rate: f64,
}

struct IdleRun {
    before_bytes: f64,
    after_bytes: f64,
    cpu_seconds: f64,
}

/// Measures all systems.
pub(crate) fn run(args: &IdleArgs, lab: &Lab) -> Result<Section> {
    let all = lab.by_turns("idle", |server| measure(args, server))?;
    let notes = ours(&all)
        .map(|runs| targets(args, runs))
        .unwrap_or_default();
    Ok(Section {
        title: format!("idle: {} connections", args.connections),
        explanation: format!(
            "{} connections, one account each, idle for {} s with pings every 25 s. Memory is the server's \
             resident set at the end of that time: `everything included` is all of it by connection, \
             `growth` is what came since before the first connection. CPU is the server's.",
            args.connections, args.seconds
        ),
        table: table(args, &all),
        notes,
        problems: Vec::new(),
    })
}

fn measure(args: &IdleArgs, server: &dyn Server) -> Result<IdleRun> {
    // Tokens are made by the time of the first reading, so that they don't count as connections'.
    let credentials = server.credentials(args.connections)?;
    let before = resident_bytes(server.pid())?;
    let mut workers = connect_all(server, credentials, args.connect_rate)?;
    note_size(server)?;
    // What is left of connecting, buffers to be given back say, should not count as idling.
    std::thread::sleep(Duration::from_secs(5));
    let cpu = CpuTime::of(server.pid())?;
    std::thread::sleep(Duration::from_secs(args.seconds));
    let cpu_seconds = cpu_seconds(server, cpu)?;
    let after = resident_bytes(server.pid())?;
    workers.status()?.ensure_no_failures()?;
    Ok(IdleRun {
        before_bytes: before as f64,
        after_bytes: after as f64,
        cpu_seconds,
    })
}

fn included_kb(args: &IdleArgs, run: &IdleRun) -> f64 {
    run.after_bytes / 1e3 / args.connections as f64
}

fn growth_kb(args: &IdleArgs, run: &IdleRun) -> f64 {
    (run.after_bytes - run.before_bytes) / 1e3 / args.connections as f64
}

fn cpu_us(args: &IdleArgs, run: &IdleRun) -> f64 {
    run.cpu_seconds * 1e6 / args.seconds.max(1) as f64 / args.connections as f64
}

fn table(args: &IdleArgs, all: &[Runs<IdleRun>]) -> Table {
    let titles = [
        "system",
        "everything included kB",
        "growth kB",
        "RSS before MB",
        "RSS after MB",
        "CPU us/s per connection",
    ];
    let mut table = Table::new(titles);
    for Runs { system, runs } in all {
        table.row([
            (*system).to_owned(),
            format!("{:.2}", median_of(runs, |run| included_kb(args, run))),
            format!("{:.2}", median_of(runs, |run| growth_kb(args, run))),
            format!("{:.1}", median_of(runs, |run| run.before_bytes / 1e6)),
            format!("{:.1}", median_of(runs, |run| run.after_bytes / 1e6)),
            format!("{:.2}", median_of(runs, |run| cpu_us(args, run))),
        ]);
    }
    table
}

fn targets(args: &IdleArgs, runs: &Runs<IdleRun>) -> Vec<String> {
    let memory = median_of(&runs.runs, |run| included_kb(args, run));
    let cpu = median_of(&runs.runs, |run| cpu_us(args, run));
    vec![
        target(
            "memory of a connection, everything included",
            memory,
            5.0,
            "kB",
        ),
        target("CPU of a connection", cpu, 2.0, "us/s"),
    ]
}
