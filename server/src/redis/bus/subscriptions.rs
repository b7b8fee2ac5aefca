//! What is listened to: what is wanted, what was asked of Redis, what it confirmed. Pure.
//!
//! Wanted is the truth, and outlives links. On each link a channel is asked for by commands that alternate, and Redis
//! confirms them in their order. A channel is listened to when it is wanted, the last command that was sent for it
//! asks for it, and nothing that was sent for it is unconfirmed.

use std::collections::{HashMap, VecDeque};

use crate::cluster::bus::Channel;

/// Where a channel stands. 8 bytes, as there are as many as accounts online.
#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    wanted: bool,
    /// It is in its queue: something is to be looked at.
    queued: bool,
    /// The last command sent on this link asks for it; false also when none was sent.
    asked: bool,
    /// Commands sent on this link and not confirmed.
    unconfirmed: u32,
}

impl Entry {
    fn is_forgotten(self) -> bool {
        !self.wanted && !self.queued && !self.asked && self.unconfirmed == 0
    }
}

type Route = Box<dyn Fn(&Channel) -> usize + Send>;

/// A link to one or several servers, of which each channel has one.
struct Link {
    route: Route,
    /// What is to be looked at, each channel once: never longer than the table.
    queues: Vec<VecDeque<Channel>>,
}

/// What is to be done for one server.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Orders {
    pub(super) subscribe: Vec<Channel>,
    pub(super) unsubscribe: Vec<Channel>,
    /// Listened to already, and asked for again.
    pub(super) listening: Vec<Channel>,
}

impl Orders {
    pub(super) fn is_empty(&self) -> bool {
        self.subscribe.is_empty() && self.unsubscribe.is_empty() && self.listening.is_empty()
    }
}

/// A confirmation of what was not asked for: Redis took the channel away.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unexpected;

/// The table of channels. Bounded by its caller: as many as it wants at once, and those that it just gave up.
#[derive(Default)]
pub(super) struct Subscriptions {
    entries: HashMap<Channel, Entry>,
    link: Option<Link>,
}

impl Subscriptions {
    /// Begins on a new link of `servers` servers, where nothing is asked for yet; `route` says which of them a
    /// channel has. All that is wanted is queued.
    pub(super) fn begin(&mut self, servers: usize, route: Route) {
        self.end();
        let mut queues = vec![VecDeque::new(); servers];
        for (channel, entry) in &mut self.entries {
            entry.queued = true;
            queues[route(channel)].push_back(channel.clone());
        }
        self.link = Some(Link { route, queues });
    }

    /// The link is gone.
    pub(super) fn end(&mut self) {
        self.link = None;
        self.entries.retain(|_, entry| entry.wanted);
        for entry in self.entries.values_mut() {
            *entry = Entry {
                wanted: true,
                ..Entry::default()
            };
        }
        self.entries.shrink_to(2 * self.entries.len());
    }

    /// Wants a channel.
    pub(super) fn listen(&mut self, channel: Channel) {
        let entry = self.entries.entry(channel.clone()).or_default();
        entry.wanted = true;
        Self::queue(entry, &mut self.link, channel);
    }

    /// Wants a channel no more.
    pub(super) fn unlisten(&mut self, channel: Channel) {
        let Some(entry) = self.entries.get_mut(&channel) else {
            return;
        };
        entry.wanted = false;
        if entry.asked {
            Self::queue(entry, &mut self.link, channel);
        } else if entry.is_forgotten() {
            self.entries.remove(&channel);
        }
    }

    fn queue(entry: &mut Entry, link: &mut Option<Link>, channel: Channel) {
        if let Some(link) = link
            && !entry.queued
        {
            entry.queued = true;
            let server = (link.route)(&channel);
            link.queues[server].push_back(channel);
        }
    }

    /// What to do next for a server, of at most `max` channels, each once. What is handed out counts as sent.
    pub(super) fn take(&mut self, server: usize, max: usize) -> Orders {
        let mut orders = Orders::default();
        for _ in 0..max {
            let queue = self
                .link
                .as_mut()
                .and_then(|link| link.queues.get_mut(server));
            let Some(channel) = queue.and_then(VecDeque::pop_front) else {
                break;
            };
            self.order(channel, &mut orders);
        }
        orders
    }

    fn order(&mut self, channel: Channel, orders: &mut Orders) {
        let Some(entry) = self.entries.get_mut(&channel) else {
            return;
        };
        entry.queued = false;
        if entry.wanted != entry.asked {
            entry.asked = entry.wanted;
            entry.unconfirmed += 1;
            let list = if entry.wanted {
                &mut orders.subscribe
            } else {
                &mut orders.unsubscribe
            };
            list.push(channel);
        } else if entry.is_forgotten() {
            self.entries.remove(&channel);
        } else if entry.wanted && entry.unconfirmed == 0 {
            orders.listening.push(channel);
        }
    }

