//! The benchmark's side of its worker processes: starts them, commands them, adds up what they say.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::process::{Child, ChildStdin, ChildStdout, Command as Process, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::dialect::Credential;
use crate::measure::stats::{Latencies, Summary};
use crate::net::meter::Traffic;
use crate::system::Server;
use crate::worker::ledger::Tally;
use crate::worker::protocol::{Command, Plan, Reply};

/// Clients that one worker holds at most: below the usual limit of 20,000 files.
const CLIENTS_PER_WORKER: usize = 9_500;

/// How long a worker may take to end.
const STOP_TIME: Duration = Duration::from_secs(5);

/// Loopback addresses for each worker to connect from; each has some 28,000 ports.
const SOURCES_PER_WORKER: u8 = 3;

/// The sum of what the workers answered to one command.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// Clients online.
    pub(crate) online: usize,
    /// Why clients failed, and how many.
    pub(crate) failures: BTreeMap<String, u64>,
    /// Handshakes or push lags.
    pub(crate) latencies: Summary,
    /// Staging calls.
    pub(crate) staging: Summary,
    /// Messages.
    pub(crate) tally: Tally,
    /// The longest worker's time.
    pub(crate) seconds: f64,
    /// The bytes of all clients since they were started.
    pub(crate) traffic: Traffic,
    /// CPU time of all workers.
    pub(crate) worker_cpu_seconds: f64,
}

impl Outcome {
    /// How many clients failed.
    pub(crate) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// An error that says why, if any client failed.
    pub(crate) fn ensure_no_failures(&self) -> Result<()> {
        ensure!(
            self.failures.is_empty(),
            "{} clients failed: {}",
            self.failed(),
            self.reasons()
        );
        Ok(())
    }

    /// The reasons of failures on one line.
    pub(crate) fn reasons(&self) -> String {
        let reasons: Vec<String> = self
            .failures
            .iter()
            .take(5)
            .map(|(reason, count)| format!("{count} x {reason}"))
            .collect();
        reasons.join("; ")
    }
}

struct Worker {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    clients: usize,
}

/// All workers of a measurement.
pub(crate) struct Workers {
    list: Vec<Worker>,
}

impl Workers {
    /// Starts as many workers as the clients need, `at_least` so many, all for one server.
    pub(crate) fn start(
        server: &dyn Server,
        clients: Vec<Credential>,
        at_least: usize,
    ) -> Result<Self> {
        let count = clients
            .len()
            .div_ceil(CLIENTS_PER_WORKER)
            .max(at_least)
            .max(1);
        let share = clients.len().div_ceil(count).max(1);
        let mut list = Vec::new();
        for (index, chunk) in clients.chunks(share).enumerate() {
            let plan = Plan {
                dialect: server.dialect(),
                server: server.address(),
                staging: server.staging_address(),
                clients: chunk.to_vec(),
                sources: sources(index),
            };
            list.push(Worker::start(&plan).context("could not start a worker process")?);
        }
        Ok(Self { list })
    }

    /// Connects until so many clients are online, in all, at a rate for all together.
    pub(crate) fn connect(&mut self, clients: usize, per_second: f64) -> Result<Outcome> {
        let workers = self.list.len();
        let total: usize = self.list.iter().map(|worker| worker.clients).sum();
        self.command(|worker| {
            // Each worker holds its share of those that are to be online.
            let clients = (worker.clients * clients)
                .div_ceil(total.max(1))
                .min(worker.clients);
            Command::Connect {
                clients,
                per_second: per_second / workers as f64,
            }
        })
    }

    /// Stages single messages at a rate for all workers together.
    pub(crate) fn lag(&mut self, per_second: f64, seconds: f64, stagers: usize) -> Result<Outcome> {
        let workers = self.list.len();
        let per_second = per_second / workers as f64;
        let stagers = stagers.div_ceil(workers);
        self.command(|_| Command::Lag {
            per_second,
            seconds,
            stagers,
        })
    }

    /// Stages flat out.
    pub(crate) fn throughput(
        &mut self,
        batch: usize,
        stagers: usize,
        seconds: f64,
    ) -> Result<Outcome> {
        let stagers = stagers.div_ceil(self.list.len());
        self.command(|_| Command::Throughput {
            batch,
            stagers,
            seconds,
        })
    }

