//! The bus: how nodes speak to each other at once. This file is the contract; a back end implements it.
//!
//! A bus carries wake-ups, never the truth: what it loses is found again in the inbox by the sweep. What it must do
//! well is to say when something may have been lost.

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

    /// Waits until the bus has taken all of the messages; how many listeners each had, this node included where it
    /// listens. Bounded by the bus: an answer, or a failure, comes within three seconds.
    ///
    /// # Errors
    /// When any of them was not confirmed; it may have been heard all the same.
    pub async fn confirmed(self) -> Result<Vec<u64>, NotPublished> {
        self.0.await.unwrap_or(Err(NotPublished))
    }
}

/// Hears what the bus brings. No method may block.
pub trait BusListener: Send + Sync + 'static {
    /// Messages came, in the order in which the bus took them on each channel; this node's own as well, where it
    /// listens.
    fn heard(&self, messages: Vec<Message>);

    /// From now on nothing on these channels is missed, until [`BusListener::down`] or [`Bus::unlisten`]. Told again
    /// for every channel after each `down`, when it is so again, and at once for one that is listened to already.
    fn listening(&self, channels: Vec<Channel>);

    /// The link is broken: no channel is listened to now, and messages of the last seconds may be lost. The bus
    /// comes back by itself.
    fn down(&self);

    /// The link is there (again).
    fn up(&self);
}

/// A bus between the nodes of a cluster.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Publishes messages, in their order and behind those of earlier calls, without waiting. Those that are refused
    /// because the link is down or the queue full are not kept.
    fn publish(&self, messages: Vec<Message>) -> Receipt;

    /// Listens to channels from now on. Calls for one channel count in their order; they may be made while the link
    /// is down.
    fn listen(&self, channels: Vec<Channel>);

    /// Listens to channels no more; messages that were on their way may still come.
    fn unlisten(&self, channels: Vec<Channel>);

    /// Whether the link is there, as far as is known.
    fn is_up(&self) -> bool;

    /// Runs the bus: connects, hears, and connects again with growing, jittered pauses, for ever. Called once.
    async fn run(self: Arc<Self>, listener: Arc<dyn BusListener>);
}
