//! How many sessions each pod has: asked of the pods themselves, every ten seconds, by `GET /load`.
//!
//! Only the operator that acts asks, and every one that serves the API of metrics. What it learns stays in memory; a cluster is reconciled for it only when it is worth
//! a write (see [`figures`]).

pub mod figures;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode};
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::observe::{ClusterKey, PodSeen, SharedIndex};
use figures::{Figures, Load, Reading};

/// How often each pod is asked.
pub const PERIOD: Duration = Duration::from_secs(10);
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Pods that are asked at a time.
const AT_A_TIME: usize = 16;
/// The answer's longest body: it has a handful of numbers and a name.
const LONGEST_BODY: usize = 16 * 1024;

/// What is known of all pods' loads. Shared.
#[derive(Clone, Debug, Default)]
pub struct Board {
    readings: Arc<Mutex<HashMap<ClusterKey, BTreeMap<String, Reading>>>>,
}

impl Board {
    /// The figures of these pods; `None` before each of them that is ready has been asked once, so that a restart of the
    /// operator blanks nothing. A pod that is not ready and does not answer has not begun yet, or has ended: no sessions.
    #[must_use]
    pub fn figures(&self, key: &ClusterKey, pods: &[PodSeen]) -> Option<Figures> {
        let readings = self.readings.lock();
        let known = readings.get(key);
        let reading = |pod: &PodSeen| known.and_then(|it| it.get(&pod.name));
        if pods.iter().any(|pod| serves(pod) && reading(pod).is_none()) {
            return None;
        }
        let entry = |pod: &PodSeen| {
            let load = reading(pod).and_then(Reading::load);
            (
                pod.name.clone(),
                load.or_else(|| (!serves(pod)).then_some(NO_SESSIONS)),
            )
        };
        Some(Figures {
            pods: pods.iter().map(entry).collect(),
        })
    }

    /// What a pod last said, and how long ago.
    #[must_use]
    pub fn reading(&self, key: &ClusterKey, pod: &str) -> Option<(Load, Duration)> {
        let readings = self.readings.lock();
        readings.get(key)?.get(pod)?.aged(Instant::now())
    }

    /// One pod was asked.
    pub fn note(&self, key: &ClusterKey, pod: &str, tried: Option<Load>) {
        let mut readings = self.readings.lock();
        let pods = readings.entry(key.clone()).or_default();
        let before = pods.get(pod).copied();
        pods.insert(
            pod.to_owned(),
            Reading::after(before, tried, Instant::now()),
        );
    }

    /// Only these pods exist.
    fn keep(&self, pods: &[(ClusterKey, PodSeen)]) {
        let there: std::collections::HashSet<_> = pods
            .iter()
            .map(|(key, pod)| (key, pod.name.as_str()))
            .collect();
        self.readings.lock().retain(|key, readings| {
            readings.retain(|name, _| there.contains(&(key, name.as_str())));
            !readings.is_empty()
        });
    }
}

/// Whether a pod must be able to tell its sessions.
const fn serves(pod: &PodSeen) -> bool {
    pod.ready && !pod.deleting
}

const NO_SESSIONS: Load = Load {
    sessions: 0,
    draining: false,
};

/// Asks pods.
#[derive(Clone, Debug)]
pub struct Asker {
    http: Http<HttpConnector, Empty<Bytes>>,
    port: u16,
}

#[derive(Deserialize)]
struct Answer {
    sessions: i64,
    #[serde(default)]
    draining: bool,
}

impl Asker {
    /// Asks on this port of the pods' addresses.
    #[must_use]
    pub fn new(port: u16) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(TIMEOUT));
        Self {
            http: Http::builder(TokioExecutor::new())
                .pool_idle_timeout(PERIOD * 3)
                .pool_max_idle_per_host(1)
                .build(connector),
            port,
        }
    }

    /// The load of the pod at this address, unless it can't be had.
    pub async fn ask(&self, ip: IpAddr) -> Option<Load> {
        tokio::time::timeout(TIMEOUT, self.try_ask(ip))
            .await
            .ok()
            .flatten()
    }

    async fn try_ask(&self, ip: IpAddr) -> Option<Load> {
        let address = SocketAddr::new(ip, self.port);
        let request = Request::get(format!("http://{address}/load"))
            .body(Empty::new())
            .ok()?;
        let response = self.http.request(request).await.ok()?;
        if response.status() != StatusCode::OK {
            return None;
        }
        let body = Limited::new(response.into_body(), LONGEST_BODY)
            .collect()
            .await
            .ok()?;
        let answer: Answer = serde_json::from_slice(&body.to_bytes()).ok()?;
        Some(Load {
            sessions: answer.sessions.max(0),
            draining: answer.draining,
        })
    }
}

/// Asks all pods again and again, spread over the period. After each round `round_over` is called.
pub async fn ask_for_ever(
    index: SharedIndex,
    board: Board,
    asker: Asker,
    mut round_over: impl FnMut() + Send,
) {
    let places = Arc::new(Semaphore::new(AT_A_TIME));
    loop {
        let started = Instant::now();
        let pods: Vec<_> = {
            let index = index.lock();
            index
                .pods()
                .map(|(key, pod)| (key.clone(), pod.clone()))
                .collect()
        };
        board.keep(&pods);
        let pause = gap(pods.len());
        for (key, pod) in pods {
            let Some(ip) = pod.ip else {
                continue;
            };
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let (asker, board) = (asker.clone(), board.clone());
            tokio::spawn(async move {
                let tried = asker.ask(ip).await;
                board.note(&key, &pod.name, tried);
                drop(place);
            });
            tokio::time::sleep(pause).await;
        }
        // All places free: the round's last answers are there.
        drop(
            places
                .acquire_many(u32::try_from(AT_A_TIME).unwrap_or(1))
                .await,
        );
        round_over();
        tokio::time::sleep(PERIOD.saturating_sub(started.elapsed())).await;
    }
}

/// The pause between two pods: so many fit into half the period.
fn gap(pods: usize) -> Duration {
    let pods = u32::try_from(pods.max(1)).unwrap_or(u32::MAX);
    (PERIOD / 2 / pods).min(Duration::from_millis(50))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, ip: Option<&str>, ready: bool) -> PodSeen {
        PodSeen {
            name: name.into(),
            ip: ip.map(|it| it.parse().unwrap()),
            ready,
            deleting: false,
            ended: false,
            trouble: None,
            labels: BTreeMap::new(),
            life: crate::observe::Life::default(),
        }
    }

    #[tokio::test]
    async fn figures_are_there_once_every_pod_that_can_be_asked_was_asked() {
        let (board, key) = (Board::default(), ClusterKey::new("a", "rides"));
        let pods = [pod("a", Some("10.0.0.1"), true), pod("b", None, false)];
        assert_eq!(board.figures(&key, &pods), None);
        board.note(
            &key,
            "a",
            Some(Load {
                sessions: 5,
                draining: false,
            }),
        );
        let figures = board.figures(&key, &pods).unwrap();
        assert_eq!(
            figures.total(),
            Some(5),
            "a pod without an address has none"
        );
        board.note(&key, "a", None);
        assert_eq!(board.figures(&key, &pods).unwrap().total(), Some(5));
    }

    #[test]
    fn many_pods_are_asked_within_the_period_and_few_at_leisure() {
        assert!(gap(1) <= Duration::from_millis(50));
        assert!(gap(2000) * 2000 <= PERIOD);
    }
}