    /// Asks who is still there.
    pub(crate) fn status(&mut self) -> Result<Outcome> {
        self.command(|_| Command::Status)
    }

    fn command(&mut self, command: impl Fn(&Worker) -> Command) -> Result<Outcome> {
        for worker in &mut self.list {
            let line = serde_json::to_string(&command(worker))?;
            worker.send(&line)?;
        }
        let replies: Result<Vec<Reply>> = self.list.iter_mut().map(Worker::reply).collect();
        sum(&replies?)
    }
}

impl Worker {
    fn start(plan: &Plan) -> Result<Self> {
        let program = std::env::current_exe().context("could not find this program's own file")?;
        let mut process = Process::new(program)
            .arg("worker")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().context("a worker has no output")?);
        let mut worker = Self {
            process,
            input,
            output,
            clients: plan.clients.len(),
        };
        worker.send(&serde_json::to_string(plan)?)?;
        Ok(worker)
    }

    fn send(&mut self, line: &str) -> Result<()> {
        let input = self.input.as_mut().context("a worker has no input")?;
        writeln!(input, "{line}").context("a worker process ended: see its message above")
    }

    fn reply(&mut self) -> Result<Reply> {
        let mut line = String::new();
        self.output
            .read_line(&mut line)
            .context("could not read a worker's answer")?;
        ensure!(
            !line.is_empty(),
            "a worker process ended: see its message above"
        );
        serde_json::from_str(&line).context("a worker's answer can't be understood")
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The end of its input ends a worker.
        self.input = None;
        let end = Instant::now() + STOP_TIME;
        while Instant::now() < end {
            if matches!(self.process.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        // It is of no use any more; that it is dead already is what is wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// 127.0.0.2 and up, other ones for each worker.
fn sources(worker: usize) -> Vec<Ipv4Addr> {
    let worker = u8::try_from(worker % 64).unwrap_or(0);
    let first = 2 + worker * SOURCES_PER_WORKER;
    (first..first + SOURCES_PER_WORKER)
        .map(|last| Ipv4Addr::new(127, 0, 0, last))
        .collect()
}

fn sum(replies: &[Reply]) -> Result<Outcome> {
    let (mut latencies, mut staging) = (Latencies::new()?, Latencies::new()?);
    let mut failures = BTreeMap::new();
    let (mut tally, mut traffic) = (Tally::default(), Traffic::default());
    for reply in replies {
        traffic.add(reply.traffic);
        latencies.add(&reply.latencies);
        staging.add(&reply.staging);
        tally.add(&reply.tally);
        for (reason, count) in &reply.failures {
            *failures.entry(reason.clone()).or_default() += count;
        }
    }
    Ok(Outcome {
        online: replies.iter().map(|reply| reply.online).sum(),
        failures,
        latencies: latencies.summary(),
        staging: staging.summary(),
        tally,
        seconds: replies
            .iter()
            .map(|reply| reply.seconds)
            .fold(0.0, f64::max),
        traffic,
        worker_cpu_seconds: replies.iter().map(|reply| reply.worker_cpu_seconds).sum(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_connect_from_addresses_of_their_own() {
        assert_eq!(sources(0)[0], Ipv4Addr::new(127, 0, 0, 2));
        assert_eq!(sources(1)[0], Ipv4Addr::new(127, 0, 0, 5));
        assert_eq!(sources(63).last(), Some(&Ipv4Addr::new(127, 0, 0, 193)));
    }

    #[test]
    fn answers_add_up_and_the_longest_time_counts() -> Result<()> {
        let reply = |online, seconds| Reply {
            online,
            seconds,
            failures: BTreeMap::from([("refused".to_owned(), 2)]),
            ..Reply::default()
        };
        let outcome = sum(&[reply(3, 1.0), reply(4, 2.5)])?;
        assert_eq!(
            (outcome.online, outcome.failed(), outcome.seconds),
            (7, 4, 2.5)
        );
        assert!(outcome.ensure_no_failures().is_err());
        assert_eq!(outcome.reasons(), "4 x refused");
        Ok(())
    }
}
