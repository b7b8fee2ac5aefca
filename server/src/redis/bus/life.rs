//! One life of the link: the servers it goes to, and what its halves share. It ends as a whole: one half that breaks
//! takes the others along, since then nobody can say what was missed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::names::Names;
use super::outbox::{Lane, Room};
use crate::cluster::bus::{Channel, NodeId};
use crate::redis::connect::Masters;
use crate::redis::slots::SlotTable;

/// The commands of one kind of publishing and subscribing.
pub(super) struct Verbs {
    pub(super) publish: &'static [u8],
    pub(super) subscribe: &'static [u8],
    pub(super) unsubscribe: &'static [u8],
}

const PLAIN: Verbs = Verbs {
    publish: b"PUBLISH",
    subscribe: b"SUBSCRIBE",
    unsubscribe: b"UNSUBSCRIBE",
};

/// Of a cluster: a message stays within the part that its channel belongs to.
const SHARDED: Verbs = Verbs {
    publish: b"SPUBLISH",
    subscribe: b"SSUBSCRIBE",
    unsubscribe: b"SUNSUBSCRIBE",
};

/// One server, and the node's two connections to it.
pub(super) struct Server {
    /// Messages for it.
    pub(super) lane: Lane,
    /// Channels to be looked at.
    pub(super) changed: Notify,
    /// On which the node hears itself there.
    pub(super) pulse: Option<String>,
    /// Told when the pulse can be heard.
    pub(super) beat: Notify,
}

/// What the halves of a link share.
pub(super) struct Life {
    pub(super) servers: Vec<Server>,
    pub(super) room: Arc<Room>,
    pub(super) verbs: &'static Verbs,
    slots: Option<Arc<SlotTable>>,
    /// How many servers' pulses were never heard yet.
    silent: AtomicUsize,
}

impl Life {
    pub(super) fn new(masters: &Masters, names: &Names, node: NodeId) -> Self {
        let slots = masters.slots.clone().map(Arc::new);
        let servers: Vec<Server> = (0..masters.addresses.len())
            .map(|index| Server {
                lane: Lane::default(),
                changed: Notify::new(),
                pulse: names.pulse(node, |name| owner(slots.as_deref(), name) == index),
                beat: Notify::new(),
            })
            .collect();
        let pulses = servers.iter().filter(|server| server.pulse.is_some());
        Self {
            silent: AtomicUsize::new(pulses.count()),
            verbs: if slots.is_some() { &SHARDED } else { &PLAIN },
            servers,
            room: Arc::default(),
            slots,
        }
    }

    /// Which server a channel of this name has.
    pub(super) fn owner(&self, name: &str) -> usize {
        owner(self.slots.as_deref(), name.as_bytes())
    }

    /// The same, to be given away.
    pub(super) fn route(&self, names: &Names) -> Box<dyn Fn(&Channel) -> usize + Send> {
        let (slots, names) = (self.slots.clone(), names.clone());
        match slots {
            None => Box::new(|_| 0),
            Some(slots) => Box::new(move |channel| slots.owner(names.of(channel).as_bytes())),
        }
    }

    /// A server's pulse was heard for the first time; whether all have been heard now.
    pub(super) fn first_heard(&self) -> bool {
        self.silent.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// There may be something to do for every server.
    pub(super) fn look(&self) {
        for server in &self.servers {
            server.changed.notify_one();
        }
    }
}

fn owner(slots: Option<&SlotTable>, name: &[u8]) -> usize {
    slots.map_or(0, |slots| slots.owner(name))
}
