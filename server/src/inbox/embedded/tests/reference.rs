//! What the store is compared with: the same rules on maps in memory.

use std::collections::{BTreeMap, HashMap};

use crate::clock::Millis;
use crate::domain::{NoticeId, StateName};
use crate::inbox::StageError;
use crate::inbox::conformance::UNREAD_LIMIT;

pub(super) const DAY: Millis = 24 * 3600 * 1000;

/// A draft in few words, so that scopes and keys meet often.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) who: usize,
    pub(super) body: u8,
    pub(super) ttl: Option<u64>,
    pub(super) collapse: Option<u8>,
    pub(super) key: Option<u8>,
}

#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) who: usize,
    pub(super) expires: Option<Millis>,
    pub(super) collapse: Option<u8>,
    pub(super) state: StateName,
    pub(super) explicit: bool,
    pub(super) pushed: Option<Millis>,
    pub(super) read: Option<Millis>,
}

#[derive(Default)]
pub(super) struct Model {
    pub(super) notices: BTreeMap<NoticeId, Kept>,
    pub(super) calls: HashMap<(usize, u8), (NoticeId, String)>,
}

impl Kept {
    pub(super) fn unread(&self, now: Millis) -> bool {
        matches!(self.state, StateName::Staged | StateName::Pushed)
            && self.expires.is_none_or(|at| at > now)
    }
}

impl Model {
    /// Lets time do its work, as a settled store has it.
    pub(super) fn settle(&mut self, now: Millis) {
        let cut = now.saturating_sub(30 * DAY);
        self.notices.retain(|id, _| id.millis() >= cut);
        for kept in self.notices.values_mut() {
            let open = matches!(kept.state, StateName::Staged | StateName::Pushed);
            if open && kept.expires.is_some_and(|at| at <= now) {
                kept.state = StateName::Expired;
            }
        }
    }

    pub(super) fn unread(&self, who: usize, now: Millis) -> Vec<NoticeId> {
        let of =
            |(id, kept): (&NoticeId, &Kept)| (kept.who == who && kept.unread(now)).then_some(*id);
        self.notices.iter().filter_map(of).collect()
    }

    /// What the store must answer; the id, when it is a new one, is the store's choice.
    pub(super) fn stage(
        &mut self,
        wanted: &Wanted,
        now: Millis,
        id: Option<NoticeId>,
    ) -> Result<Option<NoticeId>, StageError> {
        let body = format!("{wanted:?}");
        if let Some(key) = wanted.key
            && let Some((first, of)) = self.calls.get(&(wanted.who, key))
            && first.millis() + DAY > now
        {
            return if *of == body {
                Ok(Some(*first))
            } else {
                Err(StageError::IdempotencyConflict)
            };
        }
        let ephemeral = wanted.ttl == Some(0);
        let older = (!ephemeral)
            .then(|| self.newest_of_scope(wanted, now))
            .flatten();
        let unread = self.unread(wanted.who, now).len() as u64;
        if !ephemeral && unread - u64::from(older.is_some()) >= UNREAD_LIMIT {
            return Err(StageError::InboxFull {
                limit: UNREAD_LIMIT,
            });
        }
        let Some(id) = id else { return Ok(None) };
        if let Some(key) = wanted.key {
            self.calls.insert((wanted.who, key), (id, body));
        }
        if let Some(older) = older.and_then(|older| self.notices.get_mut(&older)) {
            older.state = StateName::Replaced;
        }
        if !ephemeral {
            let expires = wanted.ttl.map(|ttl| id.millis() + ttl * 1000);
            let Wanted { who, collapse, .. } = *wanted;
            let state = StateName::Staged;
            let kept = Kept {
                who,
                expires,
                collapse,
                state,
                explicit: false,
                pushed: None,
                read: None,
            };
            self.notices.insert(id, kept);
        }
        Ok(Some(id))
    }

    pub(super) fn newest_of_scope(&self, wanted: &Wanted, now: Millis) -> Option<NoticeId> {
        let scope = wanted.collapse?;
        let within = |kept: &Kept| kept.who == wanted.who && kept.collapse == Some(scope);
        let newest = self.notices.iter().rfind(|(_, kept)| within(kept))?;
        newest.1.unread(now).then_some(*newest.0)
    }

    pub(super) fn read(
        &mut self,
        who: usize,
        ids: &[NoticeId],
        explicit: bool,
        now: Millis,
    ) -> Vec<NoticeId> {
        let mut read = Vec::new();
        for id in ids {
            let Some(kept) = self.notices.get_mut(id).filter(|kept| kept.who == who) else {
                continue;
            };
            if kept.unread(now) {
                kept.state = StateName::Read;
                (kept.read, kept.explicit) = (Some(now), explicit);
                read.push(*id);
            } else if kept.state == StateName::Read {
                kept.explicit |= explicit;
            }
        }
        read
    }

    pub(super) fn recall(&mut self, id: NoticeId) -> bool {
        self.notices
            .get_mut(&id)
            .map(|kept| kept.state = StateName::Recalled)
            .is_some()
    }

    pub(super) fn push(&mut self, id: NoticeId, at: Millis, now: Millis) {
        if let Some(kept) = self.notices.get_mut(&id).filter(|kept| kept.unread(now)) {
            kept.state = StateName::Pushed;
            kept.pushed.get_or_insert(at);
        }
    }
}
