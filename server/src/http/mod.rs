//! HTTP: who calls, what is asked, and the answer. Handlers are thin; what they decide is in `intake`, `caller` and
//! `delivery`.

mod admin;
mod admission;
mod assets;
mod caller;
mod claim;
mod client_api;
mod cors;
mod courier;
mod drain_proof;
mod exchange;
pub mod intake;
mod jobs;
mod listener;
mod openapi;
mod outbound;
mod page;
mod places;
mod poll;
mod problem;
mod routes;
mod service_api;
mod services;
mod socket;
mod sse;
mod strict_json;
pub mod ws;

pub use admin::{Startup, admin_routes};
pub use listener::{Listener, ListenerOptions, RawConnections};
pub use problem::{Code, Problem};
pub use routes::public_routes;
pub use services::{Parts, Services};

/// Lets pollers leave that have not asked for a while, for ever.
pub async fn tidy_pollers(services: std::sync::Arc<Services>) {
    poll::tidy(services).await;
}
