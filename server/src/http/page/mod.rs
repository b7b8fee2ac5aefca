//! The page without scripts (`GET` and `POST /page`): an account's newest notices and a form to send one. It loads itself
//! again now and then; what it showed is read at its next load, on whichever node that is.
//!
//! It is a poller like any other, with a cookie for its token and another for what it showed last.

mod cookies;
mod form;
mod render;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Buf;
use futures_util::Stream;
use warp::http::StatusCode;
use warp::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, LOCATION, REFERRER_POLICY,
    RETRY_AFTER, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use warp::reply::Response;

use self::form::{Form, FormToken};
use self::render::{Draft, View};
use super::admission::Refused;
use super::caller;
use super::exchange::{Head, read_body};
use super::poll::{self, Held, Kind};
use super::problem::{Code, Problem};
use super::services::{Client, Services};
use crate::domain::NoticeId;
use crate::inbox::{HistoryEntry, HistoryQuery};

/// How many notices the page shows.
const SHOWN: usize = 50;

/// No script at all, no style but ours, no form but to this server, no frame around it.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A call of the page by someone whose token holds.
struct Visit {
    client: Client,
    form_token: FormToken,
}

/// `GET /page`.
pub(super) async fn show(services: Arc<Services>, head: Head, peer: IpAddr) -> Response {
    let shown = match cookies::token_in_query(&head) {
        Some(token) => bring_in(&services, &head, &token).await,
        None => show_inbox(&services, &head, None).await,
    };
    let answer = shown.unwrap_or_else(|refused| {
        let problem = services.refused(refused);
        problem_page(&services, &problem)
    });
    tracing::debug!(
        address = %services.client_address(peer, &head.headers),
        status = answer.status().as_u16(),
        "page shown"
    );
    answer
}

/// A token in the address would stay in histories and logs: it becomes a cookie, and the address forgets it.
async fn bring_in(services: &Services, head: &Head, token: &str) -> Result<Response, Refused> {
    let client = services.client_of(token).await?;
    let seconds = client
        .grant
        .expires
        .map(|expires| expires.saturating_sub(services.inbox.now()) / 1000);
    let path = path_of(services);
    let cookie = cookies::with_token(token, &path, seconds, &head.headers)?;
    let mut answer = see_other(&path);
    answer.headers_mut().append(SET_COOKIE, cookie);
    Ok(answer)
}

async fn visit(services: &Services, head: &Head) -> Result<Visit, Problem> {
    let origins = &services.config.auth.allowed_origins;
    let token = caller::session_token(&head.headers, "", origins)?;
    let client = services.client_of(&token).await?;
    Ok(Visit {
        client,
        form_token: FormToken::of(&token),
    })
}

/// The page with the account's notices; with what was to be sent, and why it was not, after a form that failed.
async fn show_inbox(
    services: &Arc<Services>,
    head: &Head,
    failed: Option<(Form, Problem)>,
) -> Result<Response, Refused> {
    let visit = visit(services, head).await?;
    let mut held = poll::hold(services, &visit.client, Kind::Page, "").await?;
    read_what_was_shown(&mut held, head).await?;
    hand_over(&mut held).await?;
    let query = HistoryQuery {
        before: None,
        limit: SHOWN,
        unread_only: false,
    };
    let account = &visit.client.grant.account;
    let entries = services
        .inbox
        .history(account, query)
        .await
        .map_err(Problem::from)?;
    let unread: Vec<NoticeId> = unread(&entries);
    let stays = failed.is_some() || head.parameter("refresh").as_deref() == Some("off");
    let view = View {
        account: account.as_str(),
        entries: &entries,
        now: services.inbox.now(),
        refresh: (!stays).then(|| services.config.page.refresh.as_secs()),
        form_token: &visit.form_token,
        form_key: &form::new_key(),
        draft: failed
            .as_ref()
            .map(|(form, problem)| Draft { form, problem }),
    };
    let status = failed
        .as_ref()
        .map_or(StatusCode::OK, |(_, problem)| problem.code.status());
    let mut answer = html(status, view.to_html());
    let cookie = cookies::with_shown(&unread, &path_of(services), &head.headers)?;
    answer.headers_mut().append(SET_COOKIE, cookie);
    held.replace_shown(unread);
    Ok(answer)
}

fn unread(entries: &[HistoryEntry]) -> Vec<NoticeId> {
    let unread = entries.iter().filter(|entry| !entry.read);
    unread.map(|entry| entry.notice.id).collect()
}

/// By the cookie, which goes to every node, and by this node's own memory, for clients that keep no cookies.
async fn read_what_was_shown(held: &mut Held, head: &Head) -> Result<(), Problem> {
    let mut ids = held.replace_shown(Vec::new());
    ids.extend(cookies::shown(&head.headers, SHOWN));
    ids.sort_unstable();
    ids.dedup();
    poll::read_by(held, ids).await
}

/// The session is handed what waits for it: the page is about to show it.
async fn hand_over(held: &mut Held) -> Result<(), Problem> {
    let batch = poll::gather(held, usize::MAX).await?;
    batch.count(held.courier_mut());
    held.courier_mut().has_written();
    Ok(())
}

/// `POST /page`.
pub(super) async fn send<S, B>(services: Arc<Services>, head: Head, body: S) -> Response
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf + Send,
{
    let sent = match read_form(&services, &head, body).await {
        Ok((visit, form)) => match send_form(&services, &visit, &form).await {
            Ok(()) => return see_other(&path_of(&services)),
            Err(problem) => {
                services.count_refused(&problem);
                show_inbox(&services, &head, Some((form, problem))).await
            }
        },
        Err(problem) => {
            services.count_refused(&problem);
            return problem_page(&services, &problem);
        }
    };
    sent.unwrap_or_else(|refused| problem_page(&services, &refused.problem))
}

async fn read_form<S, B>(
    services: &Services,
    head: &Head,
    body: S,
) -> Result<(Visit, Form), Problem>
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf + Send,
{
    let visit = visit(services, head).await?;
    let limits = services.intake.limits();
    let body = read_body(body, services.small_body(), limits.body_timeout).await?;
    let form = Form::read(&body);
    if !visit.form_token.is(&form.token) {
        return Err(Problem::new(
            Code::FormNotOurs,
            "the form is not one that this page gave to you: open the page and send it from there",
        ));
    }
    Ok((visit, form))
}

async fn send_form(services: &Services, visit: &Visit, form: &Form) -> Result<(), Problem> {
    let account = &visit.client.grant.account;
    let draft = services.intake.client_draft(&form.input(), account)?;
    services.send(draft).await?;
    Ok(())
}

fn path_of(services: &Services) -> String {
    format!("{}/page", services.config.base_path)
}

fn see_other(path: &str) -> Response {
    let mut answer = html(StatusCode::SEE_OTHER, String::new());
    if let Ok(location) = HeaderValue::from_str(path) {
        answer.headers_mut().insert(LOCATION, location);
    }
    answer
}

/// A page that says what is wrong. While that may mend itself, it looks again by itself.
fn problem_page(services: &Services, problem: &Problem) -> Response {
    let again = problem
        .retry_after
        .map(|_| services.config.page.refresh.as_secs());
    let text = render::problem(problem, again);
    let mut answer = html(problem.code.status(), text);
    let (_, mut headers, _) = problem.to_parts();
    if let Some(after) = headers.remove(RETRY_AFTER) {
        answer.headers_mut().insert(RETRY_AFTER, after);
    }
    answer
}

fn html(status: StatusCode, text: String) -> Response {
    let mut answer = Response::new(text.into());
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Of our own pages the form must still say its origin.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    answer
}
