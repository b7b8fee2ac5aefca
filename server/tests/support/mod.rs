//! What the integration tests share: servers to test (in this process, or the program itself), and clients that do
//! exactly what they are told, so that a test can also be a bad one.
//!
//! - [`Server`] runs the real server in this process, with its own threads, a free port and a folder of its own.
//! - [`Program`] runs the real program, for signals, exit codes and what it prints.
//! - Both are an [`Api`]: the calls that a service, a client and an operator make.
//! - [`Request`] and [`Connection`] speak HTTP, [`Handshake`] and [`Socket`] WebSocket, byte by byte.
//! - [`Listen`] and [`Events`] read event streams; a [`Device`] is a client over any transport.
//! - [`Issuer`] signs JWTs.
//! - [`Cluster`] starts several programs on one database; [`ServiceSet`] and [`Proxy`] break what is below them.
//! - [`Nginx`] is in front of servers.
//! - [`eventually`] waits for a condition and prints the last state; [`Ledger`] finds what was lost or doubled.

#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "each test program uses a part of it"
)]

mod api;
mod device;
mod events;
mod folder;
mod http;
mod jwts;
mod ledger;
mod metrics;
mod nginx;
mod nodes;
mod notice;
mod program;
mod proxy;
mod random;
mod server;
mod services;
mod socket;
mod wait;
mod wire;

pub use api::{Api, KEY};
pub use device::{Carrier, Device, Told};
pub use events::{Event, Events, Item, Listen};
pub use folder::Folder;
pub use http::{Connection, Request, Response};
pub use jwts::Issuer;
pub use ledger::{Faults, Late, Ledger, SessionLog, assert_no_faults};
pub use metrics::Scrape;
pub use nginx::Nginx;
pub use nodes::Cluster;
pub use notice::Notice;
pub use program::{Exit, Program};
pub use proxy::{Link, Proxy};
pub use random::Random;
pub use server::Server;
pub use services::{Part, ServiceSet, Services};
pub use socket::{Frame, Handshake, Socket, masked};
pub use wait::{PATIENCE, eventually, eventually_within, in_time};
