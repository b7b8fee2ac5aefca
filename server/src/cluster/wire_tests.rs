//! Messages read back as they were written, and what no version of ours wrote breaks nothing.

use proptest::prelude::*;

use super::*;

fn account() -> Channel {
    Channel::Account(AccountId::trusted("u1"))
}

fn read_back(channel: &Channel, letter: &Letter) -> Letter {
    let sent = message(channel.clone(), NodeId(0xab), 77, letter);
    let envelope = decode(channel, &sent.payload).expect("our own");
    assert_eq!((envelope.from, envelope.sent), (NodeId(0xab), 77));
    envelope.letter
}

fn notice(message: &str, data: Option<&str>) -> Notice {
    Notice {
        id: NoticeId::new(1_790_000_000_123, 4, 5),
        receiver: AccountId::trusted("u1"),
        sender: Some(AccountId::trusted("u\"2\\")),
        message: message.into(),
        created: 1_790_000_000_123,
        kind: Some("ride.accepted".into()),
        data: data.map(|data| RawValue::from_string(data.to_owned()).expect("JSON")),
        expires: Some(1_790_000_000_999),
        collapse_key: Some("eta".into()),
        producer: Arc::from("rides"),
    }
}

#[test]
fn a_staged_notice_reads_back_with_every_field_and_its_data_to_the_letter() {
    let data = r#"{"b":1e400,"a":[12345678901234567890123, "\u0000"]}"#;
    let first = notice("a \"quoted\" text\n", Some(data));
    let letter = Letter::Staged {
        notice: Arc::new(first.clone()),
        ephemeral: true,
        accepted: 42,
    };
    let Letter::Staged {
        notice: second,
        ephemeral: true,
        accepted: 42,
    } = read_back(&account(), &letter)
    else {
        panic!("another kind came back");
    };
    assert_eq!(format!("{first:?}"), format!("{second:?}"));
}

#[test]
fn every_other_kind_reads_back() {
    let ids = vec![NoticeId::new(1, 2, 3), NoticeId::from_object_id([7; 12])];
    let letters = [
        Letter::Read(ids.clone()),
        Letter::Withdrawn(ids, Withdrawal::Replaced),
        Letter::Look,
        Letter::Revoked(TokenDigest([0x5a; 32]), Some(AccountId::trusted("u1"))),
        Letter::Revoked(TokenDigest([0x5a; 32]), None),
        Letter::Joined(1_790_000_000_123),
        Letter::Kicked(AccountId::trusted("u1")),
        Letter::Here,
        Letter::Goodbye,
        Letter::Ask(3, Question::Sessions),
        Letter::Ask(4, Question::Close { revoke: true }),
        Letter::Ask(
            5,
            Question::Online {
                after: Some("a".to_owned()),
                limit: 9,
            },
        ),
        Letter::Answer(6, Answer::Closed { done: false }),
        Letter::Answer(
            7,
            Answer::Online {
                accounts: vec!["ä".to_owned()],
            },
        ),
    ];
    for letter in letters {
        let back = read_back(&account(), &letter);
        assert_eq!(format!("{letter:?}"), format!("{back:?}"));
        if let (Letter::Revoked(sent, _), Letter::Revoked(came, _)) = (letter, back) {
            assert_eq!(sent.0, came.0);
        }
    }
}

