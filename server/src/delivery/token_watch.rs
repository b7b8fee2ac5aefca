//! Live sessions follow what becomes of their tokens: another system may prolong or delete them, another node revoke
//! them, and the word of it can be lost.

use std::sync::Arc;
use std::time::Duration;

use super::registry::{Registry, SHARDS};
use super::session::{CloseReason, Session};
use crate::tokens::{Grant, SessionTokens};

/// Every live session's token is looked at once in so long. With the time that the look takes it stays within the 60 s
/// that are promised.
const ROUND: Duration = Duration::from_secs(45);

/// Tokens asked for at once.
const AT_ONCE: usize = 512;

#[allow(clippy::cast_possible_truncation, reason = "64")]
const PARTS: u32 = SHARDS as u32;

/// Looks at the tokens of live sessions.
pub struct TokenWatch {
    registry: Arc<Registry>,
    tokens: Arc<dyn SessionTokens>,
}

impl std::fmt::Debug for TokenWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenWatch").finish_non_exhaustive()
    }
}

impl TokenWatch {
    /// A watch that does not run yet.
    #[must_use]
    pub fn new(registry: Arc<Registry>, tokens: Arc<dyn SessionTokens>) -> Self {
        Self { registry, tokens }
    }

    /// Watches for ever; where nobody else writes tokens there is nothing to watch.
    pub async fn run(self) {
        if !self.tokens.is_shared() {
            return std::future::pending().await;
        }
        let mut ticks = tokio::time::interval(ROUND / PARTS);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for part in (0..SHARDS).cycle() {
            ticks.tick().await;
            self.look(part).await;
        }
    }

    async fn look(&self, part: usize) {
        let mut sessions = Vec::new();
        self.registry
            .each_session_of_shard(part, |session| sessions.push(Arc::clone(session)));
        for sessions in sessions.chunks(AT_ONCE) {
            let held: Vec<_> = sessions.iter().map(|session| session.token()).collect();
            // A store that is away ends no session: the next round asks again.
            let Ok(grants) = self.tokens.recheck(&held).await else {
                continue;
            };
            let losses = self.tokens.losses();
            for ((session, held), grant) in sessions.iter().zip(&held).zip(grants) {
                // Not if it lives by a newer one since.
                if session.has_token(held) {
                    follow(session, grant, losses);
                }
            }
        }
    }
}

fn follow(session: &Session, grant: Option<Grant>, losses: u32) {
    match grant {
        Some(grant) if grant.account == *session.account() => {
            session.confirm(losses);
            if grant.expires != session.expires() {
                session.refresh(session.token(), grant.expires);
            }
        }
        // Nobody ended it: the store lost it with all the others. It lives to its known end.
        None if session.lost_since(losses) => {}
        _ => session.close(CloseReason::TokenEnded),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::session::{AckMode, SessionSpec, Transport};
    use crate::domain::AccountId;
    use crate::inbox::SessionKey;
    use crate::tokens::HeldToken;

    fn session(losses: u32) -> Session {
        let spec = SessionSpec {
            transport: Transport::WebSocket,
            ack: AckMode::Explicit,
            control_frames: true,
            window: 1,
            token: HeldToken::of_text("token"),
            losses,
            expires: Some(100),
            since: 0,
        };
        Session::new(SessionKey(1), AccountId::trusted("u"), spec)
    }

    fn grant(account: &str, expires: u64) -> Option<Grant> {
        Some(Grant {
            account: AccountId::trusted(account),
            expires: Some(expires),
        })
    }

    fn closed(session: &Session) -> Option<CloseReason> {
        session.take_signals().close
    }

    #[test]
    fn a_session_follows_its_token_and_ends_with_it() {
        let session = session(0);
        follow(&session, grant("u", 200), 0);
        assert_eq!((session.expires(), closed(&session)), (Some(200), None));
        follow(&session, None, 0);
        assert_eq!(closed(&session), Some(CloseReason::TokenEnded));
    }

    #[test]
    fn a_token_that_stands_for_another_account_now_ends_its_session() {
        let session = session(0);
        follow(&session, grant("other", 100), 0);
        assert_eq!(closed(&session), Some(CloseReason::TokenEnded));
    }

    #[test]
    fn a_session_whose_token_was_lost_with_all_others_stays_until_it_is_known_and_ended_again() {
        let session = session(0);
        follow(&session, None, 1);
        assert_eq!(closed(&session), None);
        follow(&session, grant("u", 100), 1);
        follow(&session, None, 1);
        assert_eq!(closed(&session), Some(CloseReason::TokenEnded));
    }
}
