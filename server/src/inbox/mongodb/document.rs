//! A notice as a document, and back. Pure.
//!
//! The names of the fields that the older service knows (`receiverId`, `senderId`, `message`, `createdTime`, `read`)
//! are its own. `data` is kept as its JSON text: BSON keeps no number such as 1e400, nor how one was written. Documents
//! of the older service have an `ObjectId`, and nothing but those fields.

use std::sync::Arc;

use mongodb::bson::oid::ObjectId;
use mongodb::bson::raw::cstr;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{
    Binary, Bson, DateTime, RawBinaryRef, RawBson, RawBsonRef, RawDocument, RawDocumentBuf,
};
use serde_json::value::RawValue;

use super::options::Limits;
use crate::clock::Millis;
use crate::domain::{
    AccountId, DEFAULT_PRODUCER, Draft, Fingerprint, Lifetime, Notice, NoticeId, StateName,
};
use crate::inbox::Withdrawal;

/// The names of the fields that queries use.
pub(super) mod field {
    pub(in super::super) const ID: &str = "_id";
    pub(in super::super) const RECEIVER: &str = "receiverId";
    pub(in super::super) const CREATED: &str = "createdTime";
    pub(in super::super) const READ: &str = "read";
    pub(in super::super) const PUSHED: &str = "pushedTime";
    /// When it was read. Set by this server only.
    pub(in super::super) const READ_TIME: &str = "readTime";
    /// The marker of the operation that read it.
    pub(in super::super) const READ_BY: &str = "readBy";
    /// Whether a session's own acknowledgement read it, and not the server for it.
    pub(in super::super) const EXPLICIT: &str = "readExplicitly";
    /// The marker of the operation that made an automatic read explicit.
    pub(in super::super) const EXPLICIT_BY: &str = "explicitBy";
    /// Why it is out of the inbox without being read.
    pub(in super::super) const WITHDRAWN: &str = "withdrawn";
    /// The marker of the operation that withdrew it.
    pub(in super::super) const WITHDRAWN_BY: &str = "withdrawnBy";
    /// The fingerprint of its idempotency key.
    pub(in super::super) const IDEMPOTENCY: &str = "idem";
    /// The fingerprint of its body, beside that of its key.
    pub(in super::super) const BODY: &str = "body";
    /// The fingerprint of its collapse scope.
    pub(in super::super) const COLLAPSE: &str = "collapse";
    /// When it ends if nobody reads it: its own end, or that of its retention.
    pub(in super::super) const END: &str = "endTime";
    /// When MongoDB deletes it.
    pub(in super::super) const PURGE: &str = "purgeTime";
}

/// What `withdrawn` says.
pub(super) mod withdrawn {
    pub(in super::super) const RECALLED: &str = "recalled";
    pub(in super::super) const REPLACED: &str = "replaced";
    pub(in super::super) const EXPIRED: &str = "expired";
    /// Never a notice: only that a call with an idempotency key was made.
    pub(in super::super) const ONCE: &str = "once";
}

/// How long a document outlives its end, so that its end is told before it is gone.
const GRACE: Millis = 3600 * 1000;

/// A time as BSON has it.
pub(super) fn date(at: Millis) -> DateTime {
    DateTime::from_millis(i64::try_from(at).unwrap_or(i64::MAX))
}

fn millis(date: DateTime) -> Millis {
    Millis::try_from(date.timestamp_millis()).unwrap_or(0)
}

/// A fingerprint or marker as BSON has it.
pub(super) fn binary(bytes: &[u8]) -> Binary {
    Binary {
        subtype: BinarySubtype::Generic,
        bytes: bytes.to_vec(),
    }
}

/// An id as `_id` has it.
pub(super) fn bson_id(id: NoticeId) -> Bson {
    match id.object_id() {
        Some(bytes) => Bson::ObjectId(ObjectId::from_bytes(bytes)),
        None => Bson::String(id.to_string()),
    }
}

/// The notice that a draft becomes.
pub(super) fn notice_of(id: NoticeId, draft: &Draft) -> Notice {
    Notice {
        id,
        receiver: draft.receiver.clone(),
        sender: draft.sender.clone(),
        message: draft.message.clone(),
        created: id.millis(),
        kind: draft.kind.clone(),
        data: draft.data.clone(),
        expires: match draft.lifetime {
            Lifetime::Kept | Lifetime::Ephemeral => None,
            Lifetime::Seconds(seconds) => {
                Some(id.millis().saturating_add(seconds.saturating_mul(1000)))
            }
        },
        collapse_key: draft.collapse_key.clone(),
        producer: Arc::clone(&draft.producer),
    }
}

