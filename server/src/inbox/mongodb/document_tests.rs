use proptest::prelude::*;

use super::*;
use crate::inbox::conformance::draft;
use mongodb::bson::rawdoc;

const LIMITS: Limits = Limits {
    unread_per_account: 8,
    retention: 1000,
    idempotency_kept: 5000,
};

fn text() -> impl Strategy<Value = String> {
    "\\PC{0,12}"
}

fn drafts() -> impl Strategy<Value = Draft> {
    let data = prop::option::of(prop::sample::select(vec![
        r#"{"b":1, "a":[]}"#,
        "1e400",
        "123456789012345678901234567890",
        "null",
        r#""text""#,
        "[1.0,1,-0]",
    ]));
    let parts = (
        "[a-z]{1,8}",
        prop::option::of(text()),
        text(),
        prop::option::of(text()),
        data,
        prop::option::of(1_u64..u64::MAX),
        prop::option::of(text()),
        prop::option::of(text()),
        text(),
    );
    parts.prop_map(
        |(receiver, sender, message, kind, data, seconds, collapse, key, producer)| Draft {
            sender: sender.map(|sender| AccountId::trusted(&sender)),
            kind: kind.map(Into::into),
            data: data.and_then(|data| RawValue::from_string(data.to_owned()).ok()),
            lifetime: seconds.map_or(Lifetime::Kept, Lifetime::Seconds),
            collapse_key: collapse.map(Into::into),
            idempotency_key: key.map(Into::into),
            producer: Arc::from(producer),
            ..draft(&receiver, &message)
        },
    )
}

fn in_full(notice: &Notice) -> String {
    format!("{notice:?}")
}

proptest! {
    #[test]
    fn a_notice_reads_back_from_its_document_as_it_was(one in drafts(), millis in 0_u64..1 << 47, tail: u64) {
        let id = NoticeId::new(millis, 1, tail);
        let prints = Prints::of(&one);
        let mut notice = notice_of(id, &one);
        // BSON's dates end before ours.
        notice.expires = notice.expires.map(|at| at.min(i64::MAX as u64));
        let document = write_notice(&notice, &prints, &LIMITS);
        let row = read_notice(&document).expect("a notice");
        prop_assert_eq!(in_full(&row.notice), in_full(&notice));
        prop_assert_eq!((row.read, row.pushed, row.collapse), (false, None, prints.collapse));
        prop_assert_eq!(read_print(&document, field::IDEMPOTENCY), prints.call.map(|call| call.0));
        let end = read_date(&document, field::END).expect("an end");
        let purge = read_date(&document, field::PURGE).expect("a purge");
        prop_assert!(end <= millis + LIMITS.retention && end <= notice.expires.unwrap_or(u64::MAX));
        prop_assert!(purge >= end + GRACE && purge >= millis + LIMITS.idempotency_kept);
    }

    #[test]
    fn no_document_makes_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(document) = RawDocument::from_bytes(&bytes) {
            let _ = read_notice(document);
            let _ = state_of(document, false, 0);
        }
    }
}

#[test]
fn a_document_of_the_older_service_is_a_notice() {
    let id = ObjectId::from_bytes([0x6b, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    let old = rawdoc! { "_id": id, "receiverId": "u2", "senderId": "u1", "message": "hi",
    "createdTime": DateTime::from_millis(1_790_000_000_123), "read": false, "_class": "NoticeDO" };
    let row = read_notice(&old).expect("a notice");
    assert_eq!(row.notice.id.to_string(), id.to_hex());
    assert_eq!(row.notice.created, 1_790_000_000_123);
    assert_eq!(&*row.notice.message, "hi");
    assert_eq!(row.notice.sender, Some(AccountId::trusted("u1")));
    let bare = rawdoc! { "_id": id, "receiverId": "u2" };
    let row = read_notice(&bare).expect("a notice");
    assert_eq!(
        row.notice.created,
        id.timestamp().timestamp_millis().unsigned_abs()
    );
    assert!(!row.read && row.notice.sender.is_none());
}

#[test]
fn data_that_another_program_stored_as_bson_is_shown_as_json() {
    let odd = rawdoc! { "_id": ObjectId::new(), "receiverId": "u2", "data": { "a": 1, "b": ["x", null] } };
    let data = read_notice(&odd)
        .expect("a notice")
        .notice
        .data
        .expect("data");
    assert_eq!(data.get(), r#"{"a":1,"b":["x",null]}"#);
}

#[test]
fn an_id_of_another_kind_is_no_notice() {
    for odd in [
        rawdoc! { "_id": 7, "receiverId": "u2" },
        rawdoc! { "_id": "6b0506070809", "receiverId": "u2" },
        rawdoc! { "_id": "6b05060708090a0b0c0d0e0f", "receiverId": "u2" },
        rawdoc! { "_id": ObjectId::new(), "receiverId": 7 },
    ] {
        assert!(read_notice(&odd).is_none(), "{odd:?}");
    }
}
