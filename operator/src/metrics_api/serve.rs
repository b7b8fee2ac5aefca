//! TLS and HTTP around the answers.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use super::access::Access;
use super::answers::{Row, answer};
use super::front_proxy::FrontProxy;
use super::refusal::Refusal;
use super::requests::{Asked, parse};
use crate::metrics::Metrics;

/// Connections at a time. An API server keeps a few.
const CONNECTIONS: usize = 128;
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a connection may be silent between requests, and a request's head take.
const SILENCE: Duration = Duration::from_secs(120);
/// The pause when no connection can be taken.
const AGAIN: Duration = Duration::from_millis(100);

/// From a namespace to its pods.
pub(super) type PodsOf = dyn Fn(&str) -> Vec<Row> + Send + Sync;

/// What requests are answered from.
pub(super) struct Desk {
    /// The pods of a namespace whose sessions are known.
    pub(super) pods_of: Box<PodsOf>,
    /// How the API server proves itself.
    pub(super) front_proxy: watch::Receiver<Arc<FrontProxy>>,
    /// Who may ask.
    pub(super) access: Access,
    /// Where requests are counted.
    pub(super) metrics: Arc<Metrics>,
}

/// Serves for ever, once there is a certificate.
pub(super) async fn serve(
    listener: TcpListener,
    tls: watch::Receiver<Option<Arc<ServerConfig>>>,
    desk: Arc<Desk>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!("the metrics API can't take a connection: {error}");
                tokio::time::sleep(AGAIN).await;
                continue;
            }
        };
        let Some(config) = tls.borrow().clone() else {
            continue;
        };
        let desk = Arc::clone(&desk);
        tokio::spawn(async move {
            connection(stream, config, desk).await;
            drop(place);
        });
    }
}

/// What goes wrong on a connection is the other side's to tell.
async fn connection(stream: TcpStream, config: Arc<ServerConfig>, desk: Arc<Desk>) {
    let handshake = TlsAcceptor::from(config).accept(stream);
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, handshake).await else {
        return;
    };
    let chain = stream.get_ref().1.peer_certificates();
    let certificate: Option<Arc<[u8]>> =
        chain.and_then(|it| it.first()).map(|it| it.as_ref().into());
    let service = service_fn(move |request| {
        let (desk, certificate) = (Arc::clone(&desk), certificate.clone());
        async move { Ok::<_, Infallible>(respond(&desk, certificate.as_deref(), &request).await) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(SILENCE);
    let _ended = http.serve_connection(TokioIo::new(stream), service).await;
}

async fn respond(
    desk: &Desk,
    certificate: Option<&[u8]>,
    request: &Request<Incoming>,
) -> Response<Full<Bytes>> {
    match result(desk, certificate, request).await {
        Ok(body) => {
            desk.metrics.metrics_api_answered("OK");
            response(StatusCode::OK, &body)
        }
        Err(refusal) => {
            desk.metrics.metrics_api_answered(refusal.reason());
            response(refusal.status(), &refusal.body())
        }
    }
}

/// What is served tells nothing to whom it doesn't know. Discovery is for everybody else, as Kubernetes' own is.
async fn result(
    desk: &Desk,
    certificate: Option<&[u8]>,
    request: &Request<Incoming>,
) -> Result<Value, Refusal> {
    let front_proxy = desk.front_proxy.borrow().clone();
    let caller = front_proxy.caller(certificate, request.headers())?;
    if request.method() != Method::GET {
        return Err(Refusal::MethodNotAllowed);
    }
    let asked = parse(request.uri().path(), request.uri().query())?;
    if let Asked::Sessions(asked) = &asked {
        desk.access.check(&caller, asked).await?;
    }
    answer(&asked, &desk.pods_of)
}

fn response(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
