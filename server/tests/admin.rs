//! The admin listener: probes, metrics and what watches them, rebalancing, and who may drain or rebalance from elsewhere.

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
#[path = "admin/rebalancing.rs"]
mod rebalancing;
