//! What the bus did not take, and is owed to the others when it is back.
//!
//! A lost "read" or "recall" would leave a notice on the screens of an account's other devices; a lost wake-up would
//! leave the notice to the next sweep.

use std::collections::{HashSet, VecDeque};

use super::bus::Message;
use crate::domain::AccountId;

/// At most so many messages, and accounts, are owed: seconds of a busy node. What is over the bound is settled by
/// every node looking at all of its accounts.
const MOST: usize = 10_000;

/// At most so many bytes of messages are owed.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// What is owed. Pure: who publishes it is another's business.
#[derive(Debug, Default)]
pub(super) struct Owed {
    /// To be published again as they are, in this order.
    pub(super) messages: VecDeque<Message>,
    bytes: usize,
    /// Nodes where these are online are to look into the inbox.
    pub(super) looks: HashSet<AccountId>,
    /// More was owed than is kept: every node is to look at all of its accounts.
    pub(super) everyone: bool,
}

impl Owed {
    /// Owes a message.
    pub(super) fn message(&mut self, message: Message) {
        let bytes = self.bytes + message.payload.len();
        if self.messages.len() >= MOST || bytes > MOST_BYTES {
            self.everyone = true;
            return;
        }
        self.bytes = bytes;
        self.messages.push_back(message);
    }

    /// Owes messages, in their order.
    pub(super) fn messages(&mut self, messages: Vec<Message>) {
        messages
            .into_iter()
            .for_each(|message| self.message(message));
    }

    /// Owes a look into the account's inbox.
    pub(super) fn look(&mut self, account: &AccountId) {
        if self.looks.len() < MOST {
            self.looks.insert(account.clone());
        } else {
            self.everyone = true;
        }
    }

    /// Whether nothing is owed.
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.looks.is_empty() && !self.everyone
    }

    /// Takes all that is owed.
    pub(super) fn take(&mut self) -> Self {
        std::mem::take(self)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::cluster::bus::Channel;

    fn message(size: usize) -> Message {
        Message {
            channel: Channel::Nodes,
            payload: Bytes::from(vec![0; size]),
        }
    }

    #[test]
    fn what_is_owed_is_bounded_and_the_rest_is_owed_to_everyone() {
        let mut owed = Owed::default();
        for at in 0..=MOST {
            owed.message(message(1));
            owed.look(&AccountId::trusted(&at.to_string()));
        }
        let debt = owed.take();
        assert_eq!((debt.messages.len(), debt.looks.len()), (MOST, MOST));
        assert!(debt.everyone);
        owed.message(message(MOST_BYTES + 1));
        assert!(owed.everyone && owed.messages.is_empty());
    }
}
