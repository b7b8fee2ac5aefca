//! The systems under comparison: how each is started, asked for tokens and watched.

mod centrifugo;
mod cluster;
mod notice;
mod process;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::dialect::{Credential, DialectKind, Fetch};
use notice::Way;

pub(crate) use process::raise_file_limit;

/// A system that can be started.
pub(crate) trait System {
    /// Its name in reports.
    fn name(&self) -> &'static str;

    /// Name and version, and what else a reader should know of its set-up.
    fn description(&self) -> String;

    /// Starts one server with an empty store, its data below `folder`; returns when it is ready.
    fn start(&self, folder: &Path) -> Result<Box<dyn Server>>;
}

/// A running server of a system; it ends when this is dropped.
pub(crate) trait Server {
    /// The process to measure.
    fn pid(&self) -> u32;

    /// Where clients connect.
    fn address(&self) -> SocketAddr;

    /// Where services stage.
    fn staging_address(&self) -> SocketAddr {
        self.address()
    }

    /// How to speak with it.
    fn dialect(&self) -> DialectKind;

    /// Makes tokens for so many accounts.
    fn credentials(&self, count: usize) -> Result<Vec<Credential>>;

    /// How many messages were acknowledged since the start, where the system counts that.
    fn acknowledged(&self) -> Result<Option<u64>>;
}

/// The systems by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SystemName {
    /// This project's server.
    Notice,
    /// Two of this project's servers on MongoDB and Redis: services stage at one, clients are at the other.
    NoticeCluster,
    /// Centrifugo 6.9.6.
    Centrifugo,
}

/// What a notice server's clients speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// The subprotocol `notice.v1`: the client acknowledges each read's notices by one frame.
    V1,
    /// No subprotocol: raw frames, a pong makes what was sent before it read.
    Legacy,
    /// No WebSocket: server-sent events, read once their bytes are taken.
    Sse,
    /// No WebSocket: polls that wait at the server; each acknowledges what the one before brought.
    LongPoll,
    /// No WebSocket: polls that are answered at once, one each so often (--short-poll-seconds).
    ShortPoll,
    /// No program in the browser either: a page that is loaded anew each so often (--page-seconds).
    Page,
}

/// From one request of a client to the next, at least.
const SHORTEST: Duration = Duration::from_millis(10);

/// The ways for a notice to a client, as the comparison of transports takes them.
const TRANSPORTS: [Mode; 5] = [
    Mode::V1,
    Mode::Sse,
    Mode::LongPoll,
    Mode::ShortPoll,
    Mode::Page,
];

/// Room for as many plain HTTP connections as for sessions: polls and pages are such ones between two requests. With
/// its defaults a server that may open 20,000 files keeps nearly all of them for sessions.
const SESSIONS_BESIDE_POLLS: &str = "8000";

/// Where the systems are and how they are set up.
#[derive(Debug, Clone, Args)]
pub(crate) struct SystemArgs {
    /// The systems to measure, in this order, taking turns.
    #[arg(long, visible_alias = "system", value_enum, value_delimiter = ',', default_values = ["notice", "centrifugo"])]
    pub(crate) systems: Vec<SystemName>,
    /// The notice server's program; by default the one beside this program.
    #[arg(long)]
    notice_server: Option<PathBuf>,
    /// Another environment variable for the notice server; may be repeated.
    #[arg(long = "server-env", value_name = "NAME=VALUE", value_parser = parse_variable)]
    server_env: Vec<(String, String)>,
    /// What the notice server's clients speak.
    #[arg(long, value_enum, default_value = "v1")]
    mode: Mode,
    /// Seconds from one short poll of a client to the next.
    #[arg(long, default_value_t = 5.0)]
    short_poll_seconds: f64,
    /// Seconds from one load of a client's page to the next.
    #[arg(long, default_value_t = 12.0)]
    page_seconds: f64,
    /// Unread notices of accounts that stay off line, put into the cluster's inbox before each measurement.
    #[arg(long, default_value_t = 0)]
    prefill: usize,
    /// Centrifugo's program; by default it is built once with Go and kept in the user's cache.
    #[arg(long)]
    centrifugo: Option<PathBuf>,
    /// Where servers keep their data and the disk is measured; must be on a real disk.
    #[arg(long, default_value = "target/bench-data")]
    pub(crate) data_dir: PathBuf,
}

impl SystemArgs {
    /// The systems chosen, each with its program found or built.
    pub(crate) fn systems(&self) -> Result<Vec<Box<dyn System>>> {
        self.systems.iter().map(|name| self.system(*name)).collect()
    }

    fn system(&self, name: SystemName) -> Result<Box<dyn System>> {
        Ok(match name {
            SystemName::Notice => Box::new(self.notice()?),
            SystemName::NoticeCluster => {
                Box::new(cluster::Cluster::new(self.notice()?, self.prefill)?)
            }
            SystemName::Centrifugo => {
                let program = self.centrifugo.clone().map_or_else(centrifugo::build, Ok)?;
                Box::new(centrifugo::Centrifugo::new(program)?)
            }
        })
    }
}

impl SystemArgs {
    /// The notice server once for each way to its clients.
    pub(crate) fn transports(&self) -> Result<Vec<Box<dyn System>>> {
        let room = (
            "NOTICE_LIMITS_SESSIONS".to_owned(),
            SESSIONS_BESIDE_POLLS.to_owned(),
        );
        let system = |mode| -> Result<Box<dyn System>> {
            let notice = self.notice_by(mode)?;
            Ok(Box::new(notice.with_variable(room.clone())))
        };
        TRANSPORTS.map(system).into_iter().collect()
    }

    fn notice(&self) -> Result<notice::Notice> {
        self.notice_by(self.mode)
    }

    fn notice_by(&self, mode: Mode) -> Result<notice::Notice> {
        let every = |seconds: f64| {
            Duration::try_from_secs_f64(seconds)
                .ok()
                .filter(|every| *every >= SHORTEST)
                .with_context(|| format!("{seconds} is no number of seconds from 0.01 on"))
        };
        let way = match mode {
            Mode::V1 => Way::V1,
            Mode::Legacy => Way::Legacy,
            Mode::Sse => Way::Fetch(Fetch::Events),
            Mode::LongPoll => Way::Fetch(Fetch::LongPoll),
            Mode::ShortPoll => Way::Fetch(Fetch::ShortPoll {
                every: every(self.short_poll_seconds)?,
            }),
            Mode::Page => Way::Fetch(Fetch::Page {
                every: every(self.page_seconds)?,
            }),
        };
        let program = self
            .notice_server
            .clone()
            .map_or_else(notice::program_beside, Ok)?;
        notice::Notice::new(program, way, self.server_env.clone())
    }
}

fn parse_variable(text: &str) -> Result<(String, String)> {
    let (name, value) = text.split_once('=').context("must be NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
