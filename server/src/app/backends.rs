//! The stores and the bus that a configuration chooses: the one place that names them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::StartError;
use crate::chance;
use crate::clock::{Clock, Now};
use crate::cluster::bus::{Bus, NodeId};
use crate::cluster::{Member, MemberParts, SweepPace, Sweeper};
use crate::config::{
    self, ApiKeys, Config, InboxBackend, JwtConfig, MongoDbConfig, RedisConfig, RedisServers,
    WriteConcern,
};
use crate::credentials::{CredentialFiles, Keys, Live};
use crate::delivery::{DrainControl, RebalanceControl, Registry, RegistryLimits};
use crate::demo::Demo;
use crate::http::{Code, Parts, Services, Startup};
use crate::inbox::embedded::{EmbeddedStore, Options};
use crate::inbox::mongodb::{Acknowledged, MongoOpenError, MongoOptions, MongoStore};
use crate::inbox::{Inbox, Operation, StoreMetrics};
use crate::metrics::Metrics;
use crate::redis::{
    Address, Connector, Endpoint, Kind, Login, RedisBus, RedisDenyList, RedisTokens, Tls, TokenKeys,
};
use crate::tokens::{
    CachedTokens, DenyList, JwtVerifier, MeteredTokens, Proofs, SessionTokens, TokenGate,
};

/// A store of another machine that is away is tried again after so long, at first and at most.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// What a started server keeps its truth in, and how it speaks to other nodes.
pub(super) struct Backends {
    inbox: Arc<dyn Inbox>,
    tokens: Arc<dyn SessionTokens>,
    registry: Arc<Registry>,
    cluster: Arc<Member>,
    metrics: Arc<Metrics>,
    store: Store,
    bus: Option<Arc<dyn Bus>>,
    jwt: Option<Arc<JwtVerifier>>,
    keys: Arc<Keys>,
    demo: Option<Demo>,
}

/// The store behind the inbox, for what only it does.
enum Store {
    Embedded(Arc<EmbeddedStore>),
    MongoDb(Arc<MongoStore>),
}

impl Store {
    fn inbox(&self) -> Arc<dyn Inbox> {
        match self {
            Self::Embedded(store) => Arc::clone(store) as _,
            Self::MongoDb(store) => Arc::clone(store) as _,
        }
    }

    fn tokens(&self) -> Arc<dyn SessionTokens> {
        match self {
            Self::Embedded(store) => Arc::clone(store) as _,
            Self::MongoDb(store) => Arc::clone(store) as _,
        }
    }

    fn denied(&self) -> Arc<dyn DenyList> {
        match self {
            Self::Embedded(store) => Arc::clone(store) as _,
            Self::MongoDb(store) => Arc::clone(store) as _,
        }
    }
}

/// Opens what `config` chooses; `startup` is told what is waited for.
pub(super) async fn open(config: &Arc<Config>, startup: &Startup) -> Result<Backends, StartError> {
    let metrics = Arc::new(new_metrics()?);
    metrics
        .capacity_sessions
        .set(i64::try_from(config.limits.sessions).unwrap_or(i64::MAX));
    let registry = Registry::new(registry_limits(config), Arc::clone(&metrics));
    let redis = config.redis.as_ref().map(connector).transpose()?;
    let id = new_node_id()?;
    let bus = redis.as_ref().zip(config.redis.as_ref());
    let bus = bus.filter(|_| shares_its_inbox(config));
    let bus = bus.map(|(redis, config)| -> Arc<dyn Bus> {
        Arc::new(RedisBus::new(Arc::clone(redis), &config.namespace, id))
    });
    let parts = MemberParts {
        name: config.node_name.clone(),
        registry: Arc::clone(&registry),
        metrics: Arc::clone(&metrics),
        bus: bus.clone(),
    };
    let cluster = Member::new(id, parts);
    let meter: Arc<dyn StoreMetrics> = Arc::new(MeteredStore(Arc::clone(&metrics)));
    let store = open_store(config, &meter, &registry, &cluster, startup).await?;
    let inbox = store.inbox();
    let jwt = config
        .jwt
        .as_ref()
        .map(|jwt| verifier(jwt, config))
        .transpose()?;
    let tokens = tokens(config, &store, redis.as_ref(), jwt.as_ref(), meter);
    cluster.attach(&inbox, &tokens);
    let demo = prepare_demo(config, &store, &*tokens).await?;
    let keys = Arc::new(keys(config, demo.as_ref()));
    Ok(Backends {
        inbox,
        tokens,
        registry,
        cluster,
        metrics,
        store,
        bus,
        jwt,
        keys,
        demo,
    })
}

/// The keys to begin with.
fn keys(config: &Config, demo: Option<&Demo>) -> Keys {
    let configured = || config.auth.api_keys.clone();
    Keys {
        api: Live::new(demo.map_or_else(configured, |demo| ApiKeys::new([demo.api_key()]))),
        drain: Live::new(config.auth.drain_keys.clone()),
    }
}

