//! What a live session waits for: each a boxed future, made when it is needed and dropped when it is done, so that an
//! idle session pays nothing for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::problem::Code;
use super::services::Services;
use crate::delivery::{Session, Supply};
use crate::domain::{Notice, NoticeId};
use crate::inbox::{InboxError, MarkRead};

/// Work under way for one session.
pub(super) type Job<T> = Pin<Box<dyn Future<Output = T> + Send>>;

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

/// Reads what a client that resumes may have missed, until the store answers.
pub(super) fn resume(
    services: Arc<Services>,
    session: Arc<Session>,
    last: NoticeId,
    after: Option<NoticeId>,
    limit: usize,
) -> Job<Vec<Arc<Notice>>> {
    Box::pin(async move {
        loop {
            let read = {
                let _permit = services.catch_up.acquire().await;
                let account = session.account();
                services.inbox.resume(account, last, after, limit).await
            };
            match read {
                Ok(found) => return found,
                Err(error) => tokio::time::sleep(patience(&session, &error)).await,
            }
        }
    })
}

/// Asks the token store whether a token that should be over was prolonged.
pub(super) fn recheck(services: Arc<Services>, session: Arc<Session>) -> Job<bool> {
    Box::pin(async move {
        let token = session.token();
        match services.still_holds(&token).await {
            Ok(grant) => {
                session.refresh(token, grant.expires);
                true
            }
            // A store that is away ends no session: the next beat asks again.
            Err(problem) => problem.code != Code::Unauthenticated,
        }
    })
}

/// Sessions that wait for the store do not come back to it in one moment.
fn patience(session: &Session, error: &InboxError) -> Duration {
    let spread = session.key().0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54;
    error.retry_after.max(Duration::from_millis(200)) + Duration::from_millis(spread)
}
