//! What is written into an event stream, as bytes (HTML standard, section 9.2). Pure.

use bytes::Bytes;
use serde::Serialize;

use crate::delivery::{Push, Shape};
use crate::domain::NoticeId;

/// Keeps the connection known as alive; clients pass it over.
pub(super) const COMMENT: Bytes = Bytes::from_static(b":\n\n");

/// In chunks, the end of the stream.
pub(super) const LAST_CHUNK: Bytes = Bytes::from_static(b"0\r\n\r\n");

/// What ends a chunk.
pub(super) const CHUNK_END: Bytes = Bytes::from_static(b"\r\n");

/// What begins a chunk of so many bytes.
pub(super) fn chunk_start(bytes: usize) -> Bytes {
    format!("{bytes:x}\r\n").into()
}

/// The stream's first line: after how many milliseconds a browser comes back.
pub(super) fn retry(millis: u64) -> Bytes {
    format!("retry: {millis}\n\n").into()
}

/// A notice's event, made once for all its streams. One that is not stored has no id: nobody can resume behind it.
pub(super) fn notice(push: &Push) -> Bytes {
    push.encoded(Shape::Event, |json| {
        event(push.is_stored().then(|| push.id()), "notice", json)
    })
}

/// Which notices an event is about.
#[derive(Debug, Serialize)]
pub(super) struct Ids<'a> {
    pub(super) ids: &'a [NoticeId],
}

/// That the client should open another stream.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Move {
    pub(super) after_ms: u32,
    pub(super) reason: &'static str,
}

/// An event that is no notice.
pub(super) fn control(name: &str, data: &impl Serialize) -> Bytes {
    event(None, name, &serde_json::to_vec(data).unwrap_or_default())
}

fn event(id: Option<NoticeId>, name: &str, json: &[u8]) -> Bytes {
    let mut text = Vec::with_capacity(json.len() + 80);
    if let Some(id) = id {
        text.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    text.extend_from_slice(format!("event: {name}\ndata: ").as_bytes());
    // In JSON a line can only end between tokens, where a space means the same.
    let one_line = |byte: &u8| {
        if matches!(byte, b'\n' | b'\r') {
            b' '
        } else {
            *byte
        }
    };
    text.extend(json.iter().map(one_line));
    text.extend_from_slice(b"\n\n");
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_event_has_its_id_its_name_and_its_data_in_this_order() {
        let id = NoticeId::new(1, 2, 3);
        let with_id = event(Some(id), "notice", br#"{"a":1}"#);
        let text = format!("id: {id}\nevent: notice\ndata: {{\"a\":1}}\n\n");
        assert_eq!(with_id, text);
        let told = control("read", &Ids { ids: &[id] });
        assert_eq!(
            told,
            format!("event: read\ndata: {{\"ids\":[\"{id}\"]}}\n\n")
        );
        let moved = control(
            "move",
            &Move {
                after_ms: 7,
                reason: "drain",
            },
        );
        assert_eq!(
            moved,
            "event: move\ndata: {\"afterMs\":7,\"reason\":\"drain\"}\n\n"
        );
    }

    proptest! {
        #[test]
        fn no_data_ends_its_event_and_all_of_it_arrives(text in any::<String>(), breaks in prop::collection::vec("[\r\n \t]{0,3}", 3)) {
            let json = format!(
                "{}{{{}\"a\":{}{}}}",
                breaks[0], breaks[1], serde_json::to_string(&text).unwrap(), breaks[2],
            );
            let bytes = event(None, "notice", json.as_bytes());
            let event = std::str::from_utf8(&bytes).unwrap();
            let lines: Vec<&str> = event.lines().collect();
            prop_assert_eq!(lines.len(), 3, "{:?}", event);
            let data: serde_json::Value = serde_json::from_str(lines[1].strip_prefix("data: ").unwrap()).unwrap();
            prop_assert_eq!(data["a"].as_str(), Some(text.as_str()));
        }
    }
}
