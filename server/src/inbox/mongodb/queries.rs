//! What is asked of MongoDB, as filters. Pure; a test holds each of them against the indexes.

use mongodb::bson::{Bson, Document, doc};

use super::document::{binary, bson_id, date, field, withdrawn};
use super::options::Limits;
use crate::clock::Millis;
use crate::domain::{AccountId, Fingerprint, NoticeId};
use crate::inbox::HistoryQuery;

/// Accounts as an array.
pub(super) fn texts<'a>(accounts: impl IntoIterator<Item = &'a AccountId>) -> Vec<Bson> {
    let text = |account: &AccountId| Bson::String(account.as_str().to_owned());
    accounts.into_iter().map(text).collect()
}

/// Ids as an array.
pub(super) fn ids<'a>(ids: impl IntoIterator<Item = &'a NoticeId>) -> Vec<Bson> {
    ids.into_iter().map(|id| bson_id(*id)).collect()
}

/// Not ended at `now`. Documents of the older service have no end.
fn not_ended(now: Millis) -> Document {
    doc! { "$not": { "$lte": date(now) } }
}

/// Within the retention at `now`. A document without a time is.
fn retained(limits: &Limits, now: Millis) -> Document {
    doc! { "$not": { "$lte": date(limits.oldest(now)) } }
}

/// One account, or any of several.
pub(super) fn of_accounts<'a>(accounts: impl IntoIterator<Item = &'a AccountId>) -> Bson {
    let mut texts = texts(accounts);
    match texts.pop() {
        Some(only) if texts.is_empty() => only,
        last => {
            texts.extend(last);
            Bson::Document(doc! { "$in": texts })
        }
    }
}

/// The unread notices of accounts.
pub(super) fn unread<'a>(
    accounts: impl IntoIterator<Item = &'a AccountId>,
    limits: &Limits,
    now: Millis,
) -> Document {
    doc! {
        field::RECEIVER: of_accounts(accounts),
        field::READ: false,
        field::CREATED: retained(limits, now),
        field::END: not_ended(now),
    }
}

/// The same, without some.
pub(super) fn unread_without(
    account: &AccountId,
    skip: &[NoticeId],
    limits: &Limits,
    now: Millis,
) -> Document {
    let mut filter = unread([account], limits, now);
    if !skip.is_empty() {
        filter.insert(field::ID, doc! { "$nin": ids(skip) });
    }
    filter
}

/// Oldest first.
pub(super) fn oldest_first() -> Document {
    doc! { field::CREATED: 1, field::ID: 1 }
}

/// Newest first.
pub(super) fn newest_first() -> Document {
    doc! { field::CREATED: -1, field::ID: -1 }
}

/// How many unread notices each of several accounts has.
pub(super) fn count_unread(accounts: &[&AccountId], limits: &Limits, now: Millis) -> [Document; 2] {
    [
        doc! { "$match": unread(accounts.iter().copied(), limits, now) },
        doc! { "$group": { "_id": format!("${}", field::RECEIVER), "count": { "$sum": 1 } } },
    ]
}

/// Those of `wanted` that may still be offered to who was online when they were staged.
pub(super) fn fetch(
    account: &AccountId,
    wanted: &[NoticeId],
    limits: &Limits,
    now: Millis,
) -> Document {
    doc! {
        field::ID: { "$in": ids(wanted) },
        field::RECEIVER: account.as_str(),
        field::WITHDRAWN: { "$exists": false },
        field::EXPLICIT: { "$ne": true },
        field::CREATED: retained(limits, now),
        field::END: not_ended(now),
    }
}

/// An account's history. `before` is the id before which it goes on, with the time of its notice.
pub(super) fn history(
    account: &AccountId,
    query: &HistoryQuery,
    before: Option<(NoticeId, Millis)>,
    limits: &Limits,
    now: Millis,
) -> Document {
    let shown = if query.unread_only {
        doc! { field::READ: false, field::END: not_ended(now) }
    } else {
        doc! { "$or": [{ field::READ: true }, { field::END: not_ended(now) }] }
    };
    let mut all = vec![shown, doc! { field::CREATED: retained(limits, now) }];
    if let Some((id, created)) = before {
        all.push(doc! { field::CREATED: { "$lte": date(created) } });
        all.push(doc! { "$or": older_than(id, created) });
    }
    doc! {
        field::RECEIVER: account.as_str(),
        field::WITHDRAWN: { "$exists": false },
        "$and": all,
    }
}

/// What was read automatically since a time, oldest first, and behind a notice where one is given with its time.
pub(super) fn read_automatically(
    account: &AccountId,
    since: Millis,
    after: Option<(NoticeId, Millis)>,
    limits: &Limits,
    now: Millis,
) -> Document {
    let since = after.map_or(since, |(_, created)| since.max(created));
    let mut all = vec![
        doc! { field::CREATED: { "$gte": date(since) } },
        doc! { field::CREATED: retained(limits, now) },
    ];
    if let Some((id, created)) = after {
        all.push(doc! { "$or": newer_than(id, created) });
    }
    doc! {
        field::RECEIVER: account.as_str(),
        field::READ: true,
        field::EXPLICIT: { "$ne": true },
        field::WITHDRAWN: { "$exists": false },
        field::END: not_ended(now),
        "$and": all,
    }
}

/// What lies behind a notice in the order of (time, id). Of the two kinds of ids, strings come first.
fn newer_than(id: NoticeId, created: Millis) -> Vec<Document> {
    let at = date(created);
    let mut newer = vec![
        doc! { field::CREATED: { "$gt": at } },
        doc! { field::CREATED: at, field::ID: { "$gt": bson_id(id) } },
    ];
    if id.object_id().is_none() {
        newer.push(doc! { field::CREATED: at, field::ID: { "$type": "objectId" } });
    }
    newer
}

