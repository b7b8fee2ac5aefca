//! What every [`Inbox`] must do, as tests that run on each back end.
//!
//! A back end writes a [`Backend`] and calls `inbox_conformance!` with an expression that makes a fresh one.
//! Cases are functions named as sentences; they own time, and wait for nothing but answers.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "these are tests, also when another crate runs them"
)]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::{
    CommitObserver, Committed, HistoryQuery, Inbox, MarkRead, Reader, SessionKey, StageError,
    Staged, Telling, Withdrawal,
};
use crate::clock::Millis;
use crate::domain::{AccountId, DEFAULT_PRODUCER, Draft, Lifetime, NoticeId, Source, StateName};
use crate::tokens::SessionTokens;

/// How many unread notices an account may have in the suite's stores.
pub const UNREAD_LIMIT: u64 = 8;

/// How long the suite's stores keep notices.
pub const RETENTION: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long the suite's stores keep idempotency keys.
pub const IDEMPOTENCY_KEPT: Duration = Duration::from_secs(24 * 3600);

const HOUR: Millis = 3600 * 1000;

/// One place where a store of some kind may live, with a clock of its own. It starts empty.
#[async_trait]
pub trait Backend: Send + Sync {
    /// The kind of store.
    type Store: Inbox + SessionTokens;

    /// Opens the store on what earlier ones left, with the suite's limits.
    async fn open(&self, observer: Arc<dyn CommitObserver>) -> Arc<Self::Store>;

    /// Closes a store in an orderly way.
    async fn close(&self, store: Arc<Self::Store>);

    /// Opens a second store while the first is open; none when the kind refuses that.
    async fn open_second(&self, observer: Arc<dyn CommitObserver>) -> Option<Arc<Self::Store>>;

    /// Moves the store's clock on.
    fn advance(&self, by: Millis);

    /// Does everything that is due by the clock now: expiry, retention, purges, pushed marks.
    async fn settle(&self, store: &Self::Store);
}

/// Keeps what it was told.
#[derive(Debug, Default)]
pub struct Recorder(Mutex<Vec<Committed>>);

impl CommitObserver for Recorder {
    fn committed(&self, events: Vec<Committed>) -> Telling {
        self.0.lock().extend(events);
        Telling::done()
    }
}

impl Recorder {
    /// What was told since the last call.
    pub fn take(&self) -> Vec<Committed> {
        std::mem::take(&mut *self.0.lock())
    }

