//! What the handlers of all listeners work with, and the few things that several of them do.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, NotUntil, Quota, RateLimiter};
use tokio::sync::Semaphore;
use warp::http::HeaderMap;

use super::caller;
use super::intake::{Intake, OTHER_MEMBERS, largest_notice};
use super::poll::Pollers;
use super::problem::{Code, Problem};
use crate::cluster::Member;
use crate::config::Config;
use crate::credentials::Keys;
use crate::delivery::{DrainControl, RebalanceControl, Registry};
use crate::domain::{AccountId, Draft, Source};
use crate::inbox::{Inbox, Staged};
use crate::metrics::Metrics;
use crate::tokens::{Grant, HeldToken, SessionTokens};

/// A token longer than this is no token of anyone's. JWTs with many claims and a long signature stay below.
const TOKEN_BYTES: usize = 8192;

/// Sessions that catch up at a time; others wait.
const CATCH_UPS: usize = 64;

/// What [`Services`] is made of.
pub struct Parts {
    /// The durable truth.
    pub inbox: Arc<dyn Inbox>,
    /// Session tokens.
    pub tokens: Arc<dyn SessionTokens>,
    /// Who is online here.
    pub registry: Arc<Registry>,
    /// The other nodes.
    pub cluster: Arc<Member>,
    /// Leaving in good order.
    pub drain: Arc<DrainControl>,
    /// Giving sessions to other nodes.
    pub rebalance: RebalanceControl,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// The configuration in force.
    pub config: Arc<Config>,
    /// The keys in force: of the back ends, and for drains.
    pub keys: Arc<Keys>,
}

/// Everything that a handler may use.
pub struct Services {
    parts: Parts,
    /// Checks what callers send.
    pub intake: Intake,
    /// Reads of the inbox for sessions that catch up, at a time: a page may hold two megabytes.
    pub catch_up: Semaphore,
    /// Who polls.
    pub(super) pollers: Pollers,
    connects: DefaultDirectRateLimiter,
    stage_rate: Option<DefaultKeyedRateLimiter<Arc<str>>>,
    send_rate: Option<DefaultKeyedRateLimiter<AccountId>>,
}

impl std::ops::Deref for Services {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Services").finish_non_exhaustive()
    }
}

/// A client whose token holds.
#[derive(Debug, Clone)]
pub struct Client {
    /// The token, as it is kept.
    pub token: HeldToken,
    /// What it gives.
    pub grant: Grant,
}

