//! How notices reach their receivers, and what becomes of them.

#![cfg(test)]

mod support;

#[path = "delivery/arriving.rs"]
mod arriving;
#[path = "delivery/chaos.rs"]
mod chaos;
#[path = "delivery/history.rs"]
mod history;
#[path = "delivery/reading.rs"]
mod reading;
#[path = "delivery/staging.rs"]
mod staging;
#[path = "delivery/window.rs"]
mod window;
#[path = "delivery/withdrawing.rs"]
mod withdrawing;
