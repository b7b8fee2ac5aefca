//! The command line: what is asked, and what a person is told. The only module that prints.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the command line speaks to a person"
)]

mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::api::crd;

#[derive(Parser)]
#[command(name = "notice-operator", version, about = "Runs notice servers by NoticeCluster objects.", long_about = None)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the operator until a signal asks for its end
    Run(run::RunArgs),
    /// Print the CustomResourceDefinition
    Crd,
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(args) => run::run(args),
        Command::Crd => print_crd(),
    }
}

fn print_crd() -> ExitCode {
    match crd::yaml() {
        Ok(yaml) => {
            print!("{yaml}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("notice-operator: the CRD can't be written: {error}");
            ExitCode::FAILURE
        }
    }
}
