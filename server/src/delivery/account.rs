//! One account that is online here: its sessions, and what each of them is still to be handed.
//!
//! A pure state machine under one lock. It keeps whole notices only in bounded mailboxes; what a session
//! cannot take at once is kept as an id, and the inbox is the queue behind it.
//!
//! Each session is in one of three phases:
//! - **Backlog**: it has just joined, and what was unread before is read from the inbox, oldest first, without
//!   what is in flight to it and what the log holds for it.
//! - **Log**: caught up with the inbox, but behind the notices that were staged since; their ids are in the
//!   account's log, their bodies in the inbox.
//! - **Live**: behind nothing; a new notice goes straight into its mailbox.
//!
//! A session joins (and its place in the log is fixed) before its backlog is read, so nothing can fall between.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use super::push::Push;
use super::session::{CloseReason, Session};
use super::settled::Settled;
use super::slot::{MAILBOX_BYTES, Outgoing, Phase, Slot, shrink, weight};
use crate::clock::Millis;
use crate::domain::{AccountId, Notice, NoticeId};
use crate::inbox::{Reader, SessionKey, UnreadPage, Withdrawal};

/// At most so many notices are read from the inbox at once for one session.
const FETCH: usize = 32;

/// A log holds at most so many ids (16 bytes each). A session that would need more is closed as too slow, and
/// gets what is unread when it comes back.
const LOG_IDS: usize = 10_000;

/// What a session needs from the inbox before it can go on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// The oldest unread notices but these; answered by [`AccountState::supply_backlog`].
    Backlog {
        /// In flight to the session, or waiting in the log.
        skip: Vec<NoticeId>,
        /// At most so many.
        limit: usize,
    },
    /// These, of the log; answered by [`AccountState::supply_log`].
    Log {
        /// In the order to hand them over.
        ids: Vec<NoticeId>,
    },
}

/// How far a session has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// What was unread when it joined has not been looked at yet.
    New,
    /// More is known to wait for it.
    Behind,
    /// It was handed everything.
    Live,
}

/// The sessions of an account and the log between them. See the file's head.
#[derive(Debug, Default)]
pub(super) struct AccountState {
    slots: Vec<Slot>,
    log: VecDeque<NoticeId>,
    /// The place of the log's first id in all that ever was in it.
    log_start: u64,
    settled: Settled,
    /// Wake-ups for the account do not reach this node yet: who looks at the inbox now could miss what is committed
    /// between the look and the first wake-up.
    out_of_reach: bool,
}

/// An account with its state.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) id: AccountId,
    pub(super) state: Mutex<AccountState>,
}

impl AccountState {
    /// How many sessions there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The sessions.
    pub(super) fn sessions(&self) -> impl Iterator<Item = &Arc<Session>> {
        self.slots.iter().map(|slot| &slot.session)
    }

    /// Lets a session join. From now on it is online: whatever is published is owed to it.
    pub(super) fn join(&mut self, session: Arc<Session>) {
        let log_from = self.log_end();
        // Most accounts have one session: no room for four.
        self.slots.reserve_exact(1);
        self.slots.push(Slot {
            session,
            phase: Phase::Backlog {
                log_from,
                looked: false,
                next: None,
                again: false,
            },
            in_flight: VecDeque::new(),
            mailbox: VecDeque::new(),
            mailbox_bytes: 0,
            fetching: None,
            ahead: Vec::new(),
            swept: false,
        });
    }

    /// Holds the sessions back from the inbox until [`AccountState::reached`].
    pub(super) fn wait_for_reach(&mut self) {
        self.out_of_reach = true;
    }

    /// Wake-ups for the account reach this node now, or the wait for it is given up. False when nobody waited.
    pub(super) fn reached(&mut self) -> bool {
        let waited = std::mem::take(&mut self.out_of_reach);
        if waited {
            self.sessions().for_each(|session| session.wake());
        }
        waited
    }

    /// Lets a session go; what it had in flight stays in the inbox.
    pub(super) fn leave(&mut self, key: SessionKey) {
        self.slots.retain(|slot| slot.session.key() != key);
        self.trim_log();
    }

    /// Offers a notice to every session: at once where it can be taken, else by the log. A notice that is not
    /// stored goes to those who have room for it now. One that was offered already is offered to nobody.
    pub(super) fn publish(&mut self, push: &Arc<Push>, horizon: Millis) {
        // It may come once more, another way: nobody can tell a message that went out from one whose answer was lost.
        if self.settled.covers_all(push.id()) {
            return;
        }
        self.offer(push);
        self.settled.add(push.id(), None, horizon);
    }

