//! JSON from callers, read strictly and within bounds.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::problem::{Code, Problem};

/// Reads a JSON object of a known shape.
///
/// # Errors
/// What is wrong with it, and where.
pub(super) fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Problem> {
    check_object(json)?;
    serde_json::from_slice(json)
        .map_err(|error| Problem::invalid(format!("not the JSON expected: {error}")))
}

/// Derived readers also take a list, for an object with its members in their order; no caller means that.
///
/// # Errors
/// When the JSON does not begin as an object does.
pub(super) fn check_object(json: &[u8]) -> Result<(), Problem> {
    match first_byte(json) {
        Some(b'{') => Ok(()),
        _ => Err(Problem::invalid("not the JSON expected: an object")),
    }
}

/// The first byte that is no white space.
pub(super) fn first_byte(body: &[u8]) -> Option<u8> {
    body.iter()
        .copied()
        .find(|byte| !byte.is_ascii_whitespace())
}

/// Reads a list of at most `limit` items, without reading on when there are more.
///
/// # Errors
/// `TOO_LARGE` when there are, with `what` they are; `INVALID_ARGUMENT` when it is no such list.
pub(super) fn bounded_list<'de, T: Deserialize<'de>>(
    json: &'de [u8],
    limit: usize,
    what: &'static str,
) -> Result<Vec<T>, Problem> {
    let mut over = false;
    let mut reader = serde_json::Deserializer::from_slice(json);
    let seed = BoundedList {
        limit,
        over: &mut over,
        item: std::marker::PhantomData,
    };
    let list = seed
        .deserialize(&mut reader)
        .and_then(|list| reader.end().map(|()| list));
    match list {
        _ if over => Err(Problem::new(
            Code::TooLarge,
            format!("at most {limit} {what}"),
        )),
        Ok(list) => Ok(list),
        Err(error) => Err(Problem::invalid(format!("not the JSON expected: {error}"))),
    }
}

/// `data` is handed on as it came; every client must be able to read it: no half surrogates, no nesting past what
/// parsers take (128).
///
/// # Errors
/// What no client could read.
pub(super) fn check_data(data: &RawValue) -> Result<(), Problem> {
    serde_json::from_str::<Strict>(data.get())
        .map(|_| ())
        .map_err(|error| {
            Problem::invalid(format!(
                "data is not JSON that every client can read: {error}"
            ))
        })
}

struct Strict;

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Strict;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Strict, A::Error> {
        while seq.next_element::<Strict>()?.is_some() {}
        Ok(Strict)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Strict, A::Error> {
        while map.next_entry::<Strict, Strict>()?.is_some() {}
        Ok(Strict)
    }
}

struct BoundedList<'o, T> {
    limit: usize,
    over: &'o mut bool,
    item: std::marker::PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for BoundedList<'_, T> {
    type Value = Vec<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<T>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for BoundedList<'_, T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {}", self.limit)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = seq.next_element()? {
            if list.len() == self.limit {
                *self.over = true;
                return Err(de::Error::custom("too many"));
            }
            list.push(item);
        }
        Ok(list)
    }
}
