//! Hands notices to the sessions that are online on this node.
//!
//! The way of a notice: the inbox commits it and tells the [`Registry`]; the registry finds the account; the
//! account's state machine (`account`) decides, session by session, whether it can be handed over at once or is
//! left to the inbox, from where the session fetches it when it has room; a transport takes it and writes.
//! Transports never decide, and nothing here writes to a socket.

mod account;
mod attachment;
mod drain;
mod heart;
mod push;
mod rebalance;
mod registry;
mod session;
mod settled;
mod slot;
mod token_watch;

pub use account::Standing;
pub use attachment::{Attachment, Supply};
pub use drain::{DrainControl, DrainPace};
pub use heart::{Heart, HeartPace};
pub use push::{Push, Shape};
pub use rebalance::{RebalanceAsk, RebalanceControl};
pub use registry::{
    AccountView, JoinRefused, Presence, Registry, RegistryLimits, SHARDS, SessionView,
};
pub use session::{
    AckMode, CloseReason, MoveAsked, MoveReason, Session, SessionSpec, Signals, Transport,
};
pub use slot::Outgoing;
pub use token_watch::TokenWatch;
