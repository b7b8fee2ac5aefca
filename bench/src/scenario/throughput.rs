//! Staging flat out, singly and in batches: how many, and what CPU each takes.

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;

use super::{
    Lab, Runs, Section, check_delivery, connect_all, cpu_seconds, delivery_cell, ours, target,
    theirs, total_tally,
};
use crate::measure::process::CpuTime;
use crate::measure::stats::{median_of, median_summary};
use crate::measure::table::Table;
use crate::system::Server;
use crate::workers::{Outcome, Workers};

/// Notices a second and CPU of each, flat out.
#[derive(Debug, Clone, Args)]
pub(crate) struct ThroughputArgs {
    /// Connections, one account each.
    #[arg(
        id = "throughput-connections",
        long,
        value_name = "CONNECTIONS",
        default_value_t = 1_000
    )]
    connections: usize,
    /// Sizes of batches; 1 stages singly.
    #[arg(id = "throughput-batches", long, value_name = "BATCHES", value_delimiter = ',', default_values_t = [1, 100])]
    batches: Vec<usize>,
    /// Kept connections that stage single notices, each waiting for its answer.
    #[arg(
        id = "throughput-stagers",
        long,
        value_name = "STAGERS",
        default_value_t = 64
    )]
    stagers: usize,
    /// The same for batches.
    #[arg(
        id = "throughput-batch-stagers",
        long,
        value_name = "STAGERS",
        default_value_t = 16
    )]
    batch_stagers: usize,
    /// Seconds of each load.
    #[arg(
        id = "throughput-seconds",
        long,
        value_name = "SECONDS",
        default_value_t = 10.0
    )]
    seconds: f64,
}

struct BatchRun {
    outcome: Outcome,
    cpu_seconds: f64,
    acknowledged: Option<u64>,
}

/// Measures all systems.
pub(crate) fn run(args: &ThroughputArgs, lab: &Lab) -> Result<Section> {
    let all = lab.by_turns("throughput", |server| measure(args, server))?;
    let by_batch: Vec<(usize, Vec<Runs<BatchRun>>)> = transpose(args, all);
    let (mut problems, mut notes) = (Vec::new(), Vec::new());
    for (batch, all) in &by_batch {
        notes.extend(cpu_target(*batch, all));
        for Runs { system, runs } in all {
            check(
                &mut problems,
                &format!("throughput in batches of {batch} on {system}"),
                runs,
            );
        }
    }
    Ok(Section {
        title: "throughput: flat out".to_owned(),
        explanation: format!(
            "{} accounts online; kept connections stage for {} s, each call when the one before is answered \
             ({} connections singly, {} with batches to distinct accounts). Notices a second are those that \
             arrived, until the last arrival. CPU is the server's, from before the load until 1 s after the \
             last arrival and until all are acknowledged, by notice that arrived: the sum of the threads' \
             run time in nanoseconds from the kernel's schedstat. `acknowledged` is the server's own count.",
            args.connections, args.seconds, args.stagers, args.batch_stagers
        ),
        table: table(&by_batch),
        notes,
        problems,
    })
}

fn measure(args: &ThroughputArgs, server: &dyn Server) -> Result<Vec<BatchRun>> {
    let mut workers = connect_all(server, server.credentials(args.connections)?, 1_000.0)?;
    args.batches
        .iter()
        .map(|&batch| measure_batch(args, batch, server, &mut workers))
        .collect()
}

fn measure_batch(
    args: &ThroughputArgs,
    batch: usize,
    server: &dyn Server,
    workers: &mut Workers,
) -> Result<BatchRun> {
    let stagers = if batch == 1 {
        args.stagers
    } else {
        args.batch_stagers
    };
    let before = server.acknowledged()?;
    let warm_up = workers.throughput(batch, stagers, 2.0)?;
    wait_for_acknowledgements(server, before, warm_up.tally.received)?;
    let before = server.acknowledged()?;
    let cpu = CpuTime::of(server.pid())?;
    let outcome = workers.throughput(batch, stagers, args.seconds)?;
    outcome.ensure_no_failures()?;
    wait_for_acknowledgements(server, before, outcome.tally.received)?;
    let cpu_seconds = cpu_seconds(server, cpu)?;
    let acknowledged = server
        .acknowledged()?
        .zip(before)
        .map(|(after, before)| after - before);
    Ok(BatchRun {
        outcome,
        cpu_seconds,
        acknowledged,
    })
}

