//! Acknowledgements: gathered like staging calls, and stored by one update for all of them.
//!
//! An update says how many documents it changed, not which. When it changed all that were asked for, that is enough;
//! otherwise each document tells by the marker of the operation that read it.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use mongodb::bson::RawDocument;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::core::{Core, Query, new_marker};
use super::document::{field, read_id, read_print};
use super::pushed::in_updates;
use super::queries::{self, Acknowledging};
use super::turnstile::Turn;
use crate::clock::Millis;
use crate::domain::{AccountId, Fingerprint, NoticeId};
use crate::inbox::{Committed, InboxError, MarkRead, Operation};

type ReadAnswer = oneshot::Sender<Result<Vec<NoticeId>, InboxError>>;

/// One call.
pub(super) struct AckCall {
    pub(super) request: MarkRead,
    /// Nobody waits for one that came without waiting.
    pub(super) answer: Option<ReadAnswer>,
    pub(super) room: OwnedSemaphorePermit,
}

/// One request of a group: those of its ids that can be its account's.
struct Request {
    call: AckCall,
    own: Vec<NoticeId>,
}

pub(super) struct AckGroup {
    requests: Vec<Request>,
    turn: Turn,
    marker: Fingerprint,
    now: Millis,
    started: Instant,
}

/// What a group's updates did.
#[derive(Default)]
struct Outcome {
    read: HashSet<NoticeId>,
    made_explicit: HashSet<NoticeId>,
}

/// One update, and what it must carry.
struct Part {
    ids: Vec<NoticeId>,
    /// Which requests they come from.
    accounts: Vec<AccountId>,
    explicit: bool,
    pushed: Option<Millis>,
}

impl Part {
    fn acknowledging<'a>(
        &'a self,
        receivers: &'a [&'a AccountId],
        group: &'a AckGroup,
    ) -> Acknowledging<'a> {
        Acknowledging {
            ids: &self.ids,
            receivers,
            explicit: self.explicit,
            pushed: self.pushed,
            marker: &group.marker,
            now: group.now,
        }
    }
}

impl Core {
    pub(super) fn form_ack_group(&self, calls: Vec<AckCall>) -> AckGroup {
        let requests = calls.into_iter().map(|call| self.request(call)).collect();
        let (turn, now) = self.turnstile.take_with(|| self.now());
        AckGroup {
            requests,
            turn,
            marker: new_marker(),
            now,
            started: Instant::now(),
        }
    }

    fn request(&self, call: AckCall) -> Request {
        let part = self.ids.part_of(&call.request.account);
        let mut seen = HashSet::with_capacity(call.request.ids.len());
        let own = call.request.ids.iter().copied();
        let own = own.filter(|id| self.ids.may_own(part, *id) && seen.insert(*id));
        Request {
            own: own.collect(),
            call,
        }
    }

    /// Carries a group out. Its place under way is free once it is stored.
    pub(super) async fn ack_group(&self, group: AckGroup, place: OwnedSemaphorePermit) {
        let parts = self.parts(&group.requests);
        let outcome = self.store_acks(&group, &parts).await;
        drop(place);
        self.metrics
            .operation(Operation::Commit, group.started.elapsed());
        if let Ok(outcome) = &outcome {
            let marked = parts.iter().filter(|part| part.pushed.is_some());
            let marked = marked.flat_map(|part| &part.ids);
            self.pushed
                .forget(marked.filter(|id| outcome.read.contains(id)));
            self.forget_read(&group.requests, outcome);
        }
        let (mut events, mut answers) = (Vec::new(), Vec::new());
        for request in group.requests {
            let (event, answer) = request.end(&outcome, group.now);
            events.extend(event);
            answers.push(answer);
        }
        self.tell(group.turn, events).await;
        answers.into_iter().for_each(|answer| answer.give());
    }

    /// Sorts a group's ids into updates. Ids of ours are proven to be their account's by the id alone, so accounts
    /// share an update; old ones are asked for with their account.
    fn parts(&self, requests: &[Request]) -> Vec<Part> {
        let mut parts = Vec::new();
        for explicit in [false, true] {
            let of_kind =
                |request: &&Request| request.call.request.reader.is_explicit() == explicit;
            let mut shared = HashMap::new();
            for request in requests.iter().filter(of_kind) {
                let account = &request.call.request.account;
                let (old, ours): (Vec<_>, Vec<_>) = request
                    .own
                    .iter()
                    .copied()
                    .partition(|id| id.object_id().is_some());
                shared.extend(ours.into_iter().map(|id| (id, account.clone())));
                let old = old.into_iter().map(|id| (id, account.clone())).collect();
                parts.extend(self.by_pushed_mark(old, explicit));
            }
            parts.extend(self.by_pushed_mark(shared, explicit));
        }
        parts
    }

