//! Notices that the older service left in the collection, and what it sees of ours.

use std::sync::Arc;

use mongodb::bson::oid::ObjectId;
use mongodb::bson::{DateTime, Document, doc};

use super::TestDatabase;
use crate::clock::Clock;
use crate::domain::{Draft, Lifetime, NoticeId, StateName};
use crate::inbox::conformance::{Recorder, account, draft};
use crate::inbox::mongodb::MongoStore;
use crate::inbox::{HistoryQuery, Inbox as _, MarkRead, Reader};

struct Older {
    /// Dropped behind the store.
    _database: TestDatabase,
    store: Arc<MongoStore>,
    clock: Clock,
}

impl Older {
    async fn new() -> Self {
        let database = TestDatabase::new();
        let clock = Clock::manual(Clock::System.now());
        let store = database.open(Arc::new(Recorder::default()), &clock).await;
        Self {
            _database: database,
            store,
            clock,
        }
    }

    /// As the older service stored it, so long ago.
    async fn left(&self, receiver: &str, message: &str, ago: u64, read: bool) -> NoticeId {
        let created = i64::try_from(self.clock.now() - ago).expect("a time");
        let seconds = u32::try_from(created / 1000).expect("a time");
        let id = ObjectId::from_parts(seconds, [1; 5], [0, 0, message.as_bytes()[0]]);
        let old = doc! { "_id": id, "receiverId": receiver, "senderId": "u9", "message": message,
        "createdTime": DateTime::from_millis(created), "read": read, "_class": "Notice" };
        let notices = self.notices();
        notices.insert_one(old).await.expect("stored");
        NoticeId::from_object_id(id.bytes())
    }

    /// The collection, as the older service uses it.
    fn notices(&self) -> mongodb::Collection<Document> {
        let database = &self.store.core().link.database;
        database.collection("notice")
    }

    /// What the older service would push to an account.
    async fn seen_by_it(&self, receiver: &str) -> Vec<String> {
        let notices = self.notices();
        let unread = notices.find(doc! { "receiverId": receiver, "read": false });
        let mut unread = unread.sort(doc! { "createdTime": 1 }).await.expect("found");
        let mut seen = Vec::new();
        while unread.advance().await.expect("found") {
            seen.push(
                unread
                    .current()
                    .get_str("message")
                    .expect("a text")
                    .to_owned(),
            );
        }
        seen
    }

    async fn unread(&self, who: &str) -> Vec<NoticeId> {
        let page = self
            .store
            .unread(&account(who), &[], 100)
            .await
            .expect("read");
        page.items.iter().map(|unread| unread.notice.id).collect()
    }

    async fn read(&self, who: &str, ids: &[NoticeId]) -> Vec<NoticeId> {
        let request = MarkRead {
            account: account(who),
            ids: ids.to_vec(),
            reader: Reader::Account,
        };
        self.store.mark_read(request).await.expect("marked")
    }
}

#[tokio::test]
async fn notices_of_the_older_service_are_served_like_ours() {
    let older = Older::new().await;
    let new = older.store.stage(vec![draft("u1", "new")]).await[0]
        .clone()
        .expect("staged")
        .id;
    let second = older.left("u1", "b", 60_000, false).await;
    let first = older.left("u1", "a", 120_000, false).await;
    let done = older.left("u1", "c", 180_000, true).await;
    let foreign = older.left("u2", "d", 60_000, false).await;
    assert_eq!(
        older.unread("u1").await,
        [first, second, new],
        "by the time they were created"
    );
    let fetched = older
        .store
        .fetch(&account("u1"), &[second, foreign])
        .await
        .expect("fetched");
    assert_eq!(fetched.len(), 1);
    assert_eq!((&*fetched[0].message, fetched[0].id), ("b", second));
    assert_eq!(
        older.read("u1", &[first, foreign]).await,
        [first],
        "not another account's"
    );
    assert_eq!(older.unread("u2").await, [foreign]);
    let state = older
        .store
        .state(first)
        .await
        .expect("read")
        .expect("known");
    assert_eq!(state.name, StateName::Read);
    older.store.recall(second).await.expect("recalled");
    let query = |before| HistoryQuery {
        before,
        limit: 2,
        unread_only: false,
    };
    let history = |before| {
        let store = Arc::clone(&older.store);
        async move {
            let lines = store
                .history(&account("u1"), query(before))
                .await
                .expect("read");
            lines.iter().map(|line| line.notice.id).collect::<Vec<_>>()
        }
    };
    assert_eq!(history(None).await, [new, first]);
    assert_eq!(history(Some(first)).await, [done]);
    older.store.close().await;
}

