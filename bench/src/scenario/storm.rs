//! All clients come at once: can they be let in at a rate without a failure?

use anyhow::Result;
use clap::Args;

use super::{Lab, Runs, Section, check_clients, cpu_seconds};
use crate::measure::process::CpuTime;
use crate::measure::stats::{median_of, median_summary};
use crate::measure::table::Table;
use crate::system::Server;
use crate::workers::{Outcome, Workers};

/// Many clients connecting at a high rate.
#[derive(Debug, Clone, Args)]
pub(crate) struct StormArgs {
    /// Clients, one account each.
    #[arg(
        id = "storm-connections",
        long,
        value_name = "CONNECTIONS",
        default_value_t = 10_000
    )]
    connections: usize,
    /// Connections started a second.
    #[arg(
        id = "storm-rate",
        long,
        value_name = "RATE",
        default_value_t = 2_000.0
    )]
    rate: f64,
}

struct StormRun {
    outcome: Outcome,
    cpu_seconds: f64,
}

/// Measures all systems.
pub(crate) fn run(args: &StormArgs, lab: &Lab) -> Result<Section> {
    let all = lab.by_turns("storm", |server| measure(args, server))?;
    let mut problems = Vec::new();
    for Runs { system, runs } in &all {
        for run in runs {
            check_clients(&mut problems, &format!("storm on {system}"), &run.outcome);
        }
    }
    Ok(Section {
        title: format!("storm: {} clients at {}/s", args.connections, args.rate),
        explanation: format!(
            "{} clients connect, {} a second at an even pace, whatever becomes of the ones before; none tries \
             again. The handshake is from the time a connection was to start to the server's welcome. CPU is the \
             server's, by client.",
            args.connections, args.rate
        ),
        table: table(args, &all),
        notes: Vec::new(),
        problems,
    })
}

fn measure(args: &StormArgs, server: &dyn Server) -> Result<StormRun> {
    let mut workers = Workers::start(server, server.credentials(args.connections)?, 1)?;
    let cpu = CpuTime::of(server.pid())?;
    let outcome = workers.connect(args.connections, args.rate)?;
    Ok(StormRun {
        outcome,
        cpu_seconds: cpu_seconds(server, cpu)?,
    })
}

fn table(args: &StormArgs, all: &[Runs<StormRun>]) -> Table {
    let titles = [
        "system",
        "online",
        "failed",
        "handshake p50 ms",
        "p99 ms",
        "max ms",
        "CPU us/client",
    ];
    let mut table = Table::new(titles);
    for Runs { system, runs } in all {
        let handshake = median_summary(runs, |run| run.outcome.latencies);
        table.row([
            (*system).to_owned(),
            format!("{:.0}", median_of(runs, |run| run.outcome.online as f64)),
            runs.iter()
                .map(|run| run.outcome.failed())
                .sum::<u64>()
                .to_string(),
            format!("{:.2}", handshake.p50_ms),
            format!("{:.2}", handshake.p99_ms),
            format!("{:.2}", handshake.max_ms),
            format!(
                "{:.0}",
                median_of(runs, |run| run.cpu_seconds * 1e6
                    / args.connections.max(1) as f64)
            ),
        ]);
    }
    table
}
