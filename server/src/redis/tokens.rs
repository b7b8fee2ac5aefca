//! Session tokens in Redis, which other systems may write as well: `<prefix><token>` holds
//! `{"accountID":"u1","expireTime":1790000000123}`. Members that are not known are ignored, `isValid` of older services
//! among them; the key's own time to live counts too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use ::redis::{Pipeline, Value};
use async_trait::async_trait;
use parking_lot::Mutex;
use serde::Deserialize;

use super::commands::{Commands, unavailable};
use super::connect::Connector;
use crate::clock::{Millis, Now};
use crate::domain::AccountId;
use crate::inbox::InboxError;
use crate::tokens::{Grant, HeldToken, IssuedToken, SessionTokens, new_token};

/// How much longer than a token its key stays: Redis counts by a clock of its own, and what is in the value decides.
const SWEPT_AFTER: Millis = 10_000;

/// Which keys tokens have.
#[derive(Debug, Clone)]
pub struct TokenKeys {
    /// What stands before a token.
    pub prefix: String,
    /// Where our own keys are: a token whose key would be there is refused.
    pub namespace: String,
}

impl TokenKeys {
    /// The key of a token; none when it would be one of ours.
    fn of(&self, token: &str) -> Option<String> {
        let key = format!("{}{token}", self.prefix);
        (!key.starts_with(&self.namespace)).then_some(key)
    }
}

/// Session tokens in Redis. As durable as Redis is set up to be.
pub struct RedisTokens {
    commands: Commands,
    keys: TokenKeys,
    account_bytes: usize,
    now: Now,
    told_malformed: AtomicBool,
    mark: Mark,
}

/// The mark by which it is seen that Redis lost what it held: a random value that the first node to miss it writes.
#[derive(Default)]
struct Mark {
    known: Mutex<Option<Vec<u8>>>,
    losses: AtomicU32,
}

impl Mark {
    /// Notes the mark that is there now.
    fn seen(&self, mark: Vec<u8>) {
        let mut known = self.known.lock();
        if known.as_ref().is_some_and(|known| *known != mark) {
            self.losses.fetch_add(1, Ordering::AcqRel);
            tracing::warn!(
                "Redis has lost what it held: live sessions stay, also those whose tokens are gone with it; new ones \
                 need a token that is there"
            );
        }
        *known = Some(mark);
    }
}

#[derive(Deserialize)]
struct Stored {
    #[serde(rename = "accountID")]
    account: String,
    #[serde(rename = "expireTime")]
    expires: Option<Millis>,
}

impl RedisTokens {
    /// Tokens of these keys; account ids have at most `account_bytes` bytes. Connects when it is first asked.
    #[must_use]
    pub fn new(connector: Arc<Connector>, keys: TokenKeys, account_bytes: usize, now: Now) -> Self {
        Self {
            commands: Commands::new(connector),
            keys,
            account_bytes,
            now,
            told_malformed: AtomicBool::new(false),
            mark: Mark::default(),
        }
    }

    /// Looks whether Redis has lost what it held. After the look at what may be missing, so that what was lost before
    /// that look is known.
    async fn look_at_the_mark(&self) -> Result<(), InboxError> {
        let key = format!("{}mark", self.keys.namespace);
        let fresh = getrandom::u64().map_err(|_| unavailable("there is no randomness"))?;
        let mut pipeline = Pipeline::new();
        pipeline
            .cmd("SET")
            .arg(&key)
            .arg(format!("{fresh:016x}"))
            .arg("NX");
        pipeline.get(&key);
        let [_, mark]: [Value; 2] = self.commands.run(&pipeline).await?;
        match mark {
            Value::BulkString(mark) => self.mark.seen(mark),
            _ => return Err(unavailable("Redis answered something else")),
        }
        Ok(())
    }

    /// The grants of keys, in their order.
    async fn look_up(&self, keys: &[String]) -> Result<Vec<Option<Grant>>, InboxError> {
        let ask = |pipeline: &mut Pipeline, key: &String| {
            pipeline.get(key).pttl(key);
        };
        let values = self.commands.each(keys, ask).await?;
        if values.len() != 2 * keys.len() {
            return Err(unavailable("Redis answered something else"));
        }
        let now = (self.now)();
        values
            .chunks(2)
            .map(|pair| self.grant(&pair[0], &pair[1], now))
            .collect()
    }

