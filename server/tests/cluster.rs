//! Several real server processes on one MongoDB database and one Redis: together they are what one of them is alone.
//!
//! Needs the services: `MONGODB_URI` and `REDIS_URI`, or `scripts/services start`. What breaks while they work together
//! is tested in `chaos.rs`.

#![cfg(test)]

mod support;

#[path = "cluster/arriving.rs"]
mod arriving;
#[path = "cluster/clocks.rs"]
mod clocks;
#[path = "cluster/ending.rs"]
mod ending;
#[path = "cluster/foreign.rs"]
mod foreign;
#[path = "cluster/jwts.rs"]
mod jwts;
#[path = "cluster/limits.rs"]
mod limits;
#[path = "cluster/links.rs"]
mod links;
#[path = "cluster/polling.rs"]
mod polling;
#[path = "cluster/presence.rs"]
mod presence;
#[path = "cluster/separation.rs"]
mod separation;
#[path = "cluster/staging.rs"]
mod staging;
#[path = "cluster/transports.rs"]
mod transports;
#[path = "cluster/withdrawing.rs"]
mod withdrawing;