    /// Marks that are not stored yet go with the read.
    fn by_pushed_mark(&self, whose: HashMap<NoticeId, AccountId>, explicit: bool) -> Vec<Part> {
        let part = |ids: Vec<NoticeId>, pushed| {
            let accounts: HashSet<_> = ids.iter().map(|id| whose[id].clone()).collect();
            Part {
                accounts: accounts.into_iter().collect(),
                ids,
                explicit,
                pushed,
            }
        };
        let (mut marked, mut plain) = (Vec::new(), Vec::new());
        for id in whose.keys() {
            match self.pushed.get(*id) {
                Some(at) => marked.push((*id, at)),
                None => plain.push(*id),
            }
        }
        let marked = in_updates(marked)
            .into_iter()
            .map(|(at, ids)| part(ids, Some(at)));
        let plain = Some(plain)
            .filter(|ids| !ids.is_empty())
            .map(|ids| part(ids, None));
        marked.chain(plain).collect()
    }

    async fn store_acks(&self, group: &AckGroup, parts: &[Part]) -> Result<Outcome, InboxError> {
        if parts.is_empty() {
            self.link.available()?;
            return Ok(Outcome::default());
        }
        let updates: Vec<_> = parts
            .iter()
            .map(|part| {
                let receivers: Vec<_> = part.accounts.iter().collect();
                queries::read_first(&part.acknowledging(&receivers, group))
            })
            .collect();
        let failed = |failure| self.link.failed(&failure);
        let changed = self.link.update_notices(&updates).await.map_err(failed)?;
        let asked: usize = parts.iter().map(|part| part.ids.len()).sum();
        if changed == asked as u64 {
            return Ok(Outcome {
                read: parts
                    .iter()
                    .flat_map(|part| part.ids.iter().copied())
                    .collect(),
                made_explicit: HashSet::new(),
            });
        }
        self.store_explicit(group, parts).await?;
        self.read_outcome(group, parts).await
    }

    /// What had been read automatically is read explicitly now.
    async fn store_explicit(&self, group: &AckGroup, parts: &[Part]) -> Result<(), InboxError> {
        let explicit = parts.iter().filter(|part| part.explicit);
        let updates: Vec<_> = explicit
            .map(|part| {
                let receivers: Vec<_> = part.accounts.iter().collect();
                queries::read_explicitly(&part.acknowledging(&receivers, group))
            })
            .collect();
        if updates.is_empty() {
            return Ok(());
        }
        let failed = |failure| self.link.failed(&failure);
        self.link.update_notices(&updates).await.map_err(failed)?;
        Ok(())
    }

    async fn read_outcome(&self, group: &AckGroup, parts: &[Part]) -> Result<Outcome, InboxError> {
        let asked: Vec<_> = parts
            .iter()
            .flat_map(|part| part.ids.iter().copied())
            .collect();
        let query = Query::new(queries::by_id(&asked)).only([
            field::ID,
            field::READ_BY,
            field::EXPLICIT_BY,
        ]);
        let mut outcome = Outcome::default();
        let each = |document: &RawDocument| {
            let by_us = |name| read_print(document, name) == Some(group.marker);
            if by_us(field::READ_BY) {
                outcome.read.extend(read_id(document));
            } else if by_us(field::EXPLICIT_BY) {
                outcome.made_explicit.extend(read_id(document));
            }
        };
        self.find(&self.link.notices, &query, each).await?;
        Ok(outcome)
    }

    fn forget_read(&self, requests: &[Request], outcome: &Outcome) {
        let mut counts = self.counts.lock();
        for request in requests {
            let read = request.own.iter().filter(|id| outcome.read.contains(id));
            counts.left(&request.call.request.account, read.count() as u64);
        }
    }
}

/// An answer that waits for its turn.
struct Answer {
    to: Option<ReadAnswer>,
    what: Result<Vec<NoticeId>, InboxError>,
    _room: OwnedSemaphorePermit,
}

impl Answer {
    fn give(self) {
        if let Some(to) = self.to {
            // A caller that went away wants no answer.
            let _ = to.send(self.what);
        }
    }
}

impl Request {
    /// What is told and answered.
    fn end(self, outcome: &Result<Outcome, InboxError>, at: Millis) -> (Option<Committed>, Answer) {
        let AckCall {
            request,
            answer: to,
            room: _room,
        } = self.call;
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(why) => {
                // Who waits for the answer hears of it there.
                let event = to.is_none().then_some(Committed::NotRead(request));
                let what = Err(why.clone());
                return (event, Answer { to, what, _room });
            }
        };
        let of = |ids: &HashSet<NoticeId>| -> Vec<NoticeId> {
            self.own
                .iter()
                .copied()
                .filter(|id| ids.contains(id))
                .collect()
        };
        let read = of(&outcome.read);
        let mut withdrawn = Vec::new();
        if request.reader.is_explicit() {
            withdrawn = of(&outcome.made_explicit);
            withdrawn.extend_from_slice(&read);
        }
        let event = Committed::Read {
            account: request.account,
            asked: request.ids,
            read: read.clone(),
            withdrawn,
            reader: request.reader,
            at,
        };
        let what = Ok(read);
        (Some(event), Answer { to, what, _room })
    }
}
