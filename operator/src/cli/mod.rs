//! The command line: what is asked, and what a person is told. The only module that prints.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the command line speaks to a person"
)]

mod check;
mod lint;
mod manifests;
mod render;
mod run;

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use self::manifests::Manifest;
use crate::api::{NoticeCluster, crd};
use crate::build;
use crate::validate::{DEFAULT_SERVER_IMAGE, Facts, validate};

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
    /// Print the children that a manifest would make, without asking a cluster
    Render(RenderArgs),
    /// Check manifests without a cluster: fields, schema, rules; the exit code is 1 on a finding
    Lint {
        /// A file of YAML documents, "-" for the standard input
        #[arg(short, long, value_name = "FILE", required = true)]
        filename: Vec<PathBuf>,
    },
    /// Ask a probe, and print what it says; the exit code is 1 when it is not well
    Check {
        /// Its address, such as http://notice-operator-metrics:8080/readyz
        url: String,
        /// Ask again for so long until it is well
        #[arg(long, value_name = "SECONDS", default_value_t = 0)]
        within_seconds: u16,
    },
}

#[derive(Args)]
struct RenderArgs {
    /// A file of YAML documents, "-" for the standard input
    #[arg(short, long, value_name = "FILE")]
    filename: PathBuf,
    /// The image of a NoticeCluster that names none
    #[arg(long, env = "NOTICE_SERVER_IMAGE", default_value = DEFAULT_SERVER_IMAGE, value_name = "IMAGE")]
    server_image: String,
    /// The controller of the IngressClass, such as k8s.io/ingress-nginx: it decides the Ingress's annotations
    #[arg(long, value_name = "CONTROLLER")]
    ingress_controller: Option<String>,
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Crd => print_crd(),
        Command::Render(args) => print_children(&args),
        Command::Lint { filename } => return lint_files(&filename),
        Command::Check { url, within_seconds } => print_probe(&url, Duration::from_secs(within_seconds.into())),
        Command::Run(args) => return run::run(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("notice-operator: {message}");
            ExitCode::FAILURE
        }
    }
}

fn print_crd() -> Result<(), String> {
    let yaml = crd::yaml().map_err(|error| format!("the CRD can't be written: {error}"))?;
    print!("{yaml}");
    Ok(())
}

fn print_probe(url: &str, within: Duration) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime can be had: {error}"))?;
    let said = runtime.block_on(check::check(url, within)).map_err(|error| error.to_string())?;
    println!("{url}: {said}");
    Ok(())
}

fn in_file(path: &Path) -> impl Fn(&dyn Display) -> String + '_ {
    move |error| format!("{}: {error}", path.display())
}

fn print_children(args: &RenderArgs) -> Result<(), String> {
    let say = in_file(&args.filename);
    let facts = Facts {
        server_image: args.server_image.clone(),
        ingress_controller: args.ingress_controller.clone(),
        ..Facts::offline()
    };
    for manifest in manifests::read(&args.filename).map_err(|error| say(&error))? {
        for document in rendered(&manifest, &facts).map_err(|error| say(&error))? {
            print!("---\n{document}");
        }
    }
    Ok(())
}

/// The documents of one manifest. What should be known goes to the standard error.
fn rendered(manifest: &Manifest, facts: &Facts) -> Result<Vec<String>, String> {
    let name = &manifest.name;
    let report = lint::check(manifest).map_err(|error| format!("{name}: {error}"))?;
    let cluster: Result<NoticeCluster, _> = serde_json::from_value(manifest.value.clone());
    let (true, Ok(cluster)) = (report.wrong.is_empty(), cluster) else {
        return Err(lines(name, &report.wrong));
    };
    let validated = validate(&cluster, facts).map_err(|wrong| lines(name, &wrong))?;
    let (documents, notes) = render::documents(build::children(&validated, facts))
        .map_err(|error| format!("{name}: {error}"))?;
    notes
        .iter()
        .for_each(|note| eprintln!("note: {name}: {}", note.message));
    Ok(documents)
}

fn lines<T: Display>(name: &str, findings: &[T]) -> String {
    let lines: Vec<String> = findings
        .iter()
        .map(|finding| format!("{name}: {finding}"))
        .collect();
    lines.join("\n")
}

fn lint_files(paths: &[PathBuf]) -> ExitCode {
    let clean = paths
        .iter()
        .map(|path| lint_file(path))
        .fold(true, |all, one| all && one);
    if clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Whether there is nothing to change in it.
fn lint_file(path: &Path) -> bool {
    let say = in_file(path);
    let manifests = match manifests::read(path) {
        Ok(manifests) => manifests,
        Err(error) => {
            eprintln!("error: {}", say(&error));
            return false;
        }
    };
    manifests
        .iter()
        .map(|manifest| lint_manifest(path, manifest))
        .fold(true, |all, one| all && one)
}

fn lint_manifest(path: &Path, manifest: &Manifest) -> bool {
    let file = path.display();
    let name = &manifest.name;
    match lint::check(manifest) {
        Ok(report) => {
            report
                .wrong
                .iter()
                .for_each(|finding| eprintln!("error: {file}: {name}: {finding}"));
            report
                .told
                .iter()
                .for_each(|finding| eprintln!("note: {file}: {name}: {finding}"));
            if report.wrong.is_empty() {
                println!("{file}: {name}: fine");
            }
            report.wrong.is_empty()
        }
        Err(error) => {
            eprintln!("error: {file}: {name}: {error}");
            false
        }
    }
}
