//! Ways to the API server: HTTP/2, so that hundreds of watches share a few connections, with a check that the other
//! side still answers. Without the library's own retries: who calls decides what a refusal means.

use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::FixedServerNameResolver;
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ConfigExt};
use kube::{Client, Config};
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use tower::{BoxError, ServiceBuilder};

/// Watches on one connection. API servers allow 100 requests at a time on each unless they are told otherwise, and a
/// request above that would wait for the end of a watch.
const WATCHES_A_CONNECTION: usize = 60;
/// A connection that is silent for so long is asked for a sign of life.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// And is given up when none comes within this.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// What the other side may send ahead of being read, on a stream and on a connection.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// All ways to one API server.
#[derive(Clone)]
pub struct Clients {
    config: Arc<Config>,
    calls: Client,
    lease: Client,
    watches: Arc<Mutex<Vec<Shared>>>,
}

#[derive(Clone)]
struct Shared {
    client: Client,
    places: Arc<()>,
}

/// A client with room for one more watch; the room is free again when it is dropped.
#[derive(Clone)]
pub struct WatchClient {
    client: Client,
    _place: Arc<()>,
}

impl std::fmt::Debug for Clients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clients").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for WatchClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WatchClient").finish_non_exhaustive()
    }
}

impl std::ops::Deref for WatchClient {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Clients {
    /// Makes the clients; connects later, at the first call.
    ///
    /// # Errors
    /// The configuration's certificates or credentials can't be used.
    pub fn new(config: Config) -> Result<Self, kube::Error> {
        Ok(Self {
            calls: connect(&config)?,
            lease: connect(&config)?,
            config: Arc::new(config),
            watches: Arc::default(),
        })
    }

    /// For reads and writes that end soon.
    #[must_use]
    pub fn calls(&self) -> Client {
        self.calls.clone()
    }

    /// For the lease alone: nothing else may hold it up.
    #[must_use]
    pub fn lease(&self) -> Client {
        self.lease.clone()
    }

    /// For one watch.
    ///
    /// # Errors
    /// As [`Clients::new`].
    pub fn for_watch(&self) -> Result<WatchClient, kube::Error> {
        let mut watches = self.watches.lock();
        watches.retain(|it| Arc::strong_count(&it.places) > 1);
        let free = watches
            .iter()
            .find(|it| Arc::strong_count(&it.places) <= WATCHES_A_CONNECTION);
        let shared = match free {
            Some(shared) => shared.clone(),
            None => {
                let shared = Shared {
                    client: connect(&self.config)?,
                    places: Arc::new(()),
                };
                watches.push(shared.clone());
                shared
            }
        };
        Ok(WatchClient {
            client: shared.client,
            _place: shared.places,
        })
    }
}

fn connect(config: &Config) -> Result<Client, kube::Error> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(config.rustls_client_config()?);
    let connector = connector.https_or_http();
    let connector = match &config.tls_server_name {
        Some(name) => match ServerName::try_from(name.clone()) {
            Ok(name) => connector.with_server_name_resolver(FixedServerNameResolver::new(name)),
            Err(error) => return Err(kube::Error::Service(error.into())),
        },
        None => connector,
    };
    let connector = connector.enable_all_versions().wrap_connector(tcp);
    let http: Http<_, Body> = Http::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .http2_keep_alive_interval(KEEP_ALIVE)
        .http2_keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .http2_keep_alive_while_idle(true)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(Client::new(service, config.default_namespace.clone()))
}
