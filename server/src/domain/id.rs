//! Notice ids: 128 bits that sort by the store's clock.
//!
//! From the highest bit: 48 bits of milliseconds since the epoch, a 16-bit counter within the millisecond, and
//! a 64-bit tail that the store chooses (the embedded store puts a keyed hash of the account there, so that an
//! id alone leads to its record by one look-up; see `docs/adr`). As text: 26 characters of Crockford's base 32,
//! so texts sort as the numbers do.
//!
//! Notices that an older service left in MongoDB have an `ObjectId` instead: 32 bits of seconds and 64 more. Such an
//! id is kept in the same 128 bits, marked by a counter that no id of ours has, and its text is the `ObjectId`'s own:
//! 24 hexadecimal digits. It sorts behind the first instant of its second.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::clock::Millis;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const HEXADECIMAL: &[u8; 16] = b"0123456789abcdef";
const TEXT_LEN: usize = 26;
const MAX_MILLIS: Millis = (1 << 48) - 1;
/// The counter that marks an `ObjectId`.
const OBJECT: u16 = u16::MAX;
const OBJECT_TEXT_LEN: usize = 24;

/// The unique id of a notice.
///
/// ```
/// use notice_server::domain::NoticeId;
///
/// let older = NoticeId::new(1_790_000_000_123, 0, 7);
/// let newer = NoticeId::new(1_790_000_000_124, 0, 3);
/// assert_eq!(older.to_string().parse(), Ok(older));
/// assert_eq!(older.millis(), 1_790_000_000_123);
/// assert!(older.to_string() < newer.to_string());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NoticeId(u128);

/// The text is not an id of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a notice id: 26 characters of 0-9 and A-Z without I, L, O, U (or, of an older service, 24 of 0-9 and a-f)"
)]
pub struct NoticeIdError;

impl NoticeId {
    /// Puts an id together. Milliseconds past the year 10889 are cut to the last that fits.
    #[must_use]
    pub fn new(millis: Millis, counter: u16, tail: u64) -> Self {
        let millis = u128::from(millis.min(MAX_MILLIS));
        Self((millis << 80) | (u128::from(counter) << 64) | u128::from(tail))
    }

    /// The id of a notice that an older service stored under this `ObjectId`.
    #[must_use]
    pub fn from_object_id(bytes: [u8; 12]) -> Self {
        let [s0, s1, s2, s3, rest @ ..] = bytes;
        let seconds = u32::from_be_bytes([s0, s1, s2, s3]);
        Self::new(u64::from(seconds) * 1000, OBJECT, u64::from_be_bytes(rest))
    }

    /// The `ObjectId` that this id stands for, if it does.
    #[must_use]
    pub fn object_id(self) -> Option<[u8; 12]> {
        let seconds = u32::try_from(self.millis() / 1000).ok()?;
        if self.order() & u64::from(OBJECT) != u64::from(OBJECT)
            || !self.millis().is_multiple_of(1000)
        {
            return None;
        }
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&seconds.to_be_bytes());
        bytes[4..].copy_from_slice(&self.tail().to_be_bytes());
        Some(bytes)
    }

    /// The id of these 128 bits.
    #[must_use]
    pub fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// The id's 128 bits.
    #[must_use]
    pub fn bits(self) -> u128 {
        self.0
    }

    /// When the notice was created, by the store's clock.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "48 bits are left")]
    pub fn millis(self) -> Millis {
        (self.0 >> 80) as u64
    }

    /// Milliseconds and counter: what orders ids of one store.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "64 bits are left")]
    pub fn order(self) -> u64 {
        (self.0 >> 64) as u64
    }

    /// The part that the store chose.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "the low half is meant")]
    pub fn tail(self) -> u64 {
        self.0 as u64
    }

    fn text(self) -> IdText {
        let mut text = IdText {
            bytes: [0; TEXT_LEN],
            len: TEXT_LEN,
        };
        match self.object_id() {
            Some(object) => text.write_hexadecimal(object),
            None => text.write_base32(self.0),
        }
        text
    }
}

/// An id's text, on the stack.
struct IdText {
    bytes: [u8; TEXT_LEN],
    len: usize,
}

impl IdText {
    fn write_base32(&mut self, bits: u128) {
        for (place, character) in self.bytes.iter_mut().rev().enumerate() {
            let digit = (bits >> (5 * place)) & 31;
            *character = ALPHABET[usize::try_from(digit).unwrap_or(0)];
        }
    }

