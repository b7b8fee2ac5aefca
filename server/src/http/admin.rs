//! The admin listener: probes, metrics, load, and the verbs that drain and rebalance.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use warp::http::StatusCode;
use warp::http::header::{CONTENT_TYPE, HeaderValue};
use warp::reply::Response;
use warp::{Filter, Rejection};

use super::drain_proof;
use super::exchange::{Answer, Head, empty, head, json, read_body, recover, respond};
use super::listener::Peer;
use super::problem::{Code, Problem};
use super::services::Services;
use super::strict_json::parse;
use crate::delivery::{DrainPace, JoinRefused, RebalanceAsk};

/// The body of `POST /drain` and `POST /rebalance`.
const VERB_BODY: usize = 4096;

/// Either may be spread over so much time.
const LONGEST_WINDOW: u64 = 24 * 3600;

/// What the admin listener serves while the server starts, and from then on: probes ask from the first moment on.
#[derive(Default)]
pub struct Startup {
    services: OnceLock<Arc<Services>>,
    waits_for: Mutex<String>,
}

impl std::fmt::Debug for Startup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Startup").finish_non_exhaustive()
    }
}

impl Startup {
    /// Says what the start waits for, without secrets.
    pub fn waits_for(&self, what: impl Into<String>) {
        *self.waits_for.lock() = what.into();
    }

    /// The server has started.
    pub fn done(&self, services: Arc<Services>) {
        let _only_the_first = self.services.set(services);
    }

    fn services(&self) -> Result<Arc<Services>, Problem> {
        self.services.get().cloned().ok_or_else(|| {
            Problem::new(Code::StoreUnavailable, "the server is still starting")
                .retry_after(Duration::from_secs(1))
        })
    }
}

/// Everything that the admin listener serves.
#[must_use]
pub fn admin_routes(
    startup: &Arc<Startup>,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + use<> {
    let live = warp::path!("livez")
        .and(warp::get())
        .map(|| text(StatusCode::OK, "ok\n".to_owned()));
    let ready = warp::path!("readyz")
        .and(warp::get())
        .and(with(startup))
        .map(|startup: Arc<Startup>| respond(readiness(&startup)));
    let metrics = warp::path!("metrics")
        .and(warp::get())
        .and(with(startup))
        .map(|startup: Arc<Startup>| respond(startup.services().and_then(|it| scrape(&it))));
    let load = warp::path!("load")
        .and(warp::get())
        .and(with(startup))
        .map(|startup: Arc<Startup>| respond(startup.services().and_then(|it| tell_load(&it))));
    live.or(ready)
        .unify()
        .or(metrics)
        .unify()
        .or(load)
        .unify()
        .or(drain_routes(startup))
        .unify()
        .or(rebalance_routes(startup))
        .unify()
        .recover(recover)
        .unify()
}

fn with(
    startup: &Arc<Startup>,
) -> impl Filter<Extract = (Arc<Startup>,), Error = Infallible> + Clone + use<> {
    let startup = Arc::clone(startup);
    warp::any().map(move || Arc::clone(&startup))
}

fn drain_routes(
    startup: &Arc<Startup>,
) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + use<> {
    let start = warp::path!("drain")
        .and(warp::post())
        .and(with(startup))
        .and(head())
        .and(warp::ext::get::<Peer>())
        .and(warp::body::stream())
        .then(
            |startup: Arc<Startup>, head, Peer(peer): Peer, body| async move {
                match startup.services() {
                    Ok(services) => respond(start_drain(&services, &head, peer, body).await),
                    Err(problem) => respond(Err(problem)),
                }
            },
        );
    let stop = warp::path!("drain")
        .and(warp::delete())
        .and(with(startup))
        .and(head())
        .and(warp::ext::get::<Peer>())
        .map(|startup: Arc<Startup>, head, Peer(peer): Peer| {
            let stop = |services: Arc<Services>| stop_drain(&services, &head, peer);
            respond(startup.services().and_then(stop))
        });
    start.or(stop).unify()
}

fn rebalance_routes(
    startup: &Arc<Startup>,
) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + use<> {
    let start = warp::path!("rebalance")
        .and(warp::post())
        .and(with(startup))
        .and(head())
        .and(warp::ext::get::<Peer>())
        .and(warp::body::stream())
        .then(
            |startup: Arc<Startup>, head, Peer(peer): Peer, body| async move {
                match startup.services() {
                    Ok(services) => respond(start_rebalance(&services, &head, peer, body).await),
                    Err(problem) => respond(Err(problem)),
                }
            },
        );
    let stop = warp::path!("rebalance")
        .and(warp::delete())
        .and(with(startup))
        .and(head())
        .and(warp::ext::get::<Peer>())
        .map(|startup: Arc<Startup>, head, Peer(peer): Peer| {
            let stop = |services: Arc<Services>| stop_rebalance(&services, &head, peer);
            respond(startup.services().and_then(stop))
        });
    start.or(stop).unify()
}

fn text(status: StatusCode, body: String) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

#[derive(Serialize)]
struct Readiness<'a> {
    ready: bool,
    reason: &'a str,
    store: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bus: Option<&'a str>,
}