/// What nodes of this version write, to the letter: those of the neighbouring versions read it. A change here is a
/// change of the protocol between nodes, and must leave every one of these readable.
const WRITTEN: [(&str, &str); 8] = [
    (
        "staged",
        r#"{"v":1,"from":"00000000000000ab","sent":77,"staged":{"id":"01M3250V3V0020000000000005","senderId":"u\"2\\","message":"hi","createdTime":1790000000123,"acceptedTime":42,"type":"ride.accepted","data":{"a":1.0},"expireTime":1790000000999,"collapseKey":"eta","producer":"rides"}}"#,
    ),
    (
        "read",
        r#"{"v":1,"from":"00000000000000ab","sent":77,"read":["01M3250V3V0020000000000005"]}"#,
    ),
    (
        "withdrawn",
        r#"{"v":1,"from":"00000000000000ab","sent":77,"withdrawn":{"ids":["070707070707070707070707"],"why":"recalled"}}"#,
    ),
    (
        "look",
        r#"{"v":1,"from":"00000000000000ab","sent":77,"look":true}"#,
    ),
    (
        "here",
        r#"{"v":1,"from":"00000000000000ab","sent":77,"here":true}"#,
    ),
    (
        "goodbye",
        r#"{"v":1,"from":"00000000000000ab","sent":77,"goodbye":true}"#,
    ),
    (
        "ask",
        r#"{"v":1,"from":"00000000000000ab","sent":77,"number":5,"ask":{"online":{"after":"a","limit":9}}}"#,
    ),
    (
        "answer",
        r#"{"v":1,"from":"00000000000000ab","sent":77,"number":6,"answer":{"sessions":{"node":"n1","sessions":[{"id":"s1","transport":"websocket","since":3}]}}}"#,
    ),
];

fn letters_written() -> [Letter; 8] {
    let ours = NoticeId::new(1_790_000_000_123, 4, 5);
    let session = SessionFrame {
        id: "s1".to_owned(),
        transport: "websocket".to_owned(),
        since: 3,
    };
    [
        Letter::Staged {
            notice: Arc::new(notice("hi", Some(r#"{"a":1.0}"#))),
            ephemeral: false,
            accepted: 42,
        },
        Letter::Read(vec![ours]),
        Letter::Withdrawn(
            vec![NoticeId::from_object_id([7; 12])],
            Withdrawal::Recalled,
        ),
        Letter::Look,
        Letter::Here,
        Letter::Goodbye,
        Letter::Ask(
            5,
            Question::Online {
                after: Some("a".to_owned()),
                limit: 9,
            },
        ),
        Letter::Answer(
            6,
            Answer::Sessions {
                node: "n1".to_owned(),
                sessions: vec![session],
            },
        ),
    ]
}

#[test]
fn what_nodes_of_this_version_write_stays_as_it_is() {
    for ((kind, text), letter) in WRITTEN.into_iter().zip(letters_written()) {
        let sent = message(account(), NodeId(0xab), 77, &letter);
        assert_eq!(std::str::from_utf8(&sent.payload), Ok(text), "{kind}");
        let envelope = decode(&account(), text.as_bytes()).expect(kind);
        assert_eq!(
            format!("{:?}", envelope.letter),
            format!("{letter:?}"),
            "{kind}"
        );
    }
}

#[test]
fn what_a_later_version_says_is_unknown_and_no_error() {
    let texts = [
        r#"{"v":1,"from":"ab","sent":7,"shout":{"loud":true}}"#,
        r#"{"v":2,"from":"ab","sent":7,"read":["not an id of ours"]}"#,
        r#"{"v":1,"from":"ab","sent":7,"withdrawn":{"ids":[],"why":"bored"}}"#,
    ];
    for text in texts {
        let envelope = decode(&account(), text.as_bytes()).expect(text);
        assert!(matches!(envelope.letter, Letter::Unknown), "{text}");
    }
    let asked = r#"{"v":1,"from":"ab","sent":7,"number":1,"ask":"weather","extra":[1]}"#;
    let envelope = decode(&account(), asked.as_bytes()).expect("decoded");
    assert!(matches!(envelope.letter, Letter::Ask(1, Question::Unknown)));
}

#[test]
fn a_notice_that_did_not_come_on_an_account_s_channel_is_unknown() {
    let letter = Letter::Staged {
        notice: Arc::new(notice("x", None)),
        ephemeral: false,
        accepted: 1,
    };
    let sent = message(Channel::Nodes, NodeId(1), 1, &letter);
    let envelope = decode(&Channel::Nodes, &sent.payload).expect("decoded");
    assert!(matches!(envelope.letter, Letter::Unknown));
}

proptest! {
    #[test]
    fn no_bytes_on_the_bus_make_a_node_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in ".{0,200}") {
        let _any = decode(&account(), &bytes);
        let _any = decode(&account(), text.as_bytes());
    }
}
