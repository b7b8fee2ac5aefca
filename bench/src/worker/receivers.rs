//! What a worker's event loop needs of its receiving side, whichever way notices come.

use std::collections::BTreeMap;
use std::time::Instant;

use mio::Registry;
use mio::event::Event;

use super::deliveries::Deliveries;
use crate::measure::stats::Latencies;
use crate::net::meter::Traffic;

/// The clients of a worker. Event loop tokens are their numbers.
pub(crate) trait Receivers {
    /// How many were started, whatever became of them.
    fn started(&self) -> usize;

    /// How many are online.
    fn online(&self) -> usize;

    /// How many are neither online nor gone.
    fn pending(&self) -> usize;

    /// Starts the next client.
    fn start_next(&mut self, registry: &Registry, intended: Instant);

    /// Handles what happened to one client's socket.
    fn handle(&mut self, event: &Event, registry: &Registry, deliveries: &mut Deliveries);

    /// Does what is due by now, and says when something is due again.
    fn act(&mut self, _registry: &Registry, _now: Instant) -> Option<Instant> {
        None
    }

    /// Gives up those that are not online yet.
    fn fail_pending(&mut self, reason: &str);

    /// Why clients failed since the last call, and how many.
    fn take_failures(&mut self) -> BTreeMap<String, u64>;

    /// Times from the intended start of a connection to being online.
    fn handshakes(&mut self) -> &mut Latencies;

    /// The bytes of all clients since the start.
    fn traffic(&self) -> Traffic;
}
