//! The plain HTTP calls of clients: who am I, history, sending, acknowledging.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Buf;
use futures_util::Stream;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use warp::http::StatusCode;

use super::exchange::{Answer, Head, json, json_text, read_body};
use super::intake::ClientInput;
use super::poll::session_name;
use super::problem::Problem;
use super::services::Services;
use super::strict_json::parse;
use crate::clock::Millis;
use crate::domain::{AccountId, NoticeId};
use crate::inbox::{HistoryEntry, HistoryQuery, MarkRead, Reader};

/// The largest page of `GET /inbox`.
const INBOX_PAGE: usize = 200;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SessionBody<'a> {
    account_id: &'a AccountId,
    #[serde(skip_serializing_if = "Option::is_none")]
    expire_time: Option<Millis>,
}

/// `GET /session`: also how a browser learns why a WebSocket was refused, for it is not told the answer itself.
pub(super) async fn session(services: Arc<Services>, head: Head) -> Answer {
    let client = services.client(&head.headers, &head.query).await?;
    services.admits().map_err(|refused| refused.problem)?;
    let body = SessionBody {
        account_id: &client.grant.account,
        expire_time: client.grant.expires,
    };
    json(StatusCode::OK, &body)
}

/// `GET /inbox`.
pub(super) async fn inbox(services: Arc<Services>, head: Head) -> Answer {
    let client = services.client(&head.headers, &head.query).await?;
    let before = head.parameter("before").map(|id| id.parse());
    let before = before
        .transpose()
        .map_err(|error| Problem::invalid(format!("before: {error}")))?;
    let limit = head.page_limit(50, INBOX_PAGE)?;
    let query = HistoryQuery {
        before,
        limit,
        unread_only: head.flag("unread")?,
    };
    let entries = services.inbox.history(&client.grant.account, query).await?;
    Ok(json_text(StatusCode::OK, history_json(&entries)))
}

fn history_json(entries: &[HistoryEntry]) -> Vec<u8> {
    let mut text = br#"{"notices":["#.to_vec();
    for (place, entry) in entries.iter().enumerate() {
        if place > 0 {
            text.push(b',');
        }
        entry.notice.write_json(entry.read, false, &mut text);
    }
    text.extend_from_slice(b"]}");
    text
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SendBody<'a> {
    #[serde(borrow)]
    receiver_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    message: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    idempotency_key: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
struct SentBody {
    id: NoticeId,
    duplicate: bool,
}

/// `POST /send`.
pub(super) async fn send<S, B>(services: Arc<Services>, head: Head, body: S) -> Answer
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf + Send,
{
    let answer = send_checked(&services, &head, body).await;
    if let Err(problem) = &answer {
        services.count_refused(problem);
    }
    answer
}

async fn send_checked<S, B>(services: &Services, head: &Head, body: S) -> Answer
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf + Send,
{
    let client = services.client(&head.headers, &head.query).await?;
    let limits = services.intake.limits();
    let body = read_body(body, services.small_body(), limits.body_timeout).await?;
    let body: SendBody<'_> = parse(&body)?;
    let input = ClientInput {
        receiver_id: body.receiver_id,
        message: body.message,
        kind: body.kind,
        data: body.data,
        idempotency_key: body.idempotency_key,
    };
    let draft = services
        .intake
        .client_draft(&input, &client.grant.account)?;
    let staged = services.send(draft).await?;
    json(
        StatusCode::CREATED,
        &SentBody {
            id: staged.id,
            duplicate: staged.duplicate,
        },
    )
}

#[derive(Deserialize)]
struct AckBody<'a> {
    #[serde(borrow)]
    ids: &'a RawValue,
}

#[derive(Serialize)]
struct ReadBody {
    read: usize,
}

/// `POST /ack`.
pub(super) async fn ack<S, B>(services: Arc<Services>, head: Head, body: S) -> Answer
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf + Send,
{
    let client = services.client(&head.headers, &head.query).await?;
    let limits = services.intake.limits();
    let body = read_body(body, services.small_body(), limits.body_timeout).await?;
    let body: AckBody<'_> = parse(&body)?;
    let ids = services.intake.ack_ids(body.ids)?;
    // A poller that acknowledges by this call need not be told of it by its next poll.
    let poller = services.pollers.session(&client, &session_name(&head)?);
    let request = MarkRead {
        reader: poller.map_or(Reader::Account, |poller| Reader::Session(poller.key())),
        account: client.grant.account,
        ids,
    };
    let read = services.inbox.mark_read(request).await?;
    json(StatusCode::OK, &ReadBody { read: read.len() })
}
