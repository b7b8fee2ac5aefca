//! Puts the parts of `run` together: start, election, work, end.
//!
//! ```text
//! watches ─► index ─► queue ─► workers ─► API server      (workers only while this operator acts)
//!               ▲                 │
//! pods ─► board ┘     answers ────┘
//! ```

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::apply::{Applier, Broken};
use crate::chance::chance;
use crate::client::Clients;
use crate::drain_key::{self, DrainKey};
use crate::events::Teller;
use crate::failure::chain;
use crate::leader::{Election, Leadership, Lost};
use crate::metrics::{FailureReason, Metrics, State};
use crate::metrics_api::{self, MetricsApi};
use crate::observe::{ChildKind, ClusterKey, SharedIndex};
use crate::probes::{self, Probes};
use crate::queue::Queue;
use crate::reconcile::facts::Common;
use crate::reconcile::{Reconciler, StatusWriter};
use crate::scaling::{Hands, Scaling, Verbs};
use crate::sessions::{Asker, Board, ask_for_ever};
use crate::status::told_before;
use crate::watch::Freshness;
use crate::watch::kinds::Watching;
use crate::watch::optional::follow_optional;
use crate::watch::secrets::SecretWatches;
use crate::watch::sinks::Feed;

/// Clusters that are reconciled at a time.
const WORKERS: usize = 4;
/// A turn is cut after so long.
const TURN_TIMEOUT: Duration = Duration::from_secs(4 * 60);
/// How long turns under way may take when the operator ends.
const LAST_TURNS: Duration = Duration::from_secs(8);
/// The pause before the operator's own key is tried again.
const KEY_AGAIN: Duration = Duration::from_secs(5);

/// How `run` was asked to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The namespaces that are watched; empty for all.
    pub namespaces: Vec<String>,
    /// Where probes and metrics are served.
    pub metrics_listen: SocketAddr,
    /// The operator's own namespace, of the Lease and of its key; that of its account where it is not told.
    pub pod_namespace: Option<String>,
    /// The operator's own name, for the Lease and for events.
    pub pod_name: String,
    /// The image of a NoticeCluster that names none.
    pub server_image: String,
    /// Whether operators elect the one that acts.
    pub leader_elect: bool,
    /// The log, as JSON.
    pub json_log: bool,
    /// The port at which pods tell their load.
    pub admin_port: u16,
    /// Where the API of custom metrics is served, if it is.
    pub metrics_api: Option<MetricsApiOptions>,
}

/// How the API of custom metrics is served.
#[derive(Clone, Debug)]
pub struct MetricsApiOptions {
    /// Where.
    pub listen: SocketAddr,
    /// The Service in the operator's own namespace by which the API server comes.
    pub service: String,
}

/// Why the operator ended though nobody asked.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Neither `KUBECONFIG` nor an account in a pod can be used.
    #[error("there is no way to the API server: {0}")]
    Config(String),
    /// The address for probes, or that for the API of metrics, can't be had.
    #[error("{address} can't be listened on: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Leadership was lost.
    #[error("{0}: ending, so that only one operator acts")]
    Lost(#[from] Lost),
    /// A part of it has ended by itself.
    #[error("a part of the operator has ended by itself, which is a mistake in it: {0}")]
    PartEnded(String),
    /// Metrics can't be made.
    #[error("metrics can't be made: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The runtime can't be started.
    #[error("the runtime can't be started: {0}")]
    Runtime(std::io::Error),
}

