//! Marking as read.

use super::super::group::Group;
use super::super::keys::{AccountHash, Key};
use super::super::op::{Answer, Sender};
use super::super::record::{Fate, Mark};
use super::super::tables::TableError;
use crate::domain::NoticeId;
use crate::inbox::{Committed, MarkRead};

/// What marking one notice as read did.
enum Reading {
    /// It was unread until now.
    First,
    /// It had been read automatically.
    Explicit,
    /// It was read before, or is not to be read.
    Nothing,
}

impl Group<'_> {
    pub(super) fn mark_read(
        &mut self,
        request: MarkRead,
        account: AccountHash,
        answer: Option<Sender<Vec<NoticeId>>>,
    ) {
        let fate = if request.reader.is_explicit() {
            Fate::ReadExplicitly
        } else {
            Fate::ReadAutomatically
        };
        let mut read = Vec::with_capacity(request.ids.len());
        let mut withdrawn = Vec::new();
        let mut outcome = Ok(());
        for &id in request.ids.iter().filter(|id| account.may_own(**id)) {
            match self.mark_one_read(Key::of(id), account, fate) {
                Ok(Reading::First) => read.push(id),
                Ok(Reading::Explicit) => withdrawn.push(id),
                Ok(Reading::Nothing) => {}
                Err(error) => outcome = Err(self.failure(&error)),
            }
        }
        if fate == Fate::ReadExplicitly {
            withdrawn.extend_from_slice(&read);
        }
        // What could be marked is told, even when the tables failed half way and the caller hears of that.
        self.event(Committed::Read {
            account: request.account,
            asked: request.ids,
            read: read.clone(),
            withdrawn,
            reader: request.reader,
            at: self.now,
        });
        if let Some(answer) = answer {
            self.answer(Answer::Read(answer, outcome.map(|()| read)));
        }
    }

    fn mark_one_read(
        &mut self,
        key: Key,
        account: AccountHash,
        fate: Fate,
    ) -> Result<Reading, TableError> {
        let Some(row) = self.unread(key)? else {
            return self.make_explicit(key, account, fate);
        };
        if !row.belongs_to(account) || row.expired(self.now) {
            return Ok(Reading::Nothing);
        }
        let read = Some(self.now);
        self.retire(key, row, |pushed| Mark { fate, pushed, read });
        Ok(Reading::First)
    }

    /// An explicit read weighs more than the automatic one before it: the account's other sessions are no
    /// longer offered the notice.
    fn make_explicit(
        &mut self,
        key: Key,
        account: AccountHash,
        fate: Fate,
    ) -> Result<Reading, TableError> {
        if fate != Fate::ReadExplicitly {
            return Ok(Reading::Nothing);
        }
        let Some(mark) = self.mark(key)? else {
            return Ok(Reading::Nothing);
        };
        if mark.fate != Fate::ReadAutomatically {
            return Ok(Reading::Nothing);
        }
        let receiver = self.receiver(key)?;
        if receiver.is_none_or(|receiver| self.shared.secret.account(&receiver) != account) {
            return Ok(Reading::Nothing);
        }
        self.put_mark(key, Mark { fate, ..mark });
        Ok(Reading::Explicit)
    }
}
