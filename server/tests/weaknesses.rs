//! The weaknesses of the design that this server starts from, each shown to be gone. (The third, lag by polling, and the
//! cluster's part of the others are measured elsewhere.)

#![cfg(test)]

mod support;

#[path = "weaknesses/devices.rs"]
mod devices;
#[path = "weaknesses/limits.rs"]
mod limits;
#[path = "weaknesses/losing.rs"]
mod losing;
#[path = "weaknesses/operating.rs"]
mod operating;
#[path = "weaknesses/slow.rs"]
mod slow;
#[path = "weaknesses/tokens.rs"]
mod tokens;