/// Runs until a signal asks for the end; the process's exit code.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    start_log(options.json_log);
    let result = runtime().map_err(RunError::Runtime).and_then(|runtime| {
        runtime.block_on(async {
            let config = kube::Config::infer()
                .await
                .map_err(|error| RunError::Config(chain(&error)))?;
            Box::pin(serve(options, config, signalled())).await
        })
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Few threads: the work is waiting for the API server, and each thread has memory of its own.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(4)
        .enable_all()
        .build()
}

fn start_log(json: bool) {
    use tracing_subscriber::EnvFilter;
    let filter =
        EnvFilter::try_from_env("NOTICE_OPERATOR_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second start in one process keeps the first log.
    let _first_one_stays = if json {
        log.json().try_init()
    } else {
        log.try_init()
    };
}

/// Waits for a signal that asks for the end.
async fn signalled() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminate => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// Runs until `stop`, or until something ends it.
///
/// # Errors
/// [`RunError`].
pub async fn serve(
    options: &Options,
    config: kube::Config,
    stop: impl Future<Output = ()>,
) -> Result<(), RunError> {
    // Fails only if the process has a provider already, which is as good.
    let _already_there = rustls::crypto::ring::default_provider().install_default();
    let parts = Parts::new(options, config)?;
    let listener = listen(options.metrics_listen).await?;
    let metrics_api = match &options.metrics_api {
        Some(api) => Some((listen(api.listen).await?, api.service.clone())),
        None => None,
    };
    tracing::info!(version = env!("CARGO_PKG_VERSION"), listen = %options.metrics_listen, namespaces = ?options.namespaces, "notice-operator starts");
    let _watches = parts.watching.start();
    let mut tasks = JoinSet::new();
    tasks.spawn(probes::serve(listener, parts.probes()));
    if let Some((listener, service)) = metrics_api {
        tasks.spawn(parts.metrics_api(service).serve(listener).map(drop));
        tasks.spawn(parts.clone().ask());
    }
    for kind in ChildKind::ALL {
        if kind.definition().is_some() {
            tasks.spawn(follow_optional(parts.watching.clone(), kind));
        }
    }
    let (end, ends) = watch::channel(false);
    let mut election = parts.election();
    let result = {
        let leads = async {
            match &mut election {
                Some(election) => election.run().await,
                None => std::future::pending().await,
            }
        };
        let work = parts.clone().work(ends);
        let mut work = std::pin::pin!(work);
        let result = tokio::select! {
            () = stop => Ok(()),
            lost = leads => Err(RunError::Lost(lost)),
            ended = &mut work => Err(RunError::PartEnded(ended)),
            ended = tasks.join_next() => Err(RunError::PartEnded(format!("{ended:?}"))),
        };
        // Turns under way come to their end, as long as they may write.
        let _no_receiver = end.send(true);
        if result.is_ok() {
            let _at_most = tokio::time::timeout(LAST_TURNS, work).await;
        }
        result
    };
    if let (Ok(()), Some(election)) = (&result, &mut election) {
        election.release().await;
    }
    tracing::info!("notice-operator ends");
    result
}

async fn listen(address: SocketAddr) -> Result<TcpListener, RunError> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|source| RunError::Listen { address, source })
}

/// What the parts share.
#[derive(Clone, Debug)]
struct Parts {
    options: Options,
    own_namespace: String,
    clients: Clients,
    index: SharedIndex,
    queue: Arc<Queue<ClusterKey>>,
    freshness: Freshness,
    leadership: Leadership,
    metrics: Arc<Metrics>,
    watching: Watching,
    board: Board,
}

impl Parts {
    fn new(options: &Options, config: kube::Config) -> Result<Self, RunError> {
        let own_namespace = options
            .pod_namespace
            .clone()
            .unwrap_or_else(|| config.default_namespace.clone());
        let clients = Clients::new(config).map_err(|error| RunError::Config(chain(&error)))?;
        let (index, queue, freshness) = (
            SharedIndex::default(),
            Queue::shared(),
            Freshness::default(),
        );
        let feed = Feed {
            index: Arc::clone(&index),
            queue: Arc::clone(&queue),
        };
        Ok(Self {
            options: options.clone(),
            own_namespace,
            watching: Watching {
                clients: clients.clone(),
                freshness: freshness.clone(),
                feed,
                namespaces: options.namespaces.clone(),
            },
            clients,
            index,
            queue,
            freshness,
            leadership: if options.leader_elect {
                Leadership::default()
            } else {
                Leadership::always()
            },
            metrics: Arc::new(Metrics::new()?),
            board: Board::default(),
        })
    }

    fn probes(&self) -> Arc<Probes> {
        let queue = Arc::clone(&self.queue);
        Arc::new(Probes {
            metrics: Arc::clone(&self.metrics),
            state: State {
                leadership: self.leadership.clone(),
                freshness: self.freshness.clone(),
                index: Arc::clone(&self.index),
                queue_length: Box::new(move || queue.len()),
            },
            queue: Arc::clone(&self.queue),
        })
    }

    fn election(&self) -> Option<Election> {
        self.options.leader_elect.then(|| {
            Election::new(
                self.clients.lease(),
                &self.own_namespace,
                identity(&self.options.pod_name),
                self.leadership.clone(),
            )
        })
    }

    fn metrics_api(&self, service: String) -> MetricsApi {
        MetricsApi {
            service: metrics_api::Service {
                namespace: self.own_namespace.clone(),
                name: service,
            },
            clients: self.clients.clone(),
            freshness: self.freshness.clone(),
            leadership: self.leadership.clone(),
            index: Arc::clone(&self.index),
            board: self.board.clone(),
            metrics: Arc::clone(&self.metrics),
        }
    }

