//! The values of the store's tables, as bytes.
//!
//! The notices table carries a version byte, as its rows are what may grow fields one day; the others are of
//! fixed form, and the folder's format number stands for them. Values up to 20 bytes are kept within the
//! engine's own handle, without an allocation: that is why rows are as short as they are.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::keys::AccountHash;
use crate::clock::Millis;
use crate::domain::{AccountId, Draft, Lifetime, Notice, NoticeId, Source};

/// A stored row that can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a row of the {table} table can not be read")]
pub(super) struct BadRow {
    pub(super) table: &'static str,
}

/// The last time that fits in six bytes; nothing is due after it.
const LAST: Millis = (1 << 48) - 1;

fn put_time(out: &mut [u8], at: Option<Millis>) {
    // Zero stands for none: nothing happened at the epoch itself.
    let at = at.map_or(0, |at| at.clamp(1, LAST));
    out.copy_from_slice(&at.to_be_bytes()[2..]);
}

fn get_time(bytes: &[u8]) -> Option<Millis> {
    let at = bytes
        .iter()
        .fold(0, |at, &byte| (at << 8) | Millis::from(byte));
    (at > 0).then_some(at)
}

/// When a draft staged at `created` ends.
pub(super) fn expires(created: Millis, lifetime: Lifetime) -> Option<Millis> {
    match lifetime {
        Lifetime::Seconds(seconds) => Some(
            created
                .saturating_add(seconds.saturating_mul(1000))
                .min(LAST),
        ),
        Lifetime::Kept | Lifetime::Ephemeral => None,
    }
}

/// A row of the unread table. It exists only while the notice is unread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UnreadRow {
    pub(super) expires: Option<Millis>,
    pub(super) pushed: Option<Millis>,
    /// The other half of the account's hash.
    pub(super) check: u64,
}

impl UnreadRow {
    pub(super) fn bytes(self) -> [u8; 20] {
        let mut bytes = [0; 20];
        put_time(&mut bytes[..6], self.expires);
        put_time(&mut bytes[6..12], self.pushed);
        bytes[12..].copy_from_slice(&self.check.to_be_bytes());
        bytes
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, BadRow> {
        let bytes: &[u8; 20] = bytes.try_into().map_err(|_| BadRow { table: "unread" })?;
        let mut check = [0; 8];
        check.copy_from_slice(&bytes[12..]);
        Ok(Self {
            expires: get_time(&bytes[..6]),
            pushed: get_time(&bytes[6..12]),
            check: u64::from_be_bytes(check),
        })
    }

    pub(super) fn belongs_to(&self, account: AccountHash) -> bool {
        self.check == account.check()
    }

    pub(super) fn expired(&self, now: Millis) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }
}

/// What became of a notice that is no longer unread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    ReadExplicitly = 1,
    ReadAutomatically = 2,
    Expired = 3,
    Replaced = 4,
    Recalled = 5,
}

impl Fate {
    pub(super) fn is_read(self) -> bool {
        matches!(self, Self::ReadExplicitly | Self::ReadAutomatically)
    }
}

/// A row of the marks table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) fate: Fate,
    pub(super) pushed: Option<Millis>,
    pub(super) read: Option<Millis>,
}

impl Mark {
    pub(super) fn bytes(self) -> [u8; 13] {
        let mut bytes = [0; 13];
        bytes[0] = self.fate as u8;
        put_time(&mut bytes[1..7], self.pushed);
        put_time(&mut bytes[7..], self.read);
        bytes
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, BadRow> {
        let bad = BadRow { table: "marks" };
        let bytes: &[u8; 13] = bytes.try_into().map_err(|_| bad)?;
        let fate = match bytes[0] {
            1 => Fate::ReadExplicitly,
            2 => Fate::ReadAutomatically,
            3 => Fate::Expired,
            4 => Fate::Replaced,
            5 => Fate::Recalled,
            _ => return Err(bad),
        };
        Ok(Self {
            fate,
            pushed: get_time(&bytes[1..7]),
            read: get_time(&bytes[7..]),
        })
    }
}

/// A row of the idempotency table: the first call with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FirstCall {
    pub(super) id: NoticeId,
    pub(super) body: u128,
}

