//! A bus within one process: nodes that share a [`LocalHub`] hear each other. For tests of what uses a bus; it keeps
//! the contract, and its links break when they are told to.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Bus, BusListener, Channel, Message, Receipt};

/// How many things may wait to be told to one node. A test's listener is quick; one that is not loses its link, as it
/// would with Redis.
const WAITING: usize = 65_536;

/// What a node is to be told.
enum Event {
    Heard(Message),
    Listening(Vec<Channel>),
    Down,
    Up,
}

/// A node at the hub.
#[derive(Default)]
struct Seat {
    cut: bool,
    running: bool,
    wanted: HashSet<Channel>,
    events: VecDeque<Event>,
    wake: Arc<Notify>,
}

impl Seat {
    fn is_up(&self) -> bool {
        self.running && !self.cut
    }

    fn tell(&mut self, event: Event) {
        self.events.push_back(event);
        self.wake.notify_one();
    }

    fn hear(&mut self, message: &Message) {
        if self.events.len() < WAITING {
            self.tell(Event::Heard(message.clone()));
        } else {
            self.go_down();
            self.come_up();
        }
    }

    /// What was on its way is lost, but for the news that were told before.
    fn go_down(&mut self) {
        self.events
            .retain(|event| !matches!(event, Event::Heard(_)));
        self.tell(Event::Down);
    }

    fn come_up(&mut self) {
        self.tell(Event::Up);
        let wanted: Vec<Channel> = self.wanted.iter().cloned().collect();
        if !wanted.is_empty() {
            self.tell(Event::Listening(wanted));
        }
    }
}

#[derive(Default)]
struct State {
    seats: HashMap<u64, Seat>,
    next: u64,
    drop: usize,
    delay: Duration,
}

/// Where the nodes of a test meet.
#[derive(Clone, Default)]
pub struct LocalHub {
    state: Arc<Mutex<State>>,
}

impl LocalHub {
    /// A hub with nobody at it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A bus for one more node.
    #[must_use]
    pub fn join(&self) -> Arc<LocalBus> {
        let mut state = self.state.lock();
        let seat = state.next;
        state.next += 1;
        state.seats.insert(seat, Seat::default());
        Arc::new(LocalBus {
            hub: self.clone(),
            seat,
        })
    }

    /// Loses the next so many messages, after their receipts were answered as if they had been heard.
    pub fn drop_next(&self, messages: usize) {
        self.state.lock().drop = messages;
    }

    /// From now on everything is told this much later, to every node.
    pub fn delay(&self, by: Duration) {
        self.state.lock().delay = by;
    }
}

/// One node's bus.
pub struct LocalBus {
    hub: LocalHub,
    seat: u64,
}

impl LocalBus {
    /// Cuts the link: what was not told yet is lost, and the node is told `down`.
    pub fn cut(&self) {
        self.with_seat(|seat| {
            if !std::mem::replace(&mut seat.cut, true) && seat.running {
                seat.go_down();
            }
        });
    }

    /// Mends the link.
    pub fn mend(&self) {
        self.with_seat(|seat| {
            if std::mem::replace(&mut seat.cut, false) && seat.running {
                seat.come_up();
            }
        });
    }

    fn with_seat<T>(&self, act: impl FnOnce(&mut Seat) -> T) -> Option<T> {
        self.hub.state.lock().seats.get_mut(&self.seat).map(act)
    }

    fn next(&self) -> Option<(VecDeque<Event>, Duration)> {
        let mut state = self.hub.state.lock();
        let delay = state.delay;
        let events = state
            .seats
            .get_mut(&self.seat)
            .map(|seat| std::mem::take(&mut seat.events))?;
        Some((events, delay))
    }
}

/// Tells events in their order, and what was heard at once in one call.
fn tell(listener: &dyn BusListener, events: VecDeque<Event>) {
    let mut heard = Vec::new();
    for event in events {
        if let Event::Heard(message) = event {
            heard.push(message);
            continue;
        }
        if !heard.is_empty() {
            listener.heard(std::mem::take(&mut heard));
        }
        match event {
            Event::Heard(_) => {}
            Event::Listening(channels) => listener.listening(channels),
            Event::Down => listener.down(),
            Event::Up => listener.up(),
        }
    }
    if !heard.is_empty() {
        listener.heard(heard);
    }
}