    /// Waits until this operator acts, then works until `ends` says so. Says which part ended.
    async fn work(self, ends: watch::Receiver<bool>) -> String {
        let mut waits = ends.clone();
        let key = tokio::select! {
            key = self.key() => key,
            _ = waits.wait_for(|it| *it) => return "asked to end".to_owned(),
        };
        let public = match key.public_pem() {
            Ok(public) => public,
            Err(error) => return error.to_string(),
        };
        let scaling = Arc::new(Scaling::default());
        let reconciler = Arc::new(self.reconciler(&key, public, Arc::clone(&scaling)));
        self.queue.begin();
        let mut tasks = JoinSet::new();
        for _ in 0..WORKERS {
            tasks.spawn(work_for_ever(
                Arc::clone(&reconciler),
                Arc::clone(&self.queue),
                ends.clone(),
            ));
        }
        let sizing = tokio::spawn(self.hands(key, scaling).work_for_ever());
        let asking = self
            .options
            .metrics_api
            .is_none()
            .then(|| tokio::spawn(self.ask()));
        let mut last = String::new();
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                last = error.to_string();
                break;
            }
        }
        sizing.abort();
        asking.inspect(tokio::task::JoinHandle::abort);
        last
    }

    /// The operator's own key, once this operator acts.
    async fn key(&self) -> DrainKey {
        self.leadership.acts().await;
        loop {
            match drain_key::load_or_make(&self.clients.calls(), &self.own_namespace).await {
                Ok(key) => return key,
                Err(error) => {
                    tracing::error!("nothing is reconciled until the operator has its key: {error}")
                }
            }
            tokio::time::sleep(KEY_AGAIN).await;
        }
    }

    fn hands(&self, key: DrainKey, scaling: Arc<Scaling>) -> Hands {
        Hands {
            scaling,
            index: Arc::clone(&self.index),
            board: self.board.clone(),
            asker: Asker::new(self.options.admin_port),
            verbs: Verbs::new(key, self.options.admin_port),
            client: self.clients.calls(),
            queue: Arc::clone(&self.queue),
            teller: Teller::new(self.clients.calls(), &self.options.pod_name),
            leadership: self.leadership.clone(),
        }
    }

    fn reconciler(
        &self,
        key: &DrainKey,
        drain_public_key: String,
        scaling: Arc<Scaling>,
    ) -> Reconciler {
        let calls = self.clients.calls();
        Reconciler {
            index: Arc::clone(&self.index),
            applier: Applier::new(
                calls.clone(),
                self.leadership.clone(),
                Arc::clone(&self.index),
            ),
            board: self.board.clone(),
            scaling,
            secrets: SecretWatches::new(self.watching.clone(), key.digester()),
            teller: Teller::new(calls.clone(), &self.options.pod_name),
            metrics: Arc::clone(&self.metrics),
            leadership: self.leadership.clone(),
            common: Common {
                server_image: self.options.server_image.clone(),
                drain_public_key,
                digester: key.digester(),
            },
            status: StatusWriter::new(calls),
            first_looks: parking_lot::Mutex::default(),
        }
    }

    /// Asks pods for ever, and touches the clusters whose figures are worth telling.
    async fn ask(self) {
        let (index, queue, answers) = (
            Arc::clone(&self.index),
            Arc::clone(&self.queue),
            self.board.clone(),
        );
        let round_over = move || {
            let index = index.lock();
            for (key, cluster) in index.clusters() {
                let Some(observed) = index.observe(key) else {
                    continue;
                };
                let status = cluster
                    .object
                    .as_ref()
                    .ok()
                    .and_then(|it| it.status.clone())
                    .unwrap_or_default();
                let figures = answers.figures(key, &observed.pods);
                if figures.is_some_and(|it| it.worth_telling(&told_before(&status))) {
                    queue.touch(key.clone());
                }
            }
        };
        ask_for_ever(
            Arc::clone(&self.index),
            self.board,
            Asker::new(self.options.admin_port),
            round_over,
        )
        .await;
    }
}

/// A name that no other process has, even if two are told the same one: a candidate believes that a lease with its own
/// name is its own.
fn identity(name: &str) -> String {
    let mut bytes = [0; 4];
    // Without chance the process's number must do.
    if getrandom::fill(&mut bytes).is_err() {
        bytes = std::process::id().to_le_bytes();
    }
    format!("{name}_{:08x}", u32::from_le_bytes(bytes))
}

async fn work_for_ever(
    reconciler: Arc<Reconciler>,
    queue: Arc<Queue<ClusterKey>>,
    mut ends: watch::Receiver<bool>,
) {
    loop {
        let key = tokio::select! {
            biased;
            _ = ends.wait_for(|it| *it) => return,
            key = queue.next() => key,
        };
        turn(&reconciler, &queue, key).await;
    }
}

async fn turn(reconciler: &Reconciler, queue: &Queue<ClusterKey>, key: ClusterKey) {
    let started = Instant::now();
    let result = tokio::time::timeout(TURN_TIMEOUT, reconciler.reconcile(&key)).await;
    reconciler.metrics.reconciled(started.elapsed());
    match result {
        Ok(Ok(again)) => queue.done(&key, again),
        Ok(Err(Broken::NotLeader)) => drop(queue.failed(&key, chance())),
        Ok(Err(error)) => {
            reconciler.metrics.failed(FailureReason::ApiServer);
            let pause = queue.failed(&key, chance());
            tracing::warn!(cluster = %key, again_in_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX), "{error}");
        }
        Err(_) => {
            reconciler.metrics.failed(FailureReason::Timeout);
            queue.failed(&key, chance());
            tracing::warn!(cluster = %key, "a reconcile took longer than {} s and was cut", TURN_TIMEOUT.as_secs());
        }
    }
}