    fn offer(&mut self, push: &Arc<Push>) {
        let place = self.log_end();
        let mut left_behind = false;
        for slot in &mut self.slots {
            if !push.is_stored() {
                if slot.mailbox_bytes < MAILBOX_BYTES {
                    slot.hand_over(Arc::clone(push));
                }
            } else if slot.in_flight.contains(&push.id())
                || self.settled.covers(push.id(), slot.session.key())
            {
                if slot.phase != Phase::Live {
                    slot.ahead.push(push.id());
                }
            } else if slot.phase == Phase::Live && slot.has_room() {
                slot.hand_over(Arc::clone(push));
            } else {
                left_behind = true;
                if slot.phase == Phase::Live {
                    slot.phase = Phase::Log {
                        at: place,
                        again: false,
                    };
                }
            }
        }
        if left_behind {
            self.log.push_back(push.id());
            self.trim_log();
            self.shed_the_slowest();
        }
    }

    /// Notices were read: the reader's window is free of `asked`; those of them that are `withdrawn` are taken from
    /// the others too, which are told. Here as elsewhere no wake-up is believed of what is older than `horizon`.
    pub(super) fn read(
        &mut self,
        asked: &[NoticeId],
        withdrawn: &[NoticeId],
        reader: Reader,
        horizon: Millis,
    ) {
        self.settle_all(withdrawn, horizon);
        let own = match reader {
            Reader::Session(own) | Reader::Automatic(own) => Some(own),
            Reader::Account => None,
        };
        for slot in &mut self.slots {
            if Some(slot.session.key()) == own && slot.release(asked) && slot.phase != Phase::Live {
                slot.session.wake();
            }
        }
        if !withdrawn.is_empty() {
            self.withdraw_read(withdrawn, own);
        }
    }

    fn settle_all(&mut self, ids: &[NoticeId], horizon: Millis) {
        for id in ids {
            self.settled.add(*id, None, horizon);
        }
    }

    fn withdraw_read(&mut self, ids: &[NoticeId], by: Option<SessionKey>) {
        let told: Arc<[NoticeId]> = ids.into();
        let others = |slot: &&mut Slot| Some(slot.session.key()) != by;
        for slot in self.slots.iter_mut().filter(others) {
            slot.withdraw(ids);
            if slot.session.spec().control_frames {
                slot.put(Outgoing::Read(Arc::clone(&told)));
            }
        }
    }

    /// Notices left the inbox unread, or were recalled. Every session that may show them is told.
    pub(super) fn withdraw(&mut self, ids: &[NoticeId], why: Withdrawal, horizon: Millis) {
        self.settle_all(ids, horizon);
        let told: Arc<[NoticeId]> = ids.into();
        for slot in &mut self.slots {
            let had_it = slot.withdraw(ids);
            let tell = match why {
                // It may have been read, and be shown, on any device.
                Withdrawal::Recalled => true,
                Withdrawal::Replaced => had_it,
                Withdrawal::Expired => false,
            };
            if tell && slot.session.spec().control_frames {
                slot.put(Outgoing::Recall(Arc::clone(&told)));
            }
        }
    }

    /// The inbox may hold what was never published: every session looks at it once more.
    pub(super) fn look_again(&mut self) {
        let end = self.log_end();
        for slot in &mut self.slots {
            match &mut slot.phase {
                // A look that is under way may have begun before.
                Phase::Backlog { again, .. } | Phase::Log { again, .. } => *again = true,
                Phase::Live => {
                    slot.phase = Phase::Backlog {
                        log_from: end,
                        looked: true,
                        next: None,
                        again: false,
                    };
                }
            }
            slot.session.wake();
        }
    }

    /// The inbox holds these unread. Sessions that are behind nothing and were never handed one of them look at it
    /// once more; whether there were any.
    pub(super) fn found_waiting(&mut self, ids: &[NoticeId]) -> bool {
        let end = self.log_end();
        let mut missed = false;
        for slot in self
            .slots
            .iter_mut()
            .filter(|slot| slot.phase == Phase::Live)
        {
            let key = slot.session.key();
            let unknown =
                |id: &&NoticeId| !slot.in_flight.contains(id) && !self.settled.covers(**id, key);
            let Some(oldest) = ids.iter().filter(unknown).min().copied() else {
                continue;
            };
            missed = true;
            slot.swept = true;
            slot.phase = Phase::Backlog {
                log_from: end,
                looked: true,
                next: Some(oldest),
                again: false,
            };
            slot.session.wake();
        }
        missed
    }

