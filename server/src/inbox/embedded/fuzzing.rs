//! Doors to what reads the store's bytes, for the fuzz targets: built with `--cfg fuzzing` only.

pub use super::journal::fuzzing::read_journal;
use super::record::{self, FirstCall, Mark, UnreadRow};
use crate::domain::NoticeId;

/// Reads `row` as a row of each table. What can be read must say the same once it is written again.
pub fn read_rows(row: &[u8]) {
    let id = NoticeId::from_bits(1 << 100);
    if let Ok(notice) = record::read_notice(id, row) {
        let mut json = Vec::new();
        notice.write_json(false, false, &mut json);
        assert!(!json.is_empty());
        let receiver = notice.receiver.clone();
        assert_eq!(record::receiver(row).ok(), Some(receiver));
        let mut again = Vec::new();
        record::write_notice(&record::draft_of(notice), &mut again);
        assert!(record::read_notice(id, &again).is_ok());
    }
    let _receiver_or_error = record::receiver(row);
    if let Ok(unread) = UnreadRow::read(row) {
        assert_eq!(UnreadRow::read(&unread.bytes()).ok(), Some(unread));
    }
    if let Ok(mark) = Mark::read(row) {
        assert_eq!(Mark::read(&mark.bytes()).ok(), Some(mark));
    }
    if let Ok(first) = FirstCall::read(row) {
        assert_eq!(first.bytes(), row);
    }
    if let Ok((expires, account)) = record::read_token(row) {
        assert_eq!(record::write_token(expires, &account), row);
    }
}
