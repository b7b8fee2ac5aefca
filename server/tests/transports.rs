//! Every transport: that all of them deliver alike, and what is each one's own.

#![cfg(test)]

mod support;

#[path = "transports/origins.rs"]
mod origins;
#[path = "transports/page.rs"]
mod page;
#[path = "transports/places.rs"]
mod places;
#[path = "transports/polls.rs"]
mod polls;
#[path = "transports/streams.rs"]
mod streams;
#[path = "transports/suite.rs"]
mod suite;
