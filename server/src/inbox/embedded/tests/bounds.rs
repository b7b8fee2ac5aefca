//! Full stores, closing, and the like.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Clock;
use crate::inbox::conformance::{Recorder, account, draft, in_short};
use crate::inbox::embedded::{EmbeddedStore, OpenError, Options, StoreMetrics};
use crate::inbox::{Inbox, MarkRead, Reader, StageError};
use crate::tokens::SessionTokens;

fn open_with(options: Options) -> (Arc<EmbeddedStore>, Arc<Recorder>) {
    let told = Arc::new(Recorder::default());
    let observer = Arc::<Recorder>::clone(&told);
    (
        EmbeddedStore::open(options, Clock::System, observer).expect("opened"),
        told,
    )
}

#[tokio::test]
async fn a_full_store_refuses_notices_and_still_takes_reads_and_recalls() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = open_with(Options::new(folder.path()));
    let ids: Vec<_> = store
        .stage(vec![draft("u1", "a"), draft("u1", "b")])
        .await
        .into_iter()
        .map(|answer| answer.expect("staged").id)
        .collect();
    store.close().await;
    for full in [
        Options {
            max_bytes: 1,
            ..Options::new(folder.path())
        },
        Options {
            min_free_bytes: u64::MAX,
            ..Options::new(folder.path())
        },
    ] {
        let (store, _) = open_with(full);
        store.settle().await.expect("settled");
        let refused = store.stage(vec![draft("u1", "c")]).await.remove(0);
        assert!(
            matches!(refused, Err(StageError::StoreFull(_))),
            "{refused:?}"
        );
        assert!(store.health().is_err());
        let request = MarkRead {
            account: account("u1"),
            ids: ids[..1].to_vec(),
            reader: Reader::Account,
        };
        store.mark_read(request).await.expect("marked");
        assert_eq!(store.recall(ids[1]).await, Ok(true));
        store.close().await;
    }
    let (store, _) = open_with(Options::new(folder.path()));
    store
        .stage(vec![draft("u1", "c")])
        .await
        .remove(0)
        .expect("there is room again");
}

#[tokio::test]
async fn a_closed_store_refuses_every_call_and_lets_the_folder_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = open_with(Options::new(folder.path()));
    let id = store
        .stage(vec![draft("u1", "a")])
        .await
        .remove(0)
        .expect("staged")
        .id;
    store.close().await;
    let refused = store.stage(vec![draft("u1", "b")]).await.remove(0);
    assert!(
        matches!(refused, Err(StageError::Unavailable(_))),
        "{refused:?}"
    );
    assert!(store.unread(&account("u1"), &[], 1).await.is_err());
    assert!(store.state(id).await.is_err() && store.recall(id).await.is_err());
    assert!(store.issue(&account("u1"), 1).await.is_err() && store.health().is_err());
    let (again, _) = open_with(Options::new(folder.path()));
    assert_eq!(again.unread_count(&account("u1")).await, Ok(1));
    store.close().await;
}

#[tokio::test]
async fn a_dropped_store_finishes_and_tells_what_was_begun() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, told) = open_with(Options::new(folder.path()));
    {
        let mut calls: Vec<_> = (0..300)
            .map(|n| Box::pin(store.stage(vec![draft("u1", &n.to_string())])))
            .collect();
        // All of them begin, whatever the runtime thinks of fairness; then they are dropped.
        let begin = std::future::poll_fn(|context| {
            for call in &mut calls {
                let _ = call.as_mut().poll(context);
            }
            std::task::Poll::Ready(())
        });
        tokio::task::unconstrained(begin).await;
    }
    drop(store);
    let (again, _) = open_with(Options::new(folder.path()));
    assert_eq!(again.unread_count(&account("u1")).await, Ok(300));
    told.wait_until(|events| events.len() == 300).await;
    let expected: Vec<_> = (0..300).map(|n| format!("staged {n}")).collect();
    assert_eq!(in_short(&told.take()), expected);
}

#[derive(Default)]
struct Counted {
    groups: AtomicU64,
    calls: AtomicU64,
}

impl StoreMetrics for Counted {
    fn group(&self, calls: usize) {
        self.groups.fetch_add(1, Ordering::Relaxed);
        self.calls.fetch_add(calls as u64, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn calls_that_wait_together_are_committed_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let counted = Arc::new(Counted::default());
    let metrics = Arc::<Counted>::clone(&counted);
    let (store, _) = open_with(Options {
        metrics,
        ..Options::new(folder.path())
    });
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..1000 {
        let store = Arc::clone(&store);
        calls.spawn(async move {
            store
                .stage(vec![draft(&format!("u{n}"), "a")])
                .await
                .remove(0)
                .expect("staged")
        });
    }
    calls.join_all().await;
    let (groups, calls) = (
        counted.groups.load(Ordering::Relaxed),
        counted.calls.load(Ordering::Relaxed),
    );
    assert_eq!(calls, 1000);
    assert!(groups < 500, "{groups} groups");
}

#[tokio::test]
async fn two_servers_never_have_one_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = open_with(Options::new(folder.path()));
    let refused = super::open(folder.path()).err();
    assert!(
        matches!(refused, Some(OpenError::InUse { .. })),
        "{refused:?}"
    );
    drop(store);
    super::open(folder.path()).expect("free again");
}

struct Deaf;

impl crate::inbox::CommitObserver for Deaf {
    fn committed(&self, _: Vec<crate::inbox::Committed>) -> crate::inbox::Telling {
        panic!("the observer fails, on purpose");
    }
}

#[tokio::test]
async fn a_store_that_nobody_hears_takes_no_more_calls() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = EmbeddedStore::open(Options::new(folder.path()), Clock::System, Arc::new(Deaf))
        .expect("opened");
    for _ in 0..2 {
        let refused = store.stage(vec![draft("u1", "a")]).await.remove(0);
        assert!(
            matches!(refused, Err(StageError::Unavailable(_))),
            "{refused:?}"
        );
    }
    assert!(store.health().is_err());
    store.close().await;
}
