//! A door to what reads journals, for the fuzz targets: built with `--cfg fuzzing` only.

use super::batch::read_batch;

/// Reads `journal` group by group, as opening a store does.
pub fn read_journal(mut journal: &[u8]) {
    let mut last = 0;
    loop {
        let left = journal.len() as u64;
        let Ok(Ok(batch)) = read_batch(&mut journal, left, last) else {
            return;
        };
        assert!(batch.len > 0 && batch.len == left - journal.len() as u64);
        last = batch.sequence;
    }
}