#[tokio::test]
async fn what_the_older_service_left_is_no_longer_offered_past_the_retention_but_kept() {
    let older = Older::new().await;
    let day = 24 * 3600 * 1000;
    let ancient = older.left("u1", "a", 31 * day, false).await;
    let recent = older.left("u1", "b", 29 * day, false).await;
    older.store.settle().await.expect("settled");
    assert_eq!(older.unread("u1").await, [recent]);
    assert_eq!(older.store.state(ancient).await, Ok(None));
    assert_eq!(
        older.seen_by_it("u1").await,
        ["a", "b"],
        "nothing of it is touched"
    );
    older.store.close().await;
}

#[tokio::test]
async fn the_older_service_sees_ours_only_while_they_are_unread() {
    let older = Older::new().await;
    let collapsing = |message: &str| Draft {
        collapse_key: Some("c".into()),
        ..draft("u1", message)
    };
    let once = Draft {
        lifetime: Lifetime::Ephemeral,
        idempotency_key: Some("k".into()),
        ..draft("u1", "once")
    };
    let short = Draft {
        lifetime: Lifetime::Seconds(1),
        ..draft("u1", "short")
    };
    let drafts = vec![
        draft("u1", "plain"),
        collapsing("old"),
        collapsing("new"),
        once,
        short,
        draft("u1", "gone"),
    ];
    let answers = older.store.stage(drafts).await;
    let gone = answers[5].clone().expect("staged").id;
    older.store.recall(gone).await.expect("recalled");
    older.clock.advance(1000);
    older.store.settle().await.expect("settled");
    assert_eq!(older.seen_by_it("u1").await, ["plain", "new"]);
    older.store.close().await;
}

/// What a crash between storing a notice and replacing the older one leaves.
#[tokio::test]
async fn a_reader_heals_two_unread_notices_of_one_collapse_key() {
    let older = Older::new().await;
    let one = Draft {
        collapse_key: Some("c".into()),
        ..draft("u1", "a")
    };
    let old = older.store.stage(vec![one.clone()]).await[0]
        .clone()
        .expect("staged")
        .id;
    let notices = older.notices();
    let document = notices
        .find_one(doc! { "_id": old.to_string() })
        .await
        .expect("found");
    let mut document = document.expect("stored");
    let newer = NoticeId::new(old.millis(), 7, old.tail());
    document.insert("_id", newer.to_string());
    notices.insert_one(document).await.expect("stored");
    assert_eq!(older.unread("u1").await, [newer]);
    let begun = std::time::Instant::now();
    loop {
        let state = older.store.state(old).await.expect("read").expect("known");
        if state.name == StateName::Replaced {
            break;
        }
        assert!(begun.elapsed().as_secs() < 10, "{state:?}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    older.store.close().await;
}

/// Nobody can be handed what has no id that a client could acknowledge.
#[tokio::test]
async fn documents_that_are_no_notices_hide_none() {
    let older = Older::new().await;
    let notices = older.notices();
    let created = i64::try_from(older.clock.now() - 1000).expect("a time");
    let created = DateTime::from_millis(created);
    let odd = |n: i32| doc! { "_id": n, "receiverId": "u1", "createdTime": created, "read": false };
    notices.insert_many((0..5).map(odd)).await.expect("stored");
    let answers = older
        .store
        .stage(vec![draft("u1", "a"), draft("u1", "b")])
        .await;
    let ids: Vec<_> = answers
        .into_iter()
        .map(|answer| answer.expect("staged").id)
        .collect();
    let page = older
        .store
        .unread(&account("u1"), &[], 1)
        .await
        .expect("read");
    assert_eq!(page.items.len(), 1);
    assert_eq!((page.items[0].notice.id, page.next), (ids[0], Some(ids[1])));
    older.store.close().await;
}
