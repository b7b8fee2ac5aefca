//! What a connection waits for: each a boxed future, made when it is needed and dropped when it is done, so that an
//! idle connection pays nothing for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Millis;
use crate::delivery::{CloseReason, Session, Supply};
use crate::domain::Draft;
use crate::http::problem::{Code, Problem};
use crate::http::services::Services;
use crate::inbox::{InboxError, MarkRead, Staged};

/// Work under way for one connection.
pub(super) type Job<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A client's call that was done.
pub(super) enum OpDone {
    /// A notice was staged, or not.
    Sent {
        reference: Option<String>,
        result: Result<Staged, Problem>,
    },
    /// A newer token was taken, or not.
    Refreshed(Result<Option<Millis>, Problem>),
    /// Whether the token still holds, past its known end.
    Rechecked { holds: bool },
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

/// Marks as read, until the store has taken it.
pub(super) fn acknowledge(
    services: Arc<Services>,
    session: Arc<Session>,
    request: MarkRead,
) -> Job<()> {
    Box::pin(async move {
        while let Err(error) = services.inbox.mark_read(request.clone()).await {
            tokio::time::sleep(patience(&session, &error)).await;
        }
    })
}

/// Reads from the inbox what the session needs; after a failure it comes back late, and the session asks again.
pub(super) fn supply(services: Arc<Services>, supply: Supply) -> Job<()> {
    Box::pin(async move {
        let session = Arc::clone(supply.session());
        let met = {
            let _permit = services.catch_up.acquire().await;
            supply.meet(services.inbox.as_ref()).await
        };
        if let Err(error) = met {
            tokio::time::sleep(patience(&session, &error)).await;
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

/// Asks the token store whether a token that should be over was prolonged.
pub(super) fn recheck(services: Arc<Services>, session: Arc<Session>) -> Job<OpDone> {
    Box::pin(async move {
        let token = session.token();
        let holds = match services.still_holds(&token).await {
            Ok(grant) => {
                session.refresh(token, grant.expires);
                true
            }
            // A store that is away ends no session: the next beat asks again.
            Err(problem) => problem.code != Code::Unauthenticated,
        };
        OpDone::Rechecked { holds }
    })
}

/// Sessions that wait for the store do not come back to it in one moment.
fn patience(session: &Session, error: &InboxError) -> Duration {
    let spread = session.key().0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54;
    error.retry_after.max(Duration::from_millis(200)) + Duration::from_millis(spread)
}
