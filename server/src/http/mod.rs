//! HTTP: who calls, what is asked, and the answer. Handlers are thin; what they decide is in `intake`, `caller` and
//! `delivery`.

mod admin;
mod assets;
mod caller;
mod client_api;
mod drain_proof;
mod exchange;
pub mod intake;
mod listener;
mod openapi;
mod problem;
mod routes;
mod service_api;
mod services;
mod strict_json;
pub mod ws;

pub use admin::{Startup, admin_routes};
pub use listener::{Listener, ListenerOptions, RawConnections};
pub use problem::{Code, Problem};
pub use routes::public_routes;
pub use services::{Parts, Services};
