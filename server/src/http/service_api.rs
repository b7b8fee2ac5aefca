//! The calls of back ends: staging, the state of notices, accounts, session tokens.

use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use futures_util::Stream;
use serde::{Deserialize, Serialize};
use warp::http::StatusCode;

use super::exchange::{Answer, Head, empty, json, read_body};
use super::intake::StageCall;
use super::problem::{Code, Problem};
use super::services::Services;
use super::strict_json::parse;
use crate::clock::{Millis, whole_millis};
use crate::cluster::SessionAt;
use crate::domain::{AccountId, Draft, NoticeId, StateName};
use crate::inbox::Staged;

/// The largest page of `GET /accounts`.
const ACCOUNTS_PAGE: usize = 1000;

#[derive(Serialize)]
struct StagedBody {
    id: NoticeId,
    duplicate: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ResultBody {
    Staged(StagedBody),
    Refused { code: Code, detail: String },
}

#[derive(Serialize)]
struct ResultsBody {
    results: Vec<ResultBody>,
}

impl From<Staged> for StagedBody {
    fn from(staged: Staged) -> Self {
        Self {
            id: staged.id,
            duplicate: staged.duplicate,
        }
    }
}

/// `POST /notices`.
pub(super) async fn stage<S, B>(services: Arc<Services>, head: Head, body: S) -> Answer
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf + Send,
{
    let answer = stage_checked(&services, &head, body).await;
    if let Err(problem) = &answer {
        services.count_refused(problem);
    }
    answer
}

async fn stage_checked<S, B>(services: &Services, head: &Head, body: S) -> Answer
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf + Send,
{
    let producer = services.producer(&head.headers)?;
    let limits = services.intake.limits();
    let body = read_body(body, limits.body_bytes, limits.body_timeout).await?;
    let key = idempotency_key(head)?;
    match services.intake.stage_call(&body, key, &producer)? {
        StageCall::One(draft) => {
            services.take_stage_permits(&producer, 1)?;
            let staged = services.stage_one(*draft).await?;
            let status = if staged.duplicate {
                StatusCode::OK
            } else {
                StatusCode::CREATED
            };
            json(status, &StagedBody::from(staged))
        }
        StageCall::Many(drafts) => {
            services.take_stage_permits(&producer, drafts.len())?;
            json(
                StatusCode::OK,
                &ResultsBody {
                    results: stage_many(services, drafts).await,
                },
            )
        }
    }
}

fn idempotency_key(head: &Head) -> Result<Option<&str>, Problem> {
    let Some(value) = head.headers.get("idempotency-key") else {
        return Ok(None);
    };
    let text = value
        .to_str()
        .map_err(|_| Problem::invalid("the header Idempotency-Key is not plain text"))?;
    Ok(Some(text))
}

/// Stages those that are valid, and puts each result in the place of its draft.
async fn stage_many(services: &Services, drafts: Vec<Result<Draft, Problem>>) -> Vec<ResultBody> {
    let mut valid = Vec::with_capacity(drafts.len());
    let mut places = Vec::with_capacity(drafts.len());
    for draft in drafts {
        places.push(draft.map(|draft| valid.push(draft)));
    }
    let mut staged = services.stage(valid).await.into_iter();
    let mut result = |place: Result<(), Problem>| {
        let no_answer = || Err(Problem::new(Code::Internal, "the inbox gave no answer"));
        match place.and_then(|()| staged.next().unwrap_or_else(no_answer)) {
            Ok(staged) => ResultBody::Staged(staged.into()),
            Err(problem) => {
                services.count_refused(&problem);
                ResultBody::Refused {
                    code: problem.code,
                    detail: problem.detail,
                }
            }
        }
    };
    places.into_iter().map(&mut result).collect()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StateBody {
    id: NoticeId,
    state: StateName,
    staged_time: Millis,
    #[serde(skip_serializing_if = "Option::is_none")]
    pushed_time: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    read_time: Option<Millis>,
}

fn notice_id(text: &str) -> Result<NoticeId, Problem> {
    text.parse().map_err(|_| unknown_notice())
}

fn unknown_notice() -> Problem {
    Problem::new(
        Code::NotFound,
        "no notice has this id, or it is past its retention",
    )
}

/// `GET /notices/{id}`.
pub(super) async fn state(services: Arc<Services>, head: Head, id: String) -> Answer {
    services.producer(&head.headers)?;
    let id = notice_id(&id)?;
    let state = services.inbox.state(id).await?.ok_or_else(unknown_notice)?;
    json(
        StatusCode::OK,
        &StateBody {
            id,
            state: state.name,
            staged_time: state.staged,
            pushed_time: state.pushed,
            read_time: state.read,
        },
    )
}

/// `DELETE /notices/{id}`.
pub(super) async fn recall(services: Arc<Services>, head: Head, id: String) -> Answer {
    services.producer(&head.headers)?;
    if services.inbox.recall(notice_id(&id)?).await? {
        Ok(empty(StatusCode::NO_CONTENT))
    } else {
        Err(unknown_notice())
    }
}

#[derive(Serialize)]
struct AccountsBody {
    accounts: Vec<AccountId>,
    next: Option<AccountId>,
}

/// `GET /accounts`.
pub(super) async fn accounts(services: Arc<Services>, head: Head) -> Answer {
    services.producer(&head.headers)?;
    if head.parameter("online").is_some() && !head.flag("online")? {
        return Err(Problem::invalid(
            "online is true: accounts that are off line are not listed",
        ));
    }
    let limit = head.page_limit(100, ACCOUNTS_PAGE)?;
    let after = head
        .parameter("after")
        .map(|after| services.intake.account("after", &after))
        .transpose()?;
    let mut accounts = services
        .cluster
        .online_accounts(after.as_ref(), limit + 1)
        .await;
    let more = accounts.len() > limit;
    accounts.truncate(limit);
    let next = if more { accounts.last().cloned() } else { None };
    json(StatusCode::OK, &AccountsBody { accounts, next })
}

#[derive(Serialize)]
struct AccountBody {
    online: bool,
    unread: u64,
    sessions: Vec<SessionBody>,
}

#[derive(Serialize)]
struct SessionBody {
    id: String,
    transport: String,
    node: String,
    since: Millis,
}

impl From<SessionAt> for SessionBody {
    fn from(session: SessionAt) -> Self {
        Self {
            id: session.id,
            transport: session.transport,
            node: session.node,
            since: session.since,
        }
    }
}

/// `GET /accounts/{id}`.
pub(super) async fn account(services: Arc<Services>, head: Head, id: String) -> Answer {
    services.producer(&head.headers)?;
    let account = services.intake.account("the account's id", &id)?;
    let unread = services.inbox.unread_count(&account).await?;
    let sessions = services.cluster.sessions_of(&account).await;
    json(
        StatusCode::OK,
        &AccountBody {
            online: !sessions.is_empty(),
            unread,
            sessions: sessions.into_iter().map(SessionBody::from).collect(),
        },
    )
}

/// `DELETE /accounts/{id}/sessions`.
pub(super) async fn kick(services: Arc<Services>, head: Head, id: String) -> Answer {
    services.producer(&head.headers)?;
    let account = services.intake.account("the account's id", &id)?;
    let revoke = head.flag("revoke")?;
    services.cluster.close_sessions(&account, revoke).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IssueInput {
    account_id: String,
    ttl_seconds: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IssuedBody {
    token: String,
    expire_time: Millis,
}

/// `POST /sessions`.
pub(super) async fn issue<S, B>(services: Arc<Services>, head: Head, body: S) -> Answer
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf + Send,
{
    services.producer(&head.headers)?;
    let limits = services.intake.limits();
    let body = read_body(body, services.small_body(), limits.body_timeout).await?;
    let input: IssueInput = parse(&body)?;
    let account = services.intake.account("accountId", &input.account_id)?;
    let ttl = token_ttl(&services, input.ttl_seconds)?;
    let expires = services.inbox.now().saturating_add(whole_millis(ttl));
    let issued = services.tokens.issue(&account, expires).await?;
    json(
        StatusCode::CREATED,
        &IssuedBody {
            token: issued.token,
            expire_time: issued.expires,
        },
    )
}

fn token_ttl(services: &Services, asked: Option<u64>) -> Result<Duration, Problem> {
    let sessions = &services.config.sessions;
    let most = sessions.max_ttl.as_secs();
    match asked {
        None => Ok(sessions.default_ttl),
        Some(seconds) if (1..=most).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        Some(_) => Err(Problem::invalid(format!(
            "ttlSeconds is a whole number from 1 to {most}"
        ))),
    }
}

#[derive(Deserialize)]
struct RevokeInput {
    token: String,
}

/// `POST /sessions/revoke`.
pub(super) async fn revoke<S, B>(services: Arc<Services>, head: Head, body: S) -> Answer
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf + Send,
{
    services.producer(&head.headers)?;
    let limits = services.intake.limits();
    let body = read_body(body, services.small_body(), limits.body_timeout).await?;
    let input: RevokeInput = parse(&body)?;
    let token = services.tokens.hold(&input.token);
    let grant = services.tokens.resolve(&input.token).await?;
    services.tokens.revoke(std::slice::from_ref(&token)).await?;
    services
        .cluster
        .token_revoked(&token.digest(), grant.map(|grant| grant.account).as_ref());
    Ok(empty(StatusCode::NO_CONTENT))
}
