//! The bus over Redis: publish and subscribe, sharded in a cluster.
//!
//! - `names.rs`: names of channels. Pure.
//! - `subscriptions.rs`: what is wanted, asked for, confirmed. Pure.
//! - `outbox.rs`: what waits to go out, and receipts.
//! - `life.rs`: one life of the link; `publisher.rs` and `subscriber.rs` are its halves, one of each to each master.
//!
//! A link is up once the node has heard itself through all of it, and counts as broken when nothing comes for 2.5 s
//! (a beat of its own would each second), when a message is not confirmed for 1 s, when a connection ends, or when a server says that another one
//! is in charge. Then it is made anew as a whole; what is wanted is kept, and asked for again.

mod life;
mod names;
mod outbox;
mod publisher;
mod subscriber;
mod subscriptions;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::{BoxFuture, FutureExt as _, select_all, try_join, try_join_all};
use parking_lot::{Mutex, RwLock};

use self::life::Life;
use self::names::Names;
use self::outbox::{Call, Unanswered};
use self::publisher::Publisher;
use self::subscriber::Subscriber;
use self::subscriptions::Subscriptions;
use super::connect::{Connector, Masters};
use super::pauses::Pauses;
use super::resp;
use super::wire::{LinkError, Wire};
use crate::cluster::bus::{Bus, BusListener, Channel, Message, NodeId, Receipt};

/// How often the sentinels are asked who the master is: one that was cut off from its sentinels does not know that it
/// is no longer, and takes messages that nobody hears.
const WATCH: Duration = Duration::from_secs(2);

/// A bus over Redis. Memory: a few dozen bytes for each channel and its name's text; at most
/// 16 MiB of messages that wait or are unanswered, in all; 64 KiB for what comes in, on each connection.
pub struct RedisBus {
    connector: Arc<Connector>,
    names: Names,
    node: NodeId,
    subscriptions: Mutex<Subscriptions>,
    /// The life of a link that is up.
    current: RwLock<Option<Arc<Life>>>,
    /// The life that began last, until it is up.
    coming: Mutex<Option<Arc<Life>>>,
    /// Whether the listener was told that the link is up, and not yet that it is down.
    told_up: AtomicBool,
}

impl RedisBus {
    /// A bus for one life of a node. Nodes hear each other within one namespace, which may have any characters.
    #[must_use]
    pub fn new(connector: Arc<Connector>, namespace: &str, node: NodeId) -> Self {
        Self {
            connector,
            names: Names::new(namespace),
            node,
            subscriptions: Mutex::default(),
            current: RwLock::default(),
            coming: Mutex::default(),
            told_up: AtomicBool::new(false),
        }
    }

    fn up_now(&self) -> bool {
        self.current.read().is_some()
    }

    fn is_sharded(&self, life: &Life) -> bool {
        life.verbs.publish == b"SPUBLISH"
    }

    /// Lives one life of the link. It never ends well.
    async fn live(&self, listener: &dyn BusListener) -> Result<Infallible, LinkError> {
        let masters = self.connector.masters().await?;
        let wires = try_join_all(masters.addresses.iter().map(|address| {
            let (publishing, hearing) =
                (self.connector.open(address), self.connector.open(address));
            try_join(publishing, hearing)
        }));
        let wires = wires.await?;
        let life = Arc::new(Life::new(&masters, &self.names, self.node));
        let route = life.route(&self.names);
        self.subscriptions.lock().begin(life.servers.len(), route);
        *self.coming.lock() = Some(Arc::clone(&life));
        let _end = End(self);
        let parts = self.parts(&masters, &life, wires, listener);
        let (ended, _, _) = select_all(parts).await;
        ended
    }

