//! Starting, draining, ending, crashing, starting again: mostly of the real program.

#![cfg(test)]

mod support;

#[path = "lifecycle/draining.rs"]
mod draining;
#[path = "lifecycle/ending.rs"]
mod ending;
#[path = "lifecycle/rotating.rs"]
mod rotating;
#[path = "lifecycle/starting.rs"]
mod starting;
