//! Puts the server together: starting, running, ending. Which back ends it has is `backends`' business.

mod backends;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use self::backends::Backends;
use crate::config::Config;
use crate::delivery::{DrainPace, Heart, HeartPace, TokenWatch};
use crate::demo::DemoError;
use crate::http::{
    Listener, ListenerOptions, RawConnections, Services, Startup, admin_routes, public_routes,
    tidy_pollers,
};
use crate::inbox::embedded::OpenError;
use crate::inbox::mongodb::MongoOpenError;
use crate::open_files::FileBudget;

/// Plain HTTP connections at a time on the admin listener.
const ADMIN_CONNECTIONS: usize = 64;
/// At the end: for HTTP calls under way to be answered.
const LAST_CALLS: Duration = Duration::from_secs(5);

/// At the end: for close frames to reach their clients.
const FAREWELL: Duration = Duration::from_secs(3);

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store can't be opened.
    #[error("{0}")]
    Store(#[from] OpenError),
    /// The store in MongoDB can't be opened.
    #[error(transparent)]
    MongoDb(#[from] MongoOpenError),
    /// The files for TLS to Redis can't be used.
    #[error("TLS to Redis can't be set up: {0}")]
    Tls(String),
    /// The keys of JWTs can't be used.
    #[error("JWTs can't be verified: {0}")]
    Jwt(String),
    /// An address can't be had.
    #[error(
        "{setting} = {address} can't be had: {source}. Choose another address, or end what uses it."
    )]
    Listen {
        /// Which setting.
        setting: &'static str,
        /// Its value.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The demo can't be prepared.
    #[error(transparent)]
    Demo(#[from] DemoError),
    /// A metric is defined twice, or the system refuses signals: nothing a configuration can mend.
    #[error("the server could not be set up: {0}")]
    Setup(String),
}

/// Why a running server ended other than by a signal.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Signals can't be heard.
    #[error("the system refuses signals: {0}")]
    Signals(io::Error),
    /// A part that should run for ever did not.
    #[error(
        "{0} ended by itself; this is a mistake of the server: the log says more, and starting it again helps"
    )]
    PartEnded(&'static str),
}

/// A running server.
pub struct App {
    services: Arc<Services>,
    backends: Backends,
    public: SocketAddr,
    admin: SocketAddr,
    parts: Running,
}

/// The parts that run beside each other. Dropped, they end at once.
struct Running {
    tasks: JoinSet<&'static str>,
    listeners: JoinSet<&'static str>,
    /// Turns true when the listeners shall let their connections end.
    stop: watch::Sender<bool>,
}

impl Default for Running {
    fn default() -> Self {
        Self {
            tasks: JoinSet::new(),
            listeners: JoinSet::new(),
            stop: watch::channel(false).0,
        }
    }
}

impl Running {
    /// Starts everything that a started server runs, but for the admin listener, which runs already.
    fn serve(&mut self, services: &Arc<Services>, backends: &Backends, public: Listener) {
        let config = &services.config;
        let registry = Arc::clone(&services.registry);
        let heart = Heart::new(Arc::clone(&registry), heart_pace(config), backends.clock());
        self.run("the heart", heart.run());
        self.run("the rates", forget_idle_rates(Arc::clone(services)));
        self.run("the pollers", tidy_pollers(Arc::clone(services)));
        let watch = TokenWatch::new(registry, Arc::clone(&services.tokens));
        self.run("the watch over tokens", watch.run());
        backends.run(config, |name, part| self.run(name, part));
        let serving = public.serve(public_routes(services), self.stop.subscribe());
        self.listeners.spawn(named("the public listener", serving));
    }

    fn run(&mut self, name: &'static str, part: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(named(name, part));
    }

    /// Waits for a part to end by itself; its name, unless it panicked.
    async fn one_ended(&mut self) -> Option<&'static str> {
        let ended = tokio::select! {
            Some(ended) = self.tasks.join_next() => ended,
            Some(ended) = self.listeners.join_next() => ended,
            else => return None,
        };
        ended.ok()
    }

    /// Calls under way are answered; connections kept open without one are closed.
    async fn end_listeners(&mut self) {
        self.stop.send_replace(true);
        let listeners_ended = async { while self.listeners.join_next().await.is_some() {} };
        let _in_time = timeout(LAST_CALLS, listeners_ended).await;
        self.listeners.shutdown().await;
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App")
            .field("public", &self.public)
            .field("admin", &self.admin)
            .finish_non_exhaustive()
    }
}

