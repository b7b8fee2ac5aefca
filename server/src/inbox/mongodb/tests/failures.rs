//! MongoDB goes away and comes back, in the middle of everything.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::proxy::Proxy;
use super::{TestDatabase, uri};
use crate::config::Secret;
use crate::domain::{Draft, NoticeId};
use crate::inbox::conformance::{Recorder, account, draft};
use crate::inbox::mongodb::{MongoOpenError, MongoOptions, MongoStore};
use crate::inbox::{Committed, Inbox as _, MarkRead, Reader, SessionKey, StageError};

/// The address in the tests' URI.
fn target() -> String {
    let uri = uri();
    let rest = uri.strip_prefix("mongodb://").expect("a plain URI");
    rest.split(['/', '?'])
        .next()
        .expect("an address")
        .to_owned()
}

async fn behind(proxy: &Proxy, database: &TestDatabase, told: &Arc<Recorder>) -> Arc<MongoStore> {
    let options = MongoOptions {
        uri: Secret::new(proxy.uri()),
        unread_per_account: 100_000,
        ..database.options()
    };
    MongoStore::open(options, Arc::<Recorder>::clone(told))
        .await
        .expect("opened")
}

fn keyed(who: &str, n: usize) -> Draft {
    Draft {
        idempotency_key: Some(n.to_string().into()),
        ..draft(who, &n.to_string())
    }
}