impl FirstCall {
    pub(super) fn bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&self.id.bits().to_be_bytes());
        bytes[16..].copy_from_slice(&self.body.to_be_bytes());
        bytes
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, BadRow> {
        let read = || {
            let (id, body) = bytes.split_at_checked(16)?;
            let id = NoticeId::from_bits(u128::from_be_bytes(id.try_into().ok()?));
            Some(Self {
                id,
                body: u128::from_be_bytes(body.try_into().ok()?),
            })
        };
        read().ok_or(BadRow {
            table: "idempotency",
        })
    }
}

const NOTICE_VERSION: u8 = 1;
const HAS_SENDER: u8 = 1;
const HAS_KIND: u8 = 2;
const HAS_DATA: u8 = 4;
const HAS_COLLAPSE_KEY: u8 = 8;
const HAS_TTL: u8 = 16;

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(0x80 | (number & 0x7f).to_le_bytes()[0]);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_number(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Appends a draft's row of the notices table. It holds nothing that depends on the id or the time, so it
/// can be made before they are known.
pub(super) fn write_notice(draft: &Draft, out: &mut Vec<u8>) {
    let optional = [
        (HAS_SENDER, draft.sender.as_ref().map(AccountId::as_str)),
        (HAS_KIND, draft.kind.as_deref()),
        (HAS_DATA, draft.data.as_ref().map(|data| data.get())),
        (HAS_COLLAPSE_KEY, draft.collapse_key.as_deref()),
    ];
    let ttl = if let Lifetime::Seconds(seconds) = draft.lifetime {
        Some(seconds)
    } else {
        None
    };
    let flags = optional
        .iter()
        .filter(|(_, text)| text.is_some())
        .fold(0, |flags, (flag, _)| flags | flag);
    out.push(NOTICE_VERSION);
    out.push(flags | if ttl.is_some() { HAS_TTL } else { 0 });
    put_text(out, draft.receiver.as_str());
    put_text(out, &draft.producer);
    put_text(out, &draft.message);
    for text in optional.iter().filter_map(|(_, text)| *text) {
        put_text(out, text);
    }
    if let Some(ttl) = ttl {
        put_number(out, ttl);
    }
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn text(&mut self) -> Option<&'a str> {
        let len = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }

    fn text_if(&mut self, present: bool) -> Option<Option<&'a str>> {
        if present {
            self.text().map(Some)
        } else {
            Some(None)
        }
    }
}

/// The receiver of a row of the notices table.
pub(super) fn receiver(bytes: &[u8]) -> Result<AccountId, BadRow> {
    let mut fields = Fields(bytes.get(2..).unwrap_or_default());
    let receiver = fields.text().filter(|_| bytes[0] == NOTICE_VERSION);
    receiver
        .map(AccountId::trusted)
        .ok_or(BadRow { table: "notices" })
}

/// The notice of a row.
pub(super) fn read_notice(id: NoticeId, bytes: &[u8]) -> Result<Notice, BadRow> {
    fields_of_notice(id, bytes).ok_or(BadRow { table: "notices" })
}

fn fields_of_notice(id: NoticeId, bytes: &[u8]) -> Option<Notice> {
    let mut fields = Fields(bytes);
    if fields.byte()? != NOTICE_VERSION {
        return None;
    }
    let flags = fields.byte()?;
    let (receiver, producer, message) = (fields.text()?, fields.text()?, fields.text()?);
    let sender = fields.text_if(flags & HAS_SENDER != 0)?;
    let kind = fields.text_if(flags & HAS_KIND != 0)?;
    let data = fields.text_if(flags & HAS_DATA != 0)?;
    let collapse_key = fields.text_if(flags & HAS_COLLAPSE_KEY != 0)?;
    let ttl = if flags & HAS_TTL != 0 {
        Some(fields.number()?)
    } else {
        None
    };
    let data = match data {
        Some(data) => Some(RawValue::from_string(data.to_owned()).ok()?),
        None => None,
    };
    Some(Notice {
        id,
        receiver: AccountId::trusted(receiver),
        sender: sender.map(AccountId::trusted),
        message: message.into(),
        created: id.millis(),
        kind: kind.map(Into::into),
        data,
        expires: ttl.and_then(|ttl| expires(id.millis(), Lifetime::Seconds(ttl))),
        collapse_key: collapse_key.map(Into::into),
        producer: Arc::from(producer),
    })
}

