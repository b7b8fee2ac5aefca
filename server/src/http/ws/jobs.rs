//! The calls that a client makes over its socket.

use std::sync::Arc;

use crate::clock::Millis;
use crate::delivery::{CloseReason, Session};
use crate::domain::Draft;
use crate::http::jobs::Job;
use crate::http::problem::{Code, Problem};
use crate::http::services::Services;
use crate::inbox::Staged;

/// A client's call that was done.
pub(super) enum OpDone {
    /// A notice was staged, or not.
    Sent {
        reference: Option<String>,
        result: Result<Staged, Problem>,
    },
    /// A newer token was taken, or not.
    Refreshed(Result<Option<Millis>, Problem>),
}

/// Stages what the client sends.
pub(super) fn send(
    services: Arc<Services>,
    draft: Draft,
    reference: Option<String>,
) -> Job<OpDone> {
    Box::pin(async move {
        OpDone::Sent {
            reference,
            result: services.send(draft).await,
        }
    })
}

/// Lives by a newer token of the same account from now on.
pub(super) fn refresh(
    services: Arc<Services>,
    session: Arc<Session>,
    token: String,
) -> Job<OpDone> {
    Box::pin(async move { OpDone::Refreshed(refreshed(&services, &session, &token).await) })
}

async fn refreshed(
    services: &Services,
    session: &Session,
    token: &str,
) -> Result<Option<Millis>, Problem> {
    let client = services.client_of(token).await?;
    if client.grant.account != *session.account() {
        return Err(Problem::new(
            Code::InvalidArgument,
            "the token belongs to another account",
        ));
    }
    session.refresh(client.token.clone(), client.grant.expires);
    session.confirm(services.tokens.losses());
    // Who revoked the token before the session lived by it found no session to close.
    if services
        .still_holds(&client.token)
        .await
        .is_err_and(|problem| problem.code == Code::Unauthenticated)
    {
        session.close(CloseReason::TokenEnded);
    }
    Ok(client.grant.expires)
}
