//! Three real nodes under steady load while a part of the cluster breaks: nothing answered is lost, nothing comes twice
//! within a session, and everything comes back by itself. Each case prints its figures.
//!
//! Breaks a set of services of its own (`scripts/services`). `NOTICE_TEST_CHAOS_SECONDS` says how long each case is
//! loaded at least, `NOTICE_TEST_CHAOS_RATE` with how many notices a second, `NOTICE_TEST_CHAOS_SEED` repeats the
//! choices of a run.

#![cfg(test)]

mod support;

#[path = "chaos/book.rs"]
mod book;
#[path = "chaos/cases.rs"]
mod cases;
#[path = "chaos/devices.rs"]
mod devices;
#[path = "chaos/figures.rs"]
mod figures;
#[path = "chaos/recovery.rs"]
mod recovery;
#[path = "chaos/roads.rs"]
mod roads;
#[path = "chaos/run.rs"]
mod run;
#[path = "chaos/senders.rs"]
mod senders;
#[path = "chaos/tokens.rs"]
mod tokens;
#[path = "chaos/world.rs"]
mod world;