/// The notice of a draft that just got its id.
pub(super) fn notice_of(id: NoticeId, draft: Draft) -> Notice {
    Notice {
        id,
        created: id.millis(),
        expires: expires(id.millis(), draft.lifetime),
        receiver: draft.receiver,
        sender: draft.sender,
        message: draft.message,
        kind: draft.kind,
        data: draft.data,
        collapse_key: draft.collapse_key,
        producer: draft.producer,
    }
}

/// A draft like the one that a notice was made of, as far as its collapse scope goes.
pub(super) fn draft_of(notice: Notice) -> Draft {
    Draft {
        receiver: notice.receiver,
        sender: notice.sender,
        message: notice.message,
        kind: notice.kind,
        data: notice.data,
        lifetime: Lifetime::Kept,
        collapse_key: notice.collapse_key,
        idempotency_key: None,
        producer: notice.producer,
        source: Source::Service,
        accepted: std::time::Instant::now(),
    }
}

/// A row of the tokens table: when the token ends, and whose it is.
pub(super) fn write_token(expires: Millis, account: &AccountId) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + account.as_str().len());
    bytes.extend_from_slice(&expires.to_be_bytes());
    bytes.extend_from_slice(account.as_str().as_bytes());
    bytes
}

/// When a token ends, and whose it is.
pub(super) fn read_token(bytes: &[u8]) -> Result<(Millis, AccountId), BadRow> {
    let read = || {
        let (expires, account) = bytes.split_at_checked(8)?;
        let expires = Millis::from_be_bytes(expires.try_into().ok()?);
        Some((
            expires,
            AccountId::trusted(std::str::from_utf8(account).ok()?),
        ))
    };
    read().ok_or(BadRow { table: "tokens" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lifetime() -> impl Strategy<Value = Lifetime> {
        prop_oneof![
            Just(Lifetime::Kept),
            any::<u64>().prop_map(Lifetime::Seconds)
        ]
    }

    prop_compose! {
        fn draft()(
            receiver in ".{1,20}",
            sender in prop::option::of(".{0,20}"),
            (message, kind) in (".{0,300}", prop::option::of(".{0,9}")),
            data in prop::option::of(any::<i64>()),
            collapse in prop::option::of(".{0,9}"),
            producer in ".{0,9}",
            lifetime in lifetime(),
        ) -> Draft {
            let json = |number: i64| RawValue::from_string(format!("[ {number}]")).expect("JSON");
            Draft {
                receiver: AccountId::trusted(&receiver),
                sender: sender.map(|sender| AccountId::trusted(&sender)),
                message: message.into(),
                kind: kind.map(Into::into),
                data: data.map(json),
                lifetime,
                collapse_key: collapse.map(Into::into),
                idempotency_key: None,
                producer: producer.into(),
                source: Source::Service,
                accepted: std::time::Instant::now(),
            }
        }
    }

    proptest! {
        #[test]
        fn a_notice_reads_back_as_it_was_written(draft in draft(), id: u128) {
            let id = NoticeId::from_bits(id);
            let mut row = Vec::new();
            write_notice(&draft, &mut row);
            prop_assert_eq!(receiver(&row), Ok(draft.receiver.clone()));
            let found = read_notice(id, &row).expect("readable");
            let expected = notice_of(id, draft);
            let debug = |notice: &Notice| format!("{notice:?}");
            prop_assert_eq!(debug(&found), debug(&expected));
        }

        #[test]
        fn a_cut_or_random_row_is_an_error_and_never_a_panic(draft in draft(), cut: prop::sample::Index) {
            let mut row = Vec::new();
            write_notice(&draft, &mut row);
            row.truncate(cut.index(row.len()));
            prop_assert!(read_notice(NoticeId::from_bits(1), &row).is_err());
        }

        #[test]
        fn rows_of_fixed_form_read_back(expires in 0..=LAST, pushed in 1..=LAST, check: u64, fate in 1_u8..=5) {
            let expires = (expires > 0).then_some(expires);
            let row = UnreadRow { expires, pushed: Some(pushed), check };
            prop_assert_eq!(UnreadRow::read(&row.bytes()), Ok(row));
            let mut bytes = Mark { fate: Fate::Expired, pushed: None, read: Some(pushed) }.bytes();
            bytes[0] = fate;
            prop_assert_eq!(Mark::read(&bytes).map(|mark| mark.bytes()), Ok(bytes));
        }
    }
}
