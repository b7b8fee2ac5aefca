//! The words of the product: accounts, notices, their ids and what may be asked of them.
//!
//! Plain data and pure rules. Nothing here does I/O or knows of a store, a transport or a clock.

mod account;
mod draft;
mod fingerprint;
mod id;
mod notice;
mod state;

pub use account::{AccountId, AccountIdError};
pub use draft::{DEFAULT_PRODUCER, Digest, Draft, Lifetime, Source};
pub use fingerprint::Fingerprint;
pub use id::{IdSource, NoticeId, NoticeIdError};
pub use notice::Notice;
pub use state::{NoticeState, StateName};
