//! From the bus to this node's sessions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bus::{BusListener, Channel, Message};
use super::member::{HORIZON, Member, STALE};
use super::wire::{self, Envelope, Letter};
use crate::clock::Millis;
use crate::delivery::{CloseReason, Presence};
use crate::domain::{AccountId, Notice};
use crate::inbox::Reader;

/// What the bus calls.
#[derive(Debug)]
struct Inbound(Arc<Member>);

impl Member {
    /// What the bus is to call.
    #[must_use]
    pub fn listener(self: &Arc<Self>) -> Arc<dyn BusListener> {
        Arc::new(Inbound(Arc::clone(self)))
    }

    /// What the registry of this node is to be shared with.
    #[must_use]
    pub fn presence(self: &Arc<Self>) -> Arc<dyn Presence> {
        Arc::new(Reach(Arc::clone(self)))
    }
}

impl BusListener for Inbound {
    fn heard(&self, messages: Vec<Message>) {
        let member = &self.0;
        member
            .parts
            .metrics
            .bus_received
            .inc_by(messages.len() as u64);
        for message in messages {
            match wire::decode(&message.channel, &message.payload) {
                Ok(envelope) => member.hear(message.channel, envelope),
                Err(error) => tracing::warn!(%error, "a message on the bus was passed over"),
            }
        }
    }

    fn listening(&self, channels: Vec<Channel>) {
        let member = &self.0;
        for channel in channels {
            let Channel::Account(account) = channel else {
                continue;
            };
            // Who did not wait may have looked while nothing reached this node: what came meanwhile is in the inbox
            // only.
            member.claim_the_only_place(&account);
            if !member.registry().reached(&account) {
                member.requests.account(account);
            }
        }
    }

    fn down(&self) {
        let member = &self.0;
        tracing::warn!("the bus is down: notices of other nodes are found by polling the inbox");
        member.parts.metrics.bus_up.set(0);
        member.registry().reach_all();
        member.requests.everything();
    }

    fn up(&self) {
        tracing::info!("the bus is up");
        self.0.parts.metrics.bus_up.set(1);
        let now = tokio::time::Instant::now();
        self.0.roll.lock().begin_anew(now);
        self.0.pay_what_is_owed();
    }
}

impl Member {
    fn hear(self: &Arc<Self>, channel: Channel, envelope: Envelope) {
        let own = envelope.from == self.id;
        match (channel, envelope.letter) {
            (
                Channel::Account(account),
                Letter::Staged {
                    notice,
                    ephemeral,
                    accepted,
                },
            ) => self.hear_staged(&account, notice, ephemeral, accepted, envelope.sent),
            (channel, Letter::Ask(number, question)) => {
                self.answer(channel, envelope.from, number, question);
            }
            (_, Letter::Answer(number, answer)) => self.questions.answered(number, answer),
            _ if own => {}
            (Channel::Account(account), Letter::Read(ids)) => {
                self.registry().read(&account, &[], &ids, Reader::Account);
            }
            (Channel::Account(account), Letter::Withdrawn(ids, why)) => {
                self.registry().withdraw(&account, &ids, why);
            }
            (Channel::Account(account), Letter::Joined(since)) => {
                self.make_room(&account, (since, envelope.from.0));
            }
            (Channel::Account(account), Letter::Look | Letter::Unknown) => {
                self.registry().look_again(&account);
            }
            (Channel::Nodes, Letter::Look) => self.requests.everything(),
            (Channel::Nodes, Letter::Here) => {
                self.roll
                    .lock()
                    .heard(envelope.from, tokio::time::Instant::now());
            }
            (Channel::Nodes, Letter::Goodbye) => self.roll.lock().said_goodbye(envelope.from),
            (_, Letter::Kicked(account)) => self.registry().remember_kicked(&account),
            (_, Letter::Revoked(token, account)) => {
                self.close_token(&token, account.as_ref());
            }
            _ => {}
        }
    }

    fn hear_staged(
        &self,
        account: &AccountId,
        notice: Arc<Notice>,
        ephemeral: bool,
        accepted: Millis,
        sent: Millis,
    ) {
        let now = self.now();
        let stale = sent.saturating_add(STALE) < now;
        if stale || notice.id.millis() < self.horizon() {
            self.registry().look_again(account);
            return;
        }
        let ago = Duration::from_millis(now.saturating_sub(accepted));
        let accepted = Instant::now().checked_sub(ago).unwrap_or_else(Instant::now);
        self.registry().publish(notice, ephemeral, accepted);
    }

    /// A newer session joined elsewhere where an account may have one. Of two that joined at once the same one is older
    /// to both nodes.
    fn make_room(self: &Arc<Self>, account: &AccountId, newer: (Millis, u64)) {
        if !self.registry().limits().one_per_account {
            return;
        }
        for session in self.registry().sessions_of(account) {
            if (session.spec().since, self.id.0) < newer {
                session.close(CloseReason::Superseded);
            } else {
                // The other node did not hear of it, or not in time.
                self.joined(&session);
            }
        }
    }

    /// Where an account may have one session only: says which one is here, now that answers are heard.
    fn claim_the_only_place(self: &Arc<Self>, account: &AccountId) {
        if self.registry().limits().one_per_account {
            let sessions = self.registry().sessions_of(account);
            if let Some(newest) = sessions.iter().max_by_key(|session| session.spec().since) {
                self.joined(newest);
            }
        }
    }

    /// No wake-up of an older notice is acted upon.
    fn horizon(&self) -> Millis {
        self.now().saturating_sub(HORIZON)
    }
}

/// What the registry calls.
#[derive(Debug)]
struct Reach(Arc<Member>);

impl Presence for Reach {
    fn online(&self, account: &AccountId) -> bool {
        let Some(bus) = &self.0.parts.bus else {
            return true;
        };
        bus.listen(vec![Channel::Account(account.clone())]);
        // While the link is down the sweep finds everything, and nobody waits.
        !bus.is_up()
    }

    fn offline(&self, account: &AccountId) {
        if let Some(bus) = &self.0.parts.bus {
            bus.unlisten(vec![Channel::Account(account.clone())]);
        }
    }

    fn horizon(&self) -> Millis {
        self.0.horizon()
    }
}
