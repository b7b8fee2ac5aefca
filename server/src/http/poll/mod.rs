//! Polls (`GET /poll`): short ones, answered at once, and long ones, which are parked until there is something.
//!
//! A poller is a session like any other, on requests that come and go. What it is answered is what its session was
//! handed and has not acknowledged.

mod asked;
mod batch;
mod parked;
mod pollers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use warp::http::StatusCode;
use warp::reply::Response;

use self::asked::Asked;
pub(super) use self::asked::session_name;
pub(super) use self::batch::{Batch, gather};
use self::parked::Parked;
pub(super) use self::pollers::{Held, Kind, Pollers, hold, tidy};
use super::admission::Refused;
use super::claim::claim;
use super::exchange::{Answer, Head, json_text};
use super::problem::{Code, Problem};
use super::services::Services;
use crate::delivery::CloseReason;
use crate::domain::NoticeId;
use crate::inbox::MarkRead;

/// `GET /poll`.
pub(super) async fn poll(services: Arc<Services>, head: Head) -> Answer {
    let answer = answer(&services, &head).await;
    answer.map_err(|refused| services.refused(refused))
}

async fn answer(services: &Arc<Services>, head: &Head) -> Result<Response, Refused> {
    let asked = Asked::read(head, services.intake.limits())?;
    let client = services.client(&head.headers, &head.query).await?;
    let mut held = hold(services, &client, Kind::Poll, &asked.session).await?;
    read_by(&mut held, asked.ack).await?;
    let batch = gather(&mut held, asked.limit).await?;
    if !batch.is_empty() || asked.wait.is_zero() {
        return Ok(written(&mut held, &batch));
    }
    held.session().set_alarm(Some(Instant::now() + asked.wait));
    Ok(claim(Response::default(), move |claimed| {
        Parked::new(claimed, held, asked.limit).run()
    }))
}

/// Marks as read, by the poller, before anything is looked for, so that nothing of it comes again.
pub(super) async fn read_by(held: &mut Held, ids: Vec<NoticeId>) -> Result<(), Problem> {
    if ids.is_empty() {
        return Ok(());
    }
    let request = MarkRead {
        account: held.session().account().clone(),
        ids,
        reader: held.courier().reader(),
    };
    held.courier().services.inbox.mark_read(request).await?;
    Ok(())
}

fn written(held: &mut Held, batch: &Batch) -> Response {
    let response = json_text(StatusCode::OK, batch.to_json());
    batch.count(held.courier_mut());
    held.courier_mut().has_written();
    response
}

/// What a parked request is answered when its session ends; none where it is answered like one whose time is over.
fn problem_of(reason: CloseReason) -> Option<Problem> {
    let (code, detail) = match reason {
        CloseReason::TokenEnded => (
            Code::Unauthenticated,
            "the session token is unknown, expired or revoked",
        ),
        CloseReason::Kicked => (
            Code::Removed,
            "removed by a service call: do not come back by yourself",
        ),
        CloseReason::Superseded => (
            Code::Superseded,
            "a newer session took this one's place, where an account may have one",
        ),
        _ => return None,
    };
    Some(Problem::new(code, detail))
}

/// How long a poller counts as online after its last answer.
const LINGER: Duration = Duration::from_secs(30);
