//! The admin listener: probes, metrics, and who may drain from elsewhere.

#![cfg(test)]

mod support;

#[path = "admin/draining.rs"]
mod draining;
#[path = "admin/metrics.rs"]
mod metrics;
#[path = "admin/probes.rs"]
mod probes;