/// The fingerprints that go with a draft.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prints {
    /// Of its idempotency key, and of its body.
    pub(super) call: Option<(Fingerprint, Fingerprint)>,
    pub(super) collapse: Option<Fingerprint>,
}

impl Prints {
    pub(super) fn of(draft: &Draft) -> Self {
        let key = draft.idempotency_fingerprint();
        let collapses = draft.lifetime != Lifetime::Ephemeral;
        Self {
            call: key.map(|key| (key, draft.body_fingerprint())),
            collapse: draft.collapse_fingerprint().filter(|_| collapses),
        }
    }
}

/// Roughly how many bytes a draft's document has.
pub(super) fn size(draft: &Draft) -> usize {
    draft.message.len() + draft.data.as_ref().map_or(0, |data| data.get().len()) + 512
}

/// The document of a notice that is unread.
pub(super) fn write_notice(notice: &Notice, prints: &Prints, limits: &Limits) -> RawDocumentBuf {
    let mut document = begin(notice, false);
    document.append(cstr!("message"), &*notice.message);
    if let Some(kind) = &notice.kind {
        document.append(cstr!("type"), &**kind);
    }
    if let Some(data) = &notice.data {
        document.append(cstr!("data"), data.get());
    }
    if let Some(expires) = notice.expires {
        document.append(cstr!("expireTime"), date(expires));
    }
    if let Some(key) = &notice.collapse_key {
        document.append(cstr!("collapseKey"), &**key);
    }
    if let Some(scope) = &prints.collapse {
        append_binary(&mut document, cstr!("collapse"), scope);
    }
    append_call(&mut document, prints);
    let retained = notice.created.saturating_add(limits.retention);
    let end = notice.expires.map_or(retained, |at| at.min(retained));
    document.append(cstr!("endTime"), date(end));
    let kept = retained.max(notice.created.saturating_add(limits.idempotency_kept));
    document.append(cstr!("purgeTime"), date(kept.saturating_add(GRACE)));
    document
}

/// The document that keeps the idempotency key of a notice which is itself never stored. For the older service it
/// is read.
pub(super) fn write_call(notice: &Notice, prints: &Prints, limits: &Limits) -> RawDocumentBuf {
    let mut document = begin(notice, true);
    document.append(cstr!("withdrawn"), withdrawn::ONCE);
    append_call(&mut document, prints);
    let kept = notice.created.saturating_add(limits.idempotency_kept);
    document.append(cstr!("purgeTime"), date(kept.saturating_add(GRACE)));
    document
}

fn begin(notice: &Notice, read: bool) -> RawDocumentBuf {
    let mut document = RawDocumentBuf::new();
    match bson_id(notice.id) {
        Bson::ObjectId(id) => document.append(cstr!("_id"), id),
        _ => document.append(cstr!("_id"), notice.id.to_string()),
    }
    document.append(cstr!("receiverId"), notice.receiver.as_str());
    if let Some(sender) = &notice.sender {
        document.append(cstr!("senderId"), sender.as_str());
    }
    document.append(cstr!("createdTime"), date(notice.created));
    document.append(cstr!("read"), read);
    if &*notice.producer != DEFAULT_PRODUCER {
        document.append(cstr!("producer"), &*notice.producer);
    }
    document
}

fn append_call(document: &mut RawDocumentBuf, prints: &Prints) {
    if let Some((key, body)) = &prints.call {
        append_binary(document, cstr!("idem"), key);
        append_binary(document, cstr!("body"), body);
    }
}

fn append_binary(document: &mut RawDocumentBuf, key: &mongodb::bson::raw::CStr, bytes: &[u8]) {
    let value = RawBinaryRef {
        subtype: BinarySubtype::Generic,
        bytes,
    };
    document.append(key, value);
}

/// What a document says beside its notice.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) notice: Notice,
    pub(super) read: bool,
    pub(super) pushed: Option<Millis>,
    pub(super) collapse: Option<Fingerprint>,
}

