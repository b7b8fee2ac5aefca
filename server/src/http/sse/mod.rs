//! Server-sent events (`GET /sse`): the event stream that a browser's own `EventSource` reads.
//!
//! It writes what `delivery` hands it, and what a client that resumes may have missed; it decides nothing about
//! notices.

mod events;
mod resume;
mod stream;

use std::net::IpAddr;
use std::sync::Arc;

use warp::http::StatusCode;
use warp::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use warp::reply::Response;

use self::resume::Resume;
use self::stream::EventStream;
use super::admission::{Manner, Refused};
use super::caller;
use super::claim::claim;
use super::courier::Courier;
use super::exchange::{Answer, Head, empty};
use super::problem::Code;
use super::services::Services;
use crate::delivery::{AckMode, Transport};
use crate::domain::NoticeId;

/// Where a browser says what it has seen last.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// The same in the query, for programs that open a second stream before they close the first.
const LAST_EVENT_ID_PARAMETER: &str = "lastEventId";
/// Tells nginx, and others that follow it, to pass on what comes at once.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// `GET /sse`.
pub(super) async fn open(services: Arc<Services>, head: Head, peer: IpAddr) -> Answer {
    let answer = begin(&services, &head, peer).await;
    answer.map_err(|refused| services.refused(refused))
}

async fn begin(services: &Arc<Services>, head: &Head, peer: IpAddr) -> Result<Response, Refused> {
    services.admits()?;
    let token = caller::session_token(
        &head.headers,
        &head.query,
        &services.config.auth.allowed_origins,
    )?;
    let client = match services.client_of(&token).await {
        Ok(client) => client,
        // A browser comes back for ever, but for this status.
        Err(problem) if problem.code == Code::Unauthenticated => {
            let _counted = services.refused(problem.into());
            return Ok(empty(StatusCode::NO_CONTENT));
        }
        Err(problem) => return Err(problem.into()),
    };
    if services.registry.was_kicked(&client.grant.account) {
        return Ok(empty(StatusCode::NO_CONTENT));
    }
    let explicit = head.parameter("ack").as_deref() == Some("client");
    let manner = Manner {
        transport: Transport::Sse,
        ack: if explicit {
            AckMode::Explicit
        } else {
            AckMode::Automatic
        },
        control_frames: true,
    };
    let attachment = services.admit(&client, manner).await?;
    tracing::debug!(
        account = %client.grant.account,
        address = %services.client_address(peer, &head.headers),
        "event stream opened"
    );
    let resume = last_event_id(head).filter(|_| !explicit).map(Resume::new);
    let courier = Courier::new(attachment, Arc::clone(services));
    Ok(claim(stream_head(), move |claimed| async move {
        tokio::spawn(EventStream::new(claimed, courier, resume).run());
        None
    }))
}

/// What the client says it has seen last; none of what is no id.
fn last_event_id(head: &Head) -> Option<NoticeId> {
    let header = head.headers.get(&LAST_EVENT_ID);
    let header = header.and_then(|id| id.to_str().ok()?.parse().ok());
    header.or_else(|| head.parameter(LAST_EVENT_ID_PARAMETER)?.parse().ok())
}

fn stream_head() -> Response {
    let mut response = Response::default();
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("no-store, no-transform"),
    );
    headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}
