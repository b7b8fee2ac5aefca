//! The embedded store: the inbox and the session tokens of one server, in a folder of its own.
//!
//! Calls go over a bounded queue to one thread that writes (`writer`, `group`, `apply`), and their answers come
//! back through `outbox`. Reads run beside it (`reads`, `history`). `tables`, `keys` and `record` say what is stored;
//! `folder`, `journal` and `recovery` how it is opened; `housekeeping` what happens by the clock. The engine is
//! named nowhere else.

mod apply;
mod folder;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod group;
mod history;
mod housekeeping;
mod index;
mod journal;
mod keys;
mod op;
mod open_error;
mod options;
mod outbox;
mod pushed;
mod reads;
mod record;
mod recovery;
mod restart;
mod sessions;
mod shared;
mod store;
mod tables;
#[cfg(test)]
mod tests;
mod writer;
mod young;

pub use open_error::OpenError;
pub use options::Options;
// Where the names were before another store needed them.
pub use super::metrics::{NoMetrics, Operation, StoreMetrics};
pub use store::EmbeddedStore;
