use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Small, so that a test can go past each of them.
pub(in crate::http) fn limits() -> Limits {
    Limits {
        message_bytes: 64,
        account_id_bytes: 16,
        notices_per_call: 5,
        ids_per_ack: 4,
        unread_per_account: 10,
        sessions_per_account: 10,
        sessions: 10,
        connects_per_second: 10,
        body_bytes: 4096,
        stage_rate_per_key: NonZeroU32::new(1),
        send_rate_per_account: None,
        header_timeout: Duration::from_secs(1),
        body_timeout: Duration::from_secs(1),
    }
}

fn intake() -> Intake {
    Intake::new(limits())
}

fn producer() -> Arc<str> {
    Arc::from("billing")
}

fn stage_text(body: &[u8]) -> Result<StageCall, Problem> {
    intake().stage_call(body, None, &producer())
}

fn stage(body: &Value) -> Result<StageCall, Problem> {
    stage_text(body.to_string().as_bytes())
}

fn one(body: &Value) -> Draft {
    match stage(body) {
        Ok(StageCall::One(draft)) => *draft,
        other => panic!("{body}: {other:?}"),
    }
}

fn many(body: &Value) -> Vec<Result<Draft, Problem>> {
    match stage(body) {
        Ok(StageCall::Many(drafts)) => drafts,
        other => panic!("{body}: {other:?}"),
    }
}

/// Why the call is refused. Shows what was accepted instead.
fn refused_text(body: &[u8]) -> Problem {
    match stage_text(body) {
        Err(problem) => problem,
        Ok(call) => panic!("{}: {call:?}", String::from_utf8_lossy(body)),
    }
}

fn refused(body: &Value) -> Problem {
    refused_text(body.to_string().as_bytes())
}

/// A valid notice with one member set, or left out.
fn notice_with(member: &str, value: impl Into<Option<Value>>) -> Value {
    let mut notice = json!({"receiverId": "u2", "message": "hi"});
    let members = notice.as_object_mut().unwrap();
    match value.into() {
        Some(value) => drop(members.insert(member.to_owned(), value)),
        None => drop(members.remove(member)),
    }
    notice
}

fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

