//! Commands for tokens: one multiplexed connection through the client library, made anew when it breaks.
//!
//! While Redis is away commands fail at once. Nobody waits for a connection but the one task that makes it.

use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::cluster::ClusterClientBuilder;
use ::redis::cluster_async::ClusterConnection;
use ::redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, ErrorKind,
    FromRedisValue, IntoConnectionInfo as _, Pipeline, RedisConnectionInfo, RedisError,
    TlsCertificates, TlsMode, Value,
};
use futures_util::stream::{self, StreamExt as _};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, timeout};

use super::connect::Connector;
use super::endpoint::{Address, Kind};
use super::pauses::Pauses;
use crate::inbox::InboxError;

/// How long a command may take. A healthy Redis needs a millisecond; what takes longer fails, and may be asked again.
const ANSWERED: Duration = Duration::from_secs(1);
/// How long a connection may take to be made.
const OPENING: Duration = Duration::from_secs(2);
/// How long a command waits for a connection that is being made: less than anybody notices.
const MOMENT: Duration = Duration::from_millis(250);
/// How many pipelines may be under way: a reconnect storm of 2,000 tokens a second has some dozens at a time. Beyond
/// it they are refused, since Redis is not keeping up.
const UNDER_WAY: usize = 1024;
/// How many keys a pipeline asks for: some 50 kB.
const CHUNK: usize = 500;
/// How many pipelines of one question are under way.
const AT_ONCE: usize = 16;
/// When a retry makes sense.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A connection, of one of two kinds.
#[derive(Clone)]
enum Connection {
    Plain(MultiplexedConnection),
    Cluster(ClusterConnection),
}

enum State {
    /// Nobody tried yet, or the last one broke; not before this moment is it tried again.
    Away {
        next: Instant,
        reason: String,
    },
    Opening,
    Open(Connection, Instant),
}

/// Runs commands. Cheap to clone.
#[derive(Clone)]
pub(super) struct Commands {
    shared: Arc<Shared>,
}

struct Shared {
    connector: Arc<Connector>,
    state: Mutex<State>,
    pauses: Mutex<Pauses>,
    under_way: Semaphore,
    /// Told when an attempt to connect ended.
    tried: Notify,
}

impl Commands {
    /// Connects when the first command comes.
    pub(super) fn new(connector: Arc<Connector>) -> Self {
        let state = State::Away {
            next: Instant::now(),
            reason: "not connected yet".to_owned(),
        };
        Self {
            shared: Arc::new(Shared {
                connector,
                state: Mutex::new(state),
                pauses: Mutex::new(Pauses::new()),
                under_way: Semaphore::new(UNDER_WAY),
                tried: Notify::new(),
            }),
        }
    }

    /// Whether a pipeline's keys have to be of one hash slot.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.shared.connector.endpoint().kind, Kind::Cluster(_))
    }

    /// Runs pipelines that ask something of each of many keys: as few as may be, and their answers in one list. An
    /// error of one command stands in the list as a value.
    ///
    /// # Errors
    /// As [`Commands::run`].
    pub(super) async fn each<K: Sync>(
        &self,
        keys: &[K],
        ask: impl Fn(&mut Pipeline, &K) + Send + Sync,
    ) -> Result<Vec<Value>, InboxError> {
        let chunk = if self.is_cluster() { 1 } else { CHUNK };
        let pipelines: Vec<Pipeline> = keys
            .chunks(chunk)
            .map(|keys| {
                let mut pipeline = Pipeline::new();
                keys.iter().for_each(|key| ask(&mut pipeline, key));
                pipeline.ignore_errors();
                pipeline
            })
            .collect();
        let mut answers = stream::iter(pipelines)
            .map(|pipeline| {
                let commands = self.clone();
                async move { commands.run::<Vec<Value>>(&pipeline).await }
            })
            .buffered(AT_ONCE);
        let mut values = Vec::new();
        while let Some(answer) = answers.next().await {
            values.extend(answer?);
        }
        Ok(values)
    }

    /// Runs a pipeline, whose keys are of one hash slot.
    ///
    /// # Errors
    /// When Redis is away, refuses it, or does not answer in time.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        pipeline: &Pipeline,
    ) -> Result<T, InboxError> {
        let _place = self
            .shared
            .under_way
            .try_acquire()
            .map_err(|_| unavailable("Redis does not keep up"))?;
        let mut connection = self.shared.connection().await?;
        let answer = timeout(ANSWERED, async {
            match &mut connection {
                Connection::Plain(connection) => pipeline.query_async(connection).await,
                Connection::Cluster(connection) => pipeline.query_async(connection).await,
            }
        });
        match answer.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.shared.failed(&error)),
            Err(_) => {
                self.shared.lost("Redis did not answer within 1 s");
                Err(unavailable("Redis did not answer within 1 s"))
            }
        }
    }
}