/// Waits until the server counts so many more acknowledgements, and a second in any case.
fn wait_for_acknowledgements(server: &dyn Server, before: Option<u64>, count: u64) -> Result<()> {
    std::thread::sleep(Duration::from_secs(1));
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        let missing = server
            .acknowledged()?
            .zip(before)
            .is_some_and(|(now, before)| now - before < count);
        if !missing {
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// From one list of batches a repetition to one list of repetitions a batch.
fn transpose(
    args: &ThroughputArgs,
    all: Vec<Runs<Vec<BatchRun>>>,
) -> Vec<(usize, Vec<Runs<BatchRun>>)> {
    let mut by_batch: Vec<(usize, Vec<Runs<BatchRun>>)> = args
        .batches
        .iter()
        .map(|&batch| (batch, Vec::new()))
        .collect();
    for Runs { system, runs } in all {
        let mut columns: Vec<Vec<BatchRun>> = args.batches.iter().map(|_| Vec::new()).collect();
        for repetition in runs {
            columns
                .iter_mut()
                .zip(repetition)
                .for_each(|(column, run)| column.push(run));
        }
        for ((_, systems), runs) in by_batch.iter_mut().zip(columns) {
            systems.push(Runs { system, runs });
        }
    }
    by_batch
}

fn check(problems: &mut Vec<String>, what: &str, runs: &[BatchRun]) {
    check_delivery(problems, what, &total_tally(runs, |run| run.outcome.tally));
    for run in runs {
        let received = run.outcome.tally.received;
        if let Some(acknowledged) = run.acknowledged.filter(|count| *count != received) {
            problems.push(format!(
                "{what}: {received} arrived but {acknowledged} were acknowledged"
            ));
        }
    }
}

fn cpu_us(run: &BatchRun) -> f64 {
    run.cpu_seconds * 1e6 / run.outcome.tally.received.max(1) as f64
}

fn table(by_batch: &[(usize, Vec<Runs<BatchRun>>)]) -> Table {
    let titles = [
        "batch",
        "system",
        "notices/s",
        "CPU us/notice",
        "call p50 ms",
        "p99 ms",
        "lag p50 ms",
        "p99 ms",
        "delivered",
        "acknowledged",
        "load generator CPU us/notice",
    ];
    let mut table = Table::new(titles);
    for (batch, all) in by_batch {
        for Runs { system, runs } in all {
            let call = median_summary(runs, |run| run.outcome.staging);
            let lag = median_summary(runs, |run| run.outcome.latencies);
            let acknowledged: Option<u64> = runs.iter().map(|run| run.acknowledged).sum();
            let received = |run: &BatchRun| run.outcome.tally.received.max(1) as f64;
            table.row([
                batch.to_string(),
                (*system).to_owned(),
                format!(
                    "{:.0}",
                    median_of(runs, |run| received(run) / run.outcome.seconds.max(1e-9))
                ),
                format!("{:.1}", median_of(runs, cpu_us)),
                format!("{:.2}", call.p50_ms),
                format!("{:.2}", call.p99_ms),
                format!("{:.2}", lag.p50_ms),
                format!("{:.2}", lag.p99_ms),
                delivery_cell(&total_tally(runs, |run| run.outcome.tally)),
                acknowledged.map_or_else(|| "-".to_owned(), |count| count.to_string()),
                format!(
                    "{:.1}",
                    median_of(runs, |run| run.outcome.worker_cpu_seconds * 1e6
                        / received(run))
                ),
            ]);
        }
    }
    table
}

fn cpu_target(batch: usize, all: &[Runs<BatchRun>]) -> Option<String> {
    let (ours, theirs) = (median_of(&ours(all)?.runs, cpu_us), theirs(all)?);
    let limit = median_of(&theirs.runs, cpu_us) / 2.0;
    let what = format!(
        "CPU of a notice in batches of {batch}, half of {}'s",
        theirs.system
    );
    Some(target(&what, ours, limit, "us"))
}
