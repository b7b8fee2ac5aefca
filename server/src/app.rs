//! Puts the server together: the one place that names concrete back ends. Starting, running, ending.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::clock::Clock;
use crate::cluster::bus::NodeId;
use crate::cluster::{Member, MemberParts};
use crate::config::{ApiKeys, Config};
use crate::delivery::{DrainControl, DrainPace, Heart, HeartPace, Registry, RegistryLimits};
use crate::demo::{Demo, DemoError};
use crate::http::{
    Code, Listener, ListenerOptions, Parts, RawConnections, Services, admin_routes, public_routes,
};
use crate::inbox::Inbox;
use crate::inbox::embedded::{EmbeddedStore, OpenError, Operation, Options, StoreMetrics};
use crate::metrics::Metrics;
use crate::open_files::FileBudget;
use crate::tokens::SessionTokens;

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
    store: Arc<EmbeddedStore>,
    demo: Option<Demo>,
    public: SocketAddr,
    admin: SocketAddr,
    tasks: JoinSet<&'static str>,
    listeners: JoinSet<&'static str>,
    /// Turns true when the listeners shall let their connections end.
    stop: watch::Sender<bool>,
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
    /// Opens the store, binds both listeners and begins to serve.
    ///
    /// # Errors
    /// When the store or an address can't be had; nothing is left behind then.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let mut config = config;
        let budget = FileBudget::of(config.limits.sessions);
        config.limits.sessions = budget.sessions;
        let config = Arc::new(config);
        let clock = Clock::System;
        let metrics = Arc::new(new_metrics()?);
        metrics
            .capacity_sessions
            .set(i64::try_from(config.limits.sessions).unwrap_or(i64::MAX));
        let registry = Registry::new(registry_limits(&config), Arc::clone(&metrics));
        let options = store_options(&config, Arc::clone(&metrics));
        let observer = Arc::clone(&registry);
        let open_clock = clock.clone();
        let store = tokio::task::spawn_blocking({
            let handle = tokio::runtime::Handle::current();
            move || {
                let _in_runtime = handle.enter();
                EmbeddedStore::open(options, open_clock, observer)
            }
        })
        .await
        .map_err(|error| StartError::Setup(error.to_string()))??;
        let demo = prepare_demo(&config, &store).await?;
        let cluster = Member::new(
            NodeId(0),
            MemberParts {
                name: config.node_name.clone(),
                registry: Arc::clone(&registry),
                metrics: Arc::clone(&metrics),
                bus: None,
            },
        );
        let inbox: Arc<dyn Inbox> = store.clone();
        let tokens: Arc<dyn SessionTokens> = store.clone();
        cluster.attach(&inbox, &tokens);
        let services = Arc::new(Services::new(Parts {
            cluster,
            inbox: store.clone(),
            tokens: store.clone(),
            drain: Arc::new(DrainControl::new(Arc::clone(&registry))),
            registry,
            metrics,
            api_keys: api_keys(&config, demo.as_ref()),
            config: Arc::clone(&config),
        }));
        let public = bind("listen", config.listen, budget.http, &config)?;
        let admin = bind(
            "admin_listen",
            config.admin_listen,
            ADMIN_CONNECTIONS,
            &config,
        )?;
        let address = |listener: &Listener| {
            listener
                .address()
                .map_err(|error| StartError::Setup(error.to_string()))
        };
        let (public_address, admin_address) = (address(&public)?, address(&admin)?);
        let (stop, stopped) = watch::channel(false);
        let (mut tasks, mut listeners) = (JoinSet::new(), JoinSet::new());
        let heart = Heart::new(Arc::clone(&services.registry), heart_pace(&config), clock);
        tasks.spawn(named("the heart", heart.run()));
        tasks.spawn(named("the rates", forget_idle_rates(Arc::clone(&services))));
        tasks.spawn(named("the store", until_nobody_tells(Arc::clone(&store))));
        let routes = public_routes(&services);
        listeners.spawn(named(
            "the public listener",
            public.serve(routes, stopped.clone()),
        ));
        // Last: it answers the readiness probe.
        let routes = admin_routes(&services);
        listeners.spawn(named("the admin listener", admin.serve(routes, stopped)));
        tracing::info!(
            listen = %public_address,
            admin = %admin_address,
            node = %config.node_name,
            data = %config.data_dir.display(),
            capacity = config.limits.sessions,
            "notice-server {} is ready",
            env!("CARGO_PKG_VERSION"),
        );
        Ok(Self {
            services,
            store,
            demo,
            public: public_address,
            admin: admin_address,
            tasks,
            listeners,
            stop,
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
        self.demo
            .as_ref()
            .map_or_else(String::new, |demo| demo.greeting(&url))
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
            ended = self.part_ended() => {
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

    /// Waits for a part of the server to end by itself; its name, unless it panicked.
    async fn part_ended(&mut self) -> Option<&'static str> {
        let ended = tokio::select! {
            ended = self.tasks.join_next() => ended,
            ended = self.listeners.join_next() => ended,
        };
        ended.and_then(Result::ok)
    }

    /// Waits until no session is left, or for the deadline.
    async fn emptied(&self, deadline: Instant) {
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        while self.services.registry.sessions() > 0 && Instant::now() < deadline {
            ticks.tick().await;
        }
    }

    /// Closes what is left, stores what is under way, and ends.
    pub async fn end(mut self) {
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
        // Calls under way are answered; connections kept open without one are closed.
        self.stop.send_replace(true);
        let listeners_ended = async { while self.listeners.join_next().await.is_some() {} };
        let _in_time = timeout(LAST_CALLS, listeners_ended).await;
        self.listeners.shutdown().await;
        self.tasks.shutdown().await;
        self.store.close().await;
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

fn new_metrics() -> Result<Metrics, StartError> {
    let operations = Operation::ALL.map(Operation::as_str);
    Metrics::new(&Code::STAGING.map(Code::name), &operations)
        .map_err(|error| StartError::Setup(error.to_string()))
}

fn registry_limits(config: &Config) -> RegistryLimits {
    RegistryLimits {
        sessions: config.limits.sessions,
        sessions_per_account: config.limits.sessions_per_account,
        one_per_account: config.sessions.one_per_account,
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

fn store_options(config: &Config, metrics: Arc<Metrics>) -> Options {
    Options {
        max_bytes: config.store.max_bytes,
        min_free_bytes: config.store.min_free_bytes,
        cache_bytes: config.store.cache_bytes,
        unread_per_account: config.limits.unread_per_account as u64,
        retention: config.retention.notices,
        idempotency_kept: config.retention.idempotency,
        metrics: Arc::new(MeteredStore(metrics)),
        ..Options::new(config.data_dir.clone())
    }
}

struct MeteredStore(Arc<Metrics>);

impl StoreMetrics for MeteredStore {
    fn operation(&self, operation: Operation, took: Duration) {
        self.0.store_operation(operation.as_str(), took);
    }

    fn error(&self, operation: Operation) {
        self.0.store_error(operation.as_str());
    }
}

/// On loopback and without a key, a person is trying it.
async fn prepare_demo(config: &Config, store: &EmbeddedStore) -> Result<Option<Demo>, StartError> {
    if !config.auth.api_keys.is_empty() || config.listens_publicly() {
        Demo::retire(&config.data_dir, store).await?;
        return Ok(None);
    }
    Ok(Some(
        Demo::prepare(&config.data_dir, store, store.now()).await?,
    ))
}

fn api_keys(config: &Config, demo: Option<&Demo>) -> ApiKeys {
    demo.map_or_else(
        || config.auth.api_keys.clone(),
        |demo| ApiKeys::new([demo.api_key()]),
    )
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

/// Ends when the store will never tell or take anything again: only a new process helps then.
async fn until_nobody_tells(store: Arc<EmbeddedStore>) {
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    while !store.is_deaf() {
        seconds.tick().await;
    }
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
