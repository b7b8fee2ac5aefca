//! Where the nodes are now, for clients and callers that choose among them.

use std::time::Duration;

use parking_lot::Mutex;

use crate::support::{Api, Random};

/// The way to every node, kept while it is broken as a balancer keeps it for a while. Shared between tasks.
#[derive(Debug, Default)]
pub(crate) struct Roads(Mutex<Vec<Road>>);

#[derive(Debug, Clone)]
struct Road {
    api: Api,
    away: bool,
}

impl Roads {
    /// A node is there, for the first time or again.
    pub(crate) fn lead_to(&self, place: usize, api: Api) {
        let mut roads = self.0.lock();
        let road = Road { api, away: false };
        if place < roads.len() {
            roads[place] = road;
        } else {
            assert_eq!(place, roads.len());
            roads.push(road);
        }
    }

    /// A node is expected not to answer. It is tried all the same.
    pub(crate) fn set_away(&self, place: usize, away: bool) {
        self.0.lock()[place].away = away;
    }

    pub(crate) fn api(&self, place: usize) -> Api {
        self.0.lock()[place].api.clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().len()
    }

    /// The nodes that are expected to answer.
    pub(crate) fn answering(&self) -> Vec<(usize, Api)> {
        let roads = self.0.lock();
        let answering = roads.iter().enumerate().filter(|(_, road)| !road.away);
        answering
            .map(|(place, road)| (place, road.api.clone()))
            .collect()
    }
}

/// Growing pauses with chance in them, so that many do not come back in one moment.
#[derive(Debug)]
pub(crate) struct Backoff(u64);

impl Backoff {
    const FIRST: u64 = 50;
    const LONGEST: u64 = 1000;

    pub(crate) fn new() -> Self {
        Self(Self::FIRST)
    }

    pub(crate) fn next(&mut self, random: &mut Random) -> Duration {
        let pause = self.0 / 2 + random.number() % self.0;
        self.0 = (self.0 * 2).min(Self::LONGEST);
        Duration::from_millis(pause)
    }
}
