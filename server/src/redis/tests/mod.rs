//! The bus and the tokens on real servers of Redis.

mod bus;
mod proxy;
mod server;
mod tokens;
