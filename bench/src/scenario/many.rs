//! As many connections as a process can hold: does the push lag grow with them?

use anyhow::{Result, ensure};
use clap::Args;

use super::{
    Lab, Runs, Section, check_delivery, delivery_cell, note_size, ours, target, total_tally,
};
use crate::measure::process::resident_bytes;
use crate::measure::stats::{median_of, median_summary};
use crate::measure::table::Table;
use crate::system::Server;
use crate::worker::ledger::Tally;
use crate::workers::{Outcome, Workers};

/// Growth of the push lag that still counts as none: less than repetitions differ by.
const NO_GROWTH: f64 = 1.25;

/// Push lag with few and with many connections.
#[derive(Debug, Clone, Args)]
pub(crate) struct ManyArgs {
    /// Connections at first.
    #[arg(id = "many-few", long, value_name = "FEW", default_value_t = 1_000)]
    few: usize,
    /// Connections then, on the same server.
    #[arg(
        id = "many-connections",
        long,
        value_name = "CONNECTIONS",
        default_value_t = 19_000
    )]
    connections: usize,
    /// Notices staged a second.
    #[arg(id = "many-rate", long, value_name = "RATE", default_value_t = 2_000.0)]
    rate: f64,
    /// Seconds of each load.
    #[arg(
        id = "many-seconds",
        long,
        value_name = "SECONDS",
        default_value_t = 15.0
    )]
    seconds: f64,
    /// Connections made a second.
    #[arg(
        id = "many-connect-rate",
        long,
        value_name = "RATE",
        default_value_t = 1_000.0
    )]
    connect_rate: f64,
}

struct ManyRun {
    few: Outcome,
    many: Outcome,
    many_bytes: f64,
}

/// Measures all systems.
pub(crate) fn run(args: &ManyArgs, lab: &Lab) -> Result<Section> {
    ensure!(
        args.few <= args.connections,
        "--many-few must be at most --many-connections"
    );
    let all = lab.by_turns("many", |server| measure(args, server))?;
    let mut problems = Vec::new();
    for Runs { system, runs } in &all {
        check_delivery(
            &mut problems,
            &format!("many on {system}"),
            &total_tally(runs, both),
        );
    }
    Ok(Section {
        title: format!("many: {} connections on one process", args.connections),
        explanation: format!(
            "{} notices a second as in `lag`, for {} s, with {} connections and then with {} on the same server, \
             to random ones of the accounts online. At least two processes hold the clients and stage.",
            args.rate, args.seconds, args.few, args.connections
        ),
        table: table(args, &all),
        notes: ours(&all).map(growth_target).into_iter().collect(),
        problems,
    })
}

fn measure(args: &ManyArgs, server: &dyn Server) -> Result<ManyRun> {
    let mut workers = Workers::start(server, server.credentials(args.connections)?, 2)?;
    let few = connect_and_load(args, args.few, &mut workers)?;
    let many = connect_and_load(args, args.connections, &mut workers)?;
    note_size(server)?;
    Ok(ManyRun {
        few,
        many,
        many_bytes: resident_bytes(server.pid())? as f64,
    })
}

fn connect_and_load(args: &ManyArgs, clients: usize, workers: &mut Workers) -> Result<Outcome> {
    let outcome = workers.connect(clients, args.connect_rate)?;
    outcome.ensure_no_failures()?;
    ensure!(
        outcome.online >= clients,
        "{} of {clients} clients are online",
        outcome.online
    );
    workers.lag(args.rate, 3.0, 64)?;
    let outcome = workers.lag(args.rate, args.seconds, 64)?;
    outcome.ensure_no_failures()?;
    Ok(outcome)
}

fn both(run: &ManyRun) -> Tally {
    let mut tally = run.few.tally;
    tally.add(&run.many.tally);
    tally
}

fn table(args: &ManyArgs, all: &[Runs<ManyRun>]) -> Table {
    let titles = [
        "system",
        "connections",
        "push lag p50 ms",
        "p99 ms",
        "max ms",
        "RSS MB",
        "delivered",
    ];
    let mut table = Table::new(titles);
    for Runs { system, runs } in all {
        let mut row = |connections: usize, outcome: fn(&ManyRun) -> &Outcome, memory: String| {
            let lag = median_summary(runs, |run| outcome(run).latencies);
            table.row([
                (*system).to_owned(),
                connections.to_string(),
                format!("{:.2}", lag.p50_ms),
                format!("{:.2}", lag.p99_ms),
                format!("{:.2}", lag.max_ms),
                memory,
                delivery_cell(&total_tally(runs, |run| outcome(run).tally)),
            ]);
        };
        row(args.few, |run| &run.few, String::new());
        row(
            args.connections,
            |run| &run.many,
            format!("{:.1}", median_of(runs, |run| run.many_bytes / 1e6)),
        );
    }
    table
}

fn growth_target(runs: &Runs<ManyRun>) -> String {
    let few = median_summary(&runs.runs, |run| run.few.latencies);
    let many = median_summary(&runs.runs, |run| run.many.latencies);
    target(
        "push lag p50 with many, that with few by 1.25",
        many.p50_ms,
        few.p50_ms * NO_GROWTH,
        "ms",
    )
}
