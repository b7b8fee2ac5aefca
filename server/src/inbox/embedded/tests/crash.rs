//! Kills a process that stages and acknowledges at full speed, and looks for what it had promised.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use super::{child_of, open, shell, unread};
use crate::domain::{Draft, NoticeId, StateName};
use crate::inbox::conformance::{account, draft};
use crate::inbox::embedded::EmbeddedStore;
use crate::inbox::{Inbox, MarkRead, Reader, SessionKey};

const DIR: &str = "NOTICE_TEST_CRASH_DIR";
const ROUNDS: &str = "NOTICE_TEST_CRASH_ROUNDS";
const ACCOUNTS: usize = 5;

/// What the child said it was answered, or was about to ask.
#[derive(Default)]
struct Promises {
    staged: BTreeMap<NoticeId, String>,
    asked: BTreeSet<NoticeId>,
    read: BTreeSet<NoticeId>,
    recalled: BTreeSet<NoticeId>,
}

impl Promises {
    fn hear(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        let id = |text: &str| text.parse::<NoticeId>().expect("an id");
        match words.as_slice() {
            ["staged", one, who] => drop(self.staged.insert(id(one), (*who).to_owned())),
            ["asked", one] => drop(self.asked.insert(id(one))),
            ["read", one] => drop(self.read.insert(id(one))),
            ["recalled", one] => drop(self.recalled.insert(id(one))),
            // The test harness has its own to say.
            _ => {}
        }
    }
}

#[tokio::test]
async fn nothing_that_was_answered_is_lost_when_the_process_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let rounds = std::env::var(ROUNDS).map_or(3, |rounds| rounds.parse().expect("a number"));
    let mut promises = Promises::default();
    for round in 0..rounds {
        let dir = folder.path().to_owned();
        promises = tokio::task::spawn_blocking(move || run_and_kill(&dir, round, promises))
            .await
            .expect("ran");
        check(folder.path(), &promises, round).await;
    }
    assert!(
        promises.staged.len() > 100 && !promises.read.is_empty(),
        "the child did its work"
    );
}

/// Runs the child for a while that differs from round to round.
fn run_and_kill(dir: &Path, round: usize, mut promises: Promises) -> Promises {
    let mut child = shell(
        "",
        &child_of(module_path!(), "child_that_stages_until_it_is_killed"),
    )
    .env(DIR, dir)
    .stdout(Stdio::piped())
    .stderr(Stdio::null())
    .spawn()
    .expect("started");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    while !line.starts_with("staged") {
        line.clear();
        assert!(
            lines.read_line(&mut line).expect("read") > 0,
            "the child ended by itself"
        );
    }
    promises.hear(line.trim_end());
    let lifetime = Duration::from_millis(150 + (round as u64 * 97) % 400);
    let killer = std::thread::spawn(move || {
        std::thread::sleep(lifetime);
        child.kill().expect("killed");
        child.wait().expect("ended");
    });
    for line in lines.split(b'\n').map(|line| line.expect("read")) {
        promises.hear(&String::from_utf8_lossy(&line));
    }
    killer.join().expect("killed");
    promises
}

async fn check(dir: &Path, promises: &Promises, round: usize) {
    let store = open(dir).expect("opened after the kill");
    let mut unread_of = Vec::new();
    for number in 0..ACCOUNTS {
        let who = name(number);
        let found = unread(&store, &who).await.expect("read");
        assert_eq!(
            store.unread_count(&account(&who)).await,
            Ok(found.len() as u64)
        );
        unread_of.push(found);
    }
    // All of the newest, and in turn a part of the older ones.
    let newest = promises.staged.len().saturating_sub(2000);
    for (number, (id, who)) in promises.staged.iter().enumerate() {
        if number < newest && number % 32 != round % 32 {
            continue;
        }

        let state = store
            .state(*id)
            .await
            .expect("read")
            .map(|state| state.name);
        let is_unread = unread_of.iter().any(|ids| ids.contains(id));
        if promises.recalled.contains(id) {
            assert_eq!(state, Some(StateName::Recalled), "{id}");
        } else if promises.read.contains(id) {
            assert_eq!(state, Some(StateName::Read), "{id}");
        } else if !promises.asked.contains(id) {
            assert_eq!(
                (state, is_unread),
                (Some(StateName::Staged), true),
                "{id} of {who}"
            );
        } else {
            assert!(state.is_some(), "{id} of {who}");
        }
    }
    repeat_the_last(&store, promises).await;
    store.close().await;
}

/// Keys hold over the kill, and new ids come after all that were ever told.
async fn repeat_the_last(store: &Arc<EmbeddedStore>, promises: &Promises) {
    for (id, who) in promises.staged.iter().rev().take(20) {
        let notices = store.fetch(&account(who), &[*id]).await.expect("fetched");
        let Some(notice) = notices.first() else {
            continue;
        };
        let answer = store
            .stage(vec![keyed(who, &notice.message)])
            .await
            .remove(0)
            .expect("staged");
        assert_eq!((answer.id, answer.duplicate), (*id, true));
    }
    let new = store
        .stage(vec![draft("other", "new")])
        .await
        .remove(0)
        .expect("staged");
    assert!(promises.staged.keys().all(|id| *id < new.id));
}

fn name(number: usize) -> String {
    format!("u{number}")
}

fn keyed(who: &str, message: &str) -> Draft {
    let key: String = message.chars().take(24).collect();
    Draft {
        idempotency_key: Some(key.into()),
        ..draft(who, message)
    }
}

fn say(line: &str) {
    // Written at once: what is said must have come true before the kill.
    std::io::stdout()
        .lock()
        .write_all(format!("{line}\n").as_bytes())
        .expect("a pipe");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "is run, and killed, by the test above"]
async fn child_that_stages_until_it_is_killed() {
    let dir = PathBuf::from(std::env::var(DIR).expect("a folder"));
    let mut options = crate::inbox::embedded::Options::new(dir);
    options.unread_per_account = 1_000_000;
    let observer = Arc::new(crate::inbox::conformance::Recorder::default());
    let store =
        EmbeddedStore::open(options, crate::clock::Clock::System, observer).expect("opened");
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..16 {
        tasks.spawn(work(Arc::clone(&store), task));
    }
    tasks.join_all().await;
}

async fn work(store: Arc<EmbeddedStore>, task: usize) {
    let started = store.now();
    for turn in 0_usize.. {
        let who = name((task + turn) % ACCOUNTS);
        // Some are large, so that tables and journals are changed while we run.
        let filler = "x".repeat(if turn % 8 == 0 { 30_000 } else { 40 });
        let drafts = (0..=turn % 3)
            .map(|n| keyed(&who, &format!("{started}-{task:02}-{turn:05}-{n} {filler}")));
        let answers = store.stage(drafts.collect()).await;
        let ids: Vec<_> = answers
            .into_iter()
            .map(|answer| answer.expect("staged").id)
            .collect();
        ids.iter().for_each(|id| say(&format!("staged {id} {who}")));
        let id = ids[0];
        say(&format!("asked {id}"));
        if turn % 5 == 0 {
            assert_eq!(store.recall(id).await, Ok(true));
            say(&format!("recalled {id}"));
        } else if turn % 2 == 0 {
            let reader = Reader::Session(SessionKey(1));
            let request = MarkRead {
                account: account(&who),
                ids: vec![id],
                reader,
            };
            assert_eq!(store.mark_read(request).await, Ok(vec![id]));
            say(&format!("read {id}"));
        }
    }
}
