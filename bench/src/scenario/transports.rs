//! The ways for a notice to a client, beside each other: what each costs at rest and by notice, and how long it takes.

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;

use super::{
    Lab, Runs, Section, check_delivery, connect_all, cpu_seconds, delivery_cell, total_tally,
};
use crate::measure::process::{CpuTime, resident_bytes};
use crate::measure::stats::{median_of, median_summary};
use crate::measure::table::Table;
use crate::net::meter::Traffic;
use crate::system::Server;
use crate::workers::Outcome;

/// The ways for a notice to a client.
#[derive(Debug, Clone, Args)]
pub(crate) struct TransportsArgs {
    /// Clients, one account each.
    #[arg(
        id = "transports-clients",
        long,
        value_name = "CLIENTS",
        default_value_t = 5_000
    )]
    clients: usize,
    /// Clients that come a second: those that ask again and again do so at the same even pace.
    #[arg(
        id = "transports-connect-rate",
        long,
        value_name = "RATE",
        default_value_t = 500.0
    )]
    connect_rate: f64,
    /// Seconds without a notice that are measured.
    #[arg(
        id = "transports-idle-seconds",
        long,
        value_name = "SECONDS",
        default_value_t = 30
    )]
    idle_seconds: u64,
    /// Notices staged a second.
    #[arg(
        id = "transports-rate",
        long,
        value_name = "RATE",
        default_value_t = 200.0
    )]
    rate: f64,
    /// Seconds of that load.
    #[arg(
        id = "transports-seconds",
        long,
        value_name = "SECONDS",
        default_value_t = 30.0
    )]
    seconds: f64,
    /// Kept connections that stage.
    #[arg(
        id = "transports-stagers",
        long,
        value_name = "STAGERS",
        default_value_t = 16
    )]
    stagers: usize,
}

/// What a server did in some time.
#[derive(Debug, Clone, Copy)]
struct Cost {
    seconds: f64,
    cpu_seconds: f64,
    traffic: Traffic,
}

struct TransportRun {
    before_bytes: f64,
    after_bytes: f64,
    idle: Cost,
    loaded: Cost,
    outcome: Outcome,
}

/// Measures all of them.
pub(crate) fn run(args: &TransportsArgs, lab: &Lab) -> Result<Section> {
    let all = lab.by_turns("transports", |server| measure(args, server))?;
    let mut problems = Vec::new();
    for Runs { system, runs } in &all {
        let tally = total_tally(runs, |run| run.outcome.tally);
        check_delivery(&mut problems, system, &tally);
    }
    Ok(Section {
        title: format!("transports: {} clients of each", args.clients),
        explanation: explanation(args),
        table: table(args, &all),
        notes: Vec::new(),
        problems,
    })
}

fn explanation(args: &TransportsArgs) -> String {
    format!(
        "{} clients, one account each: first {} s without a notice, then {} notices a second staged singly at an even \
         pace for {} s, to random ones of them. The push lag is from the time a staging call was to start to the \
         notice's arrival at its client. `CPU of a notice` is the server's in the time of the load by notice, and \
         behind it what is left of that without what the same time costs at rest. `bytes of a notice` are those of \
         the clients' connections in that time by notice, to the client and to the server: HTTP's and WebSocket's \
         heads, pings and empty answers included, TCP's and IP's own not. The clients send few headers; browsers add \
         some 400 bytes to each request. At rest `memory` is what the server grew by since before the first client.",
        args.clients, args.idle_seconds, args.rate, args.seconds
    )
}

fn measure(args: &TransportsArgs, server: &dyn Server) -> Result<TransportRun> {
    let credentials = server.credentials(args.clients)?;
    let before = resident_bytes(server.pid())?;
    let mut workers = connect_all(server, credentials, args.connect_rate)?;
    // What is left of connecting should not count as idling.
    std::thread::sleep(Duration::from_secs(5));
    let traffic = workers.status()?.traffic;
    let idle = Meter::start(server, traffic)?;
    std::thread::sleep(Duration::from_secs(args.idle_seconds));
    let status = workers.status()?;
    status.ensure_no_failures()?;
    let idle = idle.read(server, status.traffic)?;
    let after = resident_bytes(server.pid())?;
    let warm = workers.lag(args.rate, 3.0, args.stagers)?;
    let loaded = Meter::start(server, warm.traffic)?;
    let outcome = workers.lag(args.rate, args.seconds, args.stagers)?;
    let loaded = loaded.read(server, outcome.traffic)?;
    outcome.ensure_no_failures()?;
    Ok(TransportRun {
        before_bytes: before as f64,
        after_bytes: after as f64,
        idle,
        loaded,
        outcome,
    })
}

/// The beginning of a time that is measured.
struct Meter {
    begun: Instant,
    cpu: CpuTime,
    traffic: Traffic,
}

impl Meter {
    fn start(server: &dyn Server, traffic: Traffic) -> Result<Self> {
        Ok(Self {
            begun: Instant::now(),
            cpu: CpuTime::of(server.pid())?,
            traffic,
        })
    }

