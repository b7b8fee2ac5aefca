//! The bus and the tokens on real servers of Redis.

mod bus;
mod figures;
mod kinds;
mod proxy;
mod server;
mod tokens;
