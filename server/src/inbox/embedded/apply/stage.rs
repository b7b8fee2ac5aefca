//! Staging: repeated calls, replaced notices, the receiver's limit, and the notice itself.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::super::group::{Group, shared_notice};
use super::super::keys::{Key, day, expiry_key, idempotency_key};
use super::super::op::{Answer, Prepared, StageAnswers};
use super::super::record::{self, Fate, FirstCall, Mark, UnreadRow};
use super::super::tables::TableError;
use crate::domain::{Digest, Lifetime, NoticeId};
use crate::inbox::{Committed, StageError, Staged, Withdrawal};

impl Group<'_> {
    pub(super) fn stage(&mut self, drafts: Vec<Prepared>, answer: oneshot::Sender<StageAnswers>) {
        self.finished.events.reserve(drafts.len());
        let answers = drafts
            .into_iter()
            .map(|draft| self.stage_one(draft))
            .collect();
        self.answer(Answer::Stage(answer, answers));
    }

    fn stage_one(&mut self, draft: Prepared) -> Result<Staged, StageError> {
        if let Some((key, body)) = draft.idempotency
            && let Some(first) = self.first_call(key).map_err(|error| self.failure(&error))?
        {
            return self.repetition(first, body);
        }
        let ephemeral = draft.draft.lifetime == Lifetime::Ephemeral;
        if let Some(why) = &self.full
            && !(ephemeral && draft.idempotency.is_none())
        {
            return Err(StageError::StoreFull(why.clone()));
        }
        if ephemeral {
            Ok(self.offer_once(draft))
        } else {
            self.keep(draft)
        }
    }

    fn repetition(&mut self, first: FirstCall, body: Digest) -> Result<Staged, StageError> {
        if first.body != body {
            return Err(StageError::IdempotencyConflict);
        }
        self.event(Committed::Duplicate);
        Ok(Staged {
            id: first.id,
            duplicate: true,
        })
    }

    /// The first call with this key, while the key is kept.
    fn first_call(&self, digest: Digest) -> Result<Option<FirstCall>, TableError> {
        let now = self.time_of_ids();
        let oldest = now.saturating_sub(self.shared.limits.idempotency_kept);
        let kept = |first: &FirstCall| first.id.millis() > oldest;
        if let Some(first) = self.memory.seen.first_calls.get(&digest) {
            return Ok(Some(*first).filter(kept));
        }
        for day in (day(oldest)..=day(now)).rev() {
            let row = self.tables.idempotency.get(idempotency_key(day, digest))?;
            let first = row.map(|row| FirstCall::read(&row)).transpose()?;
            if let Some(first) = first.filter(kept) {
                return Ok(Some(first));
            }
        }
        Ok(None)
    }

    fn remember_call(&mut self, id: NoticeId, idempotency: Option<(Digest, Digest)>) {
        if let Some((digest, body)) = idempotency {
            let first = FirstCall { id, body };
            let key = idempotency_key(day(id.millis()), digest);
            self.put(&self.tables.idempotency, key, first.bytes());
            self.memory.seen.first_calls.insert(digest, first);
            self.must_be_durable();
        }
    }

    /// A draft that is never stored: only that the call was made, if it has a key.
    fn offer_once(&mut self, prepared: Prepared) -> Staged {
        let id = self.next_id(prepared.account);
        self.remember_call(id, prepared.idempotency);
        let (source, accepted) = (prepared.draft.source, Some(prepared.draft.accepted));
        let notice = shared_notice(id, prepared.draft);
        self.event(Committed::Staged {
            notice,
            ephemeral: true,
            source,
            accepted,
        });
        Staged {
            id,
            duplicate: false,
        }
    }

    fn keep(&mut self, prepared: Prepared) -> Result<Staged, StageError> {
        let replaced = self
            .replaced(prepared.collapse)
            .map_err(|error| self.failure(&error))?;
        let limit = self.shared.limits.unread_per_account;
        let freed = u64::from(replaced.is_some());
        if self
            .unread_count(prepared.account, limit)
            .saturating_sub(freed)
            >= limit
        {
            return Err(StageError::InboxFull { limit });
        }
        if let Some((key, row)) = replaced {
            self.retire(key, row, |pushed| Mark {
                fate: Fate::Replaced,
                pushed,
                read: None,
            });
            self.withdraw(
                prepared.draft.receiver.clone(),
                key.id(),
                Withdrawal::Replaced,
            );
        }
        Ok(Staged {
            id: self.insert(prepared),
            duplicate: false,
        })
    }

    /// The unread notice that a draft of this scope takes the place of.
    fn replaced(&self, scope: Option<Digest>) -> Result<Option<(Key, UnreadRow)>, TableError> {
        let Some(scope) = scope else {
            return Ok(None);
        };
        let older = match self.memory.seen.collapse.get(&scope) {
            Some(key) => Some(*key),
            None => self
                .tables
                .collapse
                .get(scope.to_be_bytes())?
                .and_then(|row| Key::read(&row)),
        };
        let Some(older) = older else {
            return Ok(None);
        };
        // One whose time is over is left to the sweep: it ended, it wasn't replaced.
        let row = self.unread(older)?.filter(|row| !row.expired(self.now));
        Ok(row.map(|row| (older, row)))
    }

    fn insert(&mut self, prepared: Prepared) -> NoticeId {
        let Prepared {
            draft,
            account,
            row,
            idempotency,
            collapse,
        } = prepared;
        let id = self.next_id(account);
        let key = Key::of(id);
        let expires = record::expires(id.millis(), draft.lifetime);
        self.put(&self.tables.notices, id.bits().to_be_bytes(), row);
        let unread = UnreadRow {
            expires,
            pushed: None,
            check: account.check(),
        };
        self.add_unread(key, unread, &draft.receiver);
        if let Some(at) = expires {
            self.put(&self.tables.expiry, expiry_key(at, key), []);
            // After the clock went back, what is due may lie before what was swept.
            self.memory.swept = self.memory.swept.min(at);
        }
        if let Some(scope) = collapse {
            self.put(&self.tables.collapse, scope.to_be_bytes(), key.bytes());
            self.memory.seen.collapse.insert(scope, key);
        }
        self.remember_call(id, idempotency);
        self.must_be_durable();
        let (source, accepted) = (draft.source, Some(draft.accepted));
        let notice: Arc<_> = shared_notice(id, draft);
        self.event(Committed::Staged {
            notice,
            ephemeral: false,
            source,
            accepted,
        });
        id
    }
}
