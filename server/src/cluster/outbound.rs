//! From this node's commits to the other nodes, and to its own sessions.
//!
//! A stored notice goes to this node's own sessions by way of the bus too, so that all nodes hand the notices of an
//! account over in one order, the bus's. Everything else frees windows or takes back, in any order, and is applied here
//! at once.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::bus::{Channel, Message, Receipt};
use super::member::Member;
use super::wire::Letter;
use crate::clock::Millis;
use crate::domain::{AccountId, Notice, NoticeId};
use crate::inbox::{CommitObserver, Committed, Telling};

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
                accepted: self.now().saturating_sub(elapsed(accepted)),
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
        let Some(receipt) = self.publish(messages) else {
            self.not_told(fresh, lasting);
            return Telling::done();
        };
        let (done, told) = oneshot::channel();
        let member = Arc::clone(self);
        tokio::spawn(member.settle(receipt, fresh, lasting, done));
        Telling::until(told)
    }

    async fn settle(
        self: Arc<Self>,
        receipt: Receipt,
        fresh: Vec<Fresh>,
        lasting: Vec<Message>,
        done: oneshot::Sender<()>,
    ) {
        if receipt.confirmed().await.is_err() {
            self.not_told(fresh, lasting);
        }
        let _nobody_may_wait = done.send(());
    }

    fn not_told(&self, fresh: Vec<Fresh>, lasting: Vec<Message>) {
        let owes = self.parts.bus.is_some();
        for fresh in fresh {
            if owes && !fresh.ephemeral {
                self.owed.lock().look(&fresh.notice.receiver);
            }
            self.registry()
                .publish_unconfirmed(fresh.notice, fresh.ephemeral, fresh.accepted);
        }
        let mut owed = self.owed.lock();
        lasting
            .into_iter()
            .for_each(|message| owed.message(message));
    }
}

fn elapsed(since: Instant) -> Millis {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
