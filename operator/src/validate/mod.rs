//! From what a person wrote, and what was observed, to a [`Validated`] cluster: every default resolved, every contradiction
//! found. Pure.
//!
//! Admission has refused most mistakes already (schema and CEL rules). What builders rely on is checked here once more: an
//! object may be older than a rule, and a rule can be missed where nothing was admitted (`render`).

pub mod admission;
mod facts;
mod finding;
pub mod quantity;
mod resolve;
mod sums;
mod told;
mod validated;

pub use facts::{Facts, OptionalKinds};
pub use finding::Finding;
pub use sums::{PRE_STOP_SECONDS, grace_period_seconds};
pub use validated::{
    Autoscaling, Capacity, Image, Ingress, Log, Owner, Rollout, SecretPurpose, SecretUse,
    ServiceMonitor, Store, Timeouts, Validated, Volume,
};

use crate::api::NoticeCluster;

/// The server's image of this release.
pub const DEFAULT_SERVER_IMAGE: &str =
    concat!("ghcr.io/notice/notice-server:", env!("CARGO_PKG_VERSION"));

/// Where the server's configuration and the files of secrets are in a pod.
pub const CONFIG_FOLDER: &str = "/etc/notice";

/// Resolves and checks `cluster`.
///
/// # Errors
/// Everything that keeps it from making sense, each with what to do.
pub fn validate(cluster: &NoticeCluster, facts: &Facts) -> Result<Validated, Vec<Finding>> {
    resolve::resolve(cluster, facts)
}
