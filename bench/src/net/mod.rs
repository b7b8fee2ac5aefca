//! The least of TCP, HTTP/1.1 and WebSocket that a lean load generator needs.

pub(crate) mod blocking;
pub(crate) mod frame;
pub(crate) mod http;
pub(crate) mod meter;
pub(crate) mod peer;