    /// Everything that runs as long as the link does.
    fn parts<'a>(
        &'a self,
        masters: &'a Masters,
        life: &'a Life,
        wires: Vec<(Wire, Wire)>,
        listener: &'a dyn BusListener,
    ) -> Vec<BoxFuture<'a, Result<Infallible, LinkError>>> {
        let mut parts = Vec::new();
        for (index, (publishing, hearing)) in wires.into_iter().enumerate() {
            let publisher = Publisher::new(publishing, life, &life.servers[index]);
            let subscriber = Subscriber::new(hearing, self, life, index, listener);
            parts.push(publisher.run().boxed());
            parts.push(subscriber.run().boxed());
        }
        if self.connector.watches_sentinels() {
            parts.push(self.watch(masters).boxed());
        }
        parts
    }

    async fn watch(&self, masters: &Masters) -> Result<Infallible, LinkError> {
        loop {
            tokio::time::sleep(WATCH).await;
            let Ok(now) = self.connector.masters().await else {
                continue;
            };
            if now.addresses != masters.addresses {
                return Err(LinkError::new("the sentinels name another master"));
            }
        }
    }

    /// The node has heard itself through the whole link.
    fn came_up(&self, listener: &dyn BusListener) {
        let Some(life) = self.coming.lock().take() else {
            return;
        };
        *self.current.write() = Some(Arc::clone(&life));
        self.told_up.store(true, Ordering::Release);
        tracing::info!(servers = life.servers.len(), "the link to Redis is up");
        listener.up();
        life.look();
    }

    /// After a change of what is wanted.
    fn look(&self) {
        if let Some(life) = &*self.current.read() {
            life.look();
        }
    }

    /// Puts messages into their servers' lanes, when there is room for all.
    fn send(&self, life: &Life, messages: Vec<Message>) -> Option<Receipt> {
        let bytes = messages.iter().map(|message| message.payload.len()).sum();
        if !life.room.take(messages.len(), bytes) {
            return None;
        }
        let (call, receipt) = Call::new(messages.len());
        for (place, message) in messages.into_iter().enumerate() {
            let unanswered = Unanswered::new(&call, place, message.payload.len(), &life.room);
            let name = self.names.of(&message.channel);
            let lane = &life.servers[life.owner(&name)].lane;
            lane.add(|waiting| {
                let words = [life.verbs.publish, name.as_bytes(), &message.payload];
                resp::encode(&mut waiting.commands, &words);
                waiting.unanswered.push(unanswered);
            });
        }
        Some(receipt)
    }
}

/// Ends a life, also when the bus is stopped in the middle of it: receipts fail, nothing counts as asked for.
struct End<'a>(&'a RedisBus);

impl Drop for End<'_> {
    fn drop(&mut self) {
        let Self(bus) = self;
        bus.current.write().take();
        bus.coming.lock().take();
        bus.subscriptions.lock().end();
    }
}

#[async_trait]
impl Bus for RedisBus {
    fn publish(&self, messages: Vec<Message>) -> Receipt {
        if messages.is_empty() {
            return Receipt::answered(Vec::new());
        }
        let current = self.current.read();
        let sent = current.as_ref().and_then(|life| self.send(life, messages));
        sent.unwrap_or_else(Receipt::refused)
    }

    fn listen(&self, channels: Vec<Channel>) {
        let mut subscriptions = self.subscriptions.lock();
        channels
            .into_iter()
            .for_each(|channel| subscriptions.listen(channel));
        drop(subscriptions);
        self.look();
    }

    fn unlisten(&self, channels: Vec<Channel>) {
        let mut subscriptions = self.subscriptions.lock();
        channels
            .into_iter()
            .for_each(|channel| subscriptions.unlisten(channel));
        drop(subscriptions);
        self.look();
    }

    fn is_up(&self) -> bool {
        self.up_now()
    }

    async fn run(self: Arc<Self>, listener: Arc<dyn BusListener>) {
        let (mut pauses, mut told) = (Pauses::new(), None);
        loop {
            let began = Instant::now();
            let Err(error) = self.live(&*listener).await;
            if self.told_up.swap(false, Ordering::AcqRel) {
                listener.down();
                told = None;
            }
            // An attempt that fails as the last one did is no news.
            if told.as_ref() != Some(&error) {
                tracing::warn!("the link to Redis is down: {error}");
                told = Some(error);
            }
            tokio::time::sleep(pauses.after(began.elapsed())).await;
        }
    }
}
