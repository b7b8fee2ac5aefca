//! The Notice operator: a [`api::NoticeCluster`] becomes a running, connected, observable deployment of notice servers.
//!
//! The modules lie along the way of one reconciliation: [`api`] is what a person writes, [`validate`] resolves every
//! default and finds contradictions, [`build`] makes the children. Those three are pure, as are [`autoscaling`] and
//! [`drains`], which decide how many pods there are and who goes; what reads and writes a cluster stands beside them and
//! knows no rule of its own.

pub mod api;
pub mod app;
pub mod apply;
pub mod autoscaling;
pub mod build;
pub mod chance;
pub mod cli;
pub mod client;
pub mod clock;
pub mod drain_key;
pub mod drains;
pub mod events;
pub mod failure;
pub mod leader;
pub mod metrics;
pub mod metrics_api;
pub mod observe;
pub mod probes;
pub mod queue;
pub mod reconcile;
pub mod scaling;
pub mod secrets;
pub mod sessions;
pub mod status;
pub mod validate;
pub mod watch;
