//! A steady load of single notices: how long from the staging call to the client.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::{
    Lab, Runs, Section, check_delivery, connect_all, cpu_seconds, delivery_cell, ours, target,
    total_tally,
};
use crate::measure::disk::{NOTICE_BYTES, measure_appends};
use crate::measure::process::CpuTime;
use crate::measure::stats::{Summary, median_of, median_summary};
use crate::measure::table::Table;
use crate::system::Server;
use crate::workers::Outcome;

/// Sizes of appends whose fsync is measured: a page, and a group of 16 notices.
const APPENDS: [(&str, usize); 2] = [("4 KiB", 4096), ("16 notices", 16 * NOTICE_BYTES)];

/// Push lag under a steady load.
#[derive(Debug, Clone, Args)]
pub(crate) struct LagArgs {
    /// Connections, one account each.
    #[arg(
        id = "lag-connections",
        long,
        value_name = "CONNECTIONS",
        default_value_t = 1_000
    )]
    connections: usize,
    /// Notices staged a second.
    #[arg(id = "lag-rate", long, value_name = "RATE", default_value_t = 2_000.0)]
    rate: f64,
    /// Seconds of the load.
    #[arg(
        id = "lag-seconds",
        long,
        value_name = "SECONDS",
        default_value_t = 20.0
    )]
    seconds: f64,
    /// Kept connections that stage.
    #[arg(id = "lag-stagers", long, value_name = "STAGERS", default_value_t = 64)]
    stagers: usize,
}

struct LagRun {
    outcome: Outcome,
    cpu_seconds: f64,
    appends: [Summary; APPENDS.len()],
}

/// Measures all systems.
pub(crate) fn run(args: &LagArgs, lab: &Lab) -> Result<Section> {
    let all = lab.by_turns("lag", |server| measure(args, server, lab.data_dir()))?;
    let mut problems = Vec::new();
    for Runs { system, runs } in &all {
        let tally = total_tally(runs, |run| run.outcome.tally);
        check_delivery(&mut problems, &format!("lag on {system}"), &tally);
    }
    let mut notes = append_notes(&all);
    notes.extend(
        ours(&all)
            .map(|runs| targets(runs, &all))
            .unwrap_or_default(),
    );
    Ok(Section {
        title: format!("lag: {} notices/s singly", args.rate),
        explanation: format!(
            "{} notices a second staged singly over HTTP at an even pace for {} s, whatever becomes of the \
             answers, to random ones of {} accounts online. The push lag is from the time a call was to start \
             to its frame's arrival at the client; the call's time ends with its answer. CPU is the server's.",
            args.rate, args.seconds, args.connections
        ),
        table: table(&all),
        notes,
        problems,
    })
}

fn measure(args: &LagArgs, server: &dyn Server, data_dir: &Path) -> Result<LagRun> {
    let mut workers = connect_all(server, server.credentials(args.connections)?, 1_000.0)?;
    workers.lag(args.rate, 3.0, args.stagers)?;
    // The disk's own time, right before the load, while the server has nothing to do.
    let mut appends = [Summary::default(); APPENDS.len()];
    for (summary, (_, bytes)) in appends.iter_mut().zip(APPENDS) {
        *summary = measure_appends(data_dir, bytes, Duration::from_secs(2))?;
    }
    let cpu = CpuTime::of(server.pid())?;
    let outcome = workers.lag(args.rate, args.seconds, args.stagers)?;
    outcome.ensure_no_failures()?;
    Ok(LagRun {
        outcome,
        cpu_seconds: cpu_seconds(server, cpu)?,
        appends,
    })
}

fn table(all: &[Runs<LagRun>]) -> Table {
    let titles = [
        "system",
        "push lag p50 ms",
        "p99 ms",
        "max ms",
        "call p50 ms",
        "p99 ms",
        "CPU us/notice",
        "delivered",
    ];
    let mut table = Table::new(titles);
    for Runs { system, runs } in all {
        let lag = median_summary(runs, |run| run.outcome.latencies);
        let call = median_summary(runs, |run| run.outcome.staging);
        let cpu = |run: &LagRun| run.cpu_seconds * 1e6 / run.outcome.tally.received.max(1) as f64;
        table.row([
            (*system).to_owned(),
            format!("{:.2}", lag.p50_ms),
            format!("{:.2}", lag.p99_ms),
            format!("{:.2}", lag.max_ms),
            format!("{:.2}", call.p50_ms),
            format!("{:.2}", call.p99_ms),
            format!("{:.1}", median_of(runs, cpu)),
            delivery_cell(&total_tally(runs, |run| run.outcome.tally)),
        ]);
    }
    table
}

/// The disk's times over all repetitions of all systems.
fn appends(all: &[Runs<LagRun>]) -> [Summary; APPENDS.len()] {
    let runs: Vec<&LagRun> = all.iter().flat_map(|runs| &runs.runs).collect();
    let mut medians = [Summary::default(); APPENDS.len()];
    for (index, median) in medians.iter_mut().enumerate() {
        *median = median_summary(&runs, |run| {
            run.appends.get(index).copied().unwrap_or_default()
        });
    }
    medians
}

fn append_notes(all: &[Runs<LagRun>]) -> Vec<String> {
    let line = |((name, _), cost): (&(&str, usize), Summary)| {
        format!(
            "append of {name} and fdatasync in the same run: p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms",
            cost.p50_ms, cost.p99_ms, cost.max_ms
        )
    };
    APPENDS.iter().zip(appends(all)).map(line).collect()
}

fn targets(runs: &Runs<LagRun>, all: &[Runs<LagRun>]) -> Vec<String> {
    let lag = median_summary(&runs.runs, |run| run.outcome.latencies);
    let [_, group] = appends(all);
    vec![
        target("push lag p50", lag.p50_ms, 0.8, "ms"),
        target(
            "push lag p99, against fsync of a group + 2 ms",
            lag.p99_ms,
            group.p99_ms + 2.0,
            "ms",
        ),
    ]
}
