//! From what a caller sends to drafts: parsing and checks. Pure; the same rules for services, for `POST /send` and
//! for both WebSocket protocols.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::problem::{Code, Problem};
use super::strict_json::{bounded_list, check_data, first_byte, parse};
use crate::config::Limits;
use crate::domain::{AccountId, DEFAULT_PRODUCER, Draft, Lifetime, NoticeId, Source};

/// An idempotency or collapse key, in bytes.
const KEY_BYTES: usize = 256;
/// A notice's `type`, in bytes.
const KIND_BYTES: usize = 128;
/// For what a client's JSON holds besides the message or the ids, in bytes.
pub(super) const OTHER_MEMBERS: usize = 8 * 1024;
/// Ten years: more is a mistake in the caller's unit.
const MAX_TTL_SECONDS: u64 = 10 * 365 * 24 * 3600;

/// A notice as a caller writes it. Unknown members are passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NoticeInput<'a> {
    #[serde(borrow)]
    receiver_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    receiver_ids: Option<&'a RawValue>,
    #[serde(borrow)]
    sender_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    message: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    ttl_seconds: Option<u64>,
    #[serde(borrow)]
    collapse_key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    idempotency_key: Option<Cow<'a, str>>,
}

/// What a client may say of a notice: neither who sends it, nor how long it lives, nor what it replaces.
#[derive(Debug, Default)]
pub struct ClientInput<'a> {
    /// Who shall receive it.
    pub receiver_id: Option<Cow<'a, str>>,
    /// The text.
    pub message: Option<Cow<'a, str>>,
    /// The application's kind.
    pub kind: Option<Cow<'a, str>>,
    /// Any JSON.
    pub data: Option<&'a RawValue>,
    /// Makes a retry safe.
    pub idempotency_key: Option<Cow<'a, str>>,
}

/// The three forms of a staging call.
#[derive(Debug)]
pub enum StageCall {
    /// One notice to one account.
    One(Box<Draft>),
    /// Several; each stands for itself.
    Many(Vec<Result<Draft, Problem>>),
}

/// The most bytes that the JSON of one notice takes, whose message and data may have `message_bytes`: an escape may
/// take six bytes for one.
pub(super) fn largest_notice(message_bytes: usize) -> usize {
    message_bytes * 6 + OTHER_MEMBERS
}

/// Checks what callers send against the limits.
#[derive(Debug, Clone)]
pub struct Intake {
    limits: Limits,
}

