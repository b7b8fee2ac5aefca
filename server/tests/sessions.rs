//! The life of a session: who is let in, what ends it, and how a client learns why.

#![cfg(test)]

mod support;

#[path = "sessions/credentials.rs"]
mod credentials;
#[path = "sessions/endings.rs"]
mod endings;
#[path = "sessions/jwts.rs"]
mod jwts;
#[path = "sessions/limits.rs"]
mod limits;
#[path = "sessions/pings.rs"]
mod pings;
#[path = "sessions/tokens.rs"]
mod tokens;
