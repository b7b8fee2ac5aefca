//! The API of custom metrics (`custom.metrics.k8s.io`), served by the operator itself, so that Kubernetes' own autoscaler
//! works without an add-on: sessions of pods, as the pods told them.
//!
//! ```text
//! autoscaler ─► API server ─► serve: front_proxy (who asks) ─► access (may it) ─► requests ─► answers ◄─ board, index
//!                  ▲
//!                  └── register: whose certificates to trust ◄── certificate, in a Secret ── keeper
//! ```
//!
//! Every replica answers, from its own readings; only the one that acts writes.

mod access;
mod answers;
mod certificate;
mod front_proxy;
mod keeper;
mod refusal;
mod register;
mod requests;
mod selector;
mod serve;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use keeper::SECRET;
pub use requests::GROUP;

use access::Access;
use answers::Row;
use front_proxy::FrontProxy;
use keeper::{Keeper, certificates};
use register::Registrar;
use requests::Version;
use serve::Desk;

use crate::client::Clients;
use crate::clock::unix_seconds;
use crate::leader::Leadership;
use crate::metrics::Metrics;
use crate::observe::SharedIndex;
use crate::observe::kinds::resource_path;
use crate::sessions::Board;
use crate::watch::Freshness;
use crate::watch::latest::{Known, Latest};

/// A reading that is older than this is no value any more.
const OLDEST: Duration = Duration::from_secs(30);
/// How often it is looked whether another certificate's time has come.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The Service by which the API server reaches the operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The operator's own namespace.
    pub namespace: String,
    /// The Service's name.
    pub name: String,
}

impl Service {
    /// The name that the API server expects in the certificate.
    #[must_use]
    pub fn host(&self) -> String {
        format!("{}.{}.svc", self.name, self.namespace)
    }
}

/// What the API is made of.
#[derive(Debug)]
pub struct MetricsApi {
    /// How it is reached.
    pub service: Service,
    /// Ways to the API server.
    pub clients: Clients,
    /// Where watches tell how they are.
    pub freshness: Freshness,
    /// Whether this operator acts.
    pub leadership: Leadership,
    /// The pods.
    pub index: SharedIndex,
    /// What they said.
    pub board: Board,
    /// Where requests are counted.
    pub metrics: Arc<Metrics>,
}

impl MetricsApi {
    /// Serves for ever; says which part ended.
    pub async fn serve(self, listener: TcpListener) -> String {
        let secret = self.latest("secrets", "v1", Some(&self.service.namespace), SECRET);
        let config_map = self.latest(
            "configmaps",
            "v1",
            Some(front_proxy::NAMESPACE),
            front_proxy::CONFIG_MAP,
        );
        let (tell_front_proxy, front_proxy) = watch::channel(Arc::new(FrontProxy::default()));
        let (tell_tls, tls) = watch::channel(None);
        let mut tasks = JoinSet::new();
        tasks.spawn(self.keeper(&secret).work());
        tasks.spawn(follow_front_proxy(
            config_map.known.clone(),
            tell_front_proxy,
        ));
        tasks.spawn(follow_tls(
            secret.known.clone(),
            front_proxy.clone(),
            tell_tls,
        ));
        let api_services = Version::ALL.map(|version| (version, self.api_service(version)));
        for (version, api_service) in &api_services {
            tasks.spawn(self.registrar(*version, api_service, &secret).work());
        }
        let desk = Arc::new(self.desk(front_proxy));
        tasks.spawn(serve::serve(listener, tls, desk));
        format!("the metrics API: {:?}", tasks.join_next().await)
    }

    fn latest(&self, kind: &'static str, of: &str, namespace: Option<&str>, name: &str) -> Latest {
        let path = resource_path(of, kind, namespace);
        Latest::follow(&self.clients, &self.freshness, kind, path, name)
    }

    fn api_service(&self, version: Version) -> Latest {
        self.latest(
            "apiservices",
            "apiregistration.k8s.io/v1",
            None,
            &register::name(version),
        )
    }

    fn keeper(&self, secret: &Latest) -> Keeper {
        Keeper {
            client: self.clients.calls(),
            service: self.service.clone(),
            secret: secret.known.clone(),
            leadership: self.leadership.clone(),
        }
    }

    fn registrar(&self, version: Version, api_service: &Latest, secret: &Latest) -> Registrar {
        Registrar {
            client: self.clients.calls(),
            version,
            service: self.service.clone(),
            api_service: api_service.known.clone(),
            secret: secret.known.clone(),
            leadership: self.leadership.clone(),
            metrics: Arc::clone(&self.metrics),
        }
    }

    fn desk(&self, front_proxy: watch::Receiver<Arc<FrontProxy>>) -> Desk {
        let (index, board) = (Arc::clone(&self.index), self.board.clone());
        Desk {
            pods_of: Box::new(move |namespace| rows(&index, &board, namespace)),
            front_proxy,
            access: Access::new(self.clients.calls()),
            metrics: Arc::clone(&self.metrics),
        }
    }
}

/// The pods of a namespace that have told their sessions lately.
fn rows(index: &SharedIndex, board: &Board, namespace: &str) -> Vec<Row> {
    let index = index.lock();
    let pods = index
        .pods()
        .filter(|(key, pod)| &*key.namespace == namespace && !pod.ended);
    pods.filter_map(|(key, pod)| {
        let (load, age) = board.reading(key, &pod.name)?;
        (age < OLDEST).then(|| Row {
            name: pod.name.clone(),
            labels: pod.labels.clone(),
            sessions: load.sessions,
            read_at: Timestamp::now() - age,
        })
    })
    .collect()
}

/// Until it is known how the API server proves itself, nobody is anybody.
async fn follow_front_proxy(
    mut known: watch::Receiver<Known>,
    tell: watch::Sender<Arc<FrontProxy>>,
) {
    loop {
        let now = match &*known.borrow_and_update() {
            Known::There(object) => FrontProxy::of(object),
            _ => FrontProxy::default(),
        };
        tell.send_if_modified(|before| {
            let changed = **before != now;
            *before = Arc::new(now);
            changed
        });
        if known.changed().await.is_err() {
            return;
        }
    }
}

/// The certificate of now, and who signs the API server's.
async fn follow_tls(
    mut secret: watch::Receiver<Known>,
    mut front_proxy: watch::Receiver<Arc<FrontProxy>>,
    tell: watch::Sender<Option<Arc<ServerConfig>>>,
) {
    let mut served = None;
    loop {
        let pair =
            certificates(&secret.borrow_and_update()).map(|it| it.serving(unix_seconds()).clone());
        let authorities = front_proxy.borrow_and_update().authorities.clone();
        let wanted = pair.map(|pair| (pair, authorities));
        if wanted.is_some() && wanted != served {
            if let Some((pair, authorities)) = &wanted {
                match certificate::tls(pair, authorities) {
                    Ok(config) => drop(tell.send(Some(config))),
                    Err(error) => tracing::warn!("{error}"),
                }
            }
            served = wanted;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            changed = secret.changed() => if changed.is_err() { return },
            changed = front_proxy.changed() => if changed.is_err() { return },
        }
    }
}