    /// Waits until `wanted` says so of all that was told since the last `take`.
    ///
    /// # Panics
    /// After 20 s.
    pub async fn wait_until(&self, wanted: impl Fn(&[Committed]) -> bool) {
        let begun = std::time::Instant::now();
        while !wanted(&self.0.lock()) {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "was told only {:?}",
                self.0.lock()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The events in short, to compare them.
#[must_use]
pub fn in_short(events: &[Committed]) -> Vec<String> {
    events.iter().map(event_in_short).collect()
}

fn event_in_short(event: &Committed) -> String {
    match event {
        Committed::Staged {
            notice,
            ephemeral: false,
            ..
        } => format!("staged {}", notice.message),
        Committed::Staged { notice, .. } => format!("once {}", notice.message),
        Committed::Duplicate => "duplicate".to_owned(),
        Committed::Read { asked, read, .. } => format!("read {} of {}", read.len(), asked.len()),
        Committed::NotRead(request) => format!("not read {}", request.ids.len()),
        Committed::CameBack => "came back".to_owned(),
        Committed::Withdrawn { ids, why, .. } => format!("{why:?} {}", ids.len()),
    }
}

/// An account of the suite.
#[must_use]
pub fn account(name: &str) -> AccountId {
    AccountId::trusted(name)
}

/// A plain draft.
#[must_use]
pub fn draft(receiver: &str, message: &str) -> Draft {
    Draft {
        receiver: account(receiver),
        sender: Some(account("sender")),
        message: message.into(),
        kind: None,
        data: None,
        lifetime: Lifetime::Kept,
        collapse_key: None,
        idempotency_key: None,
        producer: Arc::from(DEFAULT_PRODUCER),
        source: Source::Service,
        accepted: std::time::Instant::now(),
    }
}

fn keyed(receiver: &str, message: &str, key: &str) -> Draft {
    Draft {
        idempotency_key: Some(key.into()),
        ..draft(receiver, message)
    }
}

fn collapsing(receiver: &str, message: &str, key: &str) -> Draft {
    Draft {
        collapse_key: Some(key.into()),
        ..draft(receiver, message)
    }
}

fn lasting(receiver: &str, message: &str, lifetime: Lifetime) -> Draft {
    Draft {
        lifetime,
        ..draft(receiver, message)
    }
}

struct Suite<'a, B: Backend> {
    backend: &'a B,
    told: Arc<Recorder>,
    store: Arc<B::Store>,
}

impl<'a, B: Backend> Suite<'a, B> {
    async fn begin(backend: &'a B) -> Self {
        let told = Arc::new(Recorder::default());
        let store = backend.open(Arc::<Recorder>::clone(&told)).await;
        Self {
            backend,
            told,
            store,
        }
    }

    async fn restart(self) -> Self {
        let Self { backend, store, .. } = self;
        backend.close(store).await;
        Self::begin(backend).await
    }

    async fn settle(&self) {
        self.backend.settle(&self.store).await;
    }

    async fn stage_all(&self, drafts: Vec<Draft>) -> Vec<NoticeId> {
        let answers = self.store.stage(drafts).await;
        answers
            .into_iter()
            .map(|answer| answer.expect("staged").id)
            .collect()
    }

    async fn stage(&self, draft: Draft) -> NoticeId {
        self.stage_all(vec![draft]).await[0]
    }

    async fn try_stage(&self, draft: Draft) -> Result<Staged, StageError> {
        self.store.stage(vec![draft]).await.remove(0)
    }

    async fn read_by(&self, reader: Reader, who: &str, ids: &[NoticeId]) -> Vec<NoticeId> {
        let request = MarkRead {
            account: account(who),
            ids: ids.to_vec(),
            reader,
        };
        self.store.mark_read(request).await.expect("marked")
    }

    async fn read(&self, who: &str, ids: &[NoticeId]) -> Vec<NoticeId> {
        self.read_by(Reader::Account, who, ids).await
    }

    async fn unread(&self, who: &str) -> Vec<NoticeId> {
        let page = self
            .store
            .unread(&account(who), &[], 1000)
            .await
            .expect("read");
        assert_eq!(page.next, None);
        let count = self
            .store
            .unread_count(&account(who))
            .await
            .expect("counted");
        assert_eq!(
            count,
            page.items.len() as u64,
            "the count is that of the list"
        );
        page.items.iter().map(|unread| unread.notice.id).collect()
    }

    async fn fetch(&self, who: &str, ids: &[NoticeId]) -> Vec<NoticeId> {
        let notices = self.store.fetch(&account(who), ids).await.expect("fetched");
        notices.iter().map(|notice| notice.id).collect()
    }

    async fn resume(
        &self,
        who: &str,
        last: NoticeId,
        after: Option<NoticeId>,
        limit: usize,
    ) -> Vec<NoticeId> {
        let found = self.store.resume(&account(who), last, after, limit).await;
        let found = found.expect("read");
        found.into_iter().map(|notice| notice.id).collect()
    }

    async fn history(&self, who: &str, unread_only: bool) -> Vec<(NoticeId, bool)> {
        let query = HistoryQuery {
            before: None,
            limit: 1000,
            unread_only,
        };
        let lines = self
            .store
            .history(&account(who), query)
            .await
            .expect("read");
        lines
            .iter()
            .map(|line| (line.notice.id, line.read))
            .collect()
    }

    async fn state(&self, id: NoticeId) -> Option<StateName> {
        self.store
            .state(id)
            .await
            .expect("read")
            .map(|state| state.name)
    }

    fn told(&self) -> Vec<String> {
        in_short(&self.told.take())
    }
}

const SESSION: Reader = Reader::Session(SessionKey(1));
const AUTOMATIC: Reader = Reader::Automatic(SessionKey(2));

/// Drafts are stored in their order, and ids rise by call as well.
pub async fn notices_of_an_account_come_back_in_the_order_of_their_staging<B: Backend>(
    backend: &B,
) {
    let suite = Suite::begin(backend).await;
    let mut ids = suite
        .stage_all(vec![draft("u1", "a"), draft("u2", "x"), draft("u1", "b")])
        .await;
    ids.push(suite.stage(draft("u1", "c")).await);
    assert!(ids.is_sorted());
    assert_eq!(suite.unread("u1").await, [ids[0], ids[2], ids[3]]);
    assert_eq!(suite.unread("u2").await, [ids[1]]);
    assert_eq!(suite.unread("nobody").await, []);
}

/// Every field survives, also a restart.
pub async fn a_notice_comes_back_with_every_field_also_after_a_restart<B: Backend>(backend: &B) {
    let suite = Suite::begin(backend).await;
    let full = Draft {
        sender: Some(account("driver")),
        kind: Some("ride.accepted".into()),
        data: Some(
            serde_json::value::RawValue::from_string(r#"{"b":1, "a":[]}"#.to_owned())
                .expect("JSON"),
        ),
        collapse_key: Some("ride 7".into()),
        lifetime: Lifetime::Seconds(60),
        producer: Arc::from("rides"),
        ..draft("Zoë ✓", "on my way\n\u{1F697}")
    };
    let bare = Draft {
        sender: None,
        ..draft("Zoë ✓", "")
    };
    let ids = suite.stage_all(vec![full, bare]).await;
    let suite = suite.restart().await;
    let notices = suite
        .store
        .fetch(&account("Zoë ✓"), &ids)
        .await
        .expect("fetched");
    let (full, bare) = (&notices[0], &notices[1]);
    assert_eq!(full.receiver, account("Zoë ✓"));
    assert_eq!(full.sender, Some(account("driver")));
    assert_eq!(&*full.message, "on my way\n\u{1F697}");
    assert_eq!(full.created, full.id.millis());
    assert_eq!(full.kind.as_deref(), Some("ride.accepted"));
    assert_eq!(
        full.data.as_ref().map(|data| data.get()),
        Some(r#"{"b":1, "a":[]}"#)
    );
    assert_eq!(full.expires, Some(full.created + 60_000));
    assert_eq!(full.collapse_key.as_deref(), Some("ride 7"));
    assert_eq!(&*full.producer, "rides");
    assert_eq!(
        (bare.sender.clone(), &*bare.message, bare.expires),
        (None, "", None)
    );
    assert!(bare.kind.is_none() && bare.data.is_none() && bare.collapse_key.is_none());
}

/// Also when the clock stands still or goes back over the restart.
pub async fn ids_never_go_back_over_a_restart<B: Backend>(backend: &B) {
    let suite = Suite::begin(backend).await;
    let before = suite
        .stage_all((0..5).map(|n| draft("u1", &n.to_string())).collect())
        .await;
    let once = suite
        .stage(lasting("u1", "once", Lifetime::Ephemeral))
        .await;
    let suite = suite.restart().await;
    let after = suite.stage(draft("u1", "after")).await;
    assert!(before.iter().all(|id| *id < once));
    assert!(once < after, "{once} {after}");
}

/// A repeated call gives the first id, is told, and stores nothing.
pub async fn a_repeated_call_gives_the_first_id<B: Backend>(backend: &B) {
    let suite = Suite::begin(backend).await;
    let first = suite
        .try_stage(keyed("u1", "a", "k"))
        .await
        .expect("staged");
    let again = suite
        .try_stage(keyed("u1", "a", "k"))
        .await
        .expect("staged");
    assert_eq!(
        (first.duplicate, again),
        (
            false,
            Staged {
                id: first.id,
                duplicate: true
            }
        )
    );
    assert_eq!(suite.told(), ["staged a", "duplicate"]);
    assert_eq!(suite.unread("u1").await, [first.id]);
    let suite = suite.restart().await;
    assert_eq!(suite.try_stage(keyed("u1", "a", "k")).await, Ok(again));
}

/// Drafts of one call see each other.
pub async fn a_repetition_within_one_call_is_found<B: Backend>(backend: &B) {
    let suite = Suite::begin(backend).await;
    let answers = suite
        .store
        .stage(vec![
            keyed("u1", "a", "k"),
            keyed("u1", "a", "k"),
            keyed("u1", "b", "k"),
        ])
        .await;
    let first = answers[0].clone().expect("staged");
    assert_eq!(
        answers[1],
        Ok(Staged {
            id: first.id,
            duplicate: true
        })
    );
    assert_eq!(answers[2], Err(StageError::IdempotencyConflict));
}

/// The scope of a key is producer, key and receiver; a client's is its account.
pub async fn a_key_is_unique_for_its_producer_and_receiver_only<B: Backend>(backend: &B) {
    let suite = Suite::begin(backend).await;
    let other_producer = Draft {
        producer: Arc::from("other"),
        ..keyed("u1", "a", "k")
    };
    let by_client = Draft {
        source: Source::Client,
        ..keyed("u1", "a", "k")
    };
    let elsewhere = Draft {
        source: Source::Client,
        ..keyed("u2", "a", "k")
    };
    let drafts = vec![
        keyed("u1", "a", "k"),
        keyed("u2", "a", "k"),
        other_producer,
        by_client,
        elsewhere,
    ];
    let answers = suite.store.stage(drafts).await;
    assert!(
        answers[..4]
            .iter()
            .all(|answer| answer.as_ref().is_ok_and(|staged| !staged.duplicate))
    );
    assert_eq!(
        answers[4],
        Err(StageError::IdempotencyConflict),
        "one client, one key, another receiver"
    );
}

/// Another body under the same key.
pub async fn a_key_with_another_body_conflicts<B: Backend>(backend: &B) {
    let suite = Suite::begin(backend).await;
    suite.stage(keyed("u1", "a", "k")).await;
    assert_eq!(
        suite.try_stage(keyed("u1", "b", "k")).await,
        Err(StageError::IdempotencyConflict)
    );
    assert_eq!(suite.told(), ["staged a"]);
}

/// Whatever becomes of the notice, and not longer.
pub async fn a_key_is_kept_for_its_time_whatever_becomes_of_the_notice<B: Backend>(backend: &B) {
    let suite = Suite::begin(backend).await;
    let first = suite.stage(keyed("u1", "a", "k")).await;
    suite.store.recall(first).await.expect("recalled");
    suite.backend.advance(24 * HOUR - 1);
    suite.settle().await;
    let again = suite.try_stage(keyed("u1", "a", "k")).await;
    assert_eq!(
        again,
        Ok(Staged {
            id: first,
            duplicate: true
        })
    );
    suite.backend.advance(1);
    let later = suite
        .try_stage(keyed("u1", "a", "k"))
        .await
        .expect("staged");
    assert!(!later.duplicate && later.id > first);
    suite.backend.advance(49 * HOUR);
    suite.settle().await;
    assert!(
        !suite
            .try_stage(keyed("u1", "a", "k"))
            .await
            .expect("staged")
            .duplicate
    );
}

/// Racing calls with one key: one stores.
pub async fn of_racing_calls_with_one_key_one_stores<B: Backend>(backend: &B) {
    let suite = Suite::begin(backend).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let store = Arc::clone(&suite.store);
        calls.spawn(async move {
            store
                .stage(vec![keyed("u1", "a", "k")])
                .await
                .remove(0)
                .expect("staged")
        });
    }
    let answers = calls.join_all().await;
    assert_eq!(answers.iter().filter(|staged| !staged.duplicate).count(), 1);
    assert!(answers.iter().all(|staged| staged.id == answers[0].id));
    assert_eq!(suite.unread("u1").await, [answers[0].id]);
}

/// Replaced before the newer one is told.
pub async fn a_newer_notice_replaces_the_older_unread_one_of_its_key<B: Backend>(backend: &B) {
    let suite = Suite::begin(backend).await;
    let old = suite.stage(collapsing("u1", "a", "c")).await;
    let new = suite.stage(collapsing("u1", "b", "c")).await;
    assert_eq!(suite.told(), ["staged a", "Replaced 1", "staged b"]);
    assert_eq!(suite.unread("u1").await, [new]);
    assert_eq!(suite.state(old).await, Some(StateName::Replaced));
    assert_eq!(suite.fetch("u1", &[old, new]).await, [new]);
    assert_eq!(suite.history("u1", false).await, [(new, false)]);
    let suite = suite.restart().await;
    let newest = suite.stage(collapsing("u1", "c", "c")).await;
    assert_eq!(suite.unread("u1").await, [newest]);
}

/// What was read stays read; other scopes stay apart.
pub async fn a_read_notice_and_other_scopes_are_not_replaced<B: Backend>(backend: &B) {
    let suite = Suite::begin(backend).await;
    let read = suite.stage(collapsing("u1", "a", "c")).await;
    suite.read("u1", &[read]).await;
    let other_sender = Draft {
        sender: Some(account("x")),
        ..collapsing("u1", "b", "c")
    };
    let other_producer = Draft {
        producer: Arc::from("x"),
        ..collapsing("u1", "b", "c")
    };
    let ids = suite
        .stage_all(vec![
            collapsing("u1", "b", "c"),
            other_sender,
            other_producer,
        ])
        .await;
    assert_eq!(suite.unread("u1").await, ids);
    assert_eq!(suite.state(read).await, Some(StateName::Read));
}

/// Of those that race, the highest id stays.
pub async fn of_racing_notices_of_one_key_the_highest_id_stays<B: Backend>(backend: &B) {
    let suite = Suite::begin(backend).await;
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..30 {
        let store = Arc::clone(&suite.store);
        let one = collapsing("u1", &n.to_string(), "c");
        calls.spawn(async move { store.stage(vec![one]).await.remove(0).expect("staged").id });
    }
    let ids = calls.join_all().await;
    assert_eq!(
        suite.unread("u1").await.as_slice(),
        ids.iter().max().into_iter().copied().collect::<Vec<_>>()
    );
}

/// The limit refuses, and drops nothing.
pub async fn a_full_inbox_refuses_and_drops_nothing<B: Backend>(backend: &B) {
    let suite = Suite::begin(backend).await;
    let drafts = (0..=UNREAD_LIMIT)
        .map(|n| draft("u1", &n.to_string()))
        .collect();
    let answers = suite.store.stage(drafts).await;
    let full = Err(StageError::InboxFull {
        limit: UNREAD_LIMIT,
    });
    assert!(answers[..8].iter().all(Result::is_ok));
    assert_eq!(answers[8], full);
    assert_eq!(suite.try_stage(keyed("u1", "x", "k")).await, full);
    suite.stage(draft("u2", "others are not touched")).await;
    let unread = suite.unread("u1").await;
    suite.read("u1", &unread[..1]).await;
    let fits = suite
        .try_stage(keyed("u1", "x", "k"))
        .await
        .expect("there is room");
    assert!(!fits.duplicate, "a refused call keeps no key");
    assert_eq!(suite.try_stage(draft("u1", "y")).await, full);
    assert_eq!(suite.unread("u1").await.len(), 8);
}

/// Racing calls fill an inbox up to its limit, and not beyond.
pub async fn racing_calls_fill_an_inbox_exactly<B: Backend>(backend: &B) {
    let suite = Suite::begin(backend).await;
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..40 {
        let store = Arc::clone(&suite.store);
        let one = draft(["u1", "u2"][n % 2], &n.to_string());
        calls.spawn(async move { store.stage(vec![one]).await.remove(0) });
    }
    let answers = calls.join_all().await;
    let taken = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(taken as u64, 2 * UNREAD_LIMIT);
    assert_eq!(suite.unread("u1").await.len() as u64, UNREAD_LIMIT);
    assert_eq!(suite.unread("u2").await.len() as u64, UNREAD_LIMIT);
}

/// What replaces one that is unread needs no room of its own, and leaves the rest of it to the others.
pub async fn a_replacing_notice_leaves_the_last_place_to_another<B: Backend>(backend: &B) {
    let suite = Suite::begin(backend).await;
    let mut drafts = vec![collapsing("u1", "old", "c")];
    drafts.extend((2..UNREAD_LIMIT).map(|n| draft("u1", &n.to_string())));
    suite.stage_all(drafts).await;
    let two = vec![collapsing("u1", "new", "c"), draft("u1", "last")];
    suite.stage_all(two).await;
    assert_eq!(suite.unread("u1").await.len() as u64, UNREAD_LIMIT);
}

/// A full inbox takes what replaces one of its own.
pub async fn a_replaced_notice_frees_its_place<B: Backend>(backend: &B) {
    let suite = Suite::begin(backend).await;
    let mut drafts: Vec<_> = (1..UNREAD_LIMIT)
        .map(|n| draft("u1", &n.to_string()))
        .collect();
    drafts.push(collapsing("u1", "old", "c"));
    suite.stage_all(drafts).await;
    suite.stage(collapsing("u1", "new", "c")).await;
    assert_eq!(suite.unread("u1").await.len(), 8);
}

/// Ephemeral notices are told once and never stored.
pub async fn an_ephemeral_notice_is_told_and_never_stored<B: Backend>(backend: &B) {
    let suite = Suite::begin(backend).await;
    let id = suite.stage(lasting("u1", "now", Lifetime::Ephemeral)).await;
    assert_eq!(suite.told(), ["once now"]);
    assert_eq!(suite.unread("u1").await, []);
    assert_eq!(suite.fetch("u1", &[id]).await, []);
    assert_eq!(suite.history("u1", false).await, []);
    assert_eq!(suite.state(id).await, None);
    assert_eq!(suite.store.recall(id).await, Ok(false));
    let keyed = Draft {
        idempotency_key: Some("k".into()),
        ..lasting("u1", "once", Lifetime::Ephemeral)
    };
    let first = suite.try_stage(keyed.clone()).await.expect("staged");
    let again = suite.try_stage(keyed).await;
    assert_eq!(
        again,
        Ok(Staged {
            id: first.id,
            duplicate: true
        })
    );
    assert_eq!(suite.told(), ["once once", "duplicate"]);
}

/// What expires is told, and out of everything.
pub async fn an_expired_notice_leaves_the_inbox_and_is_told<B: Backend>(backend: &B) {
    let suite = Suite::begin(backend).await;
    let drafts = vec![
        lasting("u1", "short", Lifetime::Seconds(1)),
        lasting("u1", "long", Lifetime::Seconds(10)),
        lasting("u1", "read", Lifetime::Seconds(1)),
    ];
    let ids = suite.stage_all(drafts).await;
    suite.read("u1", &ids[2..]).await;
    suite.told();
    suite.backend.advance(1000);
    assert_eq!(
        suite.fetch("u1", &ids).await,
        [ids[1]],
        "at once, not at the next sweep"
    );
    assert_eq!(
        suite.read("u1", &ids[..1]).await,
        [],
        "nobody reads what is over"
    );
    suite.told();
    suite.settle().await;
    assert_eq!(suite.told(), ["Expired 1"]);
    assert_eq!(suite.unread("u1").await, [ids[1]]);
    assert_eq!(suite.state(ids[0]).await, Some(StateName::Expired));
    assert_eq!(suite.state(ids[2]).await, Some(StateName::Read));
    assert_eq!(
        suite.history("u1", false).await,
        [(ids[2], true), (ids[1], false)]
    );
    suite.settle().await;
    assert_eq!(suite.told(), Vec::<String>::new(), "it is told once");
    let suite = suite.restart().await;
    suite.backend.advance(9000);
    suite.settle().await;
    assert_eq!(suite.told(), ["Expired 1"]);
    assert_eq!(suite.unread("u1").await, []);
}

/// Retention ends everything, read or not.
pub async fn nothing_outlives_its_retention<B: Backend>(backend: &B) {
    let suite = Suite::begin(backend).await;
    let old = suite
        .stage_all(vec![
            draft("u1", "read"),
            draft("u1", "unread"),
            draft("u2", "other"),
        ])
        .await;
    suite.read("u1", &old[..1]).await;
    suite.backend.advance(HOUR);
    let young = suite.stage(draft("u1", "young")).await;
    suite.backend.advance(30 * 24 * HOUR - HOUR + 1);
    suite.told();
    suite.settle().await;
    let mut told = suite.told();
    told.sort();
    assert_eq!(told, ["Expired 1", "Expired 1"]);
    for id in old {
        assert_eq!(suite.state(id).await, None);
    }
    assert_eq!(suite.unread("u1").await, [young]);
    assert_eq!(suite.unread("u2").await, []);
    assert_eq!(suite.history("u1", false).await, [(young, false)]);
    let suite = suite.restart().await;
    assert_eq!(suite.unread("u1").await, [young]);
}

/// Pages of unread notices.
pub async fn catching_up_skips_what_is_in_flight_and_says_where_it_stopped<B: Backend>(
    backend: &B,
) {
    let suite = Suite::begin(backend).await;
    let ids = suite
        .stage_all((0..6).map(|n| draft("u1", &n.to_string())).collect())
        .await;
    let page = |skip: Vec<NoticeId>, limit| {
        let store = Arc::clone(&suite.store);
        async move {
            let page = store
                .unread(&account("u1"), &skip, limit)
                .await
                .expect("read");
            (
                page.items
                    .iter()
                    .map(|unread| unread.notice.id)
                    .collect::<Vec<_>>(),
                page.next,
            )
        }
    };
    assert_eq!(page(vec![], 2).await, (ids[..2].to_vec(), Some(ids[2])));
    assert_eq!(
        page(vec![ids[0], ids[2]], 2).await,
        (vec![ids[1], ids[3]], Some(ids[4]))
    );
    assert_eq!(page(ids[..4].to_vec(), 2).await, (ids[4..].to_vec(), None));
    assert_eq!(page(ids[..5].to_vec(), 0).await, (vec![], Some(ids[5])));
    assert_eq!(page(ids.clone(), 2).await, (vec![], None));
    suite.read("u1", &ids[1..5]).await;
    assert_eq!(page(vec![], 10).await, (vec![ids[0], ids[5]], None));
}

/// Pages of history.
pub async fn history_comes_newest_first_in_pages<B: Backend>(backend: &B) {
    let suite = Suite::begin(backend).await;
    let ids = suite
        .stage_all((0..6).map(|n| draft("u1", &n.to_string())).collect())
        .await;
    suite.stage(draft("u2", "other")).await;
    suite.read("u1", &[ids[1], ids[4]]).await;
    suite.store.recall(ids[3]).await.expect("recalled");
    let page = |before, limit, unread_only| {
        let store = Arc::clone(&suite.store);
        async move {
            let query = HistoryQuery {
                before,
                limit,
                unread_only,
            };
            let lines = store.history(&account("u1"), query).await.expect("read");
            lines
                .iter()
                .map(|line| (line.notice.id, line.read))
                .collect::<Vec<_>>()
        }
    };
    assert_eq!(
        page(None, 3, false).await,
        [(ids[5], false), (ids[4], true), (ids[2], false)]
    );
    assert_eq!(
        page(Some(ids[2]), 3, false).await,
        [(ids[1], true), (ids[0], false)]
    );
    assert_eq!(
        page(None, 2, true).await,
        [(ids[5], false), (ids[2], false)]
    );
    assert_eq!(page(Some(ids[2]), 2, true).await, [(ids[0], false)]);
    assert_eq!(page(Some(ids[0]), 2, false).await, []);
    assert_eq!(page(None, 0, false).await, []);
}

/// Foreign, unknown and repeated ids.
pub async fn ids_of_others_unknown_and_repeated_ones_are_passed_over<B: Backend>(backend: &B) {
    let suite = Suite::begin(backend).await;
    let ids = suite
        .stage_all(vec![draft("u1", "a"), draft("u2", "b")])
        .await;
    suite.told();
    let unknown = NoticeId::new(ids[0].millis(), 9, ids[0].tail());
    assert_eq!(suite.read("u1", &[ids[1], unknown]).await, []);
    assert_eq!(suite.read("u1", &[ids[0], ids[1], ids[0]]).await, [ids[0]]);
    assert_eq!(suite.read("u1", &[ids[0]]).await, []);
    assert_eq!(
        suite.told(),
        ["read 0 of 2", "read 1 of 3", "read 0 of 1"],
        "each call is told"
    );
    assert_eq!(suite.unread("u2").await, [ids[1]]);
    assert_eq!(suite.fetch("u1", &[ids[1], unknown]).await, []);
    assert_eq!(suite.state(unknown).await, None);
    assert_eq!(suite.store.recall(unknown).await, Ok(false));
}

/// What was read stays so.
pub async fn what_was_read_stays_read_over_a_restart<B: Backend>(backend: &B) {
    let suite = Suite::begin(backend).await;
    let ids = suite
        .stage_all((0..3).map(|n| draft("u1", &n.to_string())).collect())
        .await;
    assert_eq!(suite.read_by(SESSION, "u1", &ids[..2]).await, ids[..2]);
    let suite = suite.restart().await;
    assert_eq!(suite.unread("u1").await, ids[2..]);
    assert_eq!(suite.read("u1", &ids).await, ids[2..]);
    assert_eq!(suite.unread("u1").await, []);
}

/// An automatic read withdraws from nobody who was online; an explicit one does, later too.
pub async fn an_automatic_read_leaves_a_notice_to_the_other_sessions<B: Backend>(backend: &B) {
    let suite = Suite::begin(backend).await;
    let ids = suite
        .stage_all(vec![draft("u1", "a"), draft("u1", "b")])
        .await;
    assert_eq!(suite.read_by(AUTOMATIC, "u1", &ids[..1]).await, ids[..1]);
    assert_eq!(suite.read_by(SESSION, "u1", &ids[1..]).await, ids[1..]);
    assert_eq!(suite.unread("u1").await, []);
    assert_eq!(suite.fetch("u1", &[ids[1], ids[0]]).await, ids[..1]);
    assert_eq!(suite.read_by(AUTOMATIC, "u1", &ids).await, []);
    assert_eq!(suite.fetch("u1", &ids).await, ids[..1]);
    assert_eq!(
        suite.read_by(SESSION, "u1", &ids[..1]).await,
        [],
        "read already: not counted again"
    );
    let told = suite.told.take();
    let withdrawn = |event: &Committed| match event {
        Committed::Read { withdrawn, .. } => withdrawn.clone(),
        _ => Vec::new(),
    };
    let withdrawn: Vec<_> = told.iter().map(withdrawn).collect();
    assert_eq!(
        withdrawn[withdrawn.len() - 4..],
        [vec![], ids[1..].to_vec(), vec![], ids[..1].to_vec()],
        "explicitly read for the first time"
    );
    assert_eq!(suite.fetch("u1", &ids).await, []);
    let suite = suite.restart().await;
    assert_eq!(suite.fetch("u1", &ids).await, []);
}

/// Who resumes is offered what was read automatically since shortly before the last it knows, in order and in pages.
pub async fn who_resumes_is_offered_again_what_was_read_automatically<B: Backend>(backend: &B) {
    let suite = Suite::begin(backend).await;
    let old = suite.stage(draft("u1", "too old")).await;
    backend.advance(6000);
    let drafts = (0..5).map(|n| draft("u1", &n.to_string())).collect();
    let ids = suite.stage_all(drafts).await;
    let other = suite.stage(draft("u2", "of another account")).await;
    suite.read_by(AUTOMATIC, "u1", &[old]).await;
    suite.read_by(AUTOMATIC, "u1", &ids[..4]).await;
    suite.read_by(AUTOMATIC, "u2", &[other]).await;
    suite.read("u1", &ids[1..2]).await;
    suite.store.recall(ids[3]).await.expect("recalled");
    suite.settle().await;
    let suite = suite.restart().await;
    assert_eq!(suite.resume("u1", ids[4], None, 9).await, [ids[0], ids[2]]);
    assert_eq!(suite.resume("u1", ids[4], None, 1).await, [ids[0]]);
    assert_eq!(suite.resume("u1", ids[4], Some(ids[0]), 9).await, [ids[2]]);
    assert_eq!(suite.resume("u1", ids[4], Some(ids[2]), 9).await, []);
    let since_the_old = suite.resume("u1", old, None, 9).await;
    assert_eq!(since_the_old, [old, ids[0], ids[2]]);
    assert_eq!(suite.resume("u1", other, None, 9).await, [], "not its own");
    let unknown = NoticeId::from_bits(ids[4].bits() ^ 1 << 62);
    assert_eq!(suite.resume("u1", unknown, None, 9).await, []);
    assert_eq!(suite.resume("u1", ids[4], None, 0).await, []);
}

/// Recall, of unread and of read ones.
pub async fn a_recalled_notice_is_gone_for_every_reader<B: Backend>(backend: &B) {
    let suite = Suite::begin(backend).await;
    let ids = suite
        .stage_all(vec![draft("u1", "a"), draft("u1", "b"), draft("u1", "c")])
        .await;
    suite.read_by(AUTOMATIC, "u1", &ids[1..2]).await;
    suite.told();
    for id in &ids[..2] {
        assert_eq!(suite.store.recall(*id).await, Ok(true));
        assert_eq!(suite.state(*id).await, Some(StateName::Recalled));
    }
    assert_eq!(
        suite.told(),
        ["Recalled 1", "Recalled 1"],
        "also of one that was read"
    );
    assert_eq!(suite.store.recall(ids[0]).await, Ok(true), "again is fine");
    assert_eq!(suite.fetch("u1", &ids).await, ids[2..]);
    assert_eq!(suite.unread("u1").await, ids[2..]);
    assert_eq!(suite.history("u1", false).await, [(ids[2], false)]);
    assert_eq!(suite.read("u1", &ids[..2]).await, []);
    let suite = suite.restart().await;
    assert_eq!(suite.state(ids[0]).await, Some(StateName::Recalled));
    assert_eq!(suite.unread("u1").await, ids[2..]);
}

/// The states and their times.
pub async fn the_state_says_what_became_of_a_notice_and_when<B: Backend>(backend: &B) {
    let suite = Suite::begin(backend).await;
    let id = suite.stage(draft("u1", "a")).await;
    let state = suite.store.state(id).await.expect("read").expect("known");
    assert_eq!(
        (state.name, state.staged, state.pushed, state.read),
        (StateName::Staged, id.millis(), None, None)
    );
    suite.backend.advance(5);
    let pushed = suite.store.now();
    suite.store.mark_pushed(id, pushed);
    suite.store.mark_pushed(id, pushed + 1);
    suite.settle().await;
    let state = suite.store.state(id).await.expect("read").expect("known");
    assert_eq!(
        (state.name, state.pushed),
        (StateName::Pushed, Some(pushed)),
        "the first time counts"
    );
    let page = suite
        .store
        .unread(&account("u1"), &[], 1)
        .await
        .expect("read");
    assert!(page.items[0].pushed_before);
    let suite = suite.restart().await;
    suite.store.mark_pushed(id, pushed + 2);
    suite.settle().await;
    suite.backend.advance(7);
    let read = suite.store.now();
    suite.read("u1", &[id]).await;
    let state = suite.store.state(id).await.expect("read").expect("known");
    assert_eq!(
        (state.name, state.pushed, state.read),
        (StateName::Read, Some(pushed), Some(read))
    );
    suite.backend.advance(7);
    suite.store.recall(id).await.expect("recalled");
    let state = suite.store.state(id).await.expect("read").expect("known");
    assert_eq!(
        (state.name, state.pushed, state.read),
        (StateName::Recalled, Some(pushed), Some(read))
    );
}

/// A pushed mark that was never written goes with the read.
pub async fn a_pushed_mark_joins_the_read_that_follows_at_once<B: Backend>(backend: &B) {
    let suite = Suite::begin(backend).await;
    let id = suite.stage(draft("u1", "a")).await;
    suite.store.mark_pushed(id, id.millis() + 3);
    suite.read("u1", &[id]).await;
    let state = suite.store.state(id).await.expect("read").expect("known");
    assert_eq!(
        (state.name, state.pushed),
        (StateName::Read, Some(id.millis() + 3))
    );
}

/// An acknowledgement that nobody waits for is told like any other, in its place.
pub async fn an_acknowledgement_that_nobody_waits_for_is_stored_and_told<B: Backend>(backend: &B) {
    let suite = Suite::begin(backend).await;
    let ids = suite
        .stage_all(vec![draft("u1", "a"), draft("u1", "b")])
        .await;
    let request = MarkRead {
        account: account("u1"),
        ids: ids[..1].to_vec(),
        reader: SESSION,
    };
    let taken = suite.store.mark_read_soon(request);
    assert!(taken.is_ok(), "an idle store has room");
    // Calls are carried out in their order: when this one is answered, the other is done.
    suite.read("u1", &ids[1..]).await;
    assert_eq!(
        suite.told(),
        ["staged a", "staged b", "read 1 of 1", "read 1 of 1"]
    );
    assert!(suite.unread("u1").await.is_empty());
}

/// An explicit acknowledgement after an automatic one takes the notice from the other sessions.
pub async fn an_explicit_read_after_an_automatic_one_withdraws<B: Backend>(backend: &B) {
    let suite = Suite::begin(backend).await;
    let id = suite.stage(draft("u1", "a")).await;
    let automatic = Reader::Automatic(SessionKey(7));
    suite.read_by(automatic, "u1", &[id]).await;
    suite.told.take();
    assert!(suite.read("u1", &[id]).await.is_empty(), "it was read");
    let events = suite.told.take();
    let Committed::Read {
        read, withdrawn, ..
    } = &events[0]
    else {
        panic!("{events:?}");
    };
    assert_eq!((read.len(), withdrawn), (0, &vec![id]));
    suite.read("u1", &[id]).await;
    let again = suite.told.take();
    assert!(
        matches!(&again[0], Committed::Read { withdrawn, .. } if withdrawn.is_empty()),
        "{again:?}"
    );
}

/// Events come in commit order, before the answers.
pub async fn changes_are_told_in_order_and_before_the_answer<B: Backend>(backend: &B) {
    let suite = Suite::begin(backend).await;
    let ids = suite
        .stage_all(vec![
            draft("u1", "a"),
            collapsing("u1", "b", "c"),
            collapsing("u1", "c", "c"),
        ])
        .await;
    assert_eq!(
        suite.told(),
        ["staged a", "staged b", "Replaced 1", "staged c"]
    );
    suite.read_by(SESSION, "u1", &ids[..1]).await;
    suite.store.recall(ids[2]).await.expect("recalled");
    let events = suite.told.take();
    assert_eq!(in_short(&events), ["read 1 of 1", "Recalled 1"]);
    let Committed::Read {
        account: whose,
        asked,
        read,
        withdrawn: _,
        reader,
        at,
    } = &events[0]
    else {
        panic!("{events:?}");
    };
    assert_eq!(
        (whose, asked, read),
        (&account("u1"), &ids[..1].to_vec(), &ids[..1].to_vec())
    );
    assert_eq!((*reader, *at), (SESSION, suite.store.now()));
    let Committed::Withdrawn {
        account: whose,
        ids: gone,
        why,
    } = &events[1]
    else {
        panic!("{events:?}");
    };
    assert_eq!(
        (whose, gone, *why),
        (&account("u1"), &vec![ids[2]], Withdrawal::Recalled)
    );
}

/// Many callers at once: ids rise as the events do.
pub async fn events_of_many_callers_come_in_the_order_of_their_ids<B: Backend>(backend: &B) {
    let suite = Suite::begin(backend).await;
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..200 {
        let store = Arc::clone(&suite.store);
        calls.spawn(async move {
            let drafts = (0..3)
                .map(|m| draft(&format!("u{n}"), &m.to_string()))
                .collect();
            store
                .stage(drafts)
                .await
                .into_iter()
                .map(|answer| answer.expect("staged").id)
                .collect::<Vec<_>>()
        });
    }
    let mut answered: Vec<_> = calls.join_all().await.into_iter().flatten().collect();
    let told: Vec<_> = suite
        .told
        .take()
        .iter()
        .filter_map(|event| {
            if let Committed::Staged { notice, .. } = event {
                Some(notice.id)
            } else {
                None
            }
        })
        .collect();
    assert!(told.is_sorted());
    answered.sort();
    assert_eq!(told, answered);
}

/// A caller that goes away loses its answer only.
pub async fn a_call_whose_caller_went_away_is_completed_and_told<B: Backend>(backend: &B) {
    let suite = Suite::begin(backend).await;
    let id = suite.stage(draft("u1", "first")).await;
    suite.told();
    let mut stage = std::pin::pin!(suite.store.stage(vec![draft("u1", "a")]));
    let request = MarkRead {
        account: account("u1"),
        ids: vec![id],
        reader: SESSION,
    };
    let mut read = std::pin::pin!(suite.store.mark_read(request));
    // Polled once, they have begun; then they are dropped.
    std::future::poll_fn(|context| {
        let _ = stage.as_mut().poll(context);
        let _ = read.as_mut().poll(context);
        std::task::Poll::Ready(())
    })
    .await;
    suite.told.wait_until(|events| events.len() == 2).await;
    assert_eq!(suite.told(), ["staged a", "read 1 of 1"]);
    assert_eq!(suite.unread("u1").await.len(), 1);
}

/// A second store on the same place is refused, or sees the same.
pub async fn a_second_store_is_refused_or_sees_what_the_first_did<B: Backend>(backend: &B) {
    let suite = Suite::begin(backend).await;
    let id = suite.stage(keyed("u1", "a", "k")).await;
    let Some(second) = backend.open_second(Arc::new(Recorder::default())).await else {
        return;
    };
    let again = second.stage(vec![keyed("u1", "a", "k")]).await.remove(0);
    assert_eq!(
        again,
        Ok(Staged {
            id,
            duplicate: true
        })
    );
    let request = MarkRead {
        account: account("u1"),
        ids: vec![id],
        reader: Reader::Account,
    };
    assert_eq!(second.mark_read(request).await, Ok(vec![id]));
    assert_eq!(suite.unread("u1").await, []);
    backend.close(second).await;
}

/// Two writers with one key: one stores, and both answer its id.
pub async fn of_two_writers_with_one_key_one_stores<B: Backend>(backend: &B) {
    let suite = Suite::begin(backend).await;
    let Some(second) = backend.open_second(Arc::new(Recorder::default())).await else {
        return;
    };
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..20 {
        let store = Arc::clone([&suite.store, &second][n % 2]);
        let drafts = vec![keyed("u1", "a", "k"), keyed("u2", "a", "k")];
        calls.spawn(async move { store.stage(drafts).await });
    }
    let answers = calls.join_all().await;
    for receiver in 0..2 {
        let of_receiver = answers
            .iter()
            .map(|answer| answer[receiver].clone().expect("staged"));
        let of_receiver: Vec<_> = of_receiver.collect();
        let first = of_receiver
            .iter()
            .filter(|staged| !staged.duplicate)
            .count();
        assert_eq!(first, 1, "{of_receiver:?}");
        assert!(
            of_receiver
                .iter()
                .all(|staged| staged.id == of_receiver[0].id)
        );
    }
    assert_eq!(suite.unread("u1").await.len(), 1);
    backend.close(second).await;
}

/// Of notices that race from two writers, the highest id stays, and each other is told as replaced once.
pub async fn of_two_writers_of_one_collapse_key_the_highest_id_stays<B: Backend>(backend: &B) {
    let suite = Suite::begin(backend).await;
    let told = Arc::new(Recorder::default());
    let observer = Arc::<Recorder>::clone(&told);
    let Some(second) = backend.open_second(observer).await else {
        return;
    };
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..30 {
        let store = Arc::clone([&suite.store, &second][n % 2]);
        let one = collapsing("u1", &n.to_string(), "c");
        calls.spawn(async move { store.stage(vec![one]).await.remove(0).expect("staged").id });
    }
    let ids = calls.join_all().await;
    let highest = ids.iter().max().copied().expect("some");
    assert_eq!(suite.unread("u1").await, [highest]);
    let events = [suite.told.take(), told.take()].concat();
    let mut replaced: Vec<_> = events.iter().flat_map(withdrawn_ids).collect();
    replaced.sort_unstable();
    let mut expected: Vec<_> = ids.into_iter().filter(|id| *id != highest).collect();
    expected.sort_unstable();
    assert_eq!(replaced, expected);
    backend.close(second).await;
}

fn withdrawn_ids(event: &Committed) -> Vec<NoticeId> {
    match event {
        Committed::Withdrawn { ids, .. } => ids.clone(),
        _ => Vec::new(),
    }
}

/// What ends is told once, whoever of two writers finds it.
pub async fn what_expires_is_told_by_one_of_two_writers<B: Backend>(backend: &B) {
    let suite = Suite::begin(backend).await;
    let told = Arc::new(Recorder::default());
    let observer = Arc::<Recorder>::clone(&told);
    let Some(second) = backend.open_second(observer).await else {
        return;
    };
    let ids = suite
        .stage_all(
            (0..6)
                .map(|n| lasting("u1", &n.to_string(), Lifetime::Seconds(1)))
                .collect(),
        )
        .await;
    backend.advance(1000);
    futures_util::future::join(suite.settle(), backend.settle(&second)).await;
    let events = [suite.told.take(), told.take()].concat();
    let mut ended: Vec<_> = events.iter().flat_map(withdrawn_ids).collect();
    ended.sort_unstable();
    assert_eq!(ended, ids);
    backend.close(second).await;
}

/// What one writer staged another sees at once: its inbox, and which accounts have something waiting.
pub async fn a_second_writer_sees_what_waits<B: Backend>(backend: &B) {
    let suite = Suite::begin(backend).await;
    let Some(second) = backend.open_second(Arc::new(Recorder::default())).await else {
        return;
    };
    let ids = suite
        .stage_all(vec![draft("u1", "a"), draft("u2", "b"), draft("u3", "c")])
        .await;
    suite.read("u2", &ids[1..2]).await;
    let accounts = [account("u1"), account("u2"), account("u3"), account("u4")];
    let mut waiting = second.waiting(&accounts, 100).await.expect("read");
    waiting.sort_by_key(|(_, id)| *id);
    let expected = [(account("u1"), ids[0]), (account("u3"), ids[2])];
    assert_eq!(waiting, expected);
    assert_eq!(second.waiting(&accounts, 1).await.expect("read").len(), 1);
    assert_eq!(second.waiting(&[], 1).await, Ok(vec![]));
    backend.close(second).await;
}

/// Empty calls.
pub async fn calls_about_nothing_are_answered<B: Backend>(backend: &B) {
    let suite = Suite::begin(backend).await;
    assert_eq!(suite.store.stage(Vec::new()).await, []);
    assert_eq!(suite.read("u1", &[]).await, []);
    assert_eq!(suite.fetch("u1", &[]).await, []);
    suite.store.health().expect("healthy");
}

/// Makes the suite's tests for the back end that an expression makes.
#[macro_export]
macro_rules! inbox_conformance {
    ($backend:expr) => {
        $crate::inbox_conformance! { @each $backend;
            notices_of_an_account_come_back_in_the_order_of_their_staging
            a_notice_comes_back_with_every_field_also_after_a_restart
            ids_never_go_back_over_a_restart
            a_repeated_call_gives_the_first_id
            a_repetition_within_one_call_is_found
            a_key_is_unique_for_its_producer_and_receiver_only
            a_key_with_another_body_conflicts
            a_key_is_kept_for_its_time_whatever_becomes_of_the_notice
            of_racing_calls_with_one_key_one_stores
            a_newer_notice_replaces_the_older_unread_one_of_its_key
            a_read_notice_and_other_scopes_are_not_replaced
            of_racing_notices_of_one_key_the_highest_id_stays
            a_full_inbox_refuses_and_drops_nothing
            racing_calls_fill_an_inbox_exactly
            a_replacing_notice_leaves_the_last_place_to_another
            a_replaced_notice_frees_its_place
            an_ephemeral_notice_is_told_and_never_stored
            an_expired_notice_leaves_the_inbox_and_is_told
            nothing_outlives_its_retention
            catching_up_skips_what_is_in_flight_and_says_where_it_stopped
            history_comes_newest_first_in_pages
            ids_of_others_unknown_and_repeated_ones_are_passed_over
            what_was_read_stays_read_over_a_restart
            an_automatic_read_leaves_a_notice_to_the_other_sessions
            who_resumes_is_offered_again_what_was_read_automatically
            a_recalled_notice_is_gone_for_every_reader
            the_state_says_what_became_of_a_notice_and_when
            a_pushed_mark_joins_the_read_that_follows_at_once
            an_acknowledgement_that_nobody_waits_for_is_stored_and_told
            an_explicit_read_after_an_automatic_one_withdraws
            changes_are_told_in_order_and_before_the_answer
            events_of_many_callers_come_in_the_order_of_their_ids
            a_call_whose_caller_went_away_is_completed_and_told
            a_second_store_is_refused_or_sees_what_the_first_did
            calls_about_nothing_are_answered
            of_two_writers_with_one_key_one_stores
            of_two_writers_of_one_collapse_key_the_highest_id_stays
            what_expires_is_told_by_one_of_two_writers
            a_second_writer_sees_what_waits
        }
    };
    (@each $backend:expr; $($case:ident)*) => {
        $(
            #[tokio::test]
            async fn $case() {
                let backend = $backend;
                $crate::inbox::conformance::$case(&backend).await;
            }
        )*
    };
}
