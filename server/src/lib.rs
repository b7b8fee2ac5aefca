//! A notice server: back ends stage notices for accounts, clients get them in milliseconds, and nothing staged is
//! lost.
//!
//! The modules lie along a notice's way: [`http`] takes it, [`inbox`] makes it durable, [`cluster`] tells the nodes
//! that need it, [`delivery`] hands it to the sessions that are online, and `http`'s transports write it. [`app`] is the one place that names concrete back
//! ends. `docs/ARCHITECTURE.md` walks through it.

pub mod app;
mod chance;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod credentials;
pub mod delivery;
mod demo;
pub mod domain;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
pub mod http;
pub mod inbox;
pub mod metrics;
mod open_files;
pub mod redis;
pub mod tokens;
