//! Journals as the engine writes them, cut and damaged in every way.

use std::os::unix::fs::FileExt;

use fjall::PersistMode;

use super::*;

/// A store's tables with some groups, and where each group begins in the journal.
struct Written {
    folder: tempfile::TempDir,
    /// Begin, end, and whether it is durable.
    groups: Vec<(u64, u64, bool)>,
}

impl Written {
    fn new(durable: &[bool]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let tables = Tables::open(folder.path(), 1 << 20).expect("opened");
        let mut written = Self {
            folder,
            groups: Vec::new(),
        };
        for (number, &durable) in durable.iter().enumerate() {
            let mut batch = tables.database.batch();
            batch.insert(&tables.notices, number.to_be_bytes(), "n".repeat(300));
            if durable {
                batch.insert(&tables.meta, LAST_ORDER, number.to_be_bytes());
            }
            let mode = if durable {
                PersistMode::SyncData
            } else {
                PersistMode::Buffer
            };
            batch.durability(Some(mode)).commit().expect("committed");
            let begin = written.groups.last().map_or(0, |group| group.1);
            let end = begin + written.len_at(begin);
            written.groups.push((begin, end, durable));
        }
        written
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("0.jnl")
    }

    fn len_at(&self, at: u64) -> u64 {
        let mut file = File::open(self.journal()).expect("opened");
        file.seek(SeekFrom::Start(at)).expect("sought");
        read_batch(&mut BufReader::new(file), u64::MAX, 0)
            .expect("read")
            .expect("a group")
            .len
    }

    fn end(&self) -> u64 {
        self.groups.last().expect("a group").1
    }

    fn put(&self, at: u64, bytes: &[u8]) {
        let file = OpenOptions::new()
            .write(true)
            .open(self.journal())
            .expect("opened");
        file.write_all_at(bytes, at).expect("written");
    }

    /// A copy of the journal's written part, changed.
    fn copy(&self, change: impl FnOnce(&mut [u8])) -> (tempfile::TempDir, PathBuf) {
        let mut bytes = vec![0; index(self.end()) + 64];
        File::open(self.journal())
            .expect("opened")
            .read_exact(&mut bytes)
            .expect("read");
        change(&mut bytes);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("0.jnl");
        std::fs::write(&path, bytes).expect("written");
        (folder, path)
    }

    fn flip(&self, at: u64) {
        let file = File::open(self.journal()).expect("opened");
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).expect("read");
        self.put(at, &[byte[0] ^ 4]);
    }

    fn check(&self, before: Before) -> Result<(), OpenError> {
        check(self.folder.path(), before)
    }

    /// How many groups the engine finds.
    fn reopened(&self) -> usize {
        let tables = Tables::open(self.folder.path(), 1 << 20).expect("opened");
        tables.notices.len().expect("counted")
    }
}

fn index(at: u64) -> usize {
    usize::try_from(at).expect("small")
}

#[test]
fn a_whole_journal_is_left_as_it_is() {
    let written = Written::new(&[true, false, true]);
    let before = std::fs::metadata(written.journal()).expect("there").len();
    written.check(Before::CleanStart).expect("fine");
    assert_eq!(
        std::fs::metadata(written.journal()).expect("there").len(),
        before
    );
    assert_eq!(written.reopened(), 3);
}

#[test]
fn a_last_group_that_is_cut_short_anywhere_is_cut_off() {
    let written = Written::new(&[true, true]);
    let (begin, end, _) = written.groups[1];
    for len in begin + 1..end {
        let (_folder, copy) = written.copy(|bytes| bytes[index(len)..].fill(0));
        check_journal(&copy, 0, Part::Active).expect("torn");
        assert_eq!(
            std::fs::metadata(&copy).expect("there").len(),
            begin,
            "cut at {len}"
        );
    }
    written.put(end - 100, &[0; 100]);
    written.check(Before::Start).expect("torn");
    assert_eq!(written.reopened(), 1);
}

#[test]
fn a_last_group_with_a_hole_is_cut_off_though_its_end_is_there() {
    let written = Written::new(&[true, true]);
    written.put(written.groups[1].0 + 200, &[0; 60]);
    written.check(Before::Start).expect("torn");
    assert_eq!(written.reopened(), 1);
}

#[test]
fn buffered_groups_that_were_never_synced_may_be_torn_in_any_order() {
    let written = Written::new(&[true, false, false, true]);
    written.put(written.groups[1].0 + 30, &[0; 200]);
    written.check(Before::Start).expect("torn");
    assert_eq!(written.reopened(), 1);
}

#[test]
fn a_flipped_bit_in_a_synced_group_is_refused_and_nothing_is_changed() {
    let written = Written::new(&[true, true, true]);
    let (last, ..) = written.groups[2];
    // The engine's checksum leaves out a group's number (8 bytes from its 5th on); all that can be seen of it
    // is that numbers rise.
    let in_number = |at| {
        written
            .groups
            .iter()
            .any(|group| (5..13).contains(&(at - group.0.min(at))))
    };
    for at in (0..last).filter(|at| !in_number(*at)) {
        let (_folder, copy) = written.copy(|bytes| bytes[index(at)] ^= 4);
        let before = std::fs::read(&copy).expect("read");
        let refused = check_journal(&copy, 0, Part::Active);
        assert!(
            matches!(refused, Err(OpenError::Damaged { .. })),
            "{at}: {refused:?}"
        );
        assert_eq!(std::fs::read(&copy).expect("read"), before);
    }
}

#[test]
fn a_sealed_journal_may_end_short_and_no_more() {
    let written = Written::new(&[true, true]);
    let (begin, end, _) = written.groups[1];
    let (_folder, copy) = written.copy(|bytes| bytes[index(end) - 40..].fill(0));
    check_journal(&copy, 0, Part::Sealed).expect("a group whose write failed");
    let (_folder, copy) = written.copy(|bytes| bytes[index(begin) + 40] ^= 1);
    let refused = check_journal(&copy, 0, Part::Sealed);
    assert!(
        matches!(refused, Err(OpenError::Damaged { .. })),
        "{refused:?}"
    );
}

#[test]
fn after_an_orderly_end_no_group_may_be_torn() {
    let written = Written::new(&[true, true]);
    written.flip(written.end() - 20);
    let refused = written.check(Before::CleanStart);
    assert!(
        matches!(refused, Err(OpenError::Damaged { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_journal_that_failed_is_not_written_to_again_and_may_end_short_later() {
    let written = Written::new(&[true, true, true]);
    let (begin, end, _) = written.groups[2];
    let half = begin + (end - begin) / 2;
    written.put(half, &vec![0; usize::try_from(end - half).expect("small")]);
    written.check(Before::Restart).expect("torn");
    assert!(written.folder.path().join("1.jnl").exists());
    let tables = Tables::open(written.folder.path(), 1 << 20).expect("opened");
    await_flush(&tables).expect("flushed");
    assert_eq!(tables.notices.len().expect("counted"), 2);
    drop(tables);
    written.check(Before::Start).expect("fine");
    assert_eq!(written.reopened(), 2);
}

#[test]
fn missing_files_are_refused() {
    for missing in [
        "version",
        "0.jnl",
        "keyspaces/0/current",
        "keyspaces/3/current",
    ] {
        let written = Written::new(&[true]);
        std::fs::remove_file(written.folder.path().join(missing)).expect("removed");
        let refused = written.check(Before::Start);
        assert!(
            matches!(refused, Err(OpenError::Damaged { .. })),
            "{missing}: {refused:?}"
        );
    }
}
