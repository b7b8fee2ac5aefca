//! How a transport gets a connection for itself: it claims it by its answer, hyper lets go, and the claim writes from
//! then on. An idle session then costs its own few hundred bytes, without hyper's state and buffers.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;
use warp::http::header::{CONNECTION, DATE, HeaderMap, HeaderName, HeaderValue};
use warp::http::{Request, StatusCode, Version};
use warp::reply::Response;

use super::places::Places;
use super::socket::Socket;
use crate::clock;

/// A connection on which the next request may come, and its place among the plain ones.
pub(super) type Kept = (Socket, OwnedSemaphorePermit);

/// What a claim becomes; it ends with the connection when that is to be kept.
pub(super) type Tenure = Pin<Box<dyn Future<Output = Option<Kept>> + Send>>;

type Begin = Box<dyn FnOnce(Claimed) -> Tenure + Send>;

/// A transport's claim, on its way through hyper's service as an extension of the answer.
#[derive(Clone)]
pub(super) struct Claim(Arc<Mutex<Option<Begin>>>);

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Claim(..)")
    }
}

/// A connection in the hands of its claim.
#[derive(Debug)]
pub(super) struct Claimed {
    /// The connection. Nothing of the answer is written yet.
    pub(super) socket: Socket,
    /// The answer's head, as the handler gave it.
    pub(super) head: AnswerHead,
    /// For a connection that shall be kept.
    pub(super) places: Arc<Places>,
}

/// What the request says of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Manners {
    /// HTTP/1.1: the answer may come in chunks.
    pub(super) chunks: bool,
    /// The connection may be kept for another request.
    pub(super) keeps: bool,
    /// The request has a body, which hyper would leave on the connection.
    pub(super) has_body: bool,
}

impl Manners {
    /// Reads them off a request.
    pub(super) fn of<B: hyper::body::Body>(request: &Request<B>) -> Self {
        let modern = request.version() == Version::HTTP_11;
        Self {
            chunks: modern,
            keeps: modern && !has_item(request.headers(), &CONNECTION, "close"),
            has_body: !request.body().is_end_stream(),
        }
    }
}

fn has_item(headers: &HeaderMap, name: &HeaderName, item: &str) -> bool {
    let values = headers.get_all(name).into_iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|value| value.trim().eq_ignore_ascii_case(item))
}

/// A status and headers, ready to be written: one piece of memory, where a map of headers would be a dozen.
#[derive(Debug)]
pub(super) struct AnswerHead {
    status: StatusCode,
    /// Whole lines, without the status line and without those that depend on the body.
    lines: Bytes,
    pub(super) manners: Manners,
}

impl AnswerHead {
    fn new(response: &Response, manners: Manners) -> Self {
        let mut lines = Vec::with_capacity(128);
        for (name, value) in response.headers() {
            put_line(&mut lines, name, value);
        }
        Self {
            status: response.status(),
            lines: lines.into(),
            manners,
        }
    }

    /// The bytes of the head, with these headers added; of another status, where one is given.
    pub(super) fn bytes(&self, status: Option<StatusCode>, more: &HeaderMap) -> Vec<u8> {
        let status = status.unwrap_or(self.status);
        let reason = status.canonical_reason().unwrap_or_default();
        let version = if self.manners.chunks { "1.1" } else { "1.0" };
        let mut bytes = format!("HTTP/{version} {} {reason}\r\n", status.as_u16()).into_bytes();
        bytes.extend_from_slice(&self.lines);
        for (name, value) in more {
            put_line(&mut bytes, name, value);
        }
        if let Ok(date) = HeaderValue::from_str(&clock::http_date()) {
            put_line(&mut bytes, &DATE, &date);
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }
}

fn put_line(lines: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    lines.extend_from_slice(name.as_str().as_bytes());
    lines.extend_from_slice(b": ");
    lines.extend_from_slice(value.as_bytes());
    lines.extend_from_slice(b"\r\n");
}

/// Claims the connection by this answer: its status and headers are the head; its body is not used.
pub(super) fn claim<F>(
    mut answer: Response,
    begin: impl FnOnce(Claimed) -> F + Send + 'static,
) -> Response
where
    F: Future<Output = Option<Kept>> + Send + 'static,
{
    let begin: Begin = Box::new(|claimed| Box::pin(begin(claimed)));
    answer
        .extensions_mut()
        .insert(Claim(Arc::new(Mutex::new(Some(begin)))));
    answer
}

/// A claim that was found in an answer, for when hyper has let go of the connection.
pub(super) struct Granted {
    begin: Begin,
    head: AnswerHead,
}

impl fmt::Debug for Granted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Granted").field(&self.head).finish()
    }
}

impl Granted {
    /// Takes the claim out of an answer; none of an ordinary one.
    pub(super) fn of(answer: &mut Response, manners: Manners) -> Option<Self> {
        let claim: Claim = answer.extensions_mut().remove()?;
        let begin = claim.0.lock().take()?;
        let head = AnswerHead::new(answer, manners);
        Some(Self { begin, head })
    }

    /// Whether the connection can be given away as it is.
    pub(super) fn is_possible(&self) -> bool {
        !self.head.manners.has_body
    }

    /// Gives the connection over.
    pub(super) fn begin(self, socket: Socket, places: Arc<Places>) -> Tenure {
        let Self { begin, head } = self;
        begin(Claimed {
            socket,
            head,
            places,
        })
    }
}
