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
//! ACL SETUSER notice on >password resetchannels &notice:db:* ~session:* ~notice:db:* -@all +get +set +pttl +exists +del +ping +select +publish +spublish +subscribe +unsubscribe +ssubscribe +sunsubscribe +cluster|slots +asking
//! ```
//!
//! Outside a cluster the words `spublish`, `ssubscribe`, `sunsubscribe`, `cluster|slots` and `asking`, are not
//! needed; servers before Redis 7 do not know them all, and a Redis Cluster needs version 7. The user at sentinels needs
//! `+sentinel|get-master-addr-by-name`.

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
