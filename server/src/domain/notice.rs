//! A notice: one message to one account.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{AccountId, NoticeId};
use crate::clock::Millis;

/// One stored message to one account. What clients see of it is `http`'s and `delivery`'s matter.
#[derive(Debug, Clone)]
pub struct Notice {
    /// Its unique id.
    pub id: NoticeId,
    /// Who receives it.
    pub receiver: AccountId,
    /// Who sent it; none when a service staged it without naming a sender.
    pub sender: Option<AccountId>,
    /// The text.
    pub message: Box<str>,
    /// When it was staged, by the store's clock.
    pub created: Millis,
    /// An application's own kind, such as `ride.accepted`.
    pub kind: Option<Box<str>>,
    /// Any JSON, as it was given.
    pub data: Option<Box<RawValue>>,
    /// From when on nobody wants it any more.
    pub expires: Option<Millis>,
    /// A newer one of the same key, receiver, sender and producer takes its place while it is unread.
    pub collapse_key: Option<Box<str>>,
    /// The service that staged it (the name of its API key), or the default.
    pub producer: Arc<str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    id: NoticeId,
    receiver_id: &'a AccountId,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender_id: Option<&'a AccountId>,
    message: &'a str,
    created_time: Millis,
    read: bool,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expire_time: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    collapse_key: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    redelivered: bool,
}

impl Notice {
    /// The notice as the wire has it (`docs/PROTOCOL.md`, "Notice"), appended to `out`.
    pub fn write_json(&self, read: bool, redelivered: bool, out: &mut Vec<u8>) {
        let wire = Wire {
            id: self.id,
            receiver_id: &self.receiver,
            sender_id: self.sender.as_ref(),
            message: &self.message,
            created_time: self.created,
            read,
            kind: self.kind.as_deref(),
            data: self.data.as_deref(),
            expire_time: self.expires,
            collapse_key: self.collapse_key.as_deref(),
            redelivered,
        };
        let before = out.len();
        // Strings and checked JSON always serialize, and a Vec takes every byte; were that ever wrong,
        // nothing half-written may go out.
        if serde_json::to_writer(&mut *out, &wire).is_err() {
            out.truncate(before);
        }
    }

    /// Whether nobody wants it at `now`.
    #[must_use]
    pub fn expired(&self, now: Millis) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }
}