/// Whether other nodes write to the same inbox.
fn shares_its_inbox(config: &Config) -> bool {
    matches!(config.inbox, InboxBackend::MongoDb(_))
}

async fn open_store(
    config: &Config,
    meter: &Arc<dyn StoreMetrics>,
    registry: &Arc<Registry>,
    cluster: &Arc<Member>,
    startup: &Startup,
) -> Result<Store, StartError> {
    match &config.inbox {
        InboxBackend::Embedded => {
            let store = open_embedded(config, meter, registry).await?;
            Ok(Store::Embedded(store))
        }
        InboxBackend::MongoDb(mongodb) => {
            registry.share(cluster.presence());
            let options = mongodb_options(config, mongodb, Arc::clone(meter));
            let store = open_mongodb(options, cluster, startup).await?;
            Ok(Store::MongoDb(store))
        }
    }
}

/// Opens the store in MongoDB. While that is away it is tried again: a cluster that starts while its MongoDB does not
/// run must not crash round and round.
async fn open_mongodb(
    options: MongoOptions,
    cluster: &Arc<Member>,
    startup: &Startup,
) -> Result<Arc<MongoStore>, StartError> {
    let mut pause = FIRST_RETRY;
    loop {
        match MongoStore::open(options.clone(), cluster.observer()).await {
            Err(error @ MongoOpenError::Away { .. }) => {
                tracing::warn!(%error, "the start waits for MongoDB");
                startup.waits_for(error.to_string());
            }
            opened => return Ok(opened?),
        }
        tokio::time::sleep(pause + pause.mul_f64(chance::roll().unwrap_or(0.0))).await;
        pause = (pause * 2).min(LAST_RETRY);
    }
}

fn mongodb_options(
    config: &Config,
    mongodb: &MongoDbConfig,
    metrics: Arc<dyn StoreMetrics>,
) -> MongoOptions {
    MongoOptions {
        acknowledged: match mongodb.write_concern {
            WriteConcern::Majority => Acknowledged::Majority,
            WriteConcern::Members(members) => Acknowledged::Members(members),
        },
        max_connections: mongodb.max_connections,
        unread_per_account: config.limits.unread_per_account as u64,
        retention: config.retention.notices,
        idempotency_kept: config.retention.idempotency,
        metrics,
        ..MongoOptions::new(mongodb.uri.clone(), mongodb.database.clone())
    }
}

fn connector(redis: &RedisConfig) -> Result<Arc<Connector>, StartError> {
    let endpoint = redis_endpoint(&redis.endpoint, &redis.tls);
    let connector = Connector::new(endpoint).map_err(|error| StartError::Tls(error.to_string()))?;
    Ok(Arc::new(connector))
}

fn redis_endpoint(endpoint: &config::RedisEndpoint, files: &config::RedisTls) -> Endpoint {
    let address = |at: &config::HostPort| Address {
        host: at.host.clone(),
        port: at.port,
    };
    let login = |credentials: &config::RedisCredentials| Login {
        username: credentials.username.clone(),
        password: credentials.password.clone(),
    };
    let addresses = |all: &[config::HostPort]| all.iter().map(address).collect();
    let kind = match &endpoint.servers {
        RedisServers::Single(at) => Kind::Single(address(at)),
        RedisServers::Sentinel {
            sentinels,
            master,
            credentials,
        } => Kind::Sentinel {
            nodes: addresses(sentinels),
            master: master.clone(),
            login: login(credentials),
        },
        RedisServers::Cluster(nodes) => Kind::Cluster(addresses(nodes)),
    };
    let client = files.client.as_ref();
    let tls = endpoint.tls.then(|| Tls {
        ca_file: files.ca_file.clone(),
        client_cert_file: client.map(|client| client.certificate_file.clone()),
        client_key_file: client.map(|client| client.key_file.clone()),
    });
    Endpoint {
        kind,
        tls,
        login: login(&endpoint.credentials),
        database: endpoint.database,
    }
}

fn verifier(jwt: &JwtConfig, config: &Config) -> Result<Arc<JwtVerifier>, StartError> {
    let verifier = JwtVerifier::new(jwt, config.limits.account_id_bytes);
    Ok(Arc::new(
        verifier.map_err(|error| StartError::Jwt(error.to_string()))?,
    ))
}

