//! `notice-bench`: load on a notice server and on its peers, and storage engines compared.

mod commands;
mod dialect;
mod engines;
mod measure;
mod net;
mod output;
mod random;
mod report;
mod scenario;
mod system;
mod worker;
mod workers;

use anyhow::Result;
use clap::{Parser, Subcommand};

use commands::{Alone, CompareArgs};
use scenario::{idle, lag, many, storm, throughput, transports};

/// Measures a notice server beside its peers, and storage engines beside each other.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Compare(Box<CompareArgs>),
    /// Measure memory and CPU of idle connections.
    Idle(Alone<idle::IdleArgs>),
    /// Measure the push lag under a steady load of single notices.
    Lag(Alone<lag::LagArgs>),
    /// Measure notices a second and the CPU of each, staging flat out.
    Throughput(Alone<throughput::ThroughputArgs>),
    /// Measure how many clients can connect at a high rate.
    Storm(Alone<storm::StormArgs>),
    /// Measure whether the push lag grows with the number of connections.
    Many(Alone<many::ManyArgs>),
    /// Measure the ways to a client beside each other: WebSocket, server-sent events, polls, a page.
    Transports(Alone<transports::TransportsArgs>),
    Engines(engines::EnginesArgs),
    #[command(hide = true)]
    EnginesChild(engines::ChildArgs),
    /// Holds connections for another command; not for use by hand.
    #[command(hide = true)]
    Worker,
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Compare(args) => commands::compare(&args),
        Command::Idle(args) => commands::alone(&args, idle::run),
        Command::Lag(args) => commands::alone(&args, lag::run),
        Command::Throughput(args) => commands::alone(&args, throughput::run),
        Command::Storm(args) => commands::alone(&args, storm::run),
        Command::Many(args) => commands::alone(&args, many::run),
        Command::Transports(args) => commands::transports(&args),
        Command::Engines(args) => engines::run(&args),
        Command::EnginesChild(args) => engines::run_child(&args),
        Command::Worker => worker::run(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn no_two_options_share_a_name_or_an_id() {
        Cli::command().debug_assert();
    }
}
