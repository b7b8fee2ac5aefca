//! Following what the API server holds: thin tasks, one for each watch, each with a backoff of its own.
//!
//! A watch that fails (a kind that is not served, a namespace that may not be read) waits and tries again alone; all
//! others go on. What they see goes to a [`Sink`], and nothing is kept here.

pub mod follow;
pub mod freshness;
pub mod kinds;
pub mod latest;
pub mod optional;
pub mod secrets;
pub mod sinks;

use serde_json::Value;

pub use follow::{Followed, follow};
pub use freshness::Freshness;

/// What is watched: a collection, perhaps narrowed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// For logs and metrics, such as `deployments`.
    pub name: &'static str,
    /// The collection's path on the API server.
    pub path: String,
    /// A label selector, or nothing.
    pub labels: String,
    /// A field selector, or nothing.
    pub fields: String,
    /// Only metadata is wanted.
    pub metadata_only: bool,
}

/// Why a watch does not see anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blind {
    /// The account may not read it.
    Denied,
    /// The API server has no such kind.
    NotServed,
    /// It can't be reached, or answers with an error.
    Failing(String),
}

/// Takes what a watch sees. Calls come in order, from one task.
pub trait Sink: Send + Sync + 'static {
    /// A list begins: what it does not name is gone, once it is over.
    fn restart(&mut self);
    /// An object is there, in this state.
    fn seen(&mut self, object: Value);
    /// An object is gone.
    fn gone(&mut self, object: Value);
    /// The list is over; from now on changes follow.
    fn listed(&mut self);
    /// Nothing can be seen for now. Told once for each new reason.
    fn blind(&mut self, why: &Blind);
}
