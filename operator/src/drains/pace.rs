//! How fast pods may be emptied: never faster than those that stay can take their sessions.

use std::time::Duration;

use super::{Phase, Pod, Settings};

/// Pods are filled by drains to nine tenths of what they take: the rest is for clients that come of themselves.
const FILL_TENTHS: u64 = 9;

/// Drains use half of the connections that pods take in a second; one in ten is theirs in any storm.
const LEAST_TENTHS: u64 = 1;
const MOST_TENTHS: u64 = 5;

/// Those that stay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rest {
    pods: u64,
    sessions: u64,
}

impl Rest {
    /// The pods among these to which clients are sent, and whose load is known.
    #[must_use]
    pub fn of<'a>(pods: impl Iterator<Item = &'a Pod>) -> Self {
        let mut rest = Self::default();
        for pod in pods {
            let takes = pod.ready && pod.phase == Phase::Running;
            if let Some(load) = pod.load.filter(|load| takes && !load.draining) {
                rest.pods += 1;
                rest.sessions = rest.sessions.saturating_add(load.sessions);
            }
        }
        rest
    }

    /// The sessions that they may be given by a drain that begins.
    #[must_use]
    pub fn room_to_begin(&self, settings: &Settings) -> u64 {
        let fill = (self.pods * settings.capacity).saturating_mul(FILL_TENTHS) / 10;
        fill.saturating_sub(self.sessions)
    }

    /// The sessions that they can take at all.
    #[must_use]
    pub fn room(&self, settings: &Settings) -> u64 {
        (self.pods * settings.capacity).saturating_sub(self.sessions)
    }

    /// New sessions a second that drains may bring them, beside the growth that there is.
    fn rate(&self, settings: &Settings, growth: u64) -> u64 {
        let all = self.pods * settings.connect_rate;
        let most = all * MOST_TENTHS / 10;
        let least = (all * LEAST_TENTHS / 10).max(1);
        most.saturating_sub(growth).max(least)
    }
}

/// The pace of drains that begin together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Over so long each of them is spread.
    pub window: Duration,
}

impl Pace {
    /// That at which `moving` sessions, those of drains under way included, come to the rest; never shorter than the
    /// window that a person has set.
    #[must_use]
    pub fn of(moving: u64, rest: &Rest, settings: &Settings, growth: u64) -> Self {
        let needed = Duration::from_secs(moving.div_ceil(rest.rate(settings, growth)));
        Self {
            window: needed.max(settings.window),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::serving;
    use super::*;
    use proptest::prelude::*;

    fn settings(window: u64) -> Settings {
        Settings {
            capacity: 20_000,
            connect_rate: 2000,
            window: Duration::from_secs(window),
            margin: Duration::from_secs(30),
        }
    }

    #[test]
    fn a_few_sessions_take_the_window_that_was_set() {
        let rest = Rest::of([serving("a", 5000), serving("b", 5000)].iter());
        let pace = Pace::of(5000, &rest, &settings(60), 0);
        assert_eq!(pace.window, Duration::from_secs(60));
    }

    #[test]
    fn many_sessions_take_as_long_as_the_others_need() {
        let rest = Rest::of([serving("a", 0), serving("b", 0)].iter());
        let window = |growth| {
            Pace::of(30_000, &rest, &settings(5), growth)
                .window
                .as_secs()
        };
        assert_eq!(window(0), 15, "half of 4,000 a second");
        assert_eq!(window(1000), 30, "a thousand a second come of themselves");
        assert_eq!(window(100_000), 75, "a tenth is left in a storm");
    }

    #[test]
    fn pods_that_are_not_ready_or_unknown_or_drain_take_nothing() {
        let mut pods = [
            serving("a", 1000),
            serving("b", 0),
            serving("c", 0),
            serving("d", 0),
        ];
        pods[1].ready = false;
        pods[2].load = None;
        pods[3].load.as_mut().unwrap().draining = true;
        let rest = Rest::of(pods.iter());
        assert_eq!(rest.room(&settings(60)), 19_000);
        assert_eq!(rest.room_to_begin(&settings(60)), 17_000);
    }

    proptest! {
        #[test]
        fn drains_never_bring_more_in_a_second_than_half_of_what_the_rest_takes(
            loads in prop::collection::vec(0_u64..20_000, 1..20),
            moving in 0_u64..400_000,
            window in 0_u64..300,
        ) {
            let pods: Vec<_> = loads.iter().map(|load| serving("p", *load)).collect();
            let rest = Rest::of(pods.iter());
            let seconds = Pace::of(moving, &rest, &settings(window), 0).window.as_secs();
            prop_assert!(seconds >= window);
            prop_assert!(moving <= seconds.max(1) * 1000 * loads.len() as u64);
        }
    }
}
