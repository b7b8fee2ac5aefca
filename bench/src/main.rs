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
use scenario::{idle, lag, many, storm, throughput};

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
    Idle(Alone<idle::IdleArgs>),
    Lag(Alone<lag::LagArgs>),
    Throughput(Alone<throughput::ThroughputArgs>),
    Storm(Alone<storm::StormArgs>),
    Many(Alone<many::ManyArgs>),
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
        Command::Engines(args) => engines::run(&args),
        Command::EnginesChild(args) => engines::run_child(&args),
        Command::Worker => worker::run(),
    }
}