/// Reads a whole notice; none when the document is no notice that could be offered (its id or receiver is of a kind
/// that no version wrote).
pub(super) fn read_notice(document: &RawDocument) -> Option<Row> {
    let id = read_id(document)?;
    let notice = Notice {
        id,
        receiver: read_receiver(document)?,
        sender: read_sender(document),
        message: document.get_str("message").unwrap_or_default().into(),
        created: read_created(document, id),
        kind: document.get_str("type").ok().map(Into::into),
        data: read_data(document),
        expires: read_date(document, "expireTime"),
        collapse_key: document.get_str("collapseKey").ok().map(Into::into),
        producer: Arc::from(document.get_str("producer").unwrap_or(DEFAULT_PRODUCER)),
    };
    Some(Row {
        notice,
        read: document.get_bool(field::READ).unwrap_or_default(),
        pushed: read_date(document, field::PUSHED),
        collapse: read_print(document, field::COLLAPSE),
    })
}

/// The id of a document; none when it is none of ours nor of the older service.
pub(super) fn read_id(document: &RawDocument) -> Option<NoticeId> {
    match document.get(field::ID).ok()?? {
        RawBsonRef::ObjectId(id) => Some(NoticeId::from_object_id(id.bytes())),
        // An ObjectId written as a string could not be asked for: its text is taken for the ObjectId itself.
        RawBsonRef::String(text) => text
            .parse::<NoticeId>()
            .ok()
            .filter(|id| id.object_id().is_none()),
        _ => None,
    }
}

/// Whose notice it is.
pub(super) fn read_receiver(document: &RawDocument) -> Option<AccountId> {
    let text = document.get_str(field::RECEIVER).ok()?;
    Some(AccountId::trusted(text))
}

/// When it was created. A document without a time is as old as its id.
pub(super) fn read_created(document: &RawDocument, id: NoticeId) -> Millis {
    read_date(document, field::CREATED).unwrap_or_else(|| id.millis())
}

/// A fingerprint or marker.
pub(super) fn read_print(document: &RawDocument, name: &str) -> Option<Fingerprint> {
    let binary = document.get_binary(name).ok()?;
    binary.bytes.try_into().ok()
}

/// A time; the older service may have written milliseconds as a number.
pub(super) fn read_date(document: &RawDocument, name: &str) -> Option<Millis> {
    match document.get(name).ok()?? {
        RawBsonRef::DateTime(at) => Some(millis(at)),
        RawBsonRef::Int64(at) => Millis::try_from(at).ok(),
        _ => None,
    }
}

fn read_sender(document: &RawDocument) -> Option<AccountId> {
    match document.get("senderId").ok()?? {
        RawBsonRef::String(text) => Some(AccountId::trusted(text)),
        RawBsonRef::Int32(number) => Some(AccountId::trusted(&number.to_string())),
        RawBsonRef::Int64(number) => Some(AccountId::trusted(&number.to_string())),
        _ => None,
    }
}

/// The JSON text; what another program stored as BSON is turned into JSON as well as it can be.
fn read_data(document: &RawDocument) -> Option<Box<RawValue>> {
    match document.get("data").ok()?? {
        RawBsonRef::String(text) => RawValue::from_string(text.to_owned()).ok(),
        other => {
            let value = RawBson::from(other);
            serde_json::value::to_raw_value(&Bson::try_from(value).ok()?).ok()
        }
    }
}

/// Why a document is withdrawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gone {
    /// It was a notice.
    Withdrawn(Withdrawal),
    /// It never was one.
    Never,
}

/// Whether and why a document is out of the inbox without being read.
pub(super) fn read_withdrawn(document: &RawDocument) -> Option<Gone> {
    match document.get_str(field::WITHDRAWN).ok()? {
        withdrawn::RECALLED => Some(Gone::Withdrawn(Withdrawal::Recalled)),
        withdrawn::REPLACED => Some(Gone::Withdrawn(Withdrawal::Replaced)),
        withdrawn::EXPIRED => Some(Gone::Withdrawn(Withdrawal::Expired)),
        _ => Some(Gone::Never),
    }
}

/// What became of a notice; none when the document never was one.
pub(super) fn state_of(document: &RawDocument, pushed: bool, now: Millis) -> Option<StateName> {
    let ended = read_date(document, field::END).is_some_and(|end| end <= now);
    Some(match read_withdrawn(document) {
        Some(Gone::Never) => return None,
        Some(Gone::Withdrawn(Withdrawal::Recalled)) => StateName::Recalled,
        Some(Gone::Withdrawn(Withdrawal::Replaced)) => StateName::Replaced,
        Some(Gone::Withdrawn(Withdrawal::Expired)) => StateName::Expired,
        None if document.get_bool(field::READ).unwrap_or_default() => StateName::Read,
        None if ended => StateName::Expired,
        None if pushed => StateName::Pushed,
        None => StateName::Staged,
    })
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