impl Services {
    /// Services of these parts, with the limits of the configuration.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let limits = parts.config.limits.clone();
        let connects = NonZeroU32::new(limits.connects_per_second).unwrap_or(NonZeroU32::MIN);
        let per_second = Quota::per_second;
        Self {
            connects: RateLimiter::direct(per_second(connects)),
            stage_rate: limits
                .stage_rate_per_key
                .map(|rate| RateLimiter::keyed(per_second(rate))),
            send_rate: limits
                .send_rate_per_account
                .map(|rate| RateLimiter::keyed(per_second(rate))),
            intake: Intake::new(limits),
            catch_up: Semaphore::new(CATCH_UPS),
            pollers: Pollers::default(),
            parts,
        }
    }

    /// The producer behind a service call.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a known API key.
    pub fn producer(&self, headers: &HeaderMap) -> Result<Arc<str>, Problem> {
        let key = caller::api_key(headers).ok_or_else(|| {
            Problem::new(
                Code::Unauthenticated,
                "no API key: send it as Authorization: Bearer <key> or X-API-Key",
            )
        })?;
        let keys = self.keys.api.get();
        let producer = keys.producer_of(key);
        producer
            .map(Arc::from)
            .ok_or_else(|| Problem::new(Code::Unauthenticated, "this API key is not known"))
    }

    /// The client behind a client call.
    ///
    /// # Errors
    /// When it shows no token that holds, a cookie that may not be used, or the token store is away.
    pub async fn client(&self, headers: &HeaderMap, query: &str) -> Result<Client, Problem> {
        let token = caller::session_token(headers, query, &self.config.auth.allowed_origins)?;
        self.client_of(&token).await
    }

    /// The client behind a token.
    ///
    /// # Errors
    /// When the token does not hold, or the token store is away.
    pub async fn client_of(&self, token: &str) -> Result<Client, Problem> {
        if token.len() > TOKEN_BYTES {
            return Err(token_ended());
        }
        let grant = self.tokens.resolve(token).await?.ok_or_else(token_ended)?;
        let token = self.tokens.hold(token);
        Ok(Client { token, grant })
    }

    /// The grant of a token, as long as it holds.
    ///
    /// # Errors
    /// When the token does not hold, or the token store is away.
    pub async fn still_holds(&self, token: &HeldToken) -> Result<Grant, Problem> {
        let grants = self.tokens.recheck(std::slice::from_ref(token)).await?;
        grants.into_iter().next().flatten().ok_or_else(token_ended)
    }

    /// The most bytes of a client's body, and of the small service calls: a notice with every character escaped, or
    /// an acknowledgement of as many ids as are allowed.
    #[must_use]
    pub fn small_body(&self) -> usize {
        let limits = self.intake.limits();
        largest_notice(limits.message_bytes).max(limits.ids_per_ack * 64 + OTHER_MEMBERS)
    }

    /// Takes one of this second's new sessions.
    ///
    /// # Errors
    /// `OVERLOADED` when they are used up.
    pub fn take_connect_permit(&self) -> Result<(), Problem> {
        self.connects.check().map_err(|not_until| {
            Problem::new(
                Code::Overloaded,
                "more new sessions a second than this node takes",
            )
            .retry_after(wait(&not_until))
        })
    }

    /// Takes `count` of a producer's notices of this second, where a rate is set.
    ///
    /// # Errors
    /// `RATE_LIMITED` when they are used up, `INVALID_ARGUMENT` when there never are that many.
    pub fn take_stage_permits(&self, producer: &Arc<str>, count: usize) -> Result<(), Problem> {
        take_permits(
            self.stage_rate.as_ref(),
            producer,
            count,
            "limits.stage_rate_per_key",
        )
    }

    /// Takes one of an account's own notices of this second, where a rate is set.
    ///
    /// # Errors
    /// `RATE_LIMITED` when they are used up.
    pub fn take_send_permit(&self, account: &AccountId) -> Result<(), Problem> {
        take_permits(
            self.send_rate.as_ref(),
            account,
            1,
            "limits.send_rate_per_account",
        )
    }

    /// Stages one draft.
    ///
    /// # Errors
    /// Why the inbox did not take it.
    pub async fn stage_one(&self, draft: Draft) -> Result<Staged, Problem> {
        let mut results = self.stage(vec![draft]).await;
        results
            .pop()
            .unwrap_or_else(|| Err(Problem::new(Code::Internal, "the inbox gave no answer")))
    }

    /// Stages drafts; each has its own result.
    pub async fn stage(&self, drafts: Vec<Draft>) -> Vec<Result<Staged, Problem>> {
        let keyed = |draft: &Draft| {
            let has_key = draft.idempotency_key.is_some();
            has_key.then(|| draft.receiver.clone())
        };
        let receivers: Vec<_> = drafts.iter().map(keyed).collect();
        let results = self.inbox.stage(drafts).await;
        // The node that took the first call may have died before it told anybody.
        let repeated = results.iter().zip(receivers);
        let repeated = repeated.filter(|(result, _)| matches!(result, Ok(it) if it.duplicate));
        self.cluster
            .look_again(repeated.filter_map(|(_, receiver)| receiver));
        results
            .into_iter()
            .map(|result| result.map_err(Problem::from))
            .collect()
    }

    /// Stages what a client sends.
    ///
    /// # Errors
    /// Its account's rate is used up, or the inbox did not take it.
    pub async fn send(&self, draft: Draft) -> Result<Staged, Problem> {
        debug_assert_eq!(draft.source, Source::Client);
        if let Some(sender) = &draft.sender {
            self.take_send_permit(sender)?;
        }
        self.stage_one(draft).await
    }

    /// Forgets the rates of those who have been still long enough to have all of theirs again.
    pub fn forget_idle_rates(&self) {
        if let Some(limiter) = &self.stage_rate {
            limiter.retain_recent();
        }
        if let Some(limiter) = &self.send_rate {
            limiter.retain_recent();
        }
    }

    /// Lets go of the pollers that wait for their next request, at the server's end.
    pub fn forget_pollers(&self) {
        self.pollers.clear();
    }

    /// Counts a refused draft or call.
    pub fn count_refused(&self, problem: &Problem) {
        self.metrics.stage_error(problem.code.name());
    }

    /// The address of the client, behind the proxies that are trusted.
    #[must_use]
    pub fn client_address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        caller::client_address(peer, headers, |address| {
            self.config.trusted_proxies.contain(address)
        })
    }
}

fn token_ended() -> Problem {
    Problem::new(
        Code::Unauthenticated,
        "the session token is unknown, expired or revoked",
    )
}

fn take_permits<K: std::hash::Hash + Eq + Clone>(
    limiter: Option<&DefaultKeyedRateLimiter<K>>,
    key: &K,
    count: usize,
    setting: &str,
) -> Result<(), Problem> {
    let (Some(limiter), Some(count)) =
        (limiter, u32::try_from(count).ok().and_then(NonZeroU32::new))
    else {
        return Ok(());
    };
    let refused = |wait| {
        Problem::new(
            Code::RateLimited,
            format!("more notices a second than {setting} allows"),
        )
        .retry_after(wait)
    };
    match limiter.check_key_n(key, count) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(not_until)) => Err(refused(wait(&not_until))),
        Err(_) => Err(Problem::invalid(format!(
            "one call has more notices than {setting} ever allows"
        ))),
    }
}

fn wait(not_until: &NotUntil<governor::clock::QuantaInstant>) -> Duration {
    not_until.wait_time_from(DefaultClock::default().now())
}
