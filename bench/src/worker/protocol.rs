//! What passes between the benchmark and its worker processes: a line of JSON each.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::ledger::Tally;
use crate::dialect::{Credential, DialectKind};
use crate::measure::stats::LatencyCounts;
use crate::net::meter::Traffic;

/// The first line to a worker: whom it is to load, as whom.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// How to speak with the server.
    pub(crate) dialect: DialectKind,
    /// Where clients connect.
    pub(crate) server: SocketAddr,
    /// Where services stage: another node of the same system, or the same one.
    pub(crate) staging: SocketAddr,
    /// The worker's clients; connected in this order.
    pub(crate) clients: Vec<Credential>,
    /// Loopback addresses to connect from, by turns.
    pub(crate) sources: Vec<Ipv4Addr>,
}

/// A later line to a worker; each is answered by one [`Reply`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Connect clients until so many are, at an even rate.
    Connect { clients: usize, per_second: f64 },
    /// Stage single messages to random clients at an even rate, whatever becomes of the answers.
    Lag {
        per_second: f64,
        seconds: f64,
        stagers: usize,
    },
    /// Stage as fast as so many connections can, each waiting for its answer.
    Throughput {
        batch: usize,
        stagers: usize,
        seconds: f64,
    },
    /// Say how many are online.
    Status,
}

/// What a worker answers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Reply {
    /// Clients online now.
    pub(crate) online: usize,
    /// Why clients could not connect or lost their connection since the last reply, and how many.
    pub(crate) failures: BTreeMap<String, u64>,
    /// Times of the phase: intended start of a connection to being online, or intended staging
    /// to arrival.
    pub(crate) latencies: LatencyCounts,
    /// Times of the staging calls, from their intended start to their answer.
    pub(crate) staging: LatencyCounts,
    /// The sums of the phase.
    pub(crate) tally: Tally,
    /// From the phase's start to its last arrival.
    pub(crate) seconds: f64,
    /// The bytes of all its clients since it started.
    pub(crate) traffic: Traffic,
    /// CPU time that the worker took in the phase.
    pub(crate) worker_cpu_seconds: f64,
}
