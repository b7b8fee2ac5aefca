//! Disks that fail while the store runs.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{child_of, open, shell, unread};
use crate::clock::Clock;
use crate::domain::NoticeId;
use crate::inbox::conformance::{Recorder, draft};
use crate::inbox::embedded::{EmbeddedStore, Options};
use crate::inbox::{Committed, Inbox, StageError};

/// Until the store has seen a failure, or got over it.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "in a minute it was not so: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

struct Trial {
    store: Arc<EmbeddedStore>,
    told: Arc<Recorder>,
    staged: Vec<NoticeId>,
}

impl Trial {
    fn begin(dir: &Path) -> Self {
        let told = Arc::new(Recorder::default());
        let options = Options {
            min_free_bytes: 0,
            ..Options::new(dir)
        };
        let observer = Arc::<Recorder>::clone(&told);
        let store = EmbeddedStore::open(options, Clock::System, observer).expect("opened");
        Self {
            store,
            told,
            staged: Vec::new(),
        }
    }

    /// Whether a large notice was taken. If not, it was for the store's failure and nothing else.
    async fn stage(&mut self) -> bool {
        match self
            .store
            .stage(vec![draft("u1", &"x".repeat(50_000))])
            .await
            .remove(0)
        {
            Ok(staged) => {
                self.staged.push(staged.id);
                true
            }
            Err(StageError::Unavailable(why)) => {
                assert!(!why.reason.is_empty() && why.retry_after > Duration::ZERO);
                false
            }
            Err(other) => panic!("{other}"),
        }
    }

    async fn stage_until_it_fails(&mut self) {
        let begun = Instant::now();
        while self.stage().await {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "the disk never failed"
            );
        }
    }

    /// All that was answered is there, also for a later process, and nothing else was told.
    async fn end(self, dir: &Path) {
        let events = self.told.take();
        let told = events.iter().filter_map(|event| match event {
            Committed::Staged { notice, .. } => Some(notice.id),
            Committed::CameBack => None,
            other => panic!("{other:?}"),
        });
        assert_eq!(told.collect::<Vec<_>>(), self.staged);
        let came_back = |event: &Committed| matches!(event, Committed::CameBack);
        assert!(
            events.iter().any(came_back),
            "whoever is online looks again"
        );
        self.store.close().await;
        let store = open(dir).expect("opened");
        let found = unread(&store, "u1").await.expect("read");
        assert!(self.staged.iter().all(|id| found.contains(id)));
    }
}

#[test]
fn a_store_whose_writes_fail_refuses_and_comes_back_by_itself() {
    // The bound on a file's size can be moved by the process itself, so a failing disk needs no rights here.
    let child = child_of(module_path!(), "child_whose_files_may_not_grow");
    let status = shell("trap '' XFSZ;", &child).status().expect("started");
    assert!(status.success(), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "is run by the test above: it bounds the files of its process"]
async fn child_whose_files_may_not_grow() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut trial = Trial::begin(folder.path());
    for _ in 0..10 {
        assert!(trial.stage().await);
    }
    bound_files(Some(1 << 20));
    trial.stage_until_it_fails().await;
    until("it is open again", async || trial.store.health().is_ok()).await;
    trial.stage_until_it_fails().await;
    // Now not even a new journal can be begun, as nothing may be written at all.
    bound_files(Some(0));
    until("it says that it can't be opened", async || {
        trial.store.health().is_err()
    })
    .await;
    assert!(!trial.stage().await);
    let refused = unread(&trial.store, "u1").await;
    assert!(refused.is_err(), "reads say so as well");
    bound_files(None);
    until("it takes notices again", async || trial.stage().await).await;
    assert_eq!(trial.store.health(), Ok(()));
    trial.end(folder.path()).await;
}

fn bound_files(bytes: Option<u64>) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(
        Resource::Fsize,
        Rlimit {
            current: bytes,
            maximum,
        },
    )
    .expect("bounded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "mounts a small file system, which only root may"]
async fn a_full_disk_refuses_and_room_brings_the_store_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let mount = Mount::tmpfs(folder.path(), 24);
    let dir = folder.path().join("store");
    let ballast = folder.path().join("ballast");
    let mut trial = Trial::begin(&dir);
    std::fs::write(&ballast, vec![1; 12 << 20]).expect("written");
    trial.stage_until_it_fails().await;
    std::fs::remove_file(&ballast).expect("removed");
    until("it takes notices again", async || trial.stage().await).await;
    trial.end(&dir).await;
    drop(mount);
}

struct Mount(std::path::PathBuf);

impl Mount {
    fn tmpfs(at: &Path, mib: u32) -> Self {
        let size = format!("size={mib}m");
        let status = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(at)
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "a file system could not be mounted"
        );
        Self(at.to_owned())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(&self.0)
            .status();
    }
}