    /// Redis confirmed that the channel is subscribed, or no longer is; whether it is listened to from now on.
    ///
    /// # Errors
    /// When this is not what the oldest unconfirmed command asked for.
    pub(super) fn confirmed(
        &mut self,
        channel: &Channel,
        subscribed: bool,
    ) -> Result<bool, Unexpected> {
        let entry = self.entries.get_mut(channel).ok_or(Unexpected)?;
        // They alternate, so the oldest is as the last when their number is odd.
        let oldest = entry.asked == (entry.unconfirmed % 2 == 1);
        if entry.unconfirmed == 0 || oldest != subscribed {
            return Err(Unexpected);
        }
        entry.unconfirmed -= 1;
        let settled = entry.unconfirmed == 0;
        let listening = settled && entry.asked && entry.wanted;
        if entry.is_forgotten() {
            self.entries.remove(channel);
        }
        Ok(listening)
    }

    /// How many channels are wanted or not yet given up.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::cluster::bus::NodeId;

    fn route(channel: &Channel) -> usize {
        match channel {
            Channel::Node(NodeId(n)) => usize::from(n % 2 == 1),
            _ => 0,
        }
    }

    /// The subscriptions, and a server for each route that takes commands and confirms them one by one.
    #[derive(Default)]
    struct World {
        table: Subscriptions,
        wanted: HashSet<Channel>,
        /// Told since the last `listen`, or since the link began.
        told: HashSet<Channel>,
        served: HashSet<Channel>,
        on_the_way: [VecDeque<(Channel, bool)>; 2],
        up: bool,
    }

    impl World {
        fn tell(&mut self, channel: Channel) {
            // The truth of it: served now, and whatever is still on the way does not end it.
            assert!(self.served.contains(&channel), "{channel:?}");
            let way = self.on_the_way.iter().flatten();
            assert_eq!(way.filter(|(sent, _)| *sent == channel).count(), 0);
            self.told.insert(channel);
        }

        fn take(&mut self, server: usize, max: usize) {
            let orders = self.table.take(server, max);
            let subscribe = orders.subscribe.into_iter().map(|channel| (channel, true));
            let unsubscribe = orders
                .unsubscribe
                .into_iter()
                .map(|channel| (channel, false));
            self.on_the_way[server].extend(subscribe.chain(unsubscribe));
            for channel in orders.listening {
                self.tell(channel);
            }
        }

        fn confirm(&mut self, server: usize) {
            let Some((channel, on)) = self.on_the_way[server].pop_front() else {
                return;
            };
            if on {
                self.served.insert(channel.clone());
            } else {
                self.served.remove(&channel);
            }
            if self.table.confirmed(&channel, on).expect("as asked") {
                self.tell(channel);
            }
        }

        fn relink(&mut self, up: bool) {
            self.up = up;
            self.served.clear();
            self.told.clear();
            self.on_the_way = Default::default();
            if up {
                self.table.begin(2, Box::new(route));
            } else {
                self.table.end();
            }
        }

        fn step(&mut self, (what, n): (u8, u64)) {
            let channel = Channel::Node(NodeId(n));
            let server = route(&channel);
            match what {
                0..=2 => {
                    self.wanted.insert(channel.clone());
                    self.told.remove(&channel);
                    self.table.listen(channel);
                }
                3..=4 => {
                    self.wanted.remove(&channel);
                    self.table.unlisten(channel);
                }
                5..=6 => self.take(server, 2),
                7..=8 => self.confirm(server),
                _ => self.relink(n > 0),
            }
        }

        fn settle(&mut self) {
            for server in [0, 1] {
                self.take(server, 1000);
                while !self.on_the_way[server].is_empty() {
                    self.confirm(server);
                    self.take(server, 1000);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_told_is_true_and_what_is_wanted_comes_to_be(
            steps in proptest::collection::vec((0u8..10, 0u64..4), 0..120),
        ) {
            let mut world = World::default();
            world.relink(true);
            for step in steps {
                world.step(step);
            }
            if !world.up {
                prop_assert_eq!(world.table.len(), world.wanted.len(), "nothing is kept but what is wanted");
                world.relink(true);
            }
            world.settle();
            prop_assert_eq!(&world.served, &world.wanted);
            prop_assert!(world.told.is_superset(&world.wanted), "{:?} of {:?}", world.told, world.wanted);
            prop_assert_eq!(world.table.len(), world.wanted.len());
        }
    }

    #[test]
    fn a_channel_that_redis_takes_away_is_unexpected() {
        let mut table = Subscriptions::default();
        table.begin(1, Box::new(|_| 0));
        table.listen(Channel::Nodes);
        assert_eq!(table.take(0, 10).subscribe, [Channel::Nodes]);
        assert_eq!(table.confirmed(&Channel::Nodes, false), Err(Unexpected));
        assert_eq!(table.confirmed(&Channel::Nodes, true), Ok(true));
        assert_eq!(table.confirmed(&Channel::Nodes, false), Err(Unexpected));
        let other = Channel::Node(NodeId(1));
        assert_eq!(table.confirmed(&other, true), Err(Unexpected));
    }
}