#[test]
fn a_notice_keeps_every_member_it_was_given() {
    let draft = one(&json!({
        "receiverId": "u2", "senderId": "u1", "message": "hi", "type": "ride.accepted",
        "data": {"a": [1, null]}, "ttlSeconds": 60, "collapseKey": "c", "idempotencyKey": "k",
    }));
    assert_eq!(draft.receiver.as_str(), "u2");
    assert_eq!(draft.sender.as_ref().map(AccountId::as_str), Some("u1"));
    assert_eq!(&*draft.message, "hi");
    assert_eq!(draft.kind.as_deref(), Some("ride.accepted"));
    assert_eq!(
        draft.data.as_ref().map(|data| data.get()),
        Some(r#"{"a":[1,null]}"#)
    );
    assert_eq!(draft.lifetime, Lifetime::Seconds(60));
    assert_eq!(draft.collapse_key.as_deref(), Some("c"));
    assert_eq!(draft.idempotency_key.as_deref(), Some("k"));
    assert_eq!(
        (&*draft.producer, draft.source),
        ("billing", Source::Service)
    );
}

#[test]
fn a_notice_needs_a_receiver_and_a_message_and_nothing_else() {
    let draft = one(&json!({"receiverId": "u2", "message": ""}));
    assert_eq!((&*draft.message, draft.lifetime), ("", Lifetime::Kept));
    for missing in ["receiverId", "message"] {
        for body in [
            notice_with(missing, None),
            notice_with(missing, Value::Null),
        ] {
            let problem = refused(&body);
            assert_eq!(problem.code, Code::InvalidArgument, "{body}");
            assert_eq!(problem.detail, format!("{missing} is missing"));
        }
    }
}

#[test]
fn a_member_that_is_null_counts_as_left_out() {
    for member in [
        "senderId",
        "type",
        "data",
        "ttlSeconds",
        "collapseKey",
        "idempotencyKey",
        "receiverIds",
    ] {
        let draft = one(&notice_with(member, Value::Null));
        assert!(draft.sender.is_none() && draft.kind.is_none() && draft.data.is_none());
        assert!(draft.collapse_key.is_none() && draft.idempotency_key.is_none());
        assert_eq!(draft.lifetime, Lifetime::Kept, "{member}");
    }
}

#[test]
fn a_member_of_a_wrong_type_is_refused() {
    let wrong = [json!(1), json!(true), json!([]), json!({})];
    for member in [
        "receiverId",
        "senderId",
        "message",
        "type",
        "collapseKey",
        "idempotencyKey",
    ] {
        for value in &wrong {
            let problem = refused(&notice_with(member, value.clone()));
            assert_eq!(problem.code, Code::InvalidArgument, "{member}: {value}");
        }
    }
    for value in [
        json!("5"),
        json!(-1),
        json!(1.5),
        json!(1e30),
        json!([5]),
        json!(true),
    ] {
        let problem = refused(&notice_with("ttlSeconds", value.clone()));
        assert_eq!(problem.code, Code::InvalidArgument, "ttlSeconds: {value}");
    }
    for value in [json!("u2"), json!(1), json!({"a": 1}), json!([1])] {
        let body = json!({"receiverIds": value, "message": "hi"});
        assert_eq!(refused(&body).code, Code::InvalidArgument, "{body}");
    }
}

#[test]
fn an_unknown_member_is_passed_over_however_deep_it_is() {
    let mut body = notice_with("somethingElse", json!({"a": [1, 2, {"b": null}]}));
    assert_eq!(&*one(&body).message, "hi");
    body = notice_with("message", json!("still hi"));
    let text = body
        .to_string()
        .replacen('{', &format!("{{\"deep\":{},", nested(5_000)), 1);
    assert!(matches!(stage_text(text.as_bytes()), Ok(StageCall::One(_))));
}

#[test]
fn a_member_given_twice_is_refused() {
    for (member, value) in [
        ("receiverId", "\"u3\""),
        ("message", "\"x\""),
        ("data", "1"),
        ("ttlSeconds", "1"),
    ] {
        let text = format!(
            r#"{{"receiverId":"u2","message":"hi","data":2,"ttlSeconds":2,"{member}":{value}}}"#
        );
        assert_eq!(
            refused_text(text.as_bytes()).code,
            Code::InvalidArgument,
            "{text}"
        );
    }
}

#[test]
fn a_text_that_is_no_json_object_is_refused() {
    let bodies: [&[u8]; 20] = [
        b"",
        b" ",
        b"null",
        b"true",
        b"7",
        b"\"text\"",
        b"{",
        b"{]",
        b"{\"receiverId\":\"u2\",\"message\":\"hi\"",
        b"{\"receiverId\":\"u2\",\"message\":\"hi\"} x",
        b"{\"receiverId\":\"u2\",\"message\":\"hi\"}{}",
        b"{'receiverId':'u2','message':'hi'}",
        b"{\"receiverId\":\"u2\",\"message\":\"hi\",}",
        b"{\"receiverId\":\"u2\",\"message\":\"a\nb\"}",
        b"{\"receiverId\":\"u2\",\"message\":\"\xff\"}",
        b"{\"receiverId\":\"u2\",\"message\":\"\xed\xa0\x80\"}",
        b"{\"receiverId\":\"u2\",\"message\":\"hi\",\"data\":\"\xff\"}",
        b"{\"receiverId\":\"u2\",\"message\":\"hi\",\"data\":NaN}",
        b"\xef\xbb\xbf{\"receiverId\":\"u2\",\"message\":\"hi\"}",
        b"\x0c[]",
    ];
    for body in bodies {
        let problem = refused_text(body);
        assert_eq!(
            problem.code,
            Code::InvalidArgument,
            "{}",
            String::from_utf8_lossy(body)
        );
    }
}

#[test]
fn a_list_of_values_does_not_pass_for_an_object_with_members_in_that_order() {
    let in_order = json!(["u2", null, null, "hi"]);
    let results = many(&json!([in_order]));
    assert_eq!(
        results[0].as_ref().unwrap_err().code,
        Code::InvalidArgument,
        "{results:?}"
    );
}

#[test]
fn account_ids_are_bounded_in_bytes_and_hold_no_control_characters() {
    for member in ["receiverId", "senderId"] {
        assert!(stage(&notice_with(member, json!("ä".repeat(8)))).is_ok());
        for bad in [
            String::new(),
            "a".repeat(17),
            "ä".repeat(9),
            "a\0".into(),
            "a\nb".into(),
            "\u{7f}".into(),
            "\u{9f}".into(),
        ] {
            let problem = refused(&notice_with(member, json!(bad)));
            assert_eq!(problem.code, Code::InvalidArgument, "{member}: {bad:?}");
            assert!(problem.detail.starts_with(member), "{}", problem.detail);
        }
    }
}

#[test]
fn keys_have_one_to_256_bytes_and_no_control_characters() {
    for member in ["collapseKey", "idempotencyKey"] {
        for good in ["k".into(), "k".repeat(256), "ä".repeat(128)] {
            assert!(
                stage(&notice_with(member, json!(good))).is_ok(),
                "{member}: {good}"
            );
        }
        for bad in [
            String::new(),
            "k".repeat(257),
            "ä".repeat(129),
            "a\tb".into(),
            "\u{80}".into(),
        ] {
            let problem = refused(&notice_with(member, json!(bad)));
            assert_eq!(problem.code, Code::InvalidArgument, "{member}: {bad:?}");
        }
    }
}

#[test]
fn a_type_has_at_most_128_bytes_and_no_control_characters() {
    for good in [String::new(), "t".repeat(128), "ä".repeat(64)] {
        assert!(stage(&notice_with("type", json!(good))).is_ok(), "{good:?}");
    }
    for bad in ["t".repeat(129), "ä".repeat(65), "a\r".into()] {
        assert_eq!(
            refused(&notice_with("type", json!(bad))).code,
            Code::InvalidArgument
        );
    }
}

#[test]
fn a_message_may_hold_control_characters_and_is_bounded_in_bytes_together_with_data() {
    assert_eq!(
        &*one(&notice_with("message", json!("a\0\n\u{7f}"))).message,
        "a\0\n\u{7f}"
    );
    assert!(stage(&notice_with("message", json!("ä".repeat(32)))).is_ok());
    assert_eq!(
        refused(&notice_with("message", json!("ä".repeat(33)))).code,
        Code::TooLarge
    );
    // Escapes count by what they stand for.
    let escaped = format!(
        r#"{{"receiverId":"u2","message":"{}"}}"#,
        "\\u0061".repeat(64)
    );
    assert!(stage_text(escaped.as_bytes()).is_ok());
    let both = |message: usize, data: usize| json!({"receiverId": "u2", "message": "m".repeat(message), "data": "d".repeat(data - 2)});
    assert!(stage(&both(32, 32)).is_ok());
    let problem = refused(&both(32, 33));
    assert_eq!(
        (problem.code, problem.detail.as_str()),
        (
            Code::TooLarge,
            "message and data have 65 bytes, 64 are allowed"
        )
    );
}

#[test]
fn a_lifetime_is_a_whole_number_of_seconds_up_to_ten_years() {
    let lifetime = |seconds: u64| one(&notice_with("ttlSeconds", json!(seconds))).lifetime;
    assert_eq!(lifetime(0), Lifetime::Ephemeral);
    assert_eq!(lifetime(1), Lifetime::Seconds(1));
    assert_eq!(lifetime(315_360_000), Lifetime::Seconds(315_360_000));
    for long in [315_360_001, u64::MAX] {
        assert_eq!(
            refused(&notice_with("ttlSeconds", json!(long))).code,
            Code::InvalidArgument
        );
    }
    let text = r#"{"receiverId":"u2","message":"hi","ttlSeconds":18446744073709551616}"#;
    assert_eq!(refused_text(text.as_bytes()).code, Code::InvalidArgument);
}

#[test]
fn a_notice_that_is_never_stored_can_not_replace_another() {
    let body =
        json!({"receiverId": "u2", "message": "hi", "ttlSeconds": 0, "collapseKey": "typing"});
    assert_eq!(refused(&body).code, Code::InvalidArgument);
}

#[test]
fn data_is_any_json_and_is_kept_as_it_was_written() {
    for data in [
        "1",
        "-0.5e-3",
        "\"\"",
        "true",
        "[]",
        "{}",
        "[ 1 ,\n2 ]",
        r#"{"a":{"a":1,"a":2}}"#,
        r#""\ud83d\ude00""#,
        "18446744073709551616",
        "12345678901234567890123456789",
    ] {
        let text = format!(r#"{{"receiverId":"u2","message":"hi","data": {data} }}"#);
        match stage_text(text.as_bytes()) {
            Ok(StageCall::One(draft)) => {
                assert_eq!(draft.data.as_ref().map(|data| data.get()), Some(data))
            }
            other => panic!("{data}: {other:?}"),
        }
    }
}

#[test]
fn data_that_some_client_could_not_read_is_refused() {
    let wide = Intake::new(Limits {
        message_bytes: 65_536,
        ..limits()
    });
    let give = |data: &str| {
        let text = format!(r#"{{"receiverId":"u2","message":"hi","data":{data}}}"#);
        wide.stage_call(text.as_bytes(), None, &producer())
    };
    assert!(give(&nested(127)).is_ok());
    let maps = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    assert!(give(&maps(127)).is_ok());
    for bad in [
        nested(128),
        nested(20_000),
        maps(128),
        r#""\ud800""#.into(),
        r#""\udc00\ud800""#.into(),
        r#"{"\ud800":1}"#.into(),
        r#"[["\udfff"]]"#.into(),
        "1e999".into(),
    ] {
        let problem = give(&bad).unwrap_err();
        assert_eq!(
            problem.code,
            Code::InvalidArgument,
            "{}",
            &bad[..bad.len().min(40)]
        );
    }
}

#[test]
fn a_text_with_half_a_surrogate_is_refused_in_every_member() {
    for member in [
        "receiverId",
        "senderId",
        "message",
        "type",
        "collapseKey",
        "idempotencyKey",
    ] {
        let text = notice_with(member, json!("@"))
            .to_string()
            .replace('@', "\\ud83d");
        assert_eq!(
            refused_text(text.as_bytes()).code,
            Code::InvalidArgument,
            "{text}"
        );
    }
}

#[test]
fn a_receiver_list_makes_one_notice_for_each_in_its_order() {
    let drafts = many(
        &json!({"receiverIds": ["b", "", "a", "b"], "message": "hi", "idempotencyKey": "k", "ttlSeconds": 9}),
    );
    let shown: Vec<_> = drafts
        .iter()
        .map(|draft| draft.as_ref().map(|draft| draft.receiver.as_str()))
        .collect();
    assert!(
        matches!(shown[..], [Ok("b"), Err(_), Ok("a"), Ok("b")]),
        "{shown:?}"
    );
    assert!(
        drafts
            .iter()
            .flatten()
            .all(|draft| draft.lifetime == Lifetime::Seconds(9)
                && draft.idempotency_key.as_deref() == Some("k"))
    );
    assert!(many(&json!({"receiverIds": [], "message": "hi"})).is_empty());
}

#[test]
fn a_receiver_and_a_receiver_list_together_are_refused() {
    assert_eq!(
        refused(&json!({"receiverId": "a", "receiverIds": ["b"], "message": "hi"})).code,
        Code::InvalidArgument
    );
    let results = many(&json!([{"receiverIds": ["b"], "message": "hi"}]));
    assert_eq!(results[0].as_ref().unwrap_err().code, Code::InvalidArgument);
}

#[test]
fn each_notice_of_an_array_stands_for_itself() {
    let results = many(&json!([
        {"receiverId": "a", "message": "1"},
        {"receiverId": "a"},
        {"receiverId": "b", "message": "x".repeat(65)},
        7,
        {"receiverId": "b", "message": "2", "unknown": []},
    ]));
    let codes: Vec<_> = results
        .iter()
        .map(|result| result.as_ref().map(|_| ()).map_err(|problem| problem.code))
        .collect();
    assert_eq!(
        codes,
        [
            Ok(()),
            Err(Code::InvalidArgument),
            Err(Code::TooLarge),
            Err(Code::InvalidArgument),
            Ok(())
        ]
    );
    assert!(many(&json!([])).is_empty());
}

#[test]
fn more_notices_than_a_call_may_have_are_refused_as_a_whole_and_not_read_on() {
    let array = vec![json!({"receiverId": "a", "message": "x"}); 5];
    assert_eq!(many(&json!(array)).len(), 5);
    assert_eq!(
        many(&json!({"receiverIds": ["a", "b", "c", "d", "e"], "message": "x"})).len(),
        5
    );
    // What follows the sixth is not even JSON: it is not looked at.
    let item = r#"{"receiverId":"a","message":"x"}"#;
    assert_eq!(
        refused_text(format!("[{}", [item; 6].join(",") + ",}}}").as_bytes()).code,
        Code::TooLarge
    );
    let list = json!({"receiverIds": vec!["a"; 6], "message": "x"});
    assert_eq!(refused(&list).code, Code::TooLarge);
}

#[test]
fn the_idempotency_key_may_come_in_the_header_instead() {
    let intake = intake();
    let call = |body: Value, header| {
        intake.stage_call(body.to_string().as_bytes(), Some(header), &producer())
    };
    let key = |call: StageCall| match call {
        StageCall::One(draft) => draft.idempotency_key,
        StageCall::Many(mut drafts) => drafts.remove(0).unwrap().idempotency_key,
    };
    let plain = json!({"receiverId": "a", "message": "x"});
    assert_eq!(key(call(plain.clone(), "h").unwrap()).as_deref(), Some("h"));
    assert_eq!(
        key(call(json!({"receiverIds": ["a"], "message": "x"}), "h").unwrap()).as_deref(),
        Some("h")
    );
    assert_eq!(
        key(call(notice_with("idempotencyKey", json!("h")), "h").unwrap()).as_deref(),
        Some("h")
    );
    for (body, header) in [
        (notice_with("idempotencyKey", json!("b")), "h"),
        (json!([plain]), "h"),
        (plain.clone(), ""),
        (plain, "a\tb"),
    ] {
        let problem = call(body.clone(), header).unwrap_err();
        assert_eq!(
            problem.code,
            Code::InvalidArgument,
            "{body} with {header:?}"
        );
    }
}

fn ids(list: &str) -> Result<Vec<NoticeId>, Problem> {
    let raw: &RawValue = serde_json::from_str(list).unwrap();
    intake().ack_ids(raw)
}

#[test]
fn an_acknowledgement_passes_over_what_is_no_id_of_ours() {
    let id = NoticeId::new(1, 2, 3);
    let list = json!([id.to_string(), "", "nonsense", id.to_string()]).to_string();
    assert_eq!(ids(&list).unwrap(), [id, id]);
    assert!(ids("[]").unwrap().is_empty());
}

#[test]
fn an_acknowledgement_that_is_no_list_of_texts_is_refused() {
    for list in ["1", "null", "{}", "\"id\"", "[1]", "[null]", "[[]]"] {
        assert_eq!(ids(list).unwrap_err().code, Code::InvalidArgument, "{list}");
    }
}

#[test]
fn a_million_ids_are_refused_at_the_first_that_is_too_many() {
    let million = format!("[{}1]", "\"x\",".repeat(1_000_000));
    let problem = ids(&million).unwrap_err();
    assert_eq!(
        (problem.code, problem.detail.as_str()),
        (Code::TooLarge, "at most 4 ids an acknowledgement")
    );
    // The wrong type behind the fifth is never met.
    assert_eq!(
        ids(r#"["","","","","",1]"#).unwrap_err().code,
        Code::TooLarge
    );
}

#[test]
fn a_client_says_neither_who_sends_nor_how_long_nor_what_is_replaced() {
    let sender = AccountId::trusted("u1");
    let data: &RawValue = serde_json::from_str("[1]").unwrap();
    let input = ClientInput {
        receiver_id: Some("u2".into()),
        message: Some("hi".into()),
        kind: Some("chat".into()),
        data: Some(data),
        idempotency_key: Some("k".into()),
    };
    let draft = intake().client_draft(&input, &sender).unwrap();
    assert_eq!(draft.sender, Some(sender.clone()));
    assert_eq!(
        (&*draft.producer, draft.source),
        (DEFAULT_PRODUCER, Source::Client)
    );
    assert_eq!((draft.lifetime, draft.collapse_key), (Lifetime::Kept, None));
    let refused = |input: ClientInput<'_>| intake().client_draft(&input, &sender).unwrap_err().code;
    let valid = || ClientInput {
        receiver_id: Some("u2".into()),
        message: Some("hi".into()),
        ..ClientInput::default()
    };
    let invalid = [
        ClientInput {
            receiver_id: None,
            ..valid()
        },
        ClientInput {
            receiver_id: Some("\u{1}".into()),
            ..valid()
        },
        ClientInput {
            message: None,
            ..valid()
        },
        ClientInput {
            kind: Some("k".repeat(129).into()),
            ..valid()
        },
        ClientInput {
            idempotency_key: Some("".into()),
            ..valid()
        },
    ];
    for input in invalid {
        assert_eq!(refused(input), Code::InvalidArgument);
    }
    assert_eq!(
        refused(ClientInput {
            message: Some("x".repeat(65).into()),
            ..valid()
        }),
        Code::TooLarge
    );
}

/// Any JSON value, some of it large for the limits of these tests.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,40}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..7).prop_map(Value::from),
            prop::collection::btree_map("\\PC{0,8}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// An object that looks like a notice, more or less.
fn notice_like() -> impl Strategy<Value = Value> {
    let text = || {
        prop_oneof![
            4 => "[a-zä]{1,10}".prop_map(Value::from),
            1 => any_json(),
        ]
    };
    let member = prop_oneof![
        (Just("senderId".to_owned()), text()),
        (Just("type".to_owned()), text()),
        (Just("data".to_owned()), any_json()),
        (
            Just("ttlSeconds".to_owned()),
            prop_oneof![(0_u64..3).prop_map(Value::from), any_json()]
        ),
        (Just("collapseKey".to_owned()), text()),
        (Just("idempotencyKey".to_owned()), text()),
        (
            Just("receiverIds".to_owned()),
            prop::collection::vec(text(), 0..8).prop_map(Value::from)
        ),
        ("\\PC{0,12}", any_json()),
    ];
    (
        prop::option::weighted(0.9, text()),
        prop::option::weighted(0.9, text()),
        prop::collection::vec(member, 0..5),
    )
        .prop_map(|(receiver, message, members)| {
            let mut notice: serde_json::Map<_, _> = members.into_iter().collect();
            notice.extend(receiver.map(|value| ("receiverId".to_owned(), value)));
            notice.extend(message.map(|value| ("message".to_owned(), value)));
            Value::Object(notice)
        })
}

fn within_limits(draft: &Draft) {
    let limits = limits();
    let plain = |text: &str| !text.chars().any(char::is_control);
    for account in std::iter::once(&draft.receiver).chain(&draft.sender) {
        let text = account.as_str();
        assert!(!text.is_empty() && text.len() <= limits.account_id_bytes && plain(text));
    }
    let data = draft.data.as_ref().map_or(0, |data| data.get().len());
    assert!(draft.message.len() + data <= limits.message_bytes);
    for key in draft.collapse_key.iter().chain(&draft.idempotency_key) {
        assert!(!key.is_empty() && key.len() <= 256 && plain(key));
    }
    assert!(
        draft
            .kind
            .as_ref()
            .is_none_or(|kind| kind.len() <= 128 && plain(kind))
    );
    if let Some(data) = &draft.data {
        serde_json::from_str::<Value>(data.get()).expect("data that every client can read");
    }
}

fn drafts_within_limits_or_a_problem(body: &[u8]) {
    match stage_text(body) {
        Ok(StageCall::One(draft)) => within_limits(&draft),
        Ok(StageCall::Many(drafts)) => {
            assert!(drafts.len() <= limits().notices_per_call);
            drafts.iter().flatten().for_each(within_limits);
            for problem in drafts.iter().filter_map(|draft| draft.as_ref().err()) {
                assert!(matches!(
                    problem.code,
                    Code::InvalidArgument | Code::TooLarge
                ));
            }
        }
        Err(problem) => assert!(matches!(
            problem.code,
            Code::InvalidArgument | Code::TooLarge
        )),
    }
}

proptest! {
    #[test]
    fn whatever_json_comes_gives_drafts_within_the_limits_or_a_problem(
        body in prop_oneof![
            2 => notice_like(),
            1 => prop::collection::vec(notice_like(), 0..8).prop_map(Value::from),
            1 => any_json(),
        ],
    ) {
        drafts_within_limits_or_a_problem(body.to_string().as_bytes());
    }

    #[test]
    fn a_damaged_body_gives_drafts_within_the_limits_or_a_problem(
        body in notice_like(),
        at: prop::sample::Index,
        with in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let mut text = body.to_string().into_bytes();
        let at = at.index(text.len());
        text.splice(at..=at, with);
        drafts_within_limits_or_a_problem(&text);
    }

    #[test]
    fn whatever_bytes_come_give_drafts_within_the_limits_or_a_problem(
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        drafts_within_limits_or_a_problem(&body);
    }

    #[test]
    fn an_acknowledgement_gives_at_most_its_limit_or_a_problem(list in any_json()) {
        let text = list.to_string();
        match ids(&text) {
            Ok(ids) => prop_assert!(ids.len() <= limits().ids_per_ack),
            Err(problem) => prop_assert!(matches!(problem.code, Code::InvalidArgument | Code::TooLarge)),
        }
    }
}
