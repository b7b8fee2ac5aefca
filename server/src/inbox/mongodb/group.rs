//! One group: the staging calls that are stored by one insert.
//!
//! The group takes its turn and its ids at the beginning, stores its notices, replaces what they replace, and tells all
//! of it in its turn before any of its callers is answered.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::admit::Refusals;
use super::core::Core;
use super::document::{self, Prints};
use super::failure::unavailable;
use super::replace::{Replaced, told_as_replaced};
use super::turnstile::Turn;
use crate::domain::{AccountId, Draft, Fingerprint, Lifetime, Notice, NoticeId};
use crate::inbox::{Committed, Operation, StageError, Staged};

/// A draft on its way, with what could be reckoned on its caller's thread.
pub(super) struct Prepared {
    pub(super) draft: Draft,
    pub(super) prints: Prints,
    /// The receiver's part of the id.
    pub(super) part: u64,
}

/// What a caller hears.
pub(super) type Answers = Vec<Result<Staged, StageError>>;

/// One call.
pub(super) struct StageCall {
    pub(super) drafts: Vec<Prepared>,
    pub(super) bytes: usize,
    pub(super) answer: oneshot::Sender<Answers>,
    /// The call's place in the queue's bound, until it is answered.
    pub(super) room: OwnedSemaphorePermit,
}

/// A draft of a group, and what became of it.
pub(super) struct Item {
    pub(super) draft: Prepared,
    pub(super) notice: Arc<Notice>,
    pub(super) outcome: Option<Result<Staged, StageError>>,
    /// Room was taken in the receiver's inbox.
    counted: bool,
    /// It repeats an earlier one of this group.
    pub(super) follows: bool,
}

impl Item {
    pub(super) fn is_ephemeral(&self) -> bool {
        self.draft.draft.lifetime == Lifetime::Ephemeral
    }

    /// Whether it is to be inserted.
    pub(super) fn is_open(&self) -> bool {
        self.outcome.is_none() && !self.follows
    }

    pub(super) fn staged(&mut self) {
        self.outcome = Some(Ok(Staged {
            id: self.notice.id,
            duplicate: false,
        }));
    }

    pub(super) fn refuse(&mut self, why: impl Into<StageError>) {
        self.outcome = Some(Err(why.into()));
    }

    pub(super) fn is_staged(&self) -> bool {
        matches!(&self.outcome, Some(Ok(staged)) if !staged.duplicate)
    }

    /// The store failed it.
    fn broke(&self) -> bool {
        matches!(&self.outcome, Some(Err(StageError::Unavailable(_))))
    }

    fn is_stored(&self) -> bool {
        self.is_staged() && !self.is_ephemeral()
    }

    /// Whose scope it collapses in, once it is stored.
    pub(super) fn scope(&self) -> Option<(AccountId, Fingerprint)> {
        let scope = self.draft.prints.collapse.filter(|_| self.is_stored())?;
        Some((self.draft.draft.receiver.clone(), scope))
    }

    /// The earlier call of its key answers for it.
    pub(super) fn repeat(&mut self, first: FirstCall) {
        let body = self.draft.prints.call.map(|(_, body)| body);
        self.outcome = Some(if first.body == body {
            Ok(Staged {
                id: first.id,
                duplicate: true,
            })
        } else {
            Err(StageError::IdempotencyConflict)
        });
    }
}

/// The call that an idempotency key was first used in.
#[derive(Debug, Clone, Copy)]
pub(super) struct FirstCall {
    pub(super) id: NoticeId,
    pub(super) body: Option<Fingerprint>,
}

pub(super) struct Group {
    pub(super) items: Vec<Item>,
    /// The callers, each with how many of the items are its own.
    callers: Vec<(usize, oneshot::Sender<Answers>)>,
    /// Known first calls by their keys: stored by this group, or found.
    pub(super) first_calls: HashMap<Fingerprint, FirstCall>,
    turn: Turn,
    started: Instant,
    _room: Vec<OwnedSemaphorePermit>,
}

/// Which drafts repeat the key of an earlier one of the same group.
fn followers(drafts: &[Prepared]) -> HashSet<usize> {
    let mut seen = HashSet::new();
    let repeats = |(_, draft): &(usize, &Prepared)| {
        let key = draft.prints.call.map(|(key, _)| key);
        key.is_some_and(|key| !seen.insert(key))
    };
    let followers = drafts.iter().enumerate().filter(repeats);
    followers.map(|(place, _)| place).collect()
}

impl Core {
    /// Makes calls a group: finds room for each draft, then takes a turn and ids.
    pub(super) async fn form_group(&self, calls: Vec<StageCall>) -> Group {
        let started = Instant::now();
        let (mut drafts, mut callers, mut room) = (Vec::new(), Vec::new(), Vec::new());
        for call in calls {
            callers.push((call.drafts.len(), call.answer));
            room.push(call.room);
            drafts.extend(call.drafts);
        }
        let follows = followers(&drafts);
        let refusals = self.admit(&drafts, &follows).await;
        let begin = || self.items(drafts, refusals, &follows);
        let (turn, items) = self.turnstile.take_with(begin);
        Group {
            items,
            callers,
            first_calls: HashMap::new(),
            turn,
            started,
            _room: room,
        }
    }