    /// Whether a session is behind nothing that it knows of.
    pub(super) fn is_any_live(&self) -> bool {
        self.slots.iter().any(|slot| slot.phase == Phase::Live)
    }

    /// Forgets what no wake-up can come for.
    pub(super) fn tidy(&mut self, horizon: Millis) {
        self.settled.forget_before(horizon);
    }

    /// What the session must be supplied with now; nothing while it has no room, while an earlier need is
    /// being met, or when it is behind nothing.
    pub(super) fn need(&mut self, key: SessionKey) -> Option<Need> {
        if self.out_of_reach {
            return None;
        }
        let index = self.index(key)?;
        let slot = &mut self.slots[index];
        if slot.fetching.is_some() || !slot.has_room() {
            return None;
        }
        // While one look-up runs, acknowledgements gather, so the next one is for all of them.
        let free = usize::from(slot.session.spec().window) - slot.in_flight.len();
        let limit = free.min(FETCH);
        match slot.phase {
            Phase::Live => None,
            Phase::Log { at, .. } => {
                slot.fetching = Some(Vec::new());
                Some(Need::Log {
                    ids: self.log_from(at).take(limit).collect(),
                })
            }
            Phase::Backlog { log_from, .. } => {
                let mut skip: Vec<_> = slot.in_flight.iter().copied().collect();
                slot.fetching = Some(Vec::new());
                skip.extend(self.log_from(log_from));
                Some(Need::Backlog { skip, limit })
            }
        }
    }

    /// Meets [`Need::Backlog`]. Drops what meanwhile reached the session or the log another way, or is gone.
    pub(super) fn supply_backlog(&mut self, key: SessionKey, page: UnreadPage, horizon: Millis) {
        let Some(index) = self.index(key) else { return };
        let Phase::Backlog {
            log_from, again, ..
        } = self.slots[index].phase
        else {
            return;
        };
        let in_log: HashSet<_> = self.log_from(log_from).collect();
        let first_in_log = self.log_from(log_from).next();
        let slot = &mut self.slots[index];
        let gone = slot.fetching.take().unwrap_or_default();
        let mut next = page.next;
        let mut early = false;
        for unread in page.items {
            let id = unread.notice.id;
            if gone.contains(&id) || in_log.contains(&id) || slot.in_flight.contains(&id) {
                continue;
            }
            if first_in_log.is_some_and(|first| first < id) {
                // Committed after what is in the log, and perhaps not published yet: it must come after it.
                early = true;
                next = None;
                break;
            }
            if !slot.has_room() {
                next = Some(id);
                break;
            }
            let push = Push::replay(unread.notice, unread.pushed_before, slot.swept);
            slot.hand_over(Arc::new(push));
            // Its wake-up may still be on the way, and find it acknowledged.
            self.settled.add(id, Some(key), horizon);
        }
        slot.phase = match next {
            Some(_) => Phase::Backlog {
                log_from,
                looked: true,
                next,
                again,
            },
            None => Phase::Log {
                at: log_from,
                again: early || again,
            },
        };
        self.settle(index);
    }

    /// Meets [`Need::Log`]: `asked` are the ids of the need, `found` those of them that may still be offered.
    pub(super) fn supply_log(
        &mut self,
        key: SessionKey,
        asked: &[NoticeId],
        found: Vec<Arc<Notice>>,
    ) {
        let Some(index) = self.index(key) else { return };
        let slot = &mut self.slots[index];
        let Phase::Log { mut at, again } = slot.phase else {
            return;
        };
        let gone = slot.fetching.take().unwrap_or_default();
        let mut found = found.into_iter().peekable();
        for id in asked {
            if let Some(notice) = found.next_if(|notice| notice.id == *id)
                && !gone.contains(id)
                && !slot.ahead.contains(id)
                && !slot.in_flight.contains(id)
            {
                if !slot.has_room() {
                    break;
                }
                slot.hand_over(Arc::new(Push::replay(notice, false, slot.swept)));
            }
            at += 1;
        }
        slot.phase = Phase::Log { at, again };
        self.settle(index);
    }

    /// The inbox could not be read: the session may ask again.
    pub(super) fn supply_failed(&mut self, key: SessionKey) {
        if let Some(index) = self.index(key) {
            self.slots[index].fetching = None;
        }
    }