    fn grant(&self, value: &Value, left: &Value, now: Millis) -> Result<Option<Grant>, InboxError> {
        let text = match value {
            Value::Nil => return Ok(None),
            Value::BulkString(text) => text,
            // A key of another kind is no token.
            Value::ServerError(error) if error.code() == "WRONGTYPE" => {
                return Ok(self.malformed());
            }
            Value::ServerError(error) => {
                return Err(unavailable(&format!("Redis answered {}", error.code())));
            }
            _ => return Err(unavailable("Redis answered something else")),
        };
        let Some((account, expires)) = self.read(text) else {
            return Ok(self.malformed());
        };
        let key_ends = match left {
            Value::Int(-1) => None,
            Value::Int(left) => Some(now + u64::try_from(*left).unwrap_or(0)),
            _ => return Err(unavailable("Redis answered something else")),
        };
        let expires = [expires, key_ends].into_iter().flatten().min();
        let ended = expires.is_some_and(|expires| expires <= now);
        Ok((!ended).then_some(Grant { account, expires }))
    }

    fn read(&self, text: &[u8]) -> Option<(AccountId, Option<Millis>)> {
        let stored: Stored = serde_json::from_slice(text).ok()?;
        let account = AccountId::parse(&stored.account, self.account_bytes).ok()?;
        Some((account, stored.expires))
    }

    /// Said once: whoever writes them writes many.
    fn malformed(&self) -> Option<Grant> {
        if !self.told_malformed.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "a session token's value in Redis is not what it should be: the token counts as not valid; more of \
                 these are not reported"
            );
        }
        None
    }

    fn held_key(&self, token: &HeldToken) -> Option<String> {
        match token {
            HeldToken::Text(text, _) => self.keys.of(text),
            // Not of this store.
            HeldToken::Digest(_) | HeldToken::Proof(_) => None,
        }
    }
}

#[async_trait]
impl SessionTokens for RedisTokens {
    fn hold(&self, token: &str) -> HeldToken {
        HeldToken::of_text(token)
    }

    async fn resolve(&self, token: &str) -> Result<Option<Grant>, InboxError> {
        let Some(key) = self.keys.of(token) else {
            return Ok(None);
        };
        let mut grants = self.look_up(std::slice::from_ref(&key)).await?;
        Ok(grants.pop().flatten())
    }

    async fn recheck(&self, tokens: &[HeldToken]) -> Result<Vec<Option<Grant>>, InboxError> {
        let places: Vec<Option<String>> = tokens.iter().map(|token| self.held_key(token)).collect();
        let keys: Vec<String> = places.iter().flatten().cloned().collect();
        let grants = self.look_up(&keys).await?;
        self.look_at_the_mark().await?;
        let mut grants = grants.into_iter();
        let in_order = places.iter().map(|place| {
            let grant = place.as_ref().and_then(|_| grants.next());
            grant.flatten()
        });
        Ok(in_order.collect())
    }

    async fn issue(&self, account: &AccountId, expires: Millis) -> Result<IssuedToken, InboxError> {
        let token = new_token().map_err(|_| unavailable("there is no randomness"))?;
        let key = self.keys.of(&token).ok_or_else(|| {
            unavailable("the prefix of session tokens lies within the server's own namespace")
        })?;
        let value = serde_json::json!({ "accountID": account, "expireTime": expires });
        let left = expires.saturating_sub((self.now)()) + SWEPT_AFTER;
        let mut pipeline = Pipeline::new();
        let set = pipeline.cmd("SET").arg(key).arg(value.to_string());
        set.arg("NX").arg("PX").arg(left);
        let [answer]: [Value; 1] = self.commands.run(&pipeline).await?;
        match answer {
            Value::Okay => Ok(IssuedToken { token, expires }),
            _ => Err(unavailable("the token is taken already")),
        }
    }

    async fn revoke(&self, tokens: &[HeldToken]) -> Result<(), InboxError> {
        let keys: Vec<String> = tokens
            .iter()
            .filter_map(|token| self.held_key(token))
            .collect();
        let delete = |pipeline: &mut Pipeline, key: &String| {
            pipeline.del(key);
        };
        let answers = self.commands.each(&keys, delete).await?;
        all_numbers(&answers).map(drop)
    }

    fn losses(&self) -> u32 {
        self.mark.losses.load(Ordering::Acquire)
    }

    fn is_shared(&self) -> bool {
        true
    }
}

/// The numbers of answers that are all numbers.
///
/// # Errors
/// When one is not.
pub(super) fn all_numbers(answers: &[Value]) -> Result<Vec<i64>, InboxError> {
    let number = |answer: &Value| match answer {
        Value::Int(number) => Ok(*number),
        Value::ServerError(error) => Err(unavailable(&format!("Redis answered {}", error.code()))),
        _ => Err(unavailable("Redis answered something else")),
    };
    answers.iter().map(number).collect()
}