/// Session tokens: in Redis if there is one, otherwise beside the notices; JWTs before either.
fn tokens(
    config: &Config,
    store: &Store,
    redis: Option<&Arc<Connector>>,
    jwt: Option<&Arc<JwtVerifier>>,
    metrics: Arc<dyn StoreMetrics>,
) -> Arc<dyn SessionTokens> {
    let clock = clock_of(store.inbox());
    let (known, denied) = match redis.zip(config.redis.as_ref()) {
        None => (store.tokens(), store.denied()),
        Some((redis, config_of_redis)) => {
            let keys = TokenKeys {
                prefix: config_of_redis.key_prefix.clone(),
                namespace: config_of_redis.namespace.clone(),
            };
            let bytes = config.limits.account_id_bytes;
            let stored = RedisTokens::new(Arc::clone(redis), keys, bytes, Arc::clone(&clock));
            let metered = MeteredTokens::new(Arc::new(stored), metrics);
            let remembered = CachedTokens::new(Arc::new(metered), Arc::clone(&clock));
            let namespace = &config_of_redis.namespace;
            let denied = RedisDenyList::new(Arc::clone(redis), namespace, Arc::clone(&clock));
            (Arc::new(remembered) as _, Arc::new(denied) as _)
        }
    };
    match jwt {
        None => known,
        Some(verifier) => {
            let verifier = Arc::clone(verifier);
            Arc::new(TokenGate::new(known, Proofs { verifier, denied }, clock))
        }
    }
}

fn clock_of(inbox: Arc<dyn Inbox>) -> Now {
    Arc::new(move || inbox.now())
}

impl Backends {
    /// The store's clock.
    pub(super) fn clock(&self) -> Now {
        clock_of(Arc::clone(&self.inbox))
    }

    /// What the handlers of the listeners work with.
    pub(super) fn services(&self, config: &Arc<Config>) -> Services {
        Services::new(Parts {
            inbox: Arc::clone(&self.inbox),
            tokens: Arc::clone(&self.tokens),
            registry: Arc::clone(&self.registry),
            cluster: Arc::clone(&self.cluster),
            drain: Arc::new(DrainControl::new(Arc::clone(&self.registry))),
            rebalance: RebalanceControl::new(Arc::clone(&self.registry)),
            metrics: Arc::clone(&self.metrics),
            config: Arc::clone(config),
            keys: Arc::clone(&self.keys),
        })
    }

    /// What a person who tries it is told; empty when nobody does.
    pub(super) fn greeting(&self, url: &str) -> String {
        let demo = self.demo.as_ref();
        demo.map_or_else(String::new, |demo| demo.greeting(url))
    }

    /// Starts what runs beside the stores, each part by its name.
    pub(super) fn run(&self, config: &Config, mut start: impl FnMut(&'static str, Part)) {
        match &self.store {
            Store::Embedded(store) => {
                start("the store", Box::pin(until_nobody_tells(Arc::clone(store))));
            }
            Store::MongoDb(_) => {
                let sweeper = Sweeper::new(Arc::clone(&self.cluster), sweep_pace(config));
                start("the sweep", Box::pin(sweeper.run()));
            }
        }
        if let Some(bus) = &self.bus {
            start("the bus", Arc::clone(bus).run(self.cluster.listener()));
            let roll = Arc::clone(&self.cluster).answer_the_roll();
            start("the roll call", Box::pin(roll));
        }
        let metrics = Arc::clone(&self.metrics);
        let files = CredentialFiles::new(config, &self.keys, self.jwt.as_ref(), metrics);
        start("the files of credentials", Box::pin(files.run()));
        if let Some(jwt) = &self.jwt {
            start("the keys of JWTs", Box::pin(jwt.keep_keys_fresh()));
        }
    }

    /// Stores what is under way, and closes.
    pub(super) async fn close(&self) {
        match &self.store {
            Store::Embedded(store) => store.close().await,
            Store::MongoDb(store) => store.close().await,
        }
    }
}

fn sweep_pace(config: &Config) -> SweepPace {
    SweepPace {
        round: config.delivery.sweep,
        busy: config.delivery.poll_busy,
        idle: config.delivery.poll_idle,
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
    meter: &Arc<dyn StoreMetrics>,
    registry: &Arc<Registry>,
) -> Result<Arc<EmbeddedStore>, StartError> {
    let options = store_options(config, Arc::clone(meter));
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

fn store_options(config: &Config, metrics: Arc<dyn StoreMetrics>) -> Options {
    Options {
        max_bytes: config.store.max_bytes,
        min_free_bytes: config.store.min_free_bytes,
        cache_bytes: config.store.cache_bytes,
        unread_per_account: config.limits.unread_per_account as u64,
        retention: config.retention.notices,
        idempotency_kept: config.retention.idempotency,
        metrics,
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

/// On loopback and without a key, a person is trying it. With the embedded store the same links work after a restart.
async fn prepare_demo(
    config: &Config,
    store: &Store,
    tokens: &dyn SessionTokens,
) -> Result<Option<Demo>, StartError> {
    let folder = match store {
        Store::Embedded(_) => Some(config.data_dir.as_path()),
        Store::MongoDb(_) => None,
    };
    if !config.auth.api_keys.is_empty() || config.listens_publicly() {
        if let Some(folder) = folder {
            Demo::retire(folder, tokens).await?;
        }
        return Ok(None);
    }
    let now = store.inbox().now();
    Ok(Some(Demo::prepare(folder, tokens, now).await?))
}

/// Ends when the store will never tell or take anything again: only a new process helps then.
async fn until_nobody_tells(store: Arc<EmbeddedStore>) {
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    while !store.is_deaf() {
        seconds.tick().await;
    }
}
