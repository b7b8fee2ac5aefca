//! The operator of Notice clusters.

pub mod autoscaling;
