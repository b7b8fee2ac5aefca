//! Ids in paths, acknowledgements and queries: no text panics, and only the one canonical text of an id is one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use notice_server::domain::NoticeId;

fuzz_target!(|text: &str| {
    if let Ok(id) = text.parse::<NoticeId>() {
        assert_eq!(id.to_string(), text);
        assert_eq!(NoticeId::from_bits(id.bits()), id);
    }
});
