//! The verbs of a pod's admin listener, with the operator's proof.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request};
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use crate::drain_key::DrainKey;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The longest answer that is read.
const LONGEST_ANSWER: usize = 16 * 1024;

/// Calls the verbs.
#[derive(Clone, Debug)]
pub struct Verbs {
    http: Http<HttpConnector, Full<Bytes>>,
    key: DrainKey,
    port: u16,
}

/// Why a verb was not obeyed.
#[derive(Debug, thiserror::Error)]
#[error("{verb} of pod {pod}: {why}")]
pub struct NotObeyed {
    verb: String,
    pod: String,
    why: String,
}

impl Verbs {
    /// On this port of pods' addresses, with this key.
    #[must_use]
    pub fn new(key: DrainKey, port: u16) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(TIMEOUT));
        Self {
            http: Http::builder(TokioExecutor::new())
                .pool_max_idle_per_host(1)
                .build(connector),
            key,
            port,
        }
    }

    /// `POST /drain`.
    ///
    /// # Errors
    /// The pod can't be reached, or refuses.
    pub async fn drain(&self, pod: &str, ip: IpAddr, window: Duration) -> Result<(), NotObeyed> {
        let body = json!({"windowSeconds": window.as_secs()});
        self.call(Method::POST, "/drain", pod, ip, Some(body)).await
    }

    /// `DELETE /drain`.
    ///
    /// # Errors
    /// As [`Verbs::drain`].
    pub async fn undrain(&self, pod: &str, ip: IpAddr) -> Result<(), NotObeyed> {
        self.call(Method::DELETE, "/drain", pod, ip, None).await
    }

    /// `POST /rebalance`.
    ///
    /// # Errors
    /// As [`Verbs::drain`].
    pub async fn rebalance(
        &self,
        pod: &str,
        ip: IpAddr,
        sessions: u64,
        window: Duration,
    ) -> Result<(), NotObeyed> {
        let body = json!({"sessions": sessions, "windowSeconds": window.as_secs()});
        self.call(Method::POST, "/rebalance", pod, ip, Some(body))
            .await
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        pod: &str,
        ip: IpAddr,
        body: Option<Value>,
    ) -> Result<(), NotObeyed> {
        let verb = format!("{method} {path}");
        let answer =
            tokio::time::timeout(TIMEOUT, self.try_call(method, path, pod, ip, body)).await;
        let why = match answer {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(why)) => why,
            Err(_) => "no answer in time".to_owned(),
        };
        let pod = pod.to_owned();
        Err(NotObeyed { verb, pod, why })
    }

    /// A pod's node is named as the pod.
    async fn try_call(
        &self,
        method: Method,
        path: &str,
        pod: &str,
        ip: IpAddr,
        body: Option<Value>,
    ) -> Result<(), String> {
        let proof = self
            .key
            .proof(pod, crate::clock::unix_seconds())
            .map_err(|error| error.to_string())?;
        let address = SocketAddr::new(ip, self.port);
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{address}{path}"))
            .header("authorization", format!("Bearer {proof}"))
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| error.to_string())?;
        let response = self
            .http
            .request(request)
            .await
            .map_err(|error| crate::failure::chain(&error))?;
        if response.status().is_success() {
            return Ok(());
        }
        let status = response.status();
        let text = Limited::new(response.into_body(), LONGEST_ANSWER)
            .collect()
            .await;
        let text = text
            .map(|it| String::from_utf8_lossy(&it.to_bytes()).into_owned())
            .unwrap_or_default();
        let problem: Value = serde_json::from_str(&text).unwrap_or_default();
        Err(format!(
            "{status}: {}",
            problem["detail"].as_str().unwrap_or("no reason given")
        ))
    }
}
