use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use tungstenite::protocol::{Role, WebSocket};

use super::*;
use crate::domain::{AccountId, DEFAULT_PRODUCER, Notice};
use crate::http::problem::Code;

const LEGACY: bool = false;
const V1: bool = true;

fn frame_error(text: &str, v1: bool) -> FrameError {
    match parse_client_frame(text, v1) {
        Err(error) => error,
        Ok(frame) => panic!("{text}: {frame:?}"),
    }
}

/// Reference and notice of a frame that sends.
fn sent(text: &str, v1: bool) -> (Option<String>, ClientInput<'_>) {
    match parse_client_frame(text, v1) {
        Ok(ClientFrame::Send { reference, input }) => (reference.map(Cow::into_owned), input),
        other => panic!("{text}: {other:?}"),
    }
}

fn acked(text: &str, v1: bool) -> &str {
    match parse_client_frame(text, v1) {
        Ok(ClientFrame::Ack { ids }) => ids.get(),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn a_client_of_the_source_design_sends_a_notice_by_a_bare_object() {
    let text = r#"{"receiverId":"u2","message":"h\u0069","type":"chat","data":{"a":1},"idempotencyKey":"k","senderId":"forged"}"#;
    let (reference, input) = sent(text, LEGACY);
    assert_eq!(reference, None);
    assert_eq!(input.receiver_id.as_deref(), Some("u2"));
    assert_eq!(input.message.as_deref(), Some("hi"));
    assert_eq!(input.kind.as_deref(), Some("chat"));
    assert_eq!(input.data.map(RawValue::get), Some(r#"{"a":1}"#));
    assert_eq!(input.idempotency_key.as_deref(), Some("k"));
}

#[test]
fn a_client_of_the_source_design_acknowledges_by_a_list_under_ack() {
    assert_eq!(acked(r#"{"ack":["a","b"]}"#, LEGACY), r#"["a","b"]"#);
    // What stands in the list is looked at later, with its bound.
    assert_eq!(acked(r#"{"ack":7}"#, LEGACY), "7");
}

#[test]
fn a_frame_of_v1_is_told_by_its_type() {
    assert_eq!(acked(r#"{"type":"ack","ids":["a"]}"#, V1), r#"["a"]"#);
    match parse_client_frame(r#"{"type":"refresh","token":"t"}"#, V1) {
        Ok(ClientFrame::Refresh { token }) => assert_eq!(token, "t"),
        other => panic!("{other:?}"),
    }
    let text = r#"{"type":"send","ref":"r1","receiverId":"u2","message":"hi","noticeType":"chat"}"#;
    let (reference, input) = sent(text, V1);
    assert_eq!(reference.as_deref(), Some("r1"));
    assert_eq!(input.kind.as_deref(), Some("chat"));
}

#[test]
fn the_type_of_a_frame_is_not_taken_for_the_type_of_its_notice() {
    let (_, input) = sent(r#"{"type":"send","receiverId":"u2","message":"hi"}"#, V1);
    assert_eq!(input.kind, None);
    let (_, input) = sent(
        r#"{"type":"send","receiverId":"u2","message":"hi"}"#,
        LEGACY,
    );
    assert_eq!(input.kind.as_deref(), Some("send"));
}

#[test]
fn members_that_a_protocol_does_not_know_change_nothing() {
    for text in [
        r#"{"type":"ack","ids":["a"],"ack":["b"],"message":"x","more":{"a":[1]}}"#,
        r#"{"more":[[[]]],"ids":["a"],"type":"ack"}"#,
    ] {
        assert_eq!(acked(text, V1), r#"["a"]"#);
    }
    assert!(matches!(
        parse_client_frame(r#"{"type":"ack","ids":["a"],"receiverId":"u2"}"#, LEGACY),
        Ok(ClientFrame::Send { .. })
    ));
}

#[test]
fn an_unknown_type_is_answered_with_its_reference_and_breaks_nothing() {
    let error = frame_error(r#"{"type":"subscribe","ref":"r9"}"#, V1);
    assert!(!error.broken);
    assert_eq!(error.reference.as_deref(), Some("r9"));
    assert_eq!(error.problem.code, Code::InvalidArgument);
    assert!(error.problem.detail.contains("\"subscribe\""));
    for text in [
        r#"{"type":""}"#,
        r#"{"type":"ACK","ids":[]}"#,
        r#"{"type":"notice"}"#,
    ] {
        assert!(!frame_error(text, V1).broken, "{text}");
    }
}

#[test]
fn a_long_unknown_type_is_not_sent_back_whole() {
    let text = json!({"type": "\u{1F600}".repeat(10_000)}).to_string();
    assert!(frame_error(&text, V1).problem.detail.len() < 400);
}

#[test]
fn a_frame_that_lacks_what_its_type_needs_is_answered_with_its_reference() {
    for text in [
        r#"{"type":"ack","ref":"r"}"#,
        r#"{"type":"ack","ids":null,"ref":"r"}"#,
        r#"{"type":"refresh","ref":"r"}"#,
        r#"{"ref":"r"}"#,
        r#"{"type":null,"ref":"r"}"#,
    ] {
        let error = frame_error(text, V1);
        assert!(!error.broken, "{text}");
        assert_eq!(error.reference.as_deref(), Some("r"), "{text}");
    }
}

#[test]
fn an_object_with_a_member_that_cannot_be_read_is_refused_by_its_ref_and_not_broken() {
    for (text, reference) in [
        (r#"{"type":"ack","type":"ack","ids":[]}"#, None),
        (r#"{"type":7}"#, None),
        (r#"{"ref":7,"type":"ack","ids":[]}"#, None),
        (r#"{"ref":"r1","receiverId":5}"#, Some("r1")),
        (r#"{"ref":"r1","message":"\ud800"}"#, Some("r1")),
    ] {
        for v1 in [LEGACY, V1] {
            let error = frame_error(text, v1);
            assert!(!error.broken, "{text}");
            assert_eq!(error.reference.as_deref(), reference, "{text}");
            assert_eq!(error.problem.code, Code::InvalidArgument, "{text}");
        }
    }
}

#[test]
fn what_is_no_json_object_is_broken_in_both_protocols() {
    for text in [
        "",
        " ",
        "hello",
        "null",
        "1",
        "\"text\"",
        "[]",
        r#"["send","r1",null,null,null,"u2","hi"]"#,
        "{",
        r#"{"type":"ack","ids":["a"]"#,
        r#"{"type":"ack","ids":["a"]}{}"#,
        r#"{"type":"ack","ids":[}"#,
    ] {
        for v1 in [LEGACY, V1] {
            let error = frame_error(text, v1);
            assert!(error.broken && error.reference.is_none(), "{text}");
            assert_eq!(error.problem.code, Code::InvalidArgument, "{text}");
        }
    }
}

/// The payload and opcode of the one frame in `bytes`, as a client's library reads them.
fn as_a_client_reads(bytes: Bytes) -> tungstenite::Message {
    let mut stream = std::io::Cursor::new(bytes.to_vec());
    let mut socket = WebSocket::from_raw_socket(&mut stream, Role::Client, None);
    let message = socket.read().expect("one whole frame");
    assert_eq!(
        stream.position(),
        bytes.len() as u64,
        "nothing behind the frame"
    );
    message
}

fn text_of(bytes: Bytes) -> String {
    match as_a_client_reads(bytes) {
        tungstenite::Message::Text(text) => text.to_string(),
        other => panic!("{other:?}"),
    }
}

fn json_of(bytes: Bytes) -> Value {
    serde_json::from_str(&text_of(bytes)).unwrap()
}

#[test]
fn each_length_has_its_shortest_header() {
    for (length, header) in [
        (0, &[0x81, 0][..]),
        (125, &[0x81, 125]),
        (126, &[0x81, 126, 0, 126]),
        (65_535, &[0x81, 126, 0xff, 0xff]),
        (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ] {
        let payload = vec![b'x'; length];
        let bytes = frame(OPCODE_TEXT, &payload);
        assert_eq!(&bytes[..header.len()], header, "{length}");
        assert_eq!(&bytes[header.len()..], payload, "{length}");
        assert_eq!(text_of(bytes).len(), length);
    }
}

#[test]
fn a_close_frame_carries_its_code_and_reason() {
    match as_a_client_reads(close_frame(4401, "why")) {
        tungstenite::Message::Close(Some(close)) => {
            assert_eq!(
                (u16::from(close.code), close.reason.as_str()),
                (4401, "why")
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_close_reason_fits_into_a_control_frame() {
    for reason in crate::delivery::CloseReason::ALL {
        if let Some((code, text)) = super::super::protocol::close_code(reason) {
            assert!(close_frame(code, text).len() <= 2 + 125, "{reason:?}");
        }
    }
}

#[test]
fn a_ping_carries_its_number() {
    match as_a_client_reads(ping_frame(0x0102_0304)) {
        tungstenite::Message::Ping(payload) => assert_eq!(&payload[..], [1, 2, 3, 4]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_frames_of_the_server_have_the_shapes_of_the_contract() {
    let id = NoticeId::new(1, 2, 3);
    let ids = [id];
    let cases = [
        (
            ServerFrame::Welcome {
                session: "s",
                account: "a",
                node: "n",
                ping_seconds: 25,
                window: 128,
            },
            json!({"type": "welcome", "session": "s", "account": "a", "node": "n", "pingSeconds": 25, "window": 128}),
        ),
        (
            ServerFrame::Read { ids: &ids },
            json!({"type": "read", "ids": [id.to_string()]}),
        ),
        (
            ServerFrame::Recall { ids: &ids },
            json!({"type": "recall", "ids": [id.to_string()]}),
        ),
        (
            ServerFrame::Sent {
                reference: Some("r"),
                id,
                duplicate: true,
            },
            json!({"type": "sent", "ref": "r", "id": id.to_string(), "duplicate": true}),
        ),
        (
            ServerFrame::Sent {
                reference: None,
                id,
                duplicate: false,
            },
            json!({"type": "sent", "id": id.to_string(), "duplicate": false}),
        ),
        (
            ServerFrame::Error {
                reference: Some("r"),
                code: "NOT_FOUND",
                message: "m",
            },
            json!({"type": "error", "ref": "r", "code": "NOT_FOUND", "message": "m"}),
        ),
        (
            ServerFrame::Expiring { in_seconds: 9 },
            json!({"type": "expiring", "inSeconds": 9}),
        ),
        (
            ServerFrame::Refreshed {
                expire_time: Some(5),
            },
            json!({"type": "refreshed", "expireTime": 5}),
        ),
        (
            ServerFrame::Refreshed { expire_time: None },
            json!({"type": "refreshed"}),
        ),
        (
            ServerFrame::Move {
                after_ms: 7,
                reason: "drain",
            },
            json!({"type": "move", "afterMs": 7, "reason": "drain"}),
        ),
    ];
    for (given, expected) in cases {
        assert_eq!(json_of(text_frame(&given)), expected);
    }
    let failure = json_of(text_frame(&LegacyFailure::new("why")));
    assert_eq!(
        failure,
        json!({"success": false, "code": "WS_SEND_FAILED", "message": "why"})
    );
}

fn notice(message: &str) -> Notice {
    Notice {
        id: NoticeId::new(1_790_000_000_123, 2, 3),
        receiver: AccountId::trusted("u2"),
        sender: Some(AccountId::trusted("u1")),
        message: message.into(),
        created: 1_790_000_000_123,
        kind: None,
        data: None,
        expires: None,
        collapse_key: None,
        producer: Arc::from(DEFAULT_PRODUCER),
    }
}

#[test]
fn a_notice_is_bare_for_the_source_design_and_in_an_envelope_for_v1() {
    let push = Push::live(Arc::new(notice("hi")), true, std::time::Instant::now());
    let bare = json!({
        "id": notice("").id.to_string(), "receiverId": "u2", "senderId": "u1", "message": "hi",
        "createdTime": 1_790_000_000_123_u64, "read": false,
    });
    assert_eq!(json_of(notice_frame(&push, LEGACY)), bare);
    assert_eq!(
        json_of(notice_frame(&push, V1)),
        json!({"type": "notice", "notice": bare})
    );
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{0,10}", any::<String>()]
}

proptest! {
    #[test]
    fn any_payload_comes_out_of_its_frame_as_it_went_in(
        payload in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300),
            (65_500_usize..65_600).prop_map(|length| vec![7; length]),
        ],
    ) {
        match as_a_client_reads(frame(2, &payload)) {
            tungstenite::Message::Binary(read) => prop_assert_eq!(&read[..], payload),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn a_frame_that_sends_is_read_as_it_was_written(
        reference in prop::option::of(text()),
        receiver in text(),
        message in text(),
        kind in prop::option::of(text()),
        key in prop::option::of(text()),
        data in prop::option::of(text()),
    ) {
        let written = json!({
            "type": "send", "ref": reference, "receiverId": receiver, "message": message, "noticeType": kind,
            "idempotencyKey": key, "data": data,
        }).to_string();
        let (read_reference, input) = sent(&written, V1);
        prop_assert_eq!(read_reference, reference);
        prop_assert_eq!(input.receiver_id.as_deref(), Some(&*receiver));
        prop_assert_eq!(input.message.as_deref(), Some(&*message));
        prop_assert_eq!(input.kind.as_deref(), kind.as_deref());
        prop_assert_eq!(input.idempotency_key.as_deref(), key.as_deref());
        let read_data = input.data.map(|data| serde_json::from_str::<String>(data.get()).unwrap());
        prop_assert_eq!(read_data, data);
    }

    #[test]
    fn whatever_a_server_frame_says_comes_out_as_it_went_in(
        reference in prop::option::of(text()), message in text(), bits: u128, duplicate: bool,
    ) {
        let error = ServerFrame::Error { reference: reference.as_deref(), code: "INTERNAL", message: &message };
        let read = json_of(text_frame(&error));
        prop_assert_eq!(read.get("ref").and_then(Value::as_str), reference.as_deref());
        prop_assert_eq!(read["message"].as_str(), Some(&*message));
        let id = NoticeId::from_bits(bits);
        let read = json_of(text_frame(&ServerFrame::Sent { reference: reference.as_deref(), id, duplicate }));
        prop_assert_eq!(read["id"].as_str().unwrap().parse(), Ok(id));
        prop_assert_eq!(read["duplicate"].as_bool(), Some(duplicate));
    }

    #[test]
    fn a_notice_with_any_message_is_read_as_it_was_staged(message in text(), v1: bool) {
        let push = Push::live(Arc::new(notice(&message)), true, std::time::Instant::now());
        let read = json_of(notice_frame(&push, v1));
        let read = if v1 { &read["notice"] } else { &read };
        prop_assert_eq!(read["message"].as_str(), Some(&*message));
    }

    #[test]
    fn no_text_makes_the_reader_of_frames_panic(text in any::<String>(), v1: bool) {
        let _frame_or_error = parse_client_frame(&text, v1);
    }
}