fn readiness(startup: &Startup) -> Answer {
    match startup.services.get() {
        Some(services) => readiness_of(services),
        None => json(
            StatusCode::SERVICE_UNAVAILABLE,
            &Readiness {
                ready: false,
                reason: "starting",
                store: &startup.waits_for.lock(),
                bus: None,
            },
        ),
    }
}

/// Once the server has started, only a drain and a full node make it not ready: were it not ready while the store or
/// the bus is away, a blip of either would empty every endpoint at once.
fn readiness_of(services: &Services) -> Answer {
    let store = services
        .inbox
        .health()
        .map_or_else(|error| error.reason, |()| "ok".to_owned());
    let (ready, reason) = match services.registry.admits() {
        Ok(()) => (true, "ok"),
        Err(JoinRefused::Draining) => (false, "draining"),
        Err(_) => (false, "full"),
    };
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let bus = services.cluster.bus_is_up();
    json(
        status,
        &Readiness {
            ready,
            reason,
            store: &store,
            bus: bus.map(|up| if up { "ok" } else { "down" }),
        },
    )
}

fn scrape(services: &Services) -> Answer {
    let metrics = &services.metrics;
    metrics
        .online_accounts
        .set(i64::try_from(services.registry.accounts()).unwrap_or(i64::MAX));
    metrics
        .draining
        .set(i64::from(services.registry.is_draining()));
    metrics
        .rebalancing
        .set(i64::try_from(services.rebalance.left()).unwrap_or(i64::MAX));
    metrics.set_oldest_unpushed(services.registry.oldest_unpushed_age(services.inbox.now()));
    let body = metrics
        .render()
        .map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
    let mut response = text(StatusCode::OK, body);
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static(prometheus::TEXT_FORMAT),
    );
    Ok(response)
}

#[derive(Serialize)]
struct Load<'a> {
    sessions: usize,
    accounts: usize,
    capacity: usize,
    draining: bool,
    rebalancing: usize,
    node: &'a str,
}

fn tell_load(services: &Services) -> Answer {
    let registry = &services.registry;
    json(
        StatusCode::OK,
        &Load {
            sessions: registry.sessions(),
            accounts: registry.accounts(),
            capacity: registry.limits().sessions,
            draining: registry.is_draining(),
            rebalancing: services.rebalance.left(),
            node: &services.config.node_name,
        },
    )
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DrainInput {
    window_seconds: Option<u64>,
}

async fn start_drain<S, B>(services: &Services, head: &Head, peer: IpAddr, body: S) -> Answer
where
    S: futures_util::Stream<Item = Result<B, warp::Error>> + Send,
    B: bytes::Buf + Send,
{
    may_drain(services, head, peer)?;
    let body = read_body(body, VERB_BODY, services.config.limits.body_timeout).await?;
    let input = if body.is_empty() {
        DrainInput::default()
    } else {
        parse(&body)?
    };
    let pace = pace(services, input.window_seconds)?;
    services.rebalance.stop();
    services.drain.start(pace);
    tell_load(services)
}

/// That of the call, or the configured one.
fn pace(services: &Services, window_seconds: Option<u64>) -> Result<DrainPace, Problem> {
    let window = match window_seconds {
        None => services.config.drain.window,
        Some(seconds) if seconds <= LONGEST_WINDOW => Duration::from_secs(seconds),
        Some(_) => {
            return Err(Problem::invalid(format!(
                "windowSeconds is at most {LONGEST_WINDOW} (a day)"
            )));
        }
    };
    Ok(DrainPace { window })
}

fn stop_drain(services: &Services, head: &Head, peer: IpAddr) -> Answer {
    may_drain(services, head, peer)?;
    if !services.drain.stop() {
        return Err(Problem::new(
            Code::Draining,
            "the server ends: its drain can't be taken back",
        ));
    }
    Ok(empty(StatusCode::NO_CONTENT))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RebalanceInput {
    sessions: usize,
    window_seconds: Option<u64>,
    #[serde(default)]
    legacy: bool,
}

async fn start_rebalance<S, B>(services: &Services, head: &Head, peer: IpAddr, body: S) -> Answer
where
    S: futures_util::Stream<Item = Result<B, warp::Error>> + Send,
    B: bytes::Buf + Send,
{
    may_drain(services, head, peer)?;
    let body = read_body(body, VERB_BODY, services.config.limits.body_timeout).await?;
    let input: RebalanceInput = parse(&body)?;
    let pace = pace(services, input.window_seconds)?;
    if services.registry.is_draining() {
        return Err(Problem::new(
            Code::Draining,
            "the node drains: all of its sessions are asked to go",
        ));
    }
    services.rebalance.start(RebalanceAsk {
        sessions: input.sessions,
        pace,
        legacy: input.legacy,
    });
    tell_load(services)
}

fn stop_rebalance(services: &Services, head: &Head, peer: IpAddr) -> Answer {
    may_drain(services, head, peer)?;
    services.rebalance.stop();
    Ok(empty(StatusCode::NO_CONTENT))
}

/// From this machine anyone may; from elsewhere only who holds a drain key.
fn may_drain(services: &Services, head: &Head, peer: IpAddr) -> Result<(), Problem> {
    if peer.is_loopback() {
        return Ok(());
    }
    drain_proof::check(
        &head.headers,
        &services.keys.drain.get(),
        &services.config.node_name,
    )
}