impl Intake {
    /// An intake with these limits.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits }
    }

    /// The limits in force.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Reads the body of `POST /notices`. `header_key` is the `Idempotency-Key` header.
    ///
    /// # Errors
    /// When the call as a whole is not valid; a single notice of several has its own result.
    pub fn stage_call(
        &self,
        body: &[u8],
        header_key: Option<&str>,
        producer: &Arc<str>,
    ) -> Result<StageCall, Problem> {
        if first_byte(body) == Some(b'[') {
            if header_key.is_some() {
                return Err(Problem::invalid(
                    "the header Idempotency-Key goes with one object; in an array give each notice its idempotencyKey",
                ));
            }
            return self.array(body, producer).map(StageCall::Many);
        }
        let mut input: NoticeInput<'_> = parse(body)?;
        if let Some(key) = header_key {
            if input
                .idempotency_key
                .as_ref()
                .is_some_and(|given| given != key)
            {
                return Err(Problem::invalid(
                    "the header Idempotency-Key and idempotencyKey differ: give one of them",
                ));
            }
            input.idempotency_key = Some(Cow::Borrowed(key));
        }
        match input.receiver_ids {
            Some(list) => self.fan_out(&input, list, producer).map(StageCall::Many),
            None => self
                .service_draft(&input, producer)
                .map(|draft| StageCall::One(Box::new(draft))),
        }
    }

    fn array(
        &self,
        body: &[u8],
        producer: &Arc<str>,
    ) -> Result<Vec<Result<Draft, Problem>>, Problem> {
        let items: Vec<&RawValue> =
            bounded_list(body, self.limits.notices_per_call, "notices a call")?;
        let one = |item: &&RawValue| {
            let input: NoticeInput<'_> = parse(item.get().as_bytes())?;
            match input.receiver_ids {
                Some(_) => Err(Problem::invalid(
                    "receiverIds goes with one object; in an array give each its receiverId",
                )),
                None => self.service_draft(&input, producer),
            }
        };
        Ok(items.iter().map(one).collect())
    }

    fn fan_out(
        &self,
        input: &NoticeInput<'_>,
        list: &RawValue,
        producer: &Arc<str>,
    ) -> Result<Vec<Result<Draft, Problem>>, Problem> {
        if input.receiver_id.is_some() {
            return Err(Problem::invalid("give receiverId or receiverIds, not both"));
        }
        let limit = self.limits.notices_per_call;
        let receivers: Vec<Cow<'_, str>> =
            bounded_list(list.get().as_bytes(), limit, "notices a call")?;
        let one = |receiver: &Cow<'_, str>| self.draft_to(input, receiver, producer);
        Ok(receivers.iter().map(one).collect())
    }

    fn service_draft(
        &self,
        input: &NoticeInput<'_>,
        producer: &Arc<str>,
    ) -> Result<Draft, Problem> {
        let receiver = input
            .receiver_id
            .as_ref()
            .ok_or_else(|| Problem::invalid("receiverId is missing"))?;
        self.draft_to(input, receiver, producer)
    }

    fn draft_to(
        &self,
        input: &NoticeInput<'_>,
        receiver: &str,
        producer: &Arc<str>,
    ) -> Result<Draft, Problem> {
        let sender = input
            .sender_id
            .as_ref()
            .map(|sender| self.account("senderId", sender))
            .transpose()?;
        let lifetime = lifetime(input.ttl_seconds)?;
        let collapse_key = key("collapseKey", input.collapse_key.as_deref())?;
        if collapse_key.is_some() && lifetime == Lifetime::Ephemeral {
            return Err(Problem::invalid(
                "collapseKey has no meaning with ttlSeconds 0: such a notice is never stored",
            ));
        }
        Ok(Draft {
            receiver: self.account("receiverId", receiver)?,
            sender,
            message: self.message(input.message.as_deref(), input.data)?,
            kind: kind(input.kind.as_deref())?,
            data: input.data.map(ToOwned::to_owned),
            lifetime,
            collapse_key,
            idempotency_key: key("idempotencyKey", input.idempotency_key.as_deref())?,
            producer: Arc::clone(producer),
            source: Source::Service,
            accepted: Instant::now(),
        })
    }

    /// Checks what a client of `sender` wants to send.
    ///
    /// # Errors
    /// Which member is not valid, and why.
    pub fn client_draft(
        &self,
        input: &ClientInput<'_>,
        sender: &AccountId,
    ) -> Result<Draft, Problem> {
        let receiver = input
            .receiver_id
            .as_ref()
            .ok_or_else(|| Problem::invalid("receiverId is missing"))?;
        Ok(Draft {
            receiver: self.account("receiverId", receiver)?,
            sender: Some(sender.clone()),
            message: self.message(input.message.as_deref(), input.data)?,
            kind: kind(input.kind.as_deref())?,
            data: input.data.map(ToOwned::to_owned),
            lifetime: Lifetime::Kept,
            collapse_key: None,
            idempotency_key: key("idempotencyKey", input.idempotency_key.as_deref())?,
            producer: Arc::from(DEFAULT_PRODUCER),
            source: Source::Client,
            accepted: Instant::now(),
        })
    }

    /// Takes a text as an account id; `member` names it in the error.
    ///
    /// # Errors
    /// When it is none.
    pub fn account(&self, member: &str, text: &str) -> Result<AccountId, Problem> {
        AccountId::parse(text, self.limits.account_id_bytes)
            .map_err(|error| Problem::invalid(format!("{member}: {error}")))
    }

    fn message(&self, message: Option<&str>, data: Option<&RawValue>) -> Result<Box<str>, Problem> {
        let message = message.ok_or_else(|| Problem::invalid("message is missing"))?;
        if let Some(data) = data {
            check_data(data)?;
        }
        let bytes = message.len() + data.map_or(0, |data| data.get().len());
        let limit = self.limits.message_bytes;
        if bytes > limit {
            let detail = format!("message and data have {bytes} bytes, {limit} are allowed");
            return Err(Problem::new(Code::TooLarge, detail));
        }
        Ok(Box::from(message))
    }

    /// The ids of an acknowledgement; what is no id of ours is unknown, and passed over.
    ///
    /// # Errors
    /// When there are too many.
    pub fn ack_ids(&self, list: &RawValue) -> Result<Vec<NoticeId>, Problem> {
        let limit = self.limits.ids_per_ack;
        let texts: Vec<Cow<'_, str>> =
            bounded_list(list.get().as_bytes(), limit, "ids an acknowledgement")?;
        Ok(texts.iter().filter_map(|text| text.parse().ok()).collect())
    }
}

fn lifetime(ttl_seconds: Option<u64>) -> Result<Lifetime, Problem> {
    match ttl_seconds {
        None => Ok(Lifetime::Kept),
        Some(0) => Ok(Lifetime::Ephemeral),
        Some(seconds) if seconds <= MAX_TTL_SECONDS => Ok(Lifetime::Seconds(seconds)),
        Some(_) => Err(Problem::invalid(format!(
            "ttlSeconds is at most {MAX_TTL_SECONDS} (ten years)"
        ))),
    }
}

fn key(member: &str, text: Option<&str>) -> Result<Option<Box<str>>, Problem> {
    let Some(text) = text else { return Ok(None) };
    if text.is_empty() || text.len() > KEY_BYTES || text.chars().any(char::is_control) {
        return Err(Problem::invalid(format!(
            "{member} has 1 to {KEY_BYTES} bytes and no control characters"
        )));
    }
    Ok(Some(Box::from(text)))
}

fn kind(text: Option<&str>) -> Result<Option<Box<str>>, Problem> {
    let Some(text) = text else { return Ok(None) };
    if text.len() > KIND_BYTES || text.chars().any(char::is_control) {
        return Err(Problem::invalid(format!(
            "type has at most {KIND_BYTES} bytes and no control characters"
        )));
    }
    Ok(Some(Box::from(text)))
}

#[cfg(test)]
#[path = "intake_tests.rs"]
pub(super) mod tests;
