//! Random calls, compared with a model in memory.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult};

use super::conformance::Embedded;
use super::reference::{DAY, Kept, Model, Wanted};
use crate::clock::Millis;
use crate::domain::{Draft, Lifetime, NoticeId, StateName};
use crate::inbox::conformance::{Backend, Recorder, account, draft};
use crate::inbox::embedded::EmbeddedStore;
use crate::inbox::{HistoryQuery, Inbox, MarkRead, Reader, SessionKey};

const ACCOUNTS: [&str; 3] = ["a", "b", "c"];
#[derive(Debug, Clone)]
enum Step {
    Stage(Vec<Wanted>),
    Read {
        who: usize,
        which: Vec<prop::sample::Index>,
        explicit: bool,
    },
    Recall(prop::sample::Index),
    Pushed(prop::sample::Index),
    Advance(Millis),
    Settle,
    Restart,
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let ttl = prop::option::weighted(0.3, 0_u64..3);
    let small = || prop::option::weighted(0.3, 0_u8..2);
    (0..ACCOUNTS.len(), 0_u8..2, ttl, small(), small()).prop_map(
        |(who, body, ttl, collapse, key)| Wanted {
            who,
            body,
            ttl,
            collapse,
            key,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let which = || any::<prop::sample::Index>();
    prop_oneof![
        8 => prop::collection::vec(wanted(), 1..4).prop_map(Step::Stage),
        4 => (0..ACCOUNTS.len(), prop::collection::vec(which(), 1..4), any::<bool>())
            .prop_map(|(who, which, explicit)| Step::Read { who, which, explicit }),
        2 => which().prop_map(Step::Recall),
        2 => which().prop_map(Step::Pushed),
        2 => prop_oneof![Just(400), Just(1000), Just(DAY / 2), Just(11 * DAY)].prop_map(Step::Advance),
        1 => Just(Step::Settle),
        1 => Just(Step::Restart),
    ]
}

struct Run {
    backend: Embedded,
    store: Arc<EmbeddedStore>,
    model: Model,
    /// Every id ever made, so that steps may choose any of them.
    ids: Vec<NoticeId>,
}

impl Run {
    async fn begin() -> Self {
        let backend = Embedded::new();
        let store = backend.open(Arc::new(Recorder::default())).await;
        Self {
            backend,
            store,
            model: Model::default(),
            ids: Vec::new(),
        }
    }

    fn id(&self, which: prop::sample::Index) -> NoticeId {
        if self.ids.is_empty() {
            NoticeId::from_bits(7)
        } else {
            *which.get(&self.ids)
        }
    }

    async fn take(&mut self, step: Step) -> TestCaseResult {
        let now = self.store.now();
        match step {
            Step::Stage(drafts) => self.stage(&drafts, now).await?,
            Step::Read {
                who,
                which,
                explicit,
            } => {
                let ids: Vec<_> = which.into_iter().map(|which| self.id(which)).collect();
                let key = SessionKey(1);
                let reader = if explicit {
                    Reader::Session(key)
                } else {
                    Reader::Automatic(key)
                };
                let expected = self.model.read(who, &ids, explicit, now);
                let request = MarkRead {
                    account: account(ACCOUNTS[who]),
                    ids,
                    reader,
                };
                prop_assert_eq!(self.store.mark_read(request).await, Ok(expected));
            }
            Step::Recall(which) => {
                let id = self.id(which);
                prop_assert_eq!(self.store.recall(id).await, Ok(self.model.recall(id)));
            }
            Step::Pushed(which) => {
                let id = self.id(which);
                self.store.mark_pushed(id, now);
                self.model.push(id, now, now);
            }
            Step::Advance(by) => {
                self.backend.advance(by);
                // Passes run hourly: what is between is not compared.
                self.settle().await;
            }
            Step::Settle => self.settle().await,
            Step::Restart => {
                // Pushed marks may be forgotten: not by an orderly end after they were written.
                self.settle().await;
                self.backend.close(Arc::clone(&self.store)).await;
                self.store = self.backend.open(Arc::new(Recorder::default())).await;
            }
        }
        Ok(())
    }

    async fn settle(&mut self) {
        self.backend.settle(&self.store).await;
        self.model.settle(self.store.now());
    }

    async fn stage(&mut self, drafts: &[Wanted], now: Millis) -> TestCaseResult {
        let answers = self
            .store
            .stage(drafts.iter().map(draft_of).collect())
            .await;
        for (wanted, answer) in drafts.iter().zip(answers) {
            let new = answer
                .as_ref()
                .ok()
                .filter(|staged| !staged.duplicate)
                .map(|staged| staged.id);
            let id = answer.map(|staged| Some(staged.id));
            prop_assert_eq!(self.model.stage(wanted, now, new), id, "{:?}", wanted);
            self.ids.extend(new);
        }
        Ok(())
    }

    async fn compare(&self) -> TestCaseResult {
        let now = self.store.now();
        for (who, name) in ACCOUNTS.iter().enumerate() {
            let page = self
                .store
                .unread(&account(name), &[], 100)
                .await
                .expect("read");
            let found: Vec<_> = page.items.iter().map(|unread| unread.notice.id).collect();
            prop_assert_eq!(&found, &self.model.unread(who, now));
            prop_assert_eq!(
                self.store.unread_count(&account(name)).await,
                Ok(found.len() as u64)
            );
            self.compare_history(who, now).await?;
        }
        for id in &self.ids {
            let found = self.store.state(*id).await.expect("read");
            let found = found.map(|state| (state.name, state.pushed, state.read));
            let expected = self
                .model
                .notices
                .get(id)
                .map(|kept| (kept.state, kept.pushed, kept.read));
            prop_assert_eq!(found, expected, "{}", id);
        }
        Ok(())
    }

    async fn compare_history(&self, who: usize, now: Millis) -> TestCaseResult {
        let query = HistoryQuery {
            before: None,
            limit: 1000,
            unread_only: false,
        };
        let lines = self
            .store
            .history(&account(ACCOUNTS[who]), query)
            .await
            .expect("read");
        let found: Vec<_> = lines
            .iter()
            .map(|line| (line.notice.id, line.read))
            .collect();
        let mine = self
            .model
            .notices
            .iter()
            .filter(|(_, kept)| kept.who == who);
        let shown = mine.filter(|(_, kept)| kept.unread(now) || kept.state == StateName::Read);
        let expected: Vec<_> = shown
            .map(|(id, kept)| (*id, kept.state == StateName::Read))
            .rev()
            .collect();
        prop_assert_eq!(found, expected);
        let offerable = self
            .store
            .fetch(&account(ACCOUNTS[who]), &self.ids)
            .await
            .expect("fetched");
        let found: Vec<_> = offerable.iter().map(|notice| notice.id).collect();
        let may = |kept: &&Kept| {
            let automatic = kept.state == StateName::Read && !kept.explicit;
            let in_time = kept.expires.is_none_or(|at| at > now);
            kept.who == who && (kept.unread(now) || (automatic && in_time))
        };
        let expected: Vec<_> = self
            .ids
            .iter()
            .filter(|id| self.model.notices.get(id).is_some_and(|kept| may(&kept)))
            .copied()
            .collect();
        prop_assert_eq!(found, expected);
        Ok(())
    }
}

fn draft_of(wanted: &Wanted) -> Draft {
    Draft {
        lifetime: match wanted.ttl {
            None => Lifetime::Kept,
            Some(0) => Lifetime::Ephemeral,
            Some(seconds) => Lifetime::Seconds(seconds),
        },
        collapse_key: wanted.collapse.map(|key| key.to_string().into()),
        idempotency_key: wanted.key.map(|key| key.to_string().into()),
        ..draft(ACCOUNTS[wanted.who], &wanted.body.to_string())
    }
}

/// Each case opens stores and syncs files, for two seconds on a busy disk: a hundredth of the cases that pure
/// properties get.
fn config() -> Config {
    let asked = Config::default().cases;
    Config::with_cases((asked / 100).max(10))
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_store_does_what_a_model_of_it_does(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut run = Run::begin().await;
            for step in steps {
                run.take(step).await?;
                run.compare().await?;
            }
            TestCaseResult::Ok(())
        })?;
    }
}
