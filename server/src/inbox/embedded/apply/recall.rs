//! Taking a notice back.

use super::super::group::Group;
use super::super::keys::Key;
use super::super::op::{Answer, Sender};
use super::super::record::{Fate, Mark};
use super::super::tables::TableError;
use crate::domain::NoticeId;
use crate::inbox::Withdrawal;

impl Group<'_> {
    pub(super) fn recall(&mut self, id: NoticeId, answer: Sender<bool>) {
        let outcome = self.recall_one(id).map_err(|error| self.failure(&error));
        self.answer(Answer::Recall(answer, outcome));
    }

    fn recall_one(&mut self, id: NoticeId) -> Result<bool, TableError> {
        let key = Key::of(id);
        let Some(receiver) = self.receiver(key)? else {
            return Ok(false);
        };
        if let Some(row) = self.unread(key)? {
            self.retire(key, row, |pushed| Mark {
                fate: Fate::Recalled,
                pushed,
                read: None,
            });
        } else {
            let mark = self.mark(key)?;
            if mark.is_some_and(|mark| mark.fate == Fate::Recalled) {
                return Ok(true);
            }
            let (pushed, read) = mark.map_or((None, None), |mark| (mark.pushed, mark.read));
            self.put_mark(
                key,
                Mark {
                    fate: Fate::Recalled,
                    pushed,
                    read,
                },
            );
        }
        self.must_be_durable();
        self.withdraw(receiver, id, Withdrawal::Recalled);
        Ok(true)
    }
}
