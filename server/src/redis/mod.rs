//! Redis: how nodes wake each other, and where session tokens of other systems are.
//!
//! | file | what |
//! |---|---|
//! | `endpoint.rs` | where it is, as plain data |
//! | `connect.rs`, `tls.rs`, `slots.rs` | from there to the servers that are the masters now |
//! | `wire.rs`, `resp.rs` | a connection of the bus, and its wire format |
//! | `bus/` | the bus: publish and subscribe |
//! | `commands.rs` | commands for tokens, through the client library |
//! | `tokens.rs`, `deny.rs` | session tokens, and the deny list |
//!
//! # What a user of Redis must be allowed
//!
//! With the key prefix `session:` and the namespace `notice:db:`, and nothing else:
//!
//! ```text
//! ACL SETUSER notice on >password resetchannels &notice:db:* ~session:* ~notice:db:* -@all +get +set +mget +pttl +exists +del +unlink +ping +select +publish +spublish +subscribe +unsubscribe +ssubscribe +sunsubscribe +cluster|slots +asking +readonly +client|setinfo
//! ```
//!
//! Servers before Redis 7 know no `spublish` and no sub-commands: leave `spublish`, `ssubscribe`, `sunsubscribe` and
//! `client|setinfo` out, and write `+cluster` for `+cluster|slots`. A Redis Cluster needs version 7.

mod bus;
mod commands;
mod connect;
mod deny;
mod endpoint;
mod pauses;
mod resp;
mod slots;
#[cfg(test)]
mod tests;
mod tls;
mod tokens;
mod wire;

pub use self::bus::RedisBus;
pub use self::connect::Connector;
pub use self::deny::RedisDenyList;
pub use self::endpoint::{Address, Endpoint, Kind, Login, Tls};
pub use self::tls::TlsError;
pub use self::tokens::{RedisTokens, TokenKeys};