    fn write_hexadecimal(&mut self, object: [u8; 12]) {
        self.len = OBJECT_TEXT_LEN;
        for (pair, byte) in self.bytes.chunks_mut(2).zip(object) {
            pair[0] = HEXADECIMAL[usize::from(byte >> 4)];
            pair[1] = HEXADECIMAL[usize::from(byte & 15)];
        }
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl FromStr for NoticeId {
    type Err = NoticeIdError;

    fn from_str(text: &str) -> Result<Self, NoticeIdError> {
        if text.len() == OBJECT_TEXT_LEN {
            return parse_object_id(text).map(Self::from_object_id);
        }
        if text.len() != TEXT_LEN {
            return Err(NoticeIdError);
        }
        let mut bits: u128 = 0;
        for (place, character) in text.bytes().enumerate() {
            let digit = ALPHABET
                .iter()
                .position(|&a| a == character)
                .ok_or(NoticeIdError)?;
            // 26 characters hold 130 bits: the first may only use three of its five.
            if place == 0 && digit > 7 {
                return Err(NoticeIdError);
            }
            bits = (bits << 5) | digit as u128;
        }
        let id = Self(bits);
        // An ObjectId has one text only, its own.
        if id.object_id().is_some() {
            return Err(NoticeIdError);
        }
        Ok(id)
    }
}

fn parse_object_id(text: &str) -> Result<[u8; 12], NoticeIdError> {
    let digit = |character: u8| {
        HEXADECIMAL
            .iter()
            .position(|&a| a == character.to_ascii_lowercase())
            .and_then(|digit| u8::try_from(digit).ok())
            .ok_or(NoticeIdError)
    };
    let mut object = [0; 12];
    for (byte, pair) in object.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = (digit(pair[0])? << 4) | digit(pair[1])?;
    }
    Ok(object)
}

impl fmt::Display for NoticeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text().as_str())
    }
}

impl fmt::Debug for NoticeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for NoticeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text().as_str())
    }
}

/// Makes ids that never go back, even when the clock does: the counter runs on within the last millisecond,
/// and into the next one when it is used up.
#[derive(Debug, Default)]
pub struct IdSource {
    last: u64,
}

impl IdSource {
    /// A source whose ids come after `last` (the order of the newest stored id, 0 for none).
    #[must_use]
    pub fn after(last: u64) -> Self {
        Self { last }
    }

    /// The order of the newest id so far.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The next id at `now` with this tail.
    pub fn next(&mut self, now: Millis, tail: u64) -> NoticeId {
        let earliest = now.min(MAX_MILLIS) << 16;
        let mut order = earliest.max(self.last.saturating_add(1));
        if order & u64::from(OBJECT) == u64::from(OBJECT) {
            order = order.saturating_add(1);
        }
        self.last = order;
        NoticeId((u128::from(self.last) << 64) | u128::from(tail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_reads_back_from_its_text_and_texts_sort_as_ids_do(a: u128, b: u128) {
            let (a, b) = (NoticeId::from_bits(a), NoticeId::from_bits(b));
            prop_assert_eq!(a.to_string().parse::<NoticeId>(), Ok(a));
            if a.object_id().is_none() && b.object_id().is_none() {
                prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
            }
        }

        #[test]
        fn an_object_id_reads_back_from_its_own_text(bytes: [u8; 12]) {
            let id = NoticeId::from_object_id(bytes);
            prop_assert_eq!(id.object_id(), Some(bytes));
            prop_assert_eq!(id.to_string().len(), 24);
            prop_assert_eq!(id.to_string().parse::<NoticeId>(), Ok(id));
            prop_assert_eq!(id.to_string().to_uppercase().parse::<NoticeId>(), Ok(id));
        }

        #[test]
        fn no_text_makes_the_parser_panic_and_only_canonical_texts_are_ids(text in ".{0,40}") {
            if let Ok(id) = text.parse::<NoticeId>() {
                let text = if id.object_id().is_some() { text.to_lowercase() } else { text };
                prop_assert_eq!(id.to_string(), text);
            }
        }

        #[test]
        fn ids_of_one_source_rise_whatever_the_clock_does(times in prop::collection::vec(0_u64..5, 1..300)) {
            let mut source = IdSource::default();
            let ids: Vec<_> = times.iter().map(|&now| source.next(now, 7)).collect();
            prop_assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }

    #[test]
    fn a_source_never_makes_what_would_pass_for_an_object_id() {
        let mut source = IdSource::after((2000 << 16) | 0xfffe);
        let id = source.next(2000, 1);
        assert_eq!((id.millis(), id.object_id()), (2001, None));
    }

    #[test]
    fn the_counter_runs_on_into_the_next_millisecond() {
        let mut source = IdSource::after((41 << 16) | 0xffff);
        let id = source.next(41, 1);
        assert_eq!((id.millis(), id.tail()), (42, 1));
    }
}
