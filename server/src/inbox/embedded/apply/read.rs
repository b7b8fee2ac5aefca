//! Marking as read.

use super::super::group::Group;
use super::super::keys::{AccountHash, Key};
use super::super::op::{Answer, Sender};
use super::super::record::{Fate, Mark};
use super::super::tables::TableError;
use crate::domain::NoticeId;
use crate::inbox::{Committed, MarkRead};

impl Group<'_> {
    pub(super) fn mark_read(
        &mut self,
        request: MarkRead,
        account: AccountHash,
        answer: Sender<Vec<NoticeId>>,
    ) {
        let fate = if request.reader.is_explicit() {
            Fate::ReadExplicitly
        } else {
            Fate::ReadAutomatically
        };
        let mut read = Vec::with_capacity(request.ids.len());
        let mut outcome = Ok(());
        for &id in request.ids.iter().filter(|id| account.may_own(**id)) {
            match self.mark_one_read(Key::of(id), account, fate) {
                Ok(true) => read.push(id),
                Ok(false) => {}
                Err(error) => outcome = Err(self.failure(&error)),
            }
        }
        // What could be marked is told, even when the tables failed half way and the caller hears of that.
        self.event(Committed::Read {
            account: request.account,
            asked: request.ids,
            read: read.clone(),
            reader: request.reader,
            at: self.now,
        });
        self.answer(Answer::Read(answer, outcome.map(|()| read)));
    }

    /// Whether the notice was unread until now.
    fn mark_one_read(
        &mut self,
        key: Key,
        account: AccountHash,
        fate: Fate,
    ) -> Result<bool, TableError> {
        let Some(row) = self.unread(key)? else {
            self.make_explicit(key, account, fate)?;
            return Ok(false);
        };
        if !row.belongs_to(account) || row.expired(self.now) {
            return Ok(false);
        }
        let read = Some(self.now);
        self.retire(key, row, |pushed| Mark { fate, pushed, read });
        Ok(true)
    }

    /// An explicit read weighs more than the automatic one before it: the account's other sessions are no
    /// longer offered the notice.
    fn make_explicit(
        &mut self,
        key: Key,
        account: AccountHash,
        fate: Fate,
    ) -> Result<(), TableError> {
        if fate != Fate::ReadExplicitly {
            return Ok(());
        }
        let Some(mark) = self.mark(key)? else {
            return Ok(());
        };
        if mark.fate != Fate::ReadAutomatically {
            return Ok(());
        }
        let receiver = self.receiver(key)?;
        if receiver.is_some_and(|receiver| self.shared.secret.account(&receiver) == account) {
            self.put_mark(key, Mark { fate, ..mark });
        }
        Ok(())
    }
}