impl Shared {
    /// The connection. The first one to find that there is none makes it; others wait for that a moment.
    async fn connection(self: &Arc<Self>) -> Result<Connection, InboxError> {
        let tried = self.tried.notified();
        match self.look() {
            Found::Open(connection) => return Ok(connection),
            Found::Away(reason) => return Err(unavailable(&reason)),
            Found::Opening => {}
            // In a task of its own: who asked may go away in the middle.
            Found::Mine => drop(tokio::spawn(Arc::clone(self).open())),
        }
        let _ = timeout(MOMENT, tried).await;
        match self.look_again() {
            Some(connection) => Ok(connection),
            None => Err(unavailable("there is no connection to Redis yet")),
        }
    }

    fn look(&self) -> Found {
        let mut state = self.state.lock();
        match &*state {
            State::Open(connection, _) => Found::Open(connection.clone()),
            State::Opening => Found::Opening,
            State::Away { next, reason } if *next > Instant::now() => Found::Away(reason.clone()),
            State::Away { .. } => {
                *state = State::Opening;
                Found::Mine
            }
        }
    }

    fn look_again(&self) -> Option<Connection> {
        match &*self.state.lock() {
            State::Open(connection, _) => Some(connection.clone()),
            _ => None,
        }
    }

    async fn open(self: Arc<Self>) {
        let opened = timeout(OPENING, connect(&self.connector)).await;
        match opened.unwrap_or_else(|_| Err("Redis did not let us in within 2 s".to_owned())) {
            Ok(connection) => *self.state.lock() = State::Open(connection, Instant::now()),
            Err(reason) => {
                tracing::warn!("no connection to Redis for tokens: {reason}");
                self.away(reason, Duration::ZERO);
            }
        }
        self.tried.notify_waiters();
    }

    fn away(&self, reason: String, held: Duration) {
        let next = Instant::now() + self.pauses.lock().after(held);
        *self.state.lock() = State::Away { next, reason };
    }

    /// Gives the connection up, if it is not given up yet.
    fn lost(&self, reason: &str) {
        let held = match &*self.state.lock() {
            State::Open(_, since) => since.elapsed(),
            _ => return,
        };
        tracing::warn!("the connection to Redis for tokens is lost: {reason}");
        self.away(reason.to_owned(), held);
    }

    fn failed(&self, error: &RedisError) -> InboxError {
        let reason = in_words(error);
        // A cluster's connection mends itself; a server that is no master any more has to be left.
        let elsewhere = error.code() == Some("READONLY") || error.code() == Some("LOADING");
        if error.is_unrecoverable_error() || error.is_io_error() || elsewhere {
            self.lost(&reason);
        }
        unavailable(&reason)
    }
}

enum Found {
    Open(Connection),
    Away(String),
    Opening,
    /// There is none, and it is this caller's to make.
    Mine,
}

pub(super) fn unavailable(reason: &str) -> InboxError {
    InboxError {
        reason: reason.to_owned(),
        retry_after: RETRY_AFTER,
    }
}

