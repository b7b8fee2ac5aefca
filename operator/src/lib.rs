//! The operator of Notice clusters.

pub mod autoscaling;
pub mod drains;
