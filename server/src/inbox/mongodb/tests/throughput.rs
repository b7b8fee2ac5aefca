//! How much of the driver's own speed is left: `cargo nextest run --release --run-ignored only -E
//! 'test(mongodb_throughput)' --no-capture`. It asserts nothing, as a machine's other work would decide it: it prints.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mongodb::bson::RawDocumentBuf;

use super::TestDatabase;
use crate::domain::NoticeId;
use crate::inbox::conformance::{Recorder, account, draft};
use crate::inbox::mongodb::document::{Prints, notice_of, write_notice};
use crate::inbox::mongodb::{MongoOptions, MongoStore};
use crate::inbox::{Inbox as _, MarkRead, Reader, SessionKey, StoreMetrics};

const TIME: Duration = Duration::from_secs(4);

#[derive(Default)]
struct Groups {
    groups: AtomicUsize,
    calls: AtomicUsize,
}

impl StoreMetrics for Groups {
    fn group(&self, calls: usize) {
        self.groups.fetch_add(1, Ordering::Relaxed);
        self.calls.fetch_add(calls, Ordering::Relaxed);
    }
}

/// Runs `callers` at once for a while, each over and over; how many a second they did.
async fn rate<F: Future<Output = usize> + Send>(
    callers: usize,
    call: impl Fn(usize) -> F + Clone + Send + 'static,
) -> f64 {
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for caller in 0..callers {
        let call = call.clone();
        tasks.spawn(async move {
            let mut done = 0;
            while begun.elapsed() < TIME {
                done += call(caller).await;
            }
            done
        });
    }
    #[allow(clippy::cast_precision_loss, reason = "a rate to print")]
    let done = tasks.join_all().await.into_iter().sum::<usize>() as f64;
    done / begun.elapsed().as_secs_f64()
}

fn message() -> String {
    "x".repeat(80)
}

async fn driver_alone(store: &Arc<MongoStore>, batch: usize, at_once: usize) -> f64 {
    let store = Arc::clone(store);
    let serial = Arc::new(AtomicUsize::new(0));
    rate(at_once, move |_| {
        let (store, serial) = (Arc::clone(&store), Arc::clone(&serial));
        async move {
            let core = store.core();
            let document = |_| {
                let n = serial.fetch_add(1, Ordering::Relaxed);
                let draft = draft(&format!("d{}", n % 5000), &message());
                let id = NoticeId::new(core.now(), 1, n as u64);
                write_notice(&notice_of(id, &draft), &Prints::of(&draft), &core.limits)
            };
            let documents: Vec<RawDocumentBuf> = (0..batch).map(document).collect();
            core.link
                .notices
                .insert_many(&documents)
                .ordered(false)
                .await
                .expect("stored");
            batch
        }
    })
    .await
}

async fn ours(store: &Arc<MongoStore>, callers: usize, batch: usize) -> f64 {
    let store = Arc::clone(store);
    let serial = Arc::new(AtomicUsize::new(0));
    rate(callers, move |_| {
        let (store, serial) = (Arc::clone(&store), Arc::clone(&serial));
        async move {
            let one = |_| {
                draft(
                    &format!("o{}", serial.fetch_add(1, Ordering::Relaxed) % 5000),
                    &message(),
                )
            };
            let answers = store.stage((0..batch).map(one).collect()).await;
            assert!(
                answers.iter().all(Result::is_ok),
                "{:?}",
                answers.iter().find(|a| a.is_err())
            );
            batch
        }
    })
    .await
}

async fn acknowledging(store: &Arc<MongoStore>, callers: usize) -> f64 {
    let staged = Arc::new(parking_lot::Mutex::new(Vec::new()));
    for part in 0..20 {
        let who = |n| format!("a{}", (part * 1000 + n) % 500);
        let answers = store
            .stage((0..1000).map(|n| draft(&who(n), "a")).collect())
            .await;
        let ids = answers.into_iter().map(|answer| answer.expect("staged").id);
        staged
            .lock()
            .extend(ids.enumerate().map(|(n, id)| (who(n), id)));
    }
    let store = Arc::clone(store);
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..callers {
        let (store, staged) = (Arc::clone(&store), Arc::clone(&staged));
        tasks.spawn(async move {
            loop {
                let Some((who, id)) = staged.lock().pop() else {
                    return;
                };
                let request = MarkRead {
                    account: account(&who),
                    ids: vec![id],
                    reader: Reader::Session(SessionKey(1)),
                };
                assert_eq!(store.mark_read(request).await, Ok(vec![id]));
            }
        });
    }
    tasks.join_all().await;
    20_000.0 / begun.elapsed().as_secs_f64()
}

async fn looking(store: &Arc<MongoStore>, callers: usize, prefix: &'static str) -> f64 {
    let store = Arc::clone(store);
    let serial = Arc::new(AtomicUsize::new(0));
    rate(callers, move |_| {
        let (store, serial) = (Arc::clone(&store), Arc::clone(&serial));
        async move {
            let who = format!("{prefix}{}", serial.fetch_add(1, Ordering::Relaxed) % 5000);
            store.unread(&account(&who), &[], 32).await.expect("read");
            1
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn mongodb_throughput() {
    let (database, groups) = (TestDatabase::new(), Arc::new(Groups::default()));
    let options = MongoOptions {
        unread_per_account: 1_000_000,
        metrics: Arc::<Groups>::clone(&groups),
        ..database.options()
    };
    let store = MongoStore::open(options, Arc::new(Recorder::default()))
        .await
        .expect("opened");
    for round in 0..2 {
        for (callers, batch) in [(64, 1), (256, 1), (64, 100)] {
            groups.groups.store(0, Ordering::Relaxed);
            groups.calls.store(0, Ordering::Relaxed);
            let ours = ours(&store, callers, batch).await;
            let in_one = groups.calls.load(Ordering::Relaxed) * batch
                / groups.groups.load(Ordering::Relaxed).max(1);
            let driver = driver_alone(&store, in_one.max(1), 4).await;
            println!(
                "round {round}: {callers} callers of {batch}: ours {ours:.0}/s in groups of {in_one}; the driver alone, 4 at once in batches of {in_one}: {driver:.0}/s; {:.0} %",
                100.0 * ours / driver
            );
        }
        println!(
            "round {round}: mark_read, 256 callers singly: {:.0}/s",
            acknowledging(&store, 256).await
        );
        println!(
            "round {round}: looks into empty inboxes, 256 at once: {:.0}/s",
            looking(&store, 256, "e").await
        );
        println!(
            "round {round}: one at once: {:.0}/s",
            looking(&store, 1, "e").await
        );
    }
    store.close().await;
}