/// What lies before a notice in the order of (time, id). Ids of one kind are compared; of the two kinds, strings come
/// first.
fn older_than(id: NoticeId, created: Millis) -> Vec<Document> {
    let at = date(created);
    let mut older = vec![
        doc! { field::CREATED: { "$lt": at } },
        doc! { field::CREATED: at, field::ID: { "$lt": bson_id(id) } },
    ];
    if id.object_id().is_some() {
        older.push(doc! { field::CREATED: at, field::ID: { "$type": "string" } });
    }
    older
}

/// Earlier calls with these keys. On a cluster of shards keys are unique for each receiver only.
pub(super) fn earlier_calls(
    keys: &[Fingerprint],
    receivers: &[&AccountId],
    sharded: bool,
) -> Document {
    let keys: Vec<_> = keys.iter().map(|key| binary(key)).collect();
    let mut filter = doc! { field::IDEMPOTENCY: { "$in": keys } };
    if sharded {
        filter.insert(field::RECEIVER, of_accounts(receivers.iter().copied()));
    }
    filter
}

/// The unread notices of collapse scopes. A scope has its receiver in it; only a cluster of shards is told which.
pub(super) fn collapsing(
    scopes: &[Fingerprint],
    receivers: &[&AccountId],
    sharded: bool,
    limits: &Limits,
    now: Millis,
) -> Document {
    let scopes: Vec<_> = scopes.iter().map(|scope| binary(scope)).collect();
    let mut filter = unread(receivers.iter().copied(), limits, now);
    if !sharded {
        filter.remove(field::RECEIVER);
    }
    filter.insert(field::COLLAPSE, doc! { "$in": scopes });
    filter
}

/// What ended unread.
pub(super) fn ended(now: Millis) -> Document {
    doc! { field::READ: false, field::END: { "$lte": date(now) } }
}

/// Withdraws unread notices. For the older service they are read.
pub(super) fn withdraw(
    wanted: &[NoticeId],
    receivers: &[&AccountId],
    why: &str,
    marker: &Fingerprint,
) -> Document {
    doc! {
        "q": {
            field::ID: { "$in": ids(wanted) },
            field::RECEIVER: of_accounts(receivers.iter().copied()),
            field::READ: false,
        },
        "u": { "$set": {
            field::READ: true,
            field::WITHDRAWN: why,
            field::WITHDRAWN_BY: binary(marker),
        } },
        "multi": true,
    }
}

/// What an operation withdrew, of `wanted`.
pub(super) fn withdrawn_by(wanted: &[NoticeId], marker: &Fingerprint) -> Document {
    doc! { field::ID: { "$in": ids(wanted) }, field::WITHDRAWN_BY: binary(marker) }
}

/// A notice that is not recalled yet, and its recall.
pub(super) fn recall(
    id: NoticeId,
    pushed: Option<Millis>,
    marker: &Fingerprint,
    limits: &Limits,
    now: Millis,
) -> (Document, Document) {
    let filter = doc! {
        field::ID: bson_id(id),
        field::WITHDRAWN: { "$nin": [withdrawn::RECALLED, withdrawn::ONCE] },
        field::CREATED: retained(limits, now),
    };
    let mut update = doc! { "$set": {
        field::READ: true,
        field::WITHDRAWN: withdrawn::RECALLED,
        field::WITHDRAWN_BY: binary(marker),
    } };
    if let Some(at) = pushed {
        update.insert("$min", doc! { field::PUSHED: date(at) });
    }
    (filter, update)
}

/// Notices by their ids.
pub(super) fn by_id(wanted: &[NoticeId]) -> Document {
    doc! { field::ID: { "$in": ids(wanted) } }
}

/// Which notices one update of a group of acknowledgements is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Acknowledging<'a> {
    pub(super) ids: &'a [NoticeId],
    pub(super) receivers: &'a [&'a AccountId],
    pub(super) explicit: bool,
    /// When a transport had taken them, if that is not stored yet.
    pub(super) pushed: Option<Millis>,
    pub(super) marker: &'a Fingerprint,
    pub(super) now: Millis,
}

/// Marks unread notices as read.
pub(super) fn read_first(what: &Acknowledging<'_>) -> Document {
    let mut set = doc! {
        field::READ: true,
        field::READ_TIME: date(what.now),
        field::READ_BY: binary(what.marker),
    };
    if what.explicit {
        set.insert(field::EXPLICIT, true);
    }
    let mut update = doc! { "$set": set };
    if let Some(at) = what.pushed {
        update.insert("$min", doc! { field::PUSHED: date(at) });
    }
    doc! {
        "q": {
            field::ID: { "$in": ids(what.ids) },
            field::RECEIVER: of_accounts(what.receivers.iter().copied()),
            field::READ: false,
            field::END: not_ended(what.now),
        },
        "u": update,
        "multi": true,
    }
}

/// Marks what had been read automatically as read explicitly.
pub(super) fn read_explicitly(what: &Acknowledging<'_>) -> Document {
    doc! {
        "q": {
            field::ID: { "$in": ids(what.ids) },
            field::RECEIVER: of_accounts(what.receivers.iter().copied()),
            field::READ: true,
            field::WITHDRAWN: { "$exists": false },
            field::EXPLICIT: { "$ne": true },
        },
        "u": { "$set": { field::EXPLICIT: true, field::EXPLICIT_BY: binary(what.marker) } },
        "multi": true,
    }
}

/// Notes when notices were first taken by a transport.
pub(super) fn pushed(wanted: &[NoticeId], at: Millis) -> Document {
    doc! {
        "q": { field::ID: { "$in": ids(wanted) } },
        "u": { "$min": { field::PUSHED: date(at) } },
        "multi": true,
    }
}