#[async_trait]
impl Bus for LocalBus {
    fn publish(&self, messages: Vec<Message>) -> Receipt {
        let mut state = self.hub.state.lock();
        if !state.seats.get(&self.seat).is_some_and(Seat::is_up) {
            return Receipt::refused();
        }
        let mut counts = Vec::with_capacity(messages.len());
        for message in &messages {
            let lost = state.drop > 0;
            state.drop = state.drop.saturating_sub(1);
            let mut listeners = 0;
            for seat in state.seats.values_mut() {
                if seat.is_up() && seat.wanted.contains(&message.channel) {
                    listeners += 1;
                    if !lost {
                        seat.hear(message);
                    }
                }
            }
            counts.push(listeners);
        }
        Receipt::answered(counts)
    }

    fn listen(&self, channels: Vec<Channel>) {
        self.with_seat(|seat| {
            seat.wanted.extend(channels.iter().cloned());
            if seat.is_up() {
                seat.tell(Event::Listening(channels));
            }
        });
    }

    fn unlisten(&self, channels: Vec<Channel>) {
        self.with_seat(|seat| {
            channels
                .iter()
                .for_each(|channel| _ = seat.wanted.remove(channel))
        });
    }

    fn is_up(&self) -> bool {
        self.with_seat(|seat| seat.is_up()).unwrap_or(false)
    }

    async fn run(self: Arc<Self>, listener: Arc<dyn BusListener>) {
        let wake = self.with_seat(|seat| {
            seat.running = true;
            if !seat.cut {
                seat.come_up();
            }
            Arc::clone(&seat.wake)
        });
        let Some(wake) = wake else {
            return;
        };
        let _left = Left(&self);
        loop {
            wake.notified().await;
            let Some((events, delay)) = self.next() else {
                return;
            };
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            tell(&*listener, events);
        }
    }
}

/// A bus that no longer runs hears nothing.
struct Left<'a>(&'a LocalBus);

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.0.with_seat(|seat| seat.running = false);
    }
}

#[cfg(test)]
mod tests {
    use super::super::conformance::{Cluster, Node, account};
    use super::*;

    /// Nodes that share a hub.
    #[derive(Default)]
    struct Local {
        hub: LocalHub,
        nodes: Mutex<Vec<Arc<LocalBus>>>,
    }

    #[async_trait]
    impl Cluster for Local {
        async fn join(&self) -> Arc<dyn Bus> {
            let bus = self.hub.join();
            self.nodes.lock().push(Arc::clone(&bus));
            bus
        }

        async fn join_elsewhere(&self) -> Arc<dyn Bus> {
            LocalHub::new().join()
        }

        async fn cut(&self) {
            self.nodes.lock().iter().for_each(|bus| bus.cut());
        }

        async fn mend(&self) {
            self.nodes.lock().iter().for_each(|bus| bus.mend());
        }
    }

    mod suite {
        crate::bus_conformance!(super::Local::default());
    }

    #[tokio::test]
    async fn a_dropped_message_is_not_heard_and_the_next_one_is() {
        let hub = LocalHub::new();
        let node = Node::run(hub.join()).await;
        node.listen(&[account("u1")]).await;
        hub.drop_next(1);
        assert_eq!(node.say(&account("u1"), "lost").await, Ok(1));
        assert_eq!(node.say(&account("u1"), "heard").await, Ok(1));
        node.until("heard", |told| told.on(&account("u1")) == ["heard"])
            .await;
    }

    #[tokio::test]
    async fn a_delay_holds_everything_back() {
        let hub = LocalHub::new();
        let node = Node::run(hub.join()).await;
        node.listen(&[account("u1")]).await;
        hub.delay(Duration::from_millis(300));
        assert_eq!(node.say(&account("u1"), "late").await, Ok(1));
        let begun = std::time::Instant::now();
        node.until("heard", |told| !told.heard.is_empty()).await;
        assert!(begun.elapsed() >= Duration::from_millis(300));
    }
}
