//! Tells the nodes that need to know of a change, and asks them what only they know.
//!
//! The way of a notice: the inbox commits it on one node (`outbound`); the bus carries it to the nodes where its
//! receiver is online; there (`inbound`) it is given to `delivery`, which hands it to sessions. What the bus loses the
//! `sweep` finds in the inbox. `peers` asks and answers. Nothing here decides what a session gets, and nothing is kept
//! here that would be lost with a node.

pub mod bus;
mod inbound;
mod member;
mod outbound;
mod owed;
mod pace;
mod peers;
mod roll;
mod sweep;
mod wire;

pub use member::{Member, MemberParts};
pub use pace::SweepPace;
pub use peers::{CloseError, NotAllReached, SessionAt};
pub use sweep::Sweeper;
