//! The commands that load systems: each scenario alone, or all of them in one run.

use std::io::{Write, stdout};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::report::Report;
use crate::scenario::{CommonArgs, Lab, Section, idle, lag, many, storm, throughput, transports};
use crate::system::raise_file_limit;

/// The scenarios by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Memory and CPU of idle connections.
    Idle,
    /// Push lag under a steady load.
    Lag,
    /// Notices a second and CPU of each, flat out.
    Throughput,
    /// Many clients connecting at a high rate.
    Storm,
    /// Push lag with few and with many connections.
    Many,
}

/// Measure systems side by side in one run.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// The scenarios, in this order.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["lag", "throughput", "storm", "many", "idle"])]
    scenarios: Vec<Scenario>,
    #[command(flatten)]
    settings: Settings,
}

/// The settings of all scenarios; their names begin with the scenario's.
#[derive(Debug, Args)]
struct Settings {
    #[command(flatten)]
    idle: idle::IdleArgs,
    #[command(flatten)]
    lag: lag::LagArgs,
    #[command(flatten)]
    throughput: throughput::ThroughputArgs,
    #[command(flatten)]
    storm: storm::StormArgs,
    #[command(flatten)]
    many: many::ManyArgs,
}

/// One scenario alone.
#[derive(Debug, Args)]
pub(crate) struct Alone<S: Args> {
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    settings: S,
}

/// Runs the scenarios chosen.
pub(crate) fn compare(args: &CompareArgs) -> Result<()> {
    let settings = &args.settings;
    measure(&args.common, Lab::new, |lab, report| {
        for scenario in &args.scenarios {
            report.add(match scenario {
                Scenario::Idle => idle::run(&settings.idle, lab)?,
                Scenario::Lag => lag::run(&settings.lag, lab)?,
                Scenario::Throughput => throughput::run(&settings.throughput, lab)?,
                Scenario::Storm => storm::run(&settings.storm, lab)?,
                Scenario::Many => many::run(&settings.many, lab)?,
            });
        }
        Ok(())
    })
}

/// Runs one scenario.
pub(crate) fn alone<S: Args>(
    args: &Alone<S>,
    run: impl Fn(&S, &Lab) -> Result<Section>,
) -> Result<()> {
    measure(&args.common, Lab::new, |lab, report| {
        report.add(run(&args.settings, lab)?);
        Ok(())
    })
}

/// Measures the ways to a client beside each other.
pub(crate) fn transports(args: &Alone<transports::TransportsArgs>) -> Result<()> {
    measure(&args.common, Lab::of_transports, |lab, report| {
        report.add(transports::run(&args.settings, lab)?);
        Ok(())
    })
}

/// Measures, then prints and writes what there is, even if a later scenario failed.
fn measure(
    args: &CommonArgs,
    lab: impl FnOnce(&CommonArgs) -> Result<Lab>,
    run: impl FnOnce(&Lab, &mut Report) -> Result<()>,
) -> Result<()> {
    let file_limit = raise_file_limit()?;
    let lab = lab(args)?;
    let mut report = Report::new(&lab, file_limit)?;
    let outcome = run(&lab, &mut report);
    let text = report.to_string();
    stdout().write_all(text.as_bytes())?;
    if let Some(path) = &args.out {
        std::fs::write(path, &text)
            .with_context(|| format!("could not write {}", path.display()))?;
    }
    outcome?;
    match report.problems().len() {
        0 => Ok(()),
        count => {
            bail!("{count} problems, marked in the report: its figures are not to be relied on")
        }
    }
}
