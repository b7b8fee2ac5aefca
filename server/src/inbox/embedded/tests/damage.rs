//! Folders that are not as the store left them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::super::tables::Tables;
use super::{open, unread};
use crate::domain::NoticeId;
use crate::inbox::Inbox;
use crate::inbox::conformance::draft;
use crate::inbox::embedded::OpenError;

fn refused(dir: &Path) -> OpenError {
    match open(dir) {
        Ok(_) => panic!("{} was opened", dir.display()),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_folder_of_a_newer_format_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    open(folder.path()).expect("made").close().await;
    let format = folder.path().join("FORMAT");
    let newer = fs::read_to_string(&format)
        .expect("read")
        .replace("format 1", "format 2");
    fs::write(&format, &newer).expect("written");
    let error = refused(folder.path());
    assert!(
        matches!(
            error,
            OpenError::OtherFormat {
                found: 2,
                ours: 1,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(fs::read_to_string(&format).expect("read"), newer);
}

#[tokio::test]
async fn a_folder_of_something_else_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("thesis.txt"), "three years").expect("written");
    let error = refused(folder.path());
    assert!(
        matches!(&error, OpenError::NotOurs { found, .. } if found == "thesis.txt"),
        "{error}"
    );
    assert_eq!(fs::read_dir(folder.path()).expect("read").count(), 1);
    fs::write(folder.path().join("FORMAT"), "docx").expect("written");
    assert!(matches!(refused(folder.path()), OpenError::NotOurs { .. }));
}

#[tokio::test]
async fn a_store_that_lost_its_format_is_not_made_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    open(folder.path()).expect("made").close().await;
    fs::remove_file(folder.path().join("FORMAT")).expect("removed");
    assert!(matches!(refused(folder.path()), OpenError::NotOurs { .. }));
    assert!(folder.path().join("db").exists());
}

#[tokio::test]
async fn a_file_in_the_folders_place_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("written");
    assert!(matches!(refused(&file), OpenError::NotADirectory { .. }));
    assert!(matches!(
        refused(&file.join("below")),
        OpenError::NotADirectory { .. }
    ));
}

#[tokio::test]
async fn a_creation_that_was_killed_is_begun_again() {
    let folder = tempfile::tempdir().expect("a folder");
    open(folder.path()).expect("made").close().await;
    fs::remove_file(folder.path().join("FORMAT")).expect("removed");
    fs::write(folder.path().join("INITIALISING"), "").expect("written");
    fs::remove_file(folder.path().join("CLEAN")).expect("removed");
    fs::remove_dir_all(folder.path().join("db/keyspaces/4")).expect("removed");
    fs::create_dir(folder.path().join("lost+found")).expect("made");
    let store = open(folder.path()).expect("made anew");
    store
        .stage(vec![draft("u1", "a")])
        .await
        .remove(0)
        .expect("staged");
    assert!(!folder.path().join("INITIALISING").exists());
}

#[test]
fn the_systems_refusals_are_told_apart() {
    use std::io::{Error, ErrorKind};
    let told = |kind| OpenError::from_io(Path::new("/data"), Error::from(kind));
    assert!(matches!(
        told(ErrorKind::PermissionDenied),
        OpenError::NotWritable { .. }
    ));
    assert!(matches!(
        told(ErrorKind::ReadOnlyFilesystem),
        OpenError::NotWritable { .. }
    ));
    assert!(matches!(
        told(ErrorKind::StorageFull),
        OpenError::NoSpace { .. }
    ));
}

/// A closed store with notices in tables and in its journal.
struct Kept {
    folder: tempfile::TempDir,
    ids: BTreeSet<NoticeId>,
}

impl Kept {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut ids = BTreeSet::new();
        for part in 0..2 {
            let store = open(folder.path()).expect("opened");
            let drafts = (0..60)
                .map(|n| draft("u1", &format!("{part} {n}")))
                .collect();
            let answers = store.stage(drafts).await;
            ids.extend(answers.into_iter().map(|answer| answer.expect("staged").id));
            store.close().await;
            drop(store);
            if part == 0 {
                flush(folder.path());
            }
        }
        Self { folder, ids }
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![self.folder.path().join("db")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("read") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path)
                } else {
                    files.push(path)
                }
            }
        }
        files.sort();
        files
    }

    fn copy_to(&self, to: &Path) {
        let copied = std::process::Command::new("cp")
            .arg("-a")
            .arg("--sparse=always")
            .arg(self.folder.path().join("."))
            .arg(to)
            .status();
        assert!(
            copied.is_ok_and(|status| status.success()),
            "the folder could not be copied"
        );
    }

    /// Damages one file of a copy: the store must refuse, or say so when it reads, or have everything.
    async fn expect_no_silent_loss(
        &self,
        file: &Path,
        what: &str,
        damage: impl FnOnce(&Path),
    ) -> bool {
        let copy = tempfile::tempdir().expect("a folder");
        self.copy_to(copy.path());
        let inner = file
            .strip_prefix(self.folder.path())
            .expect("within the store");
        damage(&copy.path().join(inner));
        let what = format!("{what} in {}", inner.display());
        let store = match open(copy.path()) {
            Ok(store) => store,
            Err(OpenError::Damaged { .. }) => return true,
            Err(other) => panic!("{what}: {other}"),
        };
        let noticed = match unread(&store, "u1").await {
            Ok(found) => {
                assert_eq!(found, self.ids, "{what}");
                false
            }
            Err(_) => true,
        };
        store.close().await;
        noticed
    }
}

fn flush(dir: &Path) {
    let tables = Tables::open(&dir.join("db"), 1 << 20).expect("opened");
    for table in [&tables.notices, &tables.unread, &tables.meta] {
        table.rotate_memtable_and_wait().expect("flushed");
    }
}

fn len(file: &Path) -> usize {
    let len = fs::metadata(file).expect("there").len();
    usize::try_from(len.min(60_000)).expect("small")
}

#[tokio::test]
async fn damaged_files_never_lose_a_notice_without_a_word() {
    let kept = Kept::new().await;
    let (mut tried, mut noticed) = (0, 0);
    for file in kept.files().iter().filter(|file| len(file) > 0) {
        for part in 0..6 {
            let at = len(file) * part / 6 + part;
            let flip = |path: &Path| {
                let mut bytes = fs::read(path).expect("read");
                let at = at.min(bytes.len() - 1);
                bytes[at] ^= 0x10;
                fs::write(path, bytes).expect("written");
            };
            tried += 1;
            noticed += u32::from(
                kept.expect_no_silent_loss(file, &format!("a bit {at} bytes in"), flip)
                    .await,
            );
        }
    }
    assert!(noticed > 20, "{noticed} of {tried} were noticed");
}

#[tokio::test]
async fn truncated_and_missing_files_never_lose_a_notice_without_a_word() {
    let kept = Kept::new().await;
    for file in kept.files().iter().filter(|file| len(file) > 0) {
        let cut = |path: &Path| {
            let file = fs::OpenOptions::new()
                .write(true)
                .open(path)
                .expect("opened");
            file.set_len(len(path) as u64 / 2).expect("cut");
        };
        kept.expect_no_silent_loss(file, "half of it", cut).await;
        kept.expect_no_silent_loss(file, "nothing left", |path| {
            fs::remove_file(path).expect("removed")
        })
        .await;
    }
}
