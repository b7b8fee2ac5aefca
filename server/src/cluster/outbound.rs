//! From this node's commits to the other nodes, and to its own sessions.
//!
//! A stored notice goes to this node's own sessions by way of the bus too, so that all nodes hand the notices of an
//! account over in one order, the bus's. Everything else frees windows or takes back, in any order, and is applied here
//! at once.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::bus::{Channel, Message, Receipt};
use super::member::Member;
use super::wire::Letter;
use crate::clock::whole_millis;
use crate::domain::{AccountId, Notice, NoticeId};
use crate::inbox::{CommitObserver, Committed, Telling};

/// A group is published in parts of so many messages and bytes: the bus takes a call as a whole, and has room for
/// several such parts of several groups.
const PART: usize = 500;
const PART_BYTES: usize = 2 << 20;

/// How long a caller waits at most for the bus to take one part.
const PATIENCE: Duration = Duration::from_secs(3);

/// A notice that was staged here.
struct Fresh {
    notice: Arc<Notice>,
    ephemeral: bool,
    accepted: Instant,
}

/// What a group of commits means for the others.
#[derive(Default)]
struct Outbound {
    messages: Vec<Message>,
    fresh: Vec<Fresh>,
    /// Messages that are owed if the bus does not take them.
    lasting: Vec<Message>,
}

/// The observer that an inbox shared by several nodes is opened with.
#[derive(Debug)]
struct Relay(Arc<Member>);

impl CommitObserver for Relay {
    fn committed(&self, events: Vec<Committed>) -> Telling {
        let mut out = Outbound::default();
        for event in events {
            self.0.parts.metrics.committed(&event);
            self.0.apply(event, &mut out);
        }
        self.0.tell(out)
    }
}

impl Member {
    /// The observer that the shared inbox is opened with.
    #[must_use]
    pub fn observer(self: &Arc<Self>) -> Arc<dyn CommitObserver> {
        Arc::new(Relay(Arc::clone(self)))
    }

    /// Whoever of these is online anywhere looks into the inbox once more: it may hold what nobody was told of.
    pub fn look_again(self: &Arc<Self>, accounts: impl Iterator<Item = AccountId>) {
        let mut messages = Vec::new();
        for account in accounts.collect::<BTreeSet<_>>() {
            self.registry().look_again(&account);
            messages.push(self.letter(Channel::Account(account), &Letter::Look));
        }
        if !messages.is_empty() {
            self.publish_or_owe(messages);
        }
    }

    fn apply(&self, event: Committed, out: &mut Outbound) {
        match event {
            Committed::Staged {
                notice,
                ephemeral,
                accepted,
                ..
            } => self.staged(
                notice,
                ephemeral,
                accepted.unwrap_or_else(Instant::now),
                out,
            ),
            Committed::Read {
                account,
                asked,
                withdrawn,
                reader,
                ..
            } => {
                self.registry().read(&account, &asked, &withdrawn, reader);
                self.withdrawn(account, withdrawn, Letter::Read, out);
            }
            Committed::Withdrawn { account, ids, why } => {
                self.registry().withdraw(&account, &ids, why);
                let letter = |ids| Letter::Withdrawn(ids, why);
                self.withdrawn(account, ids, letter, out);
            }
            Committed::NotRead(request) => self.registry().hand_back(&request),
            Committed::CameBack => self.requests.everything(),
            Committed::Duplicate => {}
        }
    }

    fn staged(&self, notice: Arc<Notice>, ephemeral: bool, accepted: Instant, out: &mut Outbound) {
        if self.parts.bus.is_some() {
            let letter = Letter::Staged {
                notice: Arc::clone(&notice),
                ephemeral,
                accepted: self.now().saturating_sub(whole_millis(accepted.elapsed())),
            };
            let channel = Channel::Account(notice.receiver.clone());
            out.messages.push(self.letter(channel, &letter));
        }
        out.fresh.push(Fresh {
            notice,
            ephemeral,
            accepted,
        });
    }

    fn withdrawn(
        &self,
        account: AccountId,
        ids: Vec<NoticeId>,
        letter: impl FnOnce(Vec<NoticeId>) -> Letter,
        out: &mut Outbound,
    ) {
        if ids.is_empty() || self.parts.bus.is_none() {
            return;
        }
        let message = self.letter(Channel::Account(account), &letter(ids));
        out.lasting.push(message.clone());
        out.messages.push(message);
    }

    /// Publishes a group in its order; what the bus does not take is applied here, and owed to the others.
    fn tell(self: &Arc<Self>, out: Outbound) -> Telling {
        let Outbound {
            messages,
            fresh,
            lasting,
        } = out;
        if messages.is_empty() && fresh.is_empty() {
            return Telling::done();
        }
        let mut parts = in_parts(messages);
        // The first part, as a rule the only one, goes out before anything that is committed later.
        let first = parts.pop_front().and_then(|part| self.publish(part));
        let Some(receipt) = first else {
            self.not_told(fresh, lasting);
            return Telling::done();
        };
        let (done, told) = oneshot::channel();
        let member = Arc::clone(self);
        tokio::spawn(async move {
            if !member.all_told(receipt, parts).await {
                member.not_told(fresh, lasting);
            }
            let _nobody_may_wait = done.send(());
        });
        Telling::until(told)
    }

    /// Publishes the further parts of a group, each when the one before it is confirmed; whether all were.
    async fn all_told(&self, first: Receipt, parts: VecDeque<Vec<Message>>) -> bool {
        let mut receipt = Some(first);
        for part in parts {
            if !is_confirmed(receipt).await {
                return false;
            }
            receipt = self.publish(part);
        }
        is_confirmed(receipt).await
    }

    fn not_told(&self, fresh: Vec<Fresh>, lasting: Vec<Message>) {
        let owes = self.parts.bus.is_some();
        for fresh in fresh {
            if owes && !fresh.ephemeral {
                self.owed.lock().look(&fresh.notice.receiver);
            }
            self.registry()
                .publish(fresh.notice, fresh.ephemeral, fresh.accepted);
        }
        self.owed.lock().messages(lasting);
    }
}

async fn is_confirmed(receipt: Option<Receipt>) -> bool {
    match receipt {
        Some(receipt) => matches!(timeout(PATIENCE, receipt.confirmed()).await, Ok(Ok(_))),
        None => false,
    }
}

/// Cuts messages into parts that the bus has room for, in their order.
fn in_parts(messages: Vec<Message>) -> VecDeque<Vec<Message>> {
    let mut parts: VecDeque<Vec<Message>> = VecDeque::new();
    let mut bytes = 0;
    for message in messages {
        bytes += message.payload.len();
        match parts.back_mut() {
            Some(part) if part.len() < PART && bytes <= PART_BYTES => part.push(message),
            _ => {
                bytes = message.payload.len();
                parts.push_back(vec![message]);
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn sizes(messages: &[usize]) -> Vec<usize> {
        let message = |size: &usize| Message {
            channel: Channel::Nodes,
            payload: Bytes::from(vec![0; *size]),
        };
        let parts = in_parts(messages.iter().map(message).collect());
        parts.iter().map(Vec::len).collect()
    }

    #[test]
    fn a_group_is_cut_by_count_and_by_bytes_and_a_large_message_goes_alone() {
        assert!(sizes(&[]).is_empty());
        assert_eq!(sizes(&[1; PART + 1]), [PART, 1]);
        assert_eq!(sizes(&[PART_BYTES / 2; 3]), [2, 1]);
        assert_eq!(sizes(&[1, PART_BYTES + 1, 1]), [1, 1, 1]);
    }
}
