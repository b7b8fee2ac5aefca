//! Where sets of keys come from: a file, or a URL. Bounded in size and time, and no redirect is
//! followed: whoever could send us elsewhere could choose the keys.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::header::{ACCEPT, CACHE_CONTROL, HeaderMap, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;

/// No set of keys is longer.
const MOST_BYTES: usize = 1 << 20;

/// The time for a connection, and for the whole of a fetch.
const CONNECT: Duration = Duration::from_secs(5);
const FETCH: Duration = Duration::from_secs(10);

/// Where a set of keys is.
#[derive(Clone)]
pub(super) enum Source {
    /// In a file.
    File(PathBuf),
    /// Behind a URL.
    Url(Box<Site>),
}

/// A set of keys, not looked into yet.
pub(super) struct Fetched {
    pub(super) text: Bytes,
    /// How long its publisher wants it to be used, if it says.
    pub(super) max_age: Option<Duration>,
}

impl fmt::Display for Source {
    /// Without what stands behind a question mark, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Url(site) => {
                let uri = site.uri.to_string();
                f.write_str(uri.split('?').next().unwrap_or_default())
            }
        }
    }
}

impl Source {
    /// Fetches the set; the error says why that failed.
    pub(super) async fn fetch(&self) -> Result<Fetched, String> {
        match self {
            Self::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || read_file(&path)).await;
                let text = read.map_err(|_| "was not read to its end".to_owned())??;
                Ok(Fetched {
                    text,
                    max_age: None,
                })
            }
            Self::Url(site) => match timeout(FETCH, site.fetch()).await {
                Ok(fetched) => fetched,
                Err(_) => Err(format!("did not answer within {} s", FETCH.as_secs())),
            },
        }
    }
}

/// Reads a file of keys.
pub(super) fn read_file(path: &Path) -> Result<Bytes, String> {
    let cannot = |error: std::io::Error| format!("can't be read: {error}");
    let file = File::open(path).map_err(cannot)?;
    let mut text = Vec::new();
    let most = MOST_BYTES as u64;
    file.take(most + 1).read_to_end(&mut text).map_err(cannot)?;
    if text.len() > MOST_BYTES {
        return Err(format!("is longer than {MOST_BYTES} bytes"));
    }
    Ok(text.into())
}

type HttpsClient = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// A URL and the client to fetch it with.
#[derive(Clone)]
pub(super) struct Site {
    uri: Uri,
    client: HttpsClient,
}

impl Site {
    /// Prepares to fetch from a URL; nothing is connected yet.
    pub(super) fn new(url: &str) -> Result<Self, String> {
        let uri = url.parse().map_err(|_| "is no URL".to_owned())?;
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls()?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        // Minutes lie between two fetches: no connection is kept for the next one.
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(connector);
        Ok(Self { uri, client })
    }

    async fn fetch(&self) -> Result<Fetched, String> {
        let request = Request::get(self.uri.clone())
            .header(ACCEPT, "application/jwk-set+json, application/json")
            .header(USER_AGENT, "notice-server")
            .body(Empty::new())
            .map_err(|error| error.to_string())?;
        let response = self.client.request(request).await;
        let response = response.map_err(|error| format!("can't be reached: {}", chain(&error)))?;
        if response.status() != StatusCode::OK {
            return Err(format!("answered {}", response.status()));
        }
        let max_age = max_age(response.headers());
        let body = Limited::new(response.into_body(), MOST_BYTES);
        let body = body.collect().await;
        let body = body.map_err(|_| format!("broke off, or is longer than {MOST_BYTES} bytes"))?;
        Ok(Fetched {
            text: body.to_bytes(),
            max_age,
        })
    }
}

/// TLS by the one crypto provider of this program, with the machine's roots; those of Mozilla where
/// the machine has none, as in an image from scratch.
fn tls() -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// An error with what caused it: the first alone says little.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// `max-age` of `Cache-Control`.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(CACHE_CONTROL).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .find_map(|directive| {
            let (name, seconds) = directive.trim().split_once('=')?;
            let seconds = seconds.trim_matches('"').parse().ok();
            seconds.filter(|_| name.eq_ignore_ascii_case("max-age"))
        })
        .map(Duration::from_secs)
}