/// What went wrong, by its kind and code only: an error's text may repeat what was sent.
fn in_words(error: &RedisError) -> String {
    if error.kind() == ErrorKind::AuthenticationFailed {
        return "Redis refuses the user name or the password".to_owned();
    }
    match error.code() {
        Some("WRONGPASS" | "NOAUTH") => "Redis refuses the user name or the password".to_owned(),
        Some("NOPERM") => "Redis does not permit this user what tokens need".to_owned(),
        Some(code) => format!("Redis answered {code}"),
        None if error.is_timeout() => "Redis did not answer in time".to_owned(),
        None if error.is_connection_refusal() => "Redis refuses connections".to_owned(),
        None if error.is_io_error() => "the connection to Redis broke".to_owned(),
        None => format!("Redis: {:?}", error.kind()),
    }
}

async fn connect(connector: &Connector) -> Result<Connection, String> {
    if let Kind::Cluster(nodes) = &connector.endpoint().kind {
        return connect_cluster(connector, nodes).await;
    }
    let masters = connector.masters().await;
    match masters
        .map_err(|error| error.to_string())?
        .addresses
        .first()
    {
        Some(master) => connect_plain(connector, master).await,
        None => Err("there is no master".to_owned()),
    }
}

async fn connect_plain(connector: &Connector, master: &Address) -> Result<Connection, String> {
    let info = info(connector, master).map_err(|error| in_words(&error))?;
    let client = match certificates(connector) {
        Some(certificates) => Client::build_with_tls(info, certificates),
        None => Client::open(info),
    };
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(OPENING))
        .set_response_timeout(Some(ANSWERED));
    let client = client.map_err(|error| in_words(&error))?;
    let connection = client.get_multiplexed_async_connection_with_config(&config);
    let connection = connection.await.map_err(|error| in_words(&error))?;
    Ok(Connection::Plain(connection))
}

async fn connect_cluster(connector: &Connector, nodes: &[Address]) -> Result<Connection, String> {
    let infos: Result<Vec<_>, _> = nodes.iter().map(|node| info(connector, node)).collect();
    let infos = infos.map_err(|error| in_words(&error))?;
    let mut builder = ClusterClientBuilder::new(infos)
        .connection_timeout(OPENING)
        .response_timeout(ANSWERED)
        .retries(2);
    if let Some(certificates) = certificates(connector) {
        builder = builder.tls(TlsMode::Secure).certs(certificates);
    }
    let client = builder.build().map_err(|error| in_words(&error))?;
    let connection = client.get_async_connection().await;
    let connection = connection.map_err(|error| in_words(&error))?;
    Ok(Connection::Cluster(connection))
}

fn info(connector: &Connector, address: &Address) -> Result<ConnectionInfo, RedisError> {
    let endpoint = connector.endpoint();
    let (host, port) = (address.host.clone(), address.port);
    let address = if endpoint.tls.is_some() {
        ConnectionAddr::TcpTls {
            host,
            port,
            insecure: false,
            tls_params: None,
        }
    } else {
        ConnectionAddr::Tcp(host, port)
    };
    let mut settings = RedisConnectionInfo::default()
        .set_db(i64::from(endpoint.database))
        .set_skip_set_lib_name();
    if let Some(name) = &endpoint.login.username {
        settings = settings.set_username(name);
    }
    if let Some(password) = &endpoint.login.password {
        settings = settings.set_password(password.reveal());
    }
    Ok(address.into_connection_info()?.set_redis_settings(settings))
}

fn certificates(connector: &Connector) -> Option<TlsCertificates> {
    let files = connector.files()?;
    let client_tls = files
        .client
        .clone()
        .map(|(client_cert, client_key)| ClientTlsConfig {
            client_cert,
            client_key,
        });
    Some(TlsCertificates {
        client_tls,
        root_cert: files.ca.clone(),
    })
}