    /// Takes what is to be written to the session now, at most `limit` items.
    pub(super) fn take(&mut self, key: SessionKey, limit: usize, into: &mut Vec<Outgoing>) {
        let Some(index) = self.index(key) else { return };
        let slot = &mut self.slots[index];
        let count = limit.min(slot.mailbox.len());
        into.extend(slot.mailbox.drain(..count));
        slot.mailbox_bytes = slot.mailbox.iter().map(weight).sum();
        shrink(&mut slot.mailbox);
    }

    /// How far the session has got.
    pub(super) fn standing(&self, key: SessionKey) -> Standing {
        match self.index(key).map(|index| self.slots[index].phase) {
            Some(Phase::Live) => Standing::Live,
            Some(Phase::Backlog { looked: false, .. }) => Standing::New,
            _ => Standing::Behind,
        }
    }

    /// What was taken for the session and is not acknowledged, in the order of handing over.
    pub(super) fn taken(&self, key: SessionKey) -> Vec<NoticeId> {
        let Some(index) = self.index(key) else {
            return Vec::new();
        };
        let slot = &self.slots[index];
        let waits = |id: &NoticeId| {
            let is_it =
                |item: &Outgoing| matches!(item, Outgoing::Notice(push) if push.id() == *id);
            slot.mailbox.iter().any(is_it)
        };
        let taken = slot.in_flight.iter().copied();
        taken.filter(|id| !waits(id)).collect()
    }

    /// When the oldest notice was created that no session here was handed yet; none when the account's best
    /// session is behind nothing.
    pub(super) fn oldest_unpushed(&self) -> Option<Millis> {
        self.slots
            .iter()
            .map(|slot| self.oldest_unpushed_of(slot))
            .max_by_key(|at| at.unwrap_or(Millis::MAX))?
    }

    fn oldest_unpushed_of(&self, slot: &Slot) -> Option<Millis> {
        let waiting = slot.mailbox.iter().find_map(|item| match item {
            Outgoing::Notice(push) => Some(push.notice().created),
            _ => None,
        });
        let in_log = |at| self.log_from(at).next().map(NoticeId::millis);
        waiting.or_else(|| match slot.phase {
            Phase::Live => None,
            Phase::Log { at, .. } => in_log(at),
            // Not yet looked at, it may hold anything from before.
            Phase::Backlog { looked: false, .. } => Some(slot.session.spec().since),
            Phase::Backlog { log_from, next, .. } => {
                next.map(NoticeId::millis).or_else(|| in_log(log_from))
            }
        })
    }

    fn settle(&mut self, index: usize) {
        let end = self.log_end();
        let slot = &mut self.slots[index];
        if let Phase::Log { at, again } = slot.phase
            && at == end
        {
            slot.phase = if again {
                Phase::Backlog {
                    log_from: end,
                    looked: true,
                    next: None,
                    again: false,
                }
            } else {
                slot.swept = false;
                Phase::Live
            };
            slot.ahead = Vec::new();
        }
        self.trim_log();
    }

    fn index(&self, key: SessionKey) -> Option<usize> {
        self.slots.iter().position(|slot| slot.session.key() == key)
    }

    fn log_end(&self) -> u64 {
        self.log_start + self.log.len() as u64
    }

    fn log_from(&self, place: u64) -> impl Iterator<Item = NoticeId> + '_ {
        let skipped = usize::try_from(place.saturating_sub(self.log_start)).unwrap_or(usize::MAX);
        self.log.iter().skip(skipped).copied()
    }

    /// Forgets what no session needs any more.
    fn trim_log(&mut self) {
        let end = self.log_end();
        let needed = self
            .slots
            .iter()
            .filter_map(Slot::needs_log_from)
            .min()
            .unwrap_or(end);
        let forgotten = usize::try_from(needed - self.log_start)
            .unwrap_or(0)
            .min(self.log.len());
        self.log.drain(..forgotten);
        self.log_start = needed;
        shrink(&mut self.log);
    }

    /// Closes the sessions for whom the log has grown past its bound.
    fn shed_the_slowest(&mut self) {
        if self.log.len() <= LOG_IDS {
            return;
        }
        let start = self.log_start;
        for slot in self
            .slots
            .iter_mut()
            .filter(|slot| slot.needs_log_from() == Some(start))
        {
            slot.session.close(CloseReason::TooSlow);
            slot.phase = Phase::Log {
                at: start + 1,
                again: false,
            };
        }
        self.trim_log();
    }
}

#[cfg(test)]
#[path = "account_tests.rs"]
mod tests;
