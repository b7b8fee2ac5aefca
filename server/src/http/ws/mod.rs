//! The WebSocket transport: the handshake, the two protocols spoken over it, and the task of one connection.
//!
//! It writes what `delivery` hands it and passes on what clients say; it decides nothing about notices.

mod connection;
mod frames;
mod jobs;
mod protocol;
mod upgrade;
mod wire;

#[cfg(fuzzing)]
pub(crate) use connection::wire_config;
pub use frames::{ClientFrame, FrameError, parse_client_frame};
pub(super) use upgrade::upgrade;
