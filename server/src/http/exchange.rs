//! Reading requests and writing answers: what every handler does around its own matter.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use futures_util::{Stream, StreamExt as _};
use serde::Serialize;
use tokio::time::{Instant, timeout, timeout_at};
use warp::filters::BoxedFilter;
use warp::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use warp::http::{HeaderMap, StatusCode};
use warp::reply::Response;
use warp::{Filter, Rejection};

use super::problem::{Code, Problem};

/// The answer of a handler, or why there is none.
pub(super) type Answer = Result<Response, Problem>;

/// The head of a request, as far as handlers look at it.
#[derive(Debug, Clone)]
pub(super) struct Head {
    /// Its headers.
    pub(super) headers: HeaderMap,
    /// Its query, without the question mark.
    pub(super) query: String,
}

/// Extracts the head.
#[must_use]
pub(super) fn head() -> impl Filter<Extract = (Head,), Error = Infallible> + Clone {
    let query = warp::query::raw().or_else(|_| async { Ok::<_, Infallible>((String::new(),)) });
    warp::header::headers_cloned()
        .and(query)
        .map(|headers, query| Head { headers, query })
}

impl Head {
    /// The first value of a query parameter, decoded.
    #[must_use]
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        let mut pairs = form_urlencoded::parse(self.query.as_bytes());
        pairs.find_map(|(key, value)| (key == name).then(|| value.into_owned()))
    }

    /// The size of a page: `usual` when the query does not say, never more than `most`.
    ///
    /// # Errors
    /// When `limit` is there and is no number from 1 on.
    pub(super) fn page_limit(&self, usual: usize, most: usize) -> Result<usize, Problem> {
        let Some(text) = self.parameter("limit") else {
            return Ok(usual);
        };
        match text.parse::<u64>() {
            Ok(limit) if limit > 0 => Ok(usize::try_from(limit).unwrap_or(most).min(most)),
            _ => Err(Problem::invalid("limit is a whole number from 1 on")),
        }
    }

    /// A query parameter that is `true` or `false`; left out, it is false.
    ///
    /// # Errors
    /// When it is anything else.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.parameter(name).as_deref() {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1" | "") => Ok(true),
            Some(_) => Err(Problem::invalid(format!("{name} is true or false"))),
        }
    }
}

/// Of a body that is too large so much more is read and thrown away: most clients look for no answer before all is
/// written, and to close on them would reset the connection before they see it.
const THROWN_AWAY: usize = 64 << 20;

/// A client that pauses for so long looks for the answer.
const PAUSE: Duration = Duration::from_secs(1);

/// Reads a body of at most `limit` bytes within `time`.
///
/// # Errors
/// `TOO_LARGE`, `REQUEST_TIMEOUT`, or `INVALID_ARGUMENT` when it breaks off.
pub(super) async fn read_body<S, B>(
    body: S,
    limit: usize,
    time: Duration,
) -> Result<bytes::Bytes, Problem>
where
    S: Stream<Item = Result<B, warp::Error>>,
    B: Buf,
{
    let mut body = std::pin::pin!(body);
    let deadline = Instant::now() + time;
    let read = timeout_at(deadline, collect(body.as_mut(), limit)).await;
    if let Ok(Err(problem)) = &read
        && problem.code == Code::TooLarge
    {
        let _in_time = timeout_at(deadline, throw_away(body)).await;
    }
    read.unwrap_or_else(|_| {
        Err(Problem::new(
            Code::RequestTimeout,
            format!("the body did not arrive within {time:?}"),
        ))
    })
}

async fn throw_away<S, B>(mut body: Pin<&mut S>)
where
    S: Stream<Item = Result<B, warp::Error>>,
    B: Buf,
{
    let mut left = THROWN_AWAY;
    while let Ok(Some(Ok(part))) = timeout(PAUSE, body.next()).await
        && part.remaining() < left
    {
        left -= part.remaining();
    }
}

async fn collect<S, B>(mut body: Pin<&mut S>, limit: usize) -> Result<bytes::Bytes, Problem>
where
    S: Stream<Item = Result<B, warp::Error>>,
    B: Buf,
{
    let mut whole = BytesMut::new();
    while let Some(part) = body.next().await {
        let mut part = part.map_err(|_| Problem::invalid("the body broke off"))?;
        if whole.len() + part.remaining() > limit {
            return Err(Problem::new(
                Code::TooLarge,
                format!("the body has more than {limit} bytes"),
            ));
        }
        if whole.is_empty() && part.chunk().len() == part.remaining() && whole.capacity() == 0 {
            // The usual body comes in one piece, which is taken as it is.
            whole = BytesMut::from(part.copy_to_bytes(part.remaining()));
        } else {
            while part.has_remaining() {
                let chunk = part.chunk();
                whole.extend_from_slice(chunk);
                let taken = chunk.len();
                part.advance(taken);
            }
        }
    }
    Ok(whole.freeze())
}

/// A JSON answer. Client answers must not be kept by any cache, nor need service answers be.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    let text = serde_json::to_vec(body).map_err(|error| {
        Problem::new(
            Code::Internal,
            format!("the answer could not be written: {error}"),
        )
    })?;
    Ok(json_text(status, text))
}

/// A JSON answer of this text.
#[must_use]
pub(super) fn json_text(status: StatusCode, text: Vec<u8>) -> Response {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// An answer without a body.
#[must_use]
pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Writes a handler's answer or its problem.
#[must_use]
pub(super) fn respond(answer: Answer) -> Response {
    answer.unwrap_or_else(Problem::into_response)
}

/// One path segment, percent-decoded.
#[must_use]
pub(super) fn segment() -> BoxedFilter<(String,)> {
    warp::path::param::<String>()
        .map(|raw: String| {
            percent_encoding::percent_decode_str(&raw)
                .decode_utf8()
                .map(std::borrow::Cow::into_owned)
                .ok()
        })
        .and_then(
            |decoded: Option<String>| async move { decoded.ok_or_else(warp::reject::not_found) },
        )
        .boxed()
}

/// Turns what no route took into a problem.
pub(super) async fn recover(rejection: Rejection) -> Result<Response, Infallible> {
    let problem = if rejection.find::<warp::reject::MethodNotAllowed>().is_some() {
        Problem::new(
            Code::MethodNotAllowed,
            "this path has other methods: see openapi.json",
        )
    } else if rejection.is_not_found() {
        Problem::new(
            Code::NotFound,
            "there is nothing at this path: see openapi.json",
        )
    } else {
        Problem::invalid("the request could not be read")
    };
    Ok(problem.into_response())
}
