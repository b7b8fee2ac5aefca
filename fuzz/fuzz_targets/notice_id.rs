//! Ids in paths, acknowledgements and queries: no text panics, and only the one canonical text of an id is one. The
//! hexadecimal digits of an older service's id may be in capitals.
#![no_main]

use libfuzzer_sys::fuzz_target;
use notice_server::domain::NoticeId;

fuzz_target!(|text: &str| {
    if let Ok(id) = text.parse::<NoticeId>() {
        let canonical = if id.object_id().is_some() {
            text.to_ascii_lowercase()
        } else {
            text.to_owned()
        };
        assert_eq!(id.to_string(), canonical);
        assert_eq!(NoticeId::from_bits(id.bits()), id);
    }
});
