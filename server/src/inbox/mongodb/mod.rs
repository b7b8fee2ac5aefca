//! The store in MongoDB: one inbox for all nodes of a cluster.
//!
//! Calls go over bounded queues to a dispatcher, which makes groups of them (`dispatch`); `group`, `admit`, `insert` and
//! `replace` store the notices of a group, `acks` the acknowledgements, and `turnstile` has them told in order. Reads
//! run beside it (`reads`), many small ones together (`gather`). `link` is the way to MongoDB and knows when it is away;
//! `housekeeping` does what happens by the clock. `document` and `queries` say what is stored and asked for, `indexes`
//! what makes that fast.

mod acks;
mod admit;
mod core;
mod counts;
mod dispatch;
mod document;
mod failure;
mod gather;
mod group;
mod housekeeping;
mod ids;
mod indexes;
mod insert;
mod link;
mod open_error;
mod options;
mod pushed;
mod queries;
mod reads;
mod recall;
mod replace;
mod sessions;
mod store;
mod store_open;
#[cfg(test)]
mod tests;
mod time;
mod turnstile;

pub use open_error::MongoOpenError;
pub use options::{Acknowledged, AcknowledgedError, MongoOptions};
pub use store::MongoStore;
