//! The bus: how nodes speak to each other at once. This file is the contract; a back end implements it.
//!
//! A bus carries wake-ups, never the truth: what it loses is found again in the inbox by the sweep. What it must do
//! well is to say when something may have been lost.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod local;

pub use self::local::{LocalBus, LocalHub};

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::oneshot;

use crate::domain::AccountId;

/// To whom a message goes: whoever listens there now.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Channel {
    /// The nodes where this account is online.
    Account(AccountId),
    /// One life of one node, by its [`NodeId`].
    Node(NodeId),
    /// Every node.
    Nodes,
}

/// One life of one node: unique over nodes and restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A message on its way out.
#[derive(Debug, Clone)]
pub struct Message {
    /// To whom.
    pub channel: Channel,
    /// What.
    pub payload: Bytes,
}

/// The message may not have gone out, or not to all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bus did not confirm the message")]
pub struct NotPublished;

/// What becomes of published messages.
#[derive(Debug)]
#[must_use = "who is told needs it to know who was not"]
pub struct Receipt(oneshot::Receiver<Result<Vec<u64>, NotPublished>>);

impl Receipt {
    /// A receipt that `answer` fills.
    pub fn of(answer: oneshot::Receiver<Result<Vec<u64>, NotPublished>>) -> Self {
        Self(answer)
    }

    /// The receipt of messages that were not taken.
    pub fn refused() -> Self {
        Self(oneshot::channel().1)
    }

    /// The receipt of messages whose listeners are known already.
    pub fn answered(listeners: Vec<u64>) -> Self {
        let (answer, receipt) = oneshot::channel();
        // The other end is right here.
        let _ = answer.send(Ok(listeners));
        Self(receipt)
    }

    /// Waits until the bus has taken all of the messages; how many listeners each had, this node included where it
    /// listens. Bounded by the bus: an answer, or a failure, comes within three seconds.
    ///
    /// # Errors
    /// When any of them was not confirmed; it may have been heard all the same.
    pub async fn confirmed(self) -> Result<Vec<u64>, NotPublished> {
        self.0.await.unwrap_or(Err(NotPublished))
    }
}

/// Hears what the bus brings. No method may block. All are called by one task, one after the other; they may call the
/// bus.
pub trait BusListener: Send + Sync + 'static {
    /// Messages came, in the order in which the bus took them on each channel; this node's own as well, where it
    /// listens. Those that came at once come in one call. Between `listen` and `listening` some may come already.
    fn heard(&self, messages: Vec<Message>);

    /// Nothing that is published on these channels from now on is missed, until [`BusListener::down`] or
    /// [`Bus::unlisten`]; what was published before may have been. Told again for every channel after each `down` and
    /// `up`, when it is so again, and soon for one that is listened to already and asked for again. After an
    /// `unlisten`, one may still come that was on its way; after a `listen` that follows, every one is true.
    fn listening(&self, channels: Vec<Channel>);

    /// The link is broken: no channel is listened to now, and messages of the last three seconds may be lost, in both
    /// directions. The bus comes back by itself. Told once for each `up`.
    fn down(&self);

    /// The link is there (again), and was heard to carry messages all the way. Told before any `listening` of it.
    fn up(&self);
}

/// A bus between the nodes of a cluster.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Publishes messages without waiting. Those of one channel go out in their order and behind those of earlier
    /// calls; between channels there is no order (parts of a cluster have none). All of a call are refused when the
    /// link is down or the queue has no room for them; what is refused is not kept.
    fn publish(&self, messages: Vec<Message>) -> Receipt;

    /// Listens to channels from now on. Calls for one channel count in their order; they may be made while the link
    /// is down. A channel is listened to or not, however often it was asked for.
    fn listen(&self, channels: Vec<Channel>);

    /// Listens to channels no more; messages that were on their way may still come.
    fn unlisten(&self, channels: Vec<Channel>);

    /// Whether the link is there, as far as is known.
    fn is_up(&self) -> bool;

    /// Runs the bus: connects, hears, and connects again with growing, jittered pauses, until it is dropped; the link
    /// ends with it. Called once. `listener` is told nothing before this is called: the link is down at first.
    async fn run(self: Arc<Self>, listener: Arc<dyn BusListener>);
}
