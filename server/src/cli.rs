//! The command line: what is asked, and what a person is told. The only file that prints.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the command line speaks to a person"
)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tracing_subscriber::filter::LevelFilter;

use crate::app;
use crate::config::{self, Loaded, LogConfig, LogFormat, LogLevel, Overrides};

#[derive(Parser)]
#[command(name = "notice-server", version, about = "Instant push over a durable inbox.", long_about = None)]
#[command(
    after_help = "Started with nothing it listens on loopback, makes an API key and two demo sessions, and prints \
                        what to open. `notice-server manual` prints every setting with its default."
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server (the default)
    Run,
    /// Print the configuration in force, where each value comes from, secrets hidden
    Config,
    /// Print the commented file of every setting with its default
    Manual,
}

/// Settings that go before the environment and the file. Secrets have no flag: a process list shows flags.
#[derive(Args)]
struct Settings {
    /// The configuration file
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Where clients and services connect, HOST:PORT
    #[arg(long, value_name = "ADDRESS", global = true)]
    listen: Option<String>,
    /// Where probes, metrics and the drain verbs are served, HOST:PORT
    #[arg(long, value_name = "ADDRESS", global = true)]
    admin_listen: Option<String>,
    /// The folder of the embedded store
    #[arg(long, value_name = "DIR", global = true)]
    data_dir: Option<String>,
    /// Any other setting, as in the file: --set limits.sessions=500
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE", global = true, value_parser = pair)]
    set: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or("write it as SECTION.KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

impl Settings {
    fn overrides(self) -> Overrides {
        let named = [
            ("listen", self.listen),
            ("admin_listen", self.admin_listen),
            ("data_dir", self.data_dir),
        ];
        let named = named
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?)));
        Overrides {
            config: self.config,
            set: self.set.into_iter().chain(named).collect(),
        }
    }
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(Command::Manual) = cli.command {
        print!("{}", config::MANUAL);
        return ExitCode::SUCCESS;
    }
    let loaded = match config::load(cli.settings.overrides(), std::env::vars_os()) {
        Ok(loaded) => loaded,
        Err(errors) => {
            eprintln!("notice-server: the configuration can't be used.\n{errors}");
            return ExitCode::from(2);
        }
    };
    match cli.command {
        Some(Command::Config) => {
            loaded
                .warnings
                .iter()
                .for_each(|warning| eprintln!("warning: {warning}"));
            print!("{}", loaded.effective_toml());
            ExitCode::SUCCESS
        }
        _ => run(loaded),
    }
}

fn run(loaded: Loaded) -> ExitCode {
    start_log(&loaded.config.log);
    loaded
        .warnings
        .iter()
        .for_each(|warning| tracing::warn!("{warning}"));
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("notice-server: the threads could not be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(async {
        let app = app::App::start(loaded.config).await?;
        print!("{}", app.greeting());
        app.run_until_signalled().await?;
        Ok::<_, Box<dyn std::error::Error>>(())
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("notice-server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start_log(config: &LogConfig) {
    let level = match config.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // Trace lines of the WebSocket and HTTP libraries show payloads and credentials; ours never do.
    let filter = tracing_subscriber::filter::Targets::new()
        .with_default(level.min(LevelFilter::INFO))
        .with_target("notice_server", level);
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::util::SubscriberInitExt as _;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    match config.format {
        LogFormat::Text => registry
            .with(lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())))
            .init(),
        LogFormat::Json => registry.with(lines.json()).init(),
    }
}