    fn read(self, server: &dyn Server, traffic: Traffic) -> Result<Cost> {
        Ok(Cost {
            seconds: self.begun.elapsed().as_secs_f64(),
            cpu_seconds: cpu_seconds(server, self.cpu)?,
            traffic: traffic.since(self.traffic),
        })
    }
}

impl TransportRun {
    fn notices(&self) -> f64 {
        self.outcome.tally.received.max(1) as f64
    }

    /// Microseconds by notice, with what the time costs at rest.
    fn cpu_us(&self) -> f64 {
        self.loaded.cpu_seconds * 1e6 / self.notices()
    }

    /// The same without that.
    fn cpu_us_above_rest(&self) -> f64 {
        let at_rest = self.idle.cpu_seconds / self.idle.seconds * self.loaded.seconds;
        (self.loaded.cpu_seconds - at_rest).max(0.0) * 1e6 / self.notices()
    }

    fn received_bytes(&self) -> f64 {
        self.loaded.traffic.received as f64 / self.notices()
    }

    fn sent_bytes(&self) -> f64 {
        self.loaded.traffic.sent as f64 / self.notices()
    }

    fn memory_kb(&self, clients: f64) -> f64 {
        (self.after_bytes - self.before_bytes) / 1e3 / clients
    }

    fn idle_cpu_us(&self, clients: f64) -> f64 {
        self.idle.cpu_seconds * 1e6 / self.idle.seconds / clients
    }

    fn idle_bytes(&self, clients: f64) -> f64 {
        let Traffic { sent, received } = self.idle.traffic;
        (sent + received) as f64 / self.idle.seconds / clients
    }
}

fn table(args: &TransportsArgs, all: &[Runs<TransportRun>]) -> Table {
    let titles = [
        "system",
        "push lag p50 ms",
        "p99 ms",
        "CPU of a notice us",
        "without rest us",
        "bytes of a notice to the client",
        "to the server",
        "at rest: memory of a client kB",
        "CPU us/s",
        "bytes/s",
        "delivered",
    ];
    let clients = args.clients.max(1) as f64;
    let mut table = Table::new(titles);
    for Runs { system, runs } in all {
        let lag = median_summary(runs, |run| run.outcome.latencies);
        let of = |figure: &dyn Fn(&TransportRun) -> f64| median_of(runs, figure);
        table.row([
            (*system).to_owned(),
            format!("{:.2}", lag.p50_ms),
            format!("{:.2}", lag.p99_ms),
            format!("{:.0}", of(&TransportRun::cpu_us)),
            format!("{:.0}", of(&TransportRun::cpu_us_above_rest)),
            format!("{:.0}", of(&TransportRun::received_bytes)),
            format!("{:.0}", of(&TransportRun::sent_bytes)),
            format!("{:.1}", of(&|run| run.memory_kb(clients))),
            format!("{:.1}", of(&|run| run.idle_cpu_us(clients))),
            format!("{:.1}", of(&|run| run.idle_bytes(clients))),
            delivery_cell(&total_tally(runs, |run| run.outcome.tally)),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::measure::stats::Summary;
    use crate::worker::ledger::Tally;

    fn cost(seconds: f64, cpu_seconds: f64, sent: u64, received: u64) -> Cost {
        Cost {
            seconds,
            cpu_seconds,
            traffic: Traffic { sent, received },
        }
    }

    fn a_run() -> TransportRun {
        let tally = Tally {
            staged: 100,
            received: 100,
            ..Tally::default()
        };
        TransportRun {
            before_bytes: 1e6,
            after_bytes: 3e6,
            idle: cost(10.0, 1.0, 2_000, 3_000),
            loaded: cost(5.0, 0.6, 4_000, 6_000),
            outcome: Outcome {
                online: 10,
                failures: BTreeMap::new(),
                latencies: Summary::default(),
                staging: Summary::default(),
                tally,
                seconds: 5.0,
                traffic: Traffic::default(),
                worker_cpu_seconds: 0.0,
            },
        }
    }

    fn near(figure: f64, expected: f64) -> bool {
        (figure - expected).abs() < 1e-6
    }

    #[test]
    fn what_a_notice_costs_is_told_with_and_without_what_the_time_costs_at_rest() {
        let run = a_run();
        assert!(near(run.cpu_us(), 6_000.0));
        // Half a second of CPU goes by in five seconds anyway.
        assert!(near(run.cpu_us_above_rest(), 1_000.0));
        assert!(near(run.sent_bytes(), 40.0) && near(run.received_bytes(), 60.0));
    }

    #[test]
    fn figures_at_rest_are_those_of_one_client() {
        let run = a_run();
        assert!(near(run.memory_kb(10.0), 200.0));
        assert!(near(run.idle_cpu_us(10.0), 10_000.0));
        assert!(near(run.idle_bytes(10.0), 50.0));
    }
}
