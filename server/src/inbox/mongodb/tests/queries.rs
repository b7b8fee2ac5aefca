//! Every query is answered by an index: asked of the engine itself, over enough documents that it would matter.

use std::collections::BTreeSet;
use std::sync::Arc;

use mongodb::bson::{Bson, Document, doc};

use super::TestDatabase;
use crate::clock::Clock;
use crate::domain::{Draft, Lifetime, NoticeId};
use crate::inbox::conformance::{Recorder, account, draft};
use crate::inbox::mongodb::core::Core;
use crate::inbox::mongodb::queries::{self, Acknowledging};
use crate::inbox::mongodb::{MongoOptions, MongoStore};
use crate::inbox::{HistoryQuery, Inbox as _};

const ACCOUNTS: usize = 200;

async fn filled(database: &TestDatabase) -> (Arc<MongoStore>, Vec<NoticeId>) {
    let options = MongoOptions {
        unread_per_account: 1_000_000,
        ..database.options()
    };
    let observer = Arc::new(Recorder::default());
    let clock = Clock::manual(Clock::System.now());
    let store = MongoStore::open_with_clock(options, observer, clock)
        .await
        .expect("opened");
    let mut ids = Vec::new();
    for round in 0..20 {
        let drafts = (0..ACCOUNTS).map(|n| Draft {
            lifetime: Lifetime::Seconds(60 + n as u64),
            collapse_key: (round == 0).then(|| "c".into()),
            idempotency_key: Some(format!("{round}").into()),
            ..draft(&format!("u{n}"), "text")
        });
        let answers = store.stage(drafts.collect()).await;
        ids.extend(answers.into_iter().map(|answer| answer.expect("staged").id));
    }
    (store, ids)
}

/// The names of the stages and indexes of a plan, of MongoDB or of PostgreSQL behind FerretDB.
fn steps(plan: &Bson, found: &mut BTreeSet<String>) {
    match plan {
        Bson::Document(fields) => {
            for (name, value) in fields {
                if let ("stage" | "Node Type" | "Index Name" | "indexName", Bson::String(step)) =
                    (name.as_str(), value)
                {
                    found.insert(step.clone());
                }
                steps(value, found);
            }
        }
        Bson::Array(parts) => parts.iter().for_each(|part| steps(part, found)),
        _ => {}
    }
}

async fn explain(core: &Core, find: Document) -> BTreeSet<String> {
    let command = doc! { "explain": find, "verbosity": "queryPlanner" };
    let plan = core
        .link
        .database
        .run_command(command)
        .await
        .expect("explained");
    let mut found = BTreeSet::new();
    steps(&Bson::Document(plan), &mut found);
    found
}

async fn assert_indexed(
    core: &Core,
    collection: &str,
    filter: Document,
    sort: Option<Document>,
    index: &str,
) {
    let mut find = doc! { "find": collection, "filter": filter.clone(), "limit": 100 };
    if let Some(sort) = sort {
        find.insert("sort", sort);
    }
    let steps = explain(core, find).await;
    assert!(
        !steps.contains("COLLSCAN") && !steps.contains("Seq Scan"),
        "{filter} reads every document: {steps:?}"
    );
    assert!(
        steps.contains(index),
        "{filter} does not use {index}: {steps:?}"
    );
}

#[tokio::test]
async fn every_query_uses_its_index() {
    let database = TestDatabase::new();
    let (store, ids) = filled(&database).await;
    let core = store.core();
    let (limits, now) = (&core.limits, core.now());
    let (one, other) = (account("u1"), account("u2"));
    let print = [7; 16];
    let oldest = Some(queries::oldest_first());
    let newest = Some(queries::newest_first());
    let history = |unread_only| HistoryQuery {
        before: None,
        limit: 9,
        unread_only,
    };
    let before = Some((ids[700], ids[700].millis()));
    let acknowledging = Acknowledging {
        ids: &ids[..3],
        receivers: &[&one, &other],
        explicit: true,
        pushed: None,
        marker: &print,
        now,
    };
    let of_update = |update: Document| update.get_document("q").expect("a filter").clone();
    let of_group =
        |stages: [Document; 2]| stages[0].get_document("$match").expect("a filter").clone();
    let cases = [
        (
            queries::unread([&one], limits, now),
            oldest.clone(),
            "notice_unread",
        ),
        (
            queries::unread([&one, &other], limits, now),
            None,
            "notice_unread",
        ),
        (
            queries::unread_without(&one, &ids[..3], limits, now),
            oldest.clone(),
            "notice_unread",
        ),
        (
            queries::read_automatically(&one, now - 60_000, before, limits, now),
            oldest,
            "notice_history",
        ),
        (
            of_group(queries::count_unread(&[&one, &other], limits, now)),
            None,
            "notice_unread",
        ),
        (
            queries::history(&one, &history(false), None, limits, now),
            newest.clone(),
            "notice_history",
        ),
        (
            queries::history(&one, &history(false), before, limits, now),
            newest.clone(),
            "notice_history",
        ),
        (
            queries::history(&one, &history(true), before, limits, now),
            newest,
            "notice_unread",
        ),
        (queries::fetch(&one, &ids[..3], limits, now), None, "_id_"),
        (queries::by_id(&ids[..1]), None, "_id_"),
        (
            queries::earlier_calls(&[print], &[&one], false),
            None,
            "notice_idempotency",
        ),
        (
            queries::collapsing(&[print], &[&one, &other], false, limits, now),
            None,
            "notice_collapse",
        ),
        (
            queries::ended(now),
            Some(doc! { "endTime": 1 }),
            "notice_end",
        ),
        (
            of_update(queries::withdraw(&ids[..3], &[&one], "expired", &print)),
            None,
            "_id_",
        ),
        (queries::withdrawn_by(&ids[..3], &print), None, "_id_"),
        (
            queries::recall(ids[0], None, &print, limits, now).0,
            None,
            "_id_",
        ),
        (of_update(queries::read_first(&acknowledging)), None, "_id_"),
        (
            of_update(queries::read_explicitly(&acknowledging)),
            None,
            "_id_",
        ),
        (of_update(queries::pushed(&ids[..3], now)), None, "_id_"),
    ];
    let mut failures = Vec::new();
    for (filter, sort, index) in cases {
        let core = Arc::clone(core);
        let checked = tokio::spawn(async move {
            assert_indexed(&core, "notice", filter, sort, index).await;
        });
        failures.extend(checked.await.err());
    }
    assert!(failures.is_empty(), "{} queries", failures.len());
    store.close().await;
}
