//! How many pods there should be, from the sessions that the pods report.
//!
//! The formula and its edges are those of Kubernetes' HorizontalPodAutoscaler, so that who knows the one knows the
//! other: `usage` is the formula, `stabilize` the windows, `limits` the rate. To them come what connections need
//! and requests do not: `growth` tells how fast clients connect, so that a storm is met before the cap is hit, and
//! the present sessions are a floor. `decision` puts them together and says why in words.
//!
//! All of it is pure: time and observations are parameters, nothing here reads or writes a cluster.

mod decision;
mod growth;
mod limits;
mod stabilize;
mod usage;
mod words;

pub use decision::{Autoscaler, Decision, Limit, Observation, Pod, Reason, Rules, Standing};
pub use growth::Growth;
pub use limits::{DEFAULT_SCALE_UP, Policy, ScaleEvents};
pub use stabilize::{Recommendations, Windows};
pub use usage::{Sample, Tolerance, Usage, replicas_by_usage};