/// Stages until it is answered with success, as a caller would.
async fn insist(store: &MongoStore, one: Draft) -> NoticeId {
    let begun = Instant::now();
    loop {
        match store.stage(vec![one.clone()]).await.remove(0) {
            Ok(staged) => return staged.id,
            Err(StageError::Unavailable(why)) => {
                assert!(begun.elapsed() < Duration::from_secs(30), "{why}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(other) => panic!("{other}"),
        }
    }
}

fn came_back(events: &[Committed]) -> bool {
    events
        .iter()
        .any(|event| matches!(event, Committed::CameBack))
}

#[tokio::test]
async fn what_was_answered_is_never_lost_while_mongodb_goes_away_and_comes_back() {
    let (database, told) = (TestDatabase::new(), Arc::new(Recorder::default()));
    let proxy = Proxy::to(target()).await;
    let store = behind(&proxy, &database, &told).await;
    let done = Arc::new(AtomicBool::new(false));
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..8_usize {
        let (store, done) = (Arc::clone(&store), Arc::clone(&done));
        callers.spawn(async move {
            let mut answered = HashMap::new();
            for n in (0..1000).take_while(|_| !done.load(Ordering::Relaxed)) {
                let key = caller * 1000 + n;
                answered.insert(key, insist(&store, keyed("u1", key)).await);
            }
            answered
        });
    }
    // A short cut is ridden out; one that is longer than the driver looks for a server is a failure.
    for pause in [100, 500, 3000] {
        tokio::time::sleep(Duration::from_millis(150)).await;
        proxy.cut();
        tokio::time::sleep(Duration::from_millis(pause)).await;
        proxy.mend();
    }
    told.wait_until(came_back).await;
    done.store(true, Ordering::Relaxed);
    let mut answered = HashMap::new();
    for of_caller in callers.join_all().await {
        answered.extend(of_caller);
    }
    let page = store
        .unread(&account("u1"), &[], 10_000)
        .await
        .expect("read");
    let stored: HashMap<usize, NoticeId> = page
        .items
        .iter()
        .map(|unread| {
            (
                unread.notice.message.parse().expect("a number"),
                unread.notice.id,
            )
        })
        .collect();
    assert_eq!(page.items.len(), answered.len(), "each is stored once");
    assert_eq!(stored, answered, "by the id that was answered");
    store.close().await;
}

#[tokio::test]
async fn a_connection_that_breaks_under_a_call_is_not_a_failure() {
    let (database, told) = (TestDatabase::new(), Arc::new(Recorder::default()));
    let proxy = Proxy::to(target()).await;
    let store = behind(&proxy, &database, &told).await;
    for n in 0..5 {
        // A connection that is waiting in the pool is found broken by who takes it out.
        proxy.shake();
        let id = insist(&store, keyed("u1", n)).await;
        let request = MarkRead {
            account: account("u1"),
            ids: vec![id],
            reader: Reader::Session(SessionKey(1)),
        };
        let read = store.mark_read(request).await;
        assert_eq!(read, Ok(vec![id]));
    }
    store.close().await;
}

#[tokio::test]
async fn while_mongodb_is_away_calls_are_refused_at_once_and_acknowledgements_handed_back() {
    let (database, told) = (TestDatabase::new(), Arc::new(Recorder::default()));
    let proxy = Proxy::to(target()).await;
    let store = behind(&proxy, &database, &told).await;
    let id = insist(&store, keyed("u1", 0)).await;
    proxy.cut();
    let request = MarkRead {
        account: account("u1"),
        ids: vec![id],
        reader: Reader::Session(SessionKey(1)),
    };
    let taken = store.mark_read_soon(request.clone());
    assert!(taken.is_ok(), "it is not known yet");
    told.wait_until(|events| {
        events
            .iter()
            .any(|event| matches!(event, Committed::NotRead(_)))
    })
    .await;
    let begun = Instant::now();
    for n in 0..100 {
        let refused = store.stage(vec![keyed("u2", n)]).await.remove(0);
        let Err(StageError::Unavailable(why)) = refused else {
            panic!("{refused:?}");
        };
        assert!(why.retry_after >= Duration::from_millis(500), "{why:?}");
    }
    assert!(store.unread(&account("u1"), &[], 10).await.is_err());
    assert!(store.mark_read_soon(request.clone()).is_err());
    assert!(store.health().is_err());
    assert!(
        begun.elapsed() < Duration::from_millis(500),
        "{:?}",
        begun.elapsed()
    );
    proxy.mend();
    told.wait_until(came_back).await;
    assert_eq!(store.health(), Ok(()));
    assert_eq!(store.mark_read(request).await, Ok(vec![id]));
    store.close().await;
}

#[tokio::test]
async fn a_restart_in_the_middle_of_staging_loses_nothing_that_was_answered() {
    let (database, told) = (TestDatabase::new(), Arc::new(Recorder::default()));
    let proxy = Proxy::to(target()).await;
    let store = behind(&proxy, &database, &told).await;
    let mut callers = tokio::task::JoinSet::new();
    for n in 0..200 {
        let store = Arc::clone(&store);
        callers.spawn(async move { (n, store.stage(vec![keyed("u1", n)]).await.remove(0)) });
    }
    tokio::task::yield_now().await;
    store.close().await;
    let answers = callers.join_all().await;
    let store = behind(&proxy, &database, &told).await;
    for (n, answer) in answers {
        let id = insist(&store, keyed("u1", n)).await;
        assert!(answer.is_err() || answer.is_ok_and(|staged| staged.id == id));
    }
    let page = store
        .unread(&account("u1"), &[], 10_000)
        .await
        .expect("read");
    assert_eq!(page.items.len(), 200);
    store.close().await;
}

#[tokio::test]
async fn opening_says_what_is_wrong() {
    let open = |uri: &str| {
        MongoStore::open(
            MongoOptions::new(Secret::new(uri), "notice_test_none"),
            Arc::new(Recorder::default()),
        )
    };
    let away = open("mongodb://user:hidden@127.0.0.1:1/?serverSelectionTimeoutMS=300").await;
    let away = away.err().expect("nothing listens there");
    assert!(matches!(away, MongoOpenError::Away { .. }), "{away}");
    assert!(!away.to_string().contains("hidden"), "{away}");
}

#[tokio::test]
async fn an_index_of_other_options_is_named() {
    let database = TestDatabase::new();
    let client = mongodb::Client::with_uri_str(uri())
        .await
        .expect("a client");
    let notices = client
        .database(&database.name)
        .collection::<mongodb::bson::Document>("notice");
    let mut options = mongodb::options::IndexOptions::default();
    options.name = Some("notice_end".to_owned());
    let keys = mongodb::bson::doc! { "endTime": -1 };
    let other = mongodb::IndexModel::builder()
        .keys(keys)
        .options(options)
        .build();
    notices.create_index(other).await.expect("made");
    let refused = MongoStore::open(database.options(), Arc::new(Recorder::default())).await;
    let refused = refused.err().expect("refused").to_string();
    assert!(
        refused.contains("\"notice_end\"") && refused.contains("drop that one"),
        "{refused}"
    );
}

/// Notices are dated by MongoDB's clock, whatever this machine's says.
#[tokio::test]
async fn the_store_goes_by_the_clock_of_mongodb() {
    let database = TestDatabase::new();
    let store = MongoStore::open(database.options(), Arc::new(Recorder::default())).await;
    let store = store.expect("opened");
    for _ in 0..3 {
        let (before, sample, after) = (store.now(), store.core().link.time().await, store.now());
        let said = sample.expect("answered").said;
        assert!(
            before <= said + 100 && said <= after + 100,
            "{before} {said} {after}"
        );
    }
    store.close().await;
    assert!(
        store.stage(vec![keyed("u1", 1)]).await.remove(0).is_err(),
        "it is closed"
    );
}

/// Many inboxes are looked into at once, with more notices in them than one query brings.
#[tokio::test]
async fn many_looks_at_once_each_get_their_own_page() {
    let (database, told) = (TestDatabase::new(), Arc::new(Recorder::default()));
    let proxy = Proxy::to(target()).await;
    let store = behind(&proxy, &database, &told).await;
    let who = |n: usize| format!("u{}", n % 100);
    for part in 0..2 {
        let drafts = (0..600).map(|n| draft(&who(n), &format!("{part} {n}")));
        let answers = store.stage(drafts.collect()).await;
        assert!(answers.iter().all(Result::is_ok));
    }
    let mut looks = tokio::task::JoinSet::new();
    for n in 0..400_usize {
        let (store, who) = (Arc::clone(&store), format!("u{}", n % 200));
        looks.spawn(async move { (n % 200, store.unread(&account(&who), &[], 5).await) });
    }
    for (n, page) in looks.join_all().await {
        let page = page.expect("read");
        let expected = if n < 100 { (5, true) } else { (0, false) };
        assert_eq!((page.items.len(), page.next.is_some()), expected);
        assert!(
            page.items
                .iter()
                .all(|unread| unread.notice.receiver.as_str() == who(n))
        );
    }
    store.close().await;
}
