//! The operator's listener: `/livez`, `/readyz`, `/metrics`. Read only.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use tokio::net::TcpListener;
use warp::Filter;
use warp::reply::Response;

use crate::metrics::{Metrics, State};
use crate::observe::ClusterKey;
use crate::queue::Queue;

/// A turn that is due, or at work, for so long means that reconciling is stuck: a turn is cut after four minutes.
const STUCK_AFTER: Duration = Duration::from_secs(10 * 60);

/// What the probes look at.
#[derive(Debug)]
pub struct Probes {
    /// Metrics, and the state that they and the probes read.
    pub metrics: Arc<Metrics>,
    /// The same.
    pub state: State,
    /// Whose turn it is.
    pub queue: Arc<Queue<ClusterKey>>,
}

impl Probes {
    /// Why the process should be started anew, if it should.
    #[must_use]
    pub fn stuck(&self) -> Option<String> {
        if let Some(watch) = self.state.freshness.hanging() {
            return Some(format!("the watch of {watch} hangs"));
        }
        let overdue = self.queue.overdue();
        let acts = self.state.leadership.holds();
        (acts && overdue > STUCK_AFTER)
            .then(|| format!("a reconcile has been due for {} s", overdue.as_secs()))
    }

    /// What the operator waits for before it is ready, if anything.
    #[must_use]
    pub fn waits_for(&self) -> Option<String> {
        let waiting = self.state.freshness.waiting();
        (!waiting.is_empty()).then(|| format!("not listed yet: {}", waiting.join(", ")))
    }
}

/// Serves for ever.
pub async fn serve(listener: TcpListener, probes: Arc<Probes>) {
    warp::serve(routes(probes)).incoming(listener).run().await;
}

fn routes(
    probes: Arc<Probes>,
) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone {
    let with = {
        let probes = Arc::clone(&probes);
        warp::any().map(move || Arc::clone(&probes))
    };
    let live = warp::path!("livez")
        .and(with.clone())
        .map(|it: Arc<Probes>| verdict(it.stuck()));
    let ready = warp::path!("readyz")
        .and(with.clone())
        .map(|it: Arc<Probes>| verdict(it.waits_for()));
    let metrics = warp::path!("metrics")
        .and(with)
        .and_then(|it: Arc<Probes>| async move { Ok::<_, Infallible>(scrape(&it)) });
    warp::get().and(live.or(ready).unify().or(metrics).unify())
}

fn verdict(trouble: Option<String>) -> Response {
    match trouble {
        None => text(StatusCode::OK, "ok\n".to_owned()),
        Some(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

fn scrape(probes: &Probes) -> Response {
    match probes.metrics.render(&probes.state) {
        Ok(body) => text(StatusCode::OK, body),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn text(status: StatusCode, body: String) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let kind = hyper::header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response
        .headers_mut()
        .insert(hyper::header::CONTENT_TYPE, kind);
    response
}
