//! Tells the nodes that need to know of a change, and asks them what only they know.
//!
//! The way of a notice: the inbox commits it on one node; the cluster carries it to the nodes where its receiver is
//! online; there `delivery` hands it to sessions. Nothing here decides what a session gets, and nothing is kept here
//! that would be lost with a node.

pub mod bus;
