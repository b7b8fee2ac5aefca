//! The admin listener: probes, metrics and what watches them, and who may drain from elsewhere.

#![cfg(test)]

mod support;

#[path = "admin/dashboards.rs"]
mod dashboards;
#[path = "admin/draining.rs"]
mod draining;
#[path = "admin/metrics.rs"]
mod metrics;
#[path = "admin/probes.rs"]
mod probes;
