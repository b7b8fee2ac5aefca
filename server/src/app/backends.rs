//! The stores and the bus that a configuration chooses: the one place that names them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::StartError;
use crate::clock::{Clock, Now};
use crate::cluster::bus::NodeId;
use crate::cluster::{Member, MemberParts, SweepPace, Sweeper};
use crate::config::{ApiKeys, Config};
use crate::delivery::{DrainControl, Registry, RegistryLimits};
use crate::demo::Demo;
use crate::http::{Code, Parts, Services, Startup};
use crate::inbox::Inbox;
use crate::inbox::embedded::{EmbeddedStore, Operation, Options, StoreMetrics};
use crate::metrics::Metrics;
use crate::tokens::SessionTokens;

/// What a started server keeps its truth in, and how it speaks to other nodes.
pub(super) struct Backends {
    inbox: Arc<dyn Inbox>,
    tokens: Arc<dyn SessionTokens>,
    registry: Arc<Registry>,
    cluster: Arc<Member>,
    metrics: Arc<Metrics>,
    store: Store,
    demo: Option<Demo>,
}

/// The store behind the inbox, for what only it does.
enum Store {
    Embedded(Arc<EmbeddedStore>),
}

/// Opens what `config` chooses; `startup` is told what is waited for.
pub(super) async fn open(config: &Arc<Config>, _startup: &Startup) -> Result<Backends, StartError> {
    let metrics = Arc::new(new_metrics()?);
    metrics
        .capacity_sessions
        .set(i64::try_from(config.limits.sessions).unwrap_or(i64::MAX));
    let registry = Registry::new(registry_limits(config), Arc::clone(&metrics));
    let store = open_embedded(config, &metrics, &registry).await?;
    let demo = prepare_demo(config, &store).await?;
    let cluster = Member::new(
        new_node_id()?,
        MemberParts {
            name: config.node_name.clone(),
            registry: Arc::clone(&registry),
            metrics: Arc::clone(&metrics),
            bus: None,
        },
    );
    let (inbox, tokens): (Arc<dyn Inbox>, Arc<dyn SessionTokens>) = (store.clone(), store.clone());
    cluster.attach(&inbox, &tokens);
    Ok(Backends {
        inbox,
        tokens,
        registry,
        cluster,
        metrics,
        store: Store::Embedded(store),
        demo,
    })
}

impl Backends {
    /// The store's clock.
    pub(super) fn clock(&self) -> Now {
        let inbox = Arc::clone(&self.inbox);
        Arc::new(move || inbox.now())
    }

    /// What the handlers of the listeners work with.
    pub(super) fn services(&self, config: &Arc<Config>) -> Services {
        let api_keys = self.demo.as_ref().map_or_else(
            || config.auth.api_keys.clone(),
            |demo| ApiKeys::new([demo.api_key()]),
        );
        Services::new(Parts {
            inbox: Arc::clone(&self.inbox),
            tokens: Arc::clone(&self.tokens),
            registry: Arc::clone(&self.registry),
            cluster: Arc::clone(&self.cluster),
            drain: Arc::new(DrainControl::new(Arc::clone(&self.registry))),
            metrics: Arc::clone(&self.metrics),
            config: Arc::clone(config),
            api_keys,
        })
    }

    /// What a person who tries it is told; empty when nobody does.
    pub(super) fn greeting(&self, url: &str) -> String {
        let demo = self.demo.as_ref();
        demo.map_or_else(String::new, |demo| demo.greeting(url))
    }

    /// Starts what runs beside the stores, each part by its name.
    pub(super) fn run(&self, _config: &Config, mut start: impl FnMut(&'static str, Part)) {
        match &self.store {
            Store::Embedded(store) => {
                start("the store", Box::pin(until_nobody_tells(Arc::clone(store))));
            }
        }
    }

    /// Stores what is under way, and closes.
    pub(super) async fn close(&self) {
        match &self.store {
            Store::Embedded(store) => store.close().await,
        }
    }
}

/// What runs as long as the server does.
pub(super) type Part = Pin<Box<dyn Future<Output = ()> + Send>>;

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

async fn open_embedded(
    config: &Config,
    metrics: &Arc<Metrics>,
    registry: &Arc<Registry>,
) -> Result<Arc<EmbeddedStore>, StartError> {
    let options = store_options(config, Arc::clone(metrics));
    let observer = Arc::clone(registry);
    let runtime = tokio::runtime::Handle::current();
    let opening = tokio::task::spawn_blocking(move || {
        let _in_runtime = runtime.enter();
        EmbeddedStore::open(options, Clock::System, observer)
    });
    let opened = opening.await;
    Ok(opened.map_err(|error| StartError::Setup(error.to_string()))??)
}

fn new_node_id() -> Result<NodeId, StartError> {
    let random = getrandom::u64().map_err(|error| StartError::Setup(error.to_string()))?;
    Ok(NodeId(random))
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

/// Ends when the store will never tell or take anything again: only a new process helps then.
async fn until_nobody_tells(store: Arc<EmbeddedStore>) {
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    while !store.is_deaf() {
        seconds.tick().await;
    }
}
