//! This node as a member of its cluster: what it is made of, and what its parts share.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;

use super::bus::{Bus, Channel, Message, NodeId, Receipt};
use super::owed::Owed;
use super::peers::Questions;
use super::roll::Roll;
use super::sweep::Requests;
use super::wire::{self, Letter};
use crate::clock::Millis;
use crate::delivery::Registry;
use crate::inbox::Inbox;
use crate::metrics::Metrics;
use crate::tokens::SessionTokens;

/// A wake-up that took longer than this is not acted upon by itself: the inbox is asked, which knows whether the notice
/// was recalled or read meanwhile. Only a node or a link that stood still is so late.
pub(super) const STALE: Millis = 1000;

/// No wake-up is believed of a notice that is older than this, however fresh the wake-up: ids of younger ones that are
/// settled already are remembered for so long. A commit that takes longer comes by the sweep.
pub(super) const HORIZON: Millis = 30_000;

/// What a member is made of.
pub struct MemberParts {
    /// The node's name, as people know it.
    pub name: String,
    /// Who is online here.
    pub registry: Arc<Registry>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// The way to the others; none where there is none.
    pub bus: Option<Arc<dyn Bus>>,
}

/// This node among the others. It stands between the inbox and `delivery`: the inbox tells it what it committed, the
/// bus what others did.
pub struct Member {
    pub(super) parts: MemberParts,
    pub(super) id: NodeId,
    inbox: OnceLock<Weak<dyn Inbox>>,
    tokens: OnceLock<Weak<dyn SessionTokens>>,
    pub(super) owed: Mutex<Owed>,
    pub(super) questions: Questions,
    pub(super) requests: Requests,
    pub(super) roll: Mutex<Roll>,
    /// It has said goodbye.
    pub(super) leaving: AtomicBool,
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Member {
    /// A member under this id, which is new in each life of a node.
    #[must_use]
    pub fn new(id: NodeId, parts: MemberParts) -> Arc<Self> {
        if let Some(bus) = &parts.bus {
            bus.listen(vec![Channel::Node(id), Channel::Nodes]);
        }
        Arc::new(Self {
            parts,
            id,
            inbox: OnceLock::new(),
            tokens: OnceLock::new(),
            owed: Mutex::default(),
            questions: Questions::default(),
            requests: Requests::default(),
            roll: Mutex::default(),
            leaving: AtomicBool::new(false),
        })
    }

    /// Gives it the stores, which need it as their observer first. Before the first session.
    pub fn attach(&self, inbox: &Arc<dyn Inbox>, tokens: &Arc<dyn SessionTokens>) {
        let _only_the_first = self.inbox.set(Arc::downgrade(inbox));
        let _only_the_first = self.tokens.set(Arc::downgrade(tokens));
    }

    pub(super) fn inbox(&self) -> Option<Arc<dyn Inbox>> {
        self.inbox.get()?.upgrade()
    }

    pub(super) fn tokens(&self) -> Option<Arc<dyn SessionTokens>> {
        self.tokens.get()?.upgrade()
    }

    /// The shared store's clock; 0 before there is one, and at the very end.
    pub(super) fn now(&self) -> Millis {
        self.inbox().map_or(0, |inbox| inbox.now())
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.parts.registry
    }

    /// Whether the link to the other nodes is there; none where there is no bus at all.
    #[must_use]
    pub fn bus_is_up(&self) -> Option<bool> {
        self.parts.bus.as_ref().map(|bus| bus.is_up())
    }

    /// The bus, while its link is there.
    pub(super) fn live_bus(&self) -> Option<&Arc<dyn Bus>> {
        self.parts.bus.as_ref().filter(|bus| bus.is_up())
    }

    pub(super) fn letter(&self, channel: Channel, letter: &Letter) -> Message {
        wire::message(channel, self.id, self.now(), letter)
    }

    /// Publishes, where there is a link.
    pub(super) fn publish(&self, messages: Vec<Message>) -> Option<Receipt> {
        let bus = self.live_bus()?;
        self.parts
            .metrics
            .bus_published
            .inc_by(messages.len() as u64);
        Some(bus.publish(messages))
    }

    /// Publishes what must reach the others some time: if not now, when the link is back.
    pub(super) fn publish_or_owe(self: &Arc<Self>, messages: Vec<Message>) {
        if self.parts.bus.is_none() {
            return;
        }
        let Some(receipt) = self.publish(messages.clone()) else {
            return self.owed.lock().messages(messages);
        };
        let member = Arc::clone(self);
        tokio::spawn(async move {
            if receipt.confirmed().await.is_err() {
                member.owed.lock().messages(messages);
            }
        });
    }

    /// Says what is owed, now that the link is there. What fails once more is owed once more.
    pub(super) fn pay_what_is_owed(self: &Arc<Self>) {
        if self.live_bus().is_none() {
            return;
        }
        let debt = self.owed.lock().take();
        let look = |account| self.letter(Channel::Account(account), &Letter::Look);
        let mut messages: Vec<Message> = debt.messages.into();
        messages.extend(debt.looks.into_iter().map(look));
        if debt.everyone {
            messages.push(self.letter(Channel::Nodes, &Letter::Look));
        }
        for chunk in messages.chunks(PAY_AT_ONCE) {
            self.publish_or_owe(chunk.to_vec());
        }
    }
}

/// Messages owed are said in such parts.
const PAY_AT_ONCE: usize = 500;
