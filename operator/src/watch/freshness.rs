//! How lately each watch heard from the API server: for metrics and for liveness.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// A watch that neither heard anything nor tried anything for so long hangs. Each watch ends after five minutes at
/// most and is asked for anew; a pause after failures is a minute at most.
const HANGS_AFTER: Duration = Duration::from_secs(8 * 60);

/// The state of all watches.
#[derive(Clone, Debug, Default)]
pub struct Freshness {
    watches: Arc<Mutex<Watches>>,
}

#[derive(Debug, Default)]
struct Watches {
    next: u64,
    entries: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    name: &'static str,
    optional: bool,
    heard: Option<Instant>,
    moved: Instant,
    listed: bool,
    settled: bool,
}

/// One watch's place; dropping it ends it.
#[derive(Debug)]
pub struct Place {
    id: u64,
    all: Freshness,
}

impl Freshness {
    /// A place for a watch. Readiness does not wait for an optional one.
    #[must_use]
    pub fn enter(&self, name: &'static str, optional: bool) -> Place {
        let mut watches = self.watches.lock();
        let id = watches.next;
        watches.next += 1;
        watches.entries.insert(
            id,
            Entry {
                name,
                optional,
                heard: None,
                moved: Instant::now(),
                listed: false,
                settled: false,
            },
        );
        Place {
            id,
            all: self.clone(),
        }
    }

    /// The name of a watch that hangs.
    #[must_use]
    pub fn hanging(&self) -> Option<&'static str> {
        let now = Instant::now();
        let watches = self.watches.lock();
        let mut entries = watches.entries.values();
        entries
            .find(|it| now.saturating_duration_since(it.moved) > HANGS_AFTER)
            .map(|it| it.name)
    }

    /// The names of watches that have not listed yet, of those that readiness waits for. One that is denied or not
    /// served has an answer, and is not waited for.
    #[must_use]
    pub fn waiting(&self) -> Vec<&'static str> {
        let watches = self.watches.lock();
        let mut names: Vec<_> = watches
            .entries
            .values()
            .filter(|it| !it.optional && !it.settled)
            .map(|it| it.name)
            .collect();
        names.dedup();
        names
    }

    /// For each name the age of the oldest sign from the API server, and how many watches see nothing.
    #[must_use]
    pub fn ages(&self) -> BTreeMap<&'static str, (Duration, usize)> {
        let now = Instant::now();
        let mut ages = BTreeMap::new();
        for entry in self.watches.lock().entries.values() {
            let slot = ages.entry(entry.name).or_insert((Duration::ZERO, 0));
            match entry.heard {
                Some(heard) if entry.listed => slot.0 = slot.0.max(now.saturating_duration_since(heard)),
                _ => slot.1 += 1,
            }
        }
        ages
    }
}

impl Place {
    fn change(&self, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.all.watches.lock().entries.get_mut(&self.id) {
            entry.moved = Instant::now();
            change(entry);
        }
    }

    /// The API server said something.
    pub fn heard(&self) {
        self.change(|it| it.heard = Some(it.moved));
    }

    /// The list is complete.
    pub fn listed(&self) {
        self.change(|it| {
            it.heard = Some(it.moved);
            it.listed = true;
            it.settled = true;
        });
    }

    /// It tries, and sees nothing; `settled` when that is an answer.
    pub fn blind(&self, settled: bool) {
        self.change(|it| {
            it.listed = false;
            it.settled |= settled;
        });
    }

    /// It is about to wait or to try again.
    pub fn moves(&self) {
        self.change(|_| {});
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all.watches.lock().entries.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_watch_hangs_only_when_it_neither_hears_nor_tries() {
        let all = Freshness::default();
        let place = all.enter("pods", false);
        place.listed();
        tokio::time::advance(HANGS_AFTER).await;
        assert_eq!(all.hanging(), None);
        place.moves();
        tokio::time::advance(HANGS_AFTER + Duration::from_secs(1)).await;
        assert_eq!(all.hanging(), Some("pods"));
        drop(place);
        assert_eq!(all.hanging(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn readiness_waits_for_lists_and_not_for_what_is_denied_or_optional() {
        let all = Freshness::default();
        let pods = all.enter("pods", false);
        let _routes = all.enter("httproutes", true);
        let secrets = all.enter("secrets", false);
        assert_eq!(all.waiting(), ["pods", "secrets"]);
        pods.listed();
        secrets.blind(true);
        assert!(all.waiting().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn ages_count_from_the_last_word_of_the_api_server() {
        let all = Freshness::default();
        let place = all.enter("pods", false);
        assert_eq!(all.ages()["pods"], (Duration::ZERO, 1));
        place.listed();
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(all.ages()["pods"], (Duration::from_secs(3), 0));
        place.blind(false);
        assert_eq!(all.ages()["pods"], (Duration::ZERO, 1));
    }
}