    fn items(
        &self,
        drafts: Vec<Prepared>,
        refusals: Refusals,
        follows: &HashSet<usize>,
    ) -> Vec<Item> {
        let now = self.now();
        let item = |(place, (draft, refusal)): (usize, (Prepared, Option<StageError>))| {
            let id = self.ids.next(now, draft.part);
            let follows = follows.contains(&place);
            let ephemeral = draft.draft.lifetime == Lifetime::Ephemeral;
            Item {
                notice: Arc::new(document::notice_of(id, &draft.draft)),
                counted: refusal.is_none() && !follows && !ephemeral,
                outcome: refusal.map(Err),
                follows,
                draft,
            }
        };
        drafts
            .into_iter()
            .zip(refusals)
            .enumerate()
            .map(item)
            .collect()
    }

    /// Carries a group out. Its place under way is free once it is stored: waiting for its turn keeps none from storing.
    pub(super) async fn stage_group(&self, mut group: Group, place: OwnedSemaphorePermit) {
        let calls = group.callers.len();
        self.answer_repetitions_of_full_inboxes(&mut group).await;
        self.insert(&mut group).await;
        self.settle_followers(&mut group);
        let replaced = self.replace_older(&group).await;
        self.bring_counts_up_to_date(&group, &replaced);
        drop(place);
        self.metrics
            .operation(Operation::Commit, group.started.elapsed());
        self.metrics.group(calls);
        if group.items.iter().any(Item::broke) {
            self.metrics.error(Operation::Commit);
        }
        let events = events(&group, replaced);
        self.tell(group.turn, events).await;
        answer(group.items, group.callers);
    }

    /// A draft that repeats another of its group is answered as that one.
    fn settle_followers(&self, group: &mut Group) {
        let mut first_calls = std::mem::take(&mut group.first_calls);
        let mut refusals: HashMap<Fingerprint, StageError> = HashMap::new();
        for item in &mut group.items {
            let Some((key, body)) = item.draft.prints.call else {
                continue;
            };
            if item.follows {
                match (first_calls.get(&key), refusals.get(&key)) {
                    (Some(first), _) => item.repeat(*first),
                    (None, Some(why)) => item.refuse(why.clone()),
                    (None, None) => item.refuse(unavailable("the first of two calls got lost")),
                }
                continue;
            }
            match &item.outcome {
                Some(Ok(staged)) if !staged.duplicate => {
                    let first = FirstCall {
                        id: staged.id,
                        body: Some(body),
                    };
                    first_calls.insert(key, first);
                }
                Some(Err(why)) => {
                    refusals.insert(key, why.clone());
                }
                _ => {}
            }
        }
    }

    fn bring_counts_up_to_date(&self, group: &Group, replaced: &Replaced) {
        let mut changes: HashMap<&AccountId, (u64, u64)> = HashMap::new();
        for item in group.items.iter().filter(|item| item.counted) {
            let change = changes.entry(&item.draft.draft.receiver).or_default();
            change.0 += 1;
            change.1 += u64::from(item.is_stored());
        }
        let mut counts = self.counts.lock();
        for (account, (ended, stored)) in changes {
            counts.settled(account, ended, stored);
        }
        for (account, _) in replaced.all() {
            counts.left(account, 1);
        }
        drop(counts);
        self.group_ended.notify_waiters();
    }
}

/// What became true, in the order of the ids: each notice behind what it replaced.
fn events(group: &Group, mut replaced: Replaced) -> Vec<Committed> {
    let mut events = Vec::with_capacity(group.items.len());
    for item in &group.items {
        match &item.outcome {
            Some(Ok(staged)) if staged.duplicate => events.push(Committed::Duplicate),
            Some(Ok(_)) => {
                let older = item
                    .scope()
                    .and_then(|scope| replaced.take_older(&scope.1, item.notice.id));
                events.extend(older.map(told_as_replaced));
                events.push(Committed::Staged {
                    notice: Arc::clone(&item.notice),
                    ephemeral: item.is_ephemeral(),
                    source: item.draft.draft.source,
                    accepted: Some(item.draft.draft.accepted),
                });
            }
            _ => {}
        }
    }
    // What another node's notice replaced: it was just told as staged.
    events.extend(replaced.rest().map(told_as_replaced));
    events
}

fn answer(items: Vec<Item>, callers: Vec<(usize, oneshot::Sender<Answers>)>) {
    let outcome = |item: Item| {
        item.outcome
            .unwrap_or_else(|| Err(unavailable("it got lost").into()))
    };
    let mut outcomes = items.into_iter().map(outcome);
    for (how_many, caller) in callers {
        // A caller that went away wants no answer.
        let _ = caller.send(outcomes.by_ref().take(how_many).collect());
    }
}