impl App {
    /// Opens the stores, binds both listeners and begins to serve. While a store of other machines is away it waits,
    /// with the admin listener open: a probe can see what for.
    ///
    /// # Errors
    /// When the store or an address can't be had; nothing is left behind then.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let mut config = config;
        let budget = FileBudget::of(config.limits.sessions);
        config.limits.sessions = budget.sessions;
        let config = Arc::new(config);
        let mut parts = Running::default();
        let (startup, admin) = open_admin(&config, &mut parts)?;
        let backends = backends::open(&config, &startup).await?;
        let public = bind("listen", config.listen, budget.http, &config)?;
        let public_address = address_of(&public)?;
        let services = Arc::new(backends.services(&config));
        parts.serve(&services, &backends, public);
        startup.done(Arc::clone(&services));
        say_ready(&config, public_address, admin);
        Ok(Self {
            services,
            backends,
            public: public_address,
            admin,
            parts,
        })
    }

    /// Where clients and services connect.
    #[must_use]
    pub fn public_address(&self) -> SocketAddr {
        self.public
    }

    /// Where probes, metrics and the drain verbs are.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// What to tell the person who started it; empty unless it runs as a demo.
    #[must_use]
    pub fn greeting(&self) -> String {
        let url = format!("http://{}{}", self.public, self.services.config.base_path);
        self.backends.greeting(&url)
    }

    /// Runs until SIGTERM or SIGINT, drains, and ends. A second signal ends the drain at once.
    ///
    /// # Errors
    /// When a part of the server ended by itself, which is a mistake in it: what is under way is stored, the rest
    /// is closed, and whoever watches the process should start it again.
    pub async fn run_until_signalled(mut self) -> Result<(), RunError> {
        let mut signals = Signals::new().map_err(RunError::Signals)?;
        tokio::select! {
            () = signals.next() => {}
            ended = self.parts.one_ended() => {
                let part = ended.unwrap_or("a part that panicked");
                tracing::error!(part, "ended by itself: the server ends");
                self.end().await;
                return Err(RunError::PartEnded(part));
            }
        }
        let config = &self.services.config;
        let deadline = Instant::now() + config.drain.window + config.drain.margin;
        self.services.drain.start_for_good(DrainPace {
            window: config.drain.window,
        });
        tokio::select! {
            () = self.emptied(deadline) => {}
            () = signals.next() => tracing::info!("a second signal: the drain is cut short"),
        }
        self.end().await;
        Ok(())
    }

    /// Waits until no session is left, or for the deadline.
    async fn emptied(&self, deadline: Instant) {
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        while self.services.registry.sessions() > 0 && Instant::now() < deadline {
            ticks.tick().await;
        }
    }

    /// Closes what is left, stores what is under way, and ends.
    pub async fn end(self) {
        let registry = &self.services.registry;
        if registry.sessions() > 0 {
            tracing::warn!(
                sessions = registry.sessions(),
                "the deadline has come: the rest is closed"
            );
            self.services.drain.close_all();
            let deadline = Instant::now() + FAREWELL;
            let _all_gone_or_deadline = timeout_at(deadline, self.emptied(deadline)).await;
        }
        // What ends first is told by what ends later: calls by the store, the store by the bus.
        let mut parts = self.parts;
        parts.end_listeners().await;
        self.services.forget_pollers();
        self.backends.close().await;
        self.services.cluster.say_goodbye().await;
        parts.tasks.shutdown().await;
        tracing::info!("ended");
    }
}

/// Both signals that ask a server to end.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn heart_pace(config: &Config) -> HeartPace {
    let seconds = |duration: Duration| {
        u32::try_from(duration.as_secs())
            .unwrap_or(u32::MAX / 2)
            .max(1)
    };
    HeartPace {
        ping_seconds: seconds(config.delivery.ping),
        pong_timeout_seconds: seconds(config.delivery.pong_timeout),
        warning: config.sessions.expiring_notice,
    }
}

fn bind(
    setting: &'static str,
    address: SocketAddr,
    connections: usize,
    config: &Config,
) -> Result<Listener, StartError> {
    let options = ListenerOptions {
        connections: RawConnections(connections),
        header_timeout: config.limits.header_timeout,
    };
    Listener::bind(address, options).map_err(|source| StartError::Listen {
        setting,
        address,
        source,
    })
}

fn address_of(listener: &Listener) -> Result<SocketAddr, StartError> {
    listener
        .address()
        .map_err(|error| StartError::Setup(error.to_string()))
}

/// Opens the admin listener, before anything else: probes are answered from the first moment on.
fn open_admin(
    config: &Config,
    parts: &mut Running,
) -> Result<(Arc<Startup>, SocketAddr), StartError> {
    let admin = bind(
        "admin_listen",
        config.admin_listen,
        ADMIN_CONNECTIONS,
        config,
    )?;
    let address = address_of(&admin)?;
    let startup = Arc::new(Startup::default());
    let serving = admin.serve(admin_routes(&startup), parts.stop.subscribe());
    parts.listeners.spawn(named("the admin listener", serving));
    Ok((startup, address))
}

fn say_ready(config: &Config, public: SocketAddr, admin: SocketAddr) {
    tracing::info!(
        listen = %public,
        %admin,
        node = %config.node_name,
        capacity = config.limits.sessions,
        "notice-server {} is ready",
        env!("CARGO_PKG_VERSION"),
    );
}

/// A part of the server with its name, for when it ends by itself.
async fn named(name: &'static str, part: impl Future<Output = ()>) -> &'static str {
    part.await;
    name
}

/// Rates are kept for each account that sends: those of accounts that have been still are forgotten.
async fn forget_idle_rates(services: Arc<Services>) {
    let mut minutes = tokio::time::interval(Duration::from_secs(60));
    loop {
        minutes.tick().await;
        services.forget_idle_rates();
    }
}
