//! How soon after a fault deliveries are as quick as before it. Pure.
//!
//! The machine may be slow by itself, so the measure is what it did before the fault, and one delivery says nothing:
//! a cluster that has not recovered is slow for many.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// A delivery that takes no longer is one of a healthy cluster, on whatever machine.
const HEALTHY: Duration = Duration::from_secs(1);

/// More than one in so many deliveries of a second are slow: the cluster has not recovered.
const ONE_IN: u64 = 10;

/// A notice on its way to the first session of its receiver.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delivery {
    /// The start of the staging call that was answered.
    pub(crate) begun: Instant,
    pub(crate) received: Instant,
}

impl Delivery {
    pub(crate) fn lag(self) -> Duration {
        self.received.saturating_duration_since(self.begun)
    }
}

/// How a cluster came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recovery {
    /// No delivery that took no longer counts as slow.
    pub(crate) healthy: Duration,
    /// From the fault's end to the end of the last second in which many deliveries were slow.
    pub(crate) recovered: Duration,
    /// The longest that a single notice was still on its way, from the fault's end on.
    pub(crate) longest: Duration,
}

impl Recovery {
    /// After a fault that ended then, where 99 of 100 deliveries took no longer than `usual` before it.
    pub(crate) fn of(deliveries: &[Delivery], ended: Instant, usual: Duration) -> Self {
        let healthy = HEALTHY.max(2 * usual);
        let after = || deliveries.iter().filter(|one| one.received >= ended);
        let mut seconds: BTreeMap<u64, Second> = BTreeMap::new();
        for delivery in after() {
            let second = (delivery.received - ended).as_secs();
            let second = seconds.entry(second).or_default();
            second.all += 1;
            second.slow += u64::from(delivery.lag() > healthy);
        }
        let last_slow = seconds.iter().rfind(|(_, second)| second.is_slow());
        let longest = after().map(|one| one.received - one.begun.max(ended)).max();
        Self {
            healthy,
            recovered: last_slow.map_or(Duration::ZERO, |(at, _)| Duration::from_secs(at + 1)),
            longest: longest.unwrap_or_default(),
        }
    }
}

/// What was received in a second.
#[derive(Debug, Default)]
struct Second {
    all: u64,
    slow: u64,
}

impl Second {
    fn is_slow(&self) -> bool {
        self.slow * ONE_IN > self.all
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const QUICK: u64 = 5;
    const USUAL: Duration = Duration::from_millis(20);

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    /// What came so many milliseconds after the fault's end, and how many it had taken; against this usual lag.
    fn recovery(deliveries: &[(u64, u64)], usual: Duration) -> Recovery {
        let begin = Instant::now();
        let ended = begin + ms(100_000);
        let deliveries: Vec<_> = deliveries
            .iter()
            .map(|&(at, took)| Delivery {
                begun: ended + ms(at) - ms(took),
                received: ended + ms(at),
            })
            .collect();
        Recovery::of(&deliveries, ended, usual)
    }

    /// Fifty quick deliveries in each of ten seconds.
    fn healthy_seconds() -> Vec<(u64, u64)> {
        (0..500).map(|number| (number * 20, QUICK)).collect()
    }

    #[test]
    fn a_cluster_that_was_never_slow_has_recovered_at_once() {
        let recovery = recovery(&healthy_seconds(), USUAL);
        assert_eq!(recovery.recovered, Duration::ZERO);
        assert_eq!(recovery.longest, ms(QUICK));
        assert_eq!(recovery.healthy, HEALTHY);
    }

    #[test]
    fn a_cluster_that_delivers_nothing_more_has_nothing_to_recover() {
        let recovery = recovery(&[], USUAL);
        let nothing = (Duration::ZERO, Duration::ZERO);
        assert_eq!((recovery.recovered, recovery.longest), nothing);
    }

    #[test]
    fn a_few_slow_deliveries_among_many_are_the_machines() {
        let mut deliveries = healthy_seconds();
        // Five beside fifty.
        deliveries.extend((0..5).map(|number| (7100 + number, 1500)));
        let recovery = recovery(&deliveries, USUAL);
        assert_eq!(recovery.recovered, Duration::ZERO);
        assert_eq!(recovery.longest, ms(1500));
    }

    #[test]
    fn the_last_second_with_many_slow_deliveries_counts_to_its_end() {
        let mut deliveries = healthy_seconds();
        for second in [1, 3] {
            deliveries.extend((0..6).map(|number| (second * 1000 + number, 1500)));
        }
        assert_eq!(recovery(&deliveries, USUAL).recovered, ms(4000));
    }

    #[test]
    fn a_slow_delivery_that_comes_alone_counts() {
        let mut deliveries = healthy_seconds();
        deliveries.push((12_300, 1001));
        assert_eq!(recovery(&deliveries, USUAL).recovered, ms(13_000));
    }

    #[test]
    fn on_a_machine_that_was_slow_before_the_fault_twice_as_slow_is_as_before() {
        let slow = [(2000, 1600), (2100, 1500)];
        assert_eq!(recovery(&slow, ms(400)).recovered, ms(3000));
        let patient = recovery(&slow, ms(800));
        assert_eq!(patient.recovered, Duration::ZERO);
        assert_eq!(patient.healthy, ms(1600));
    }

    #[test]
    fn a_notice_that_the_fault_held_up_is_on_its_way_from_the_faults_end_only() {
        let recovery = recovery(&[(3500, 30_000)], USUAL);
        assert_eq!(recovery.longest, ms(3500));
        assert_eq!(recovery.recovered, ms(4000));
    }

    #[test]
    fn what_came_during_the_fault_is_the_faults() {
        let begin = Instant::now();
        let during = Delivery {
            begun: begin,
            received: begin + ms(9000),
        };
        let recovery = Recovery::of(&[during], begin + ms(9500), USUAL);
        assert_eq!(recovery.recovered, Duration::ZERO);
        assert_eq!(recovery.longest, Duration::ZERO);
    }

    proptest! {
        #[test]
        fn nothing_slow_comes_more_often_than_allowed_once_it_has_recovered(
            deliveries in prop::collection::vec((0_u64..30_000, 0_u64..4000), 0..300),
            usual in 0_u64..1000,
        ) {
            let Recovery { healthy, recovered, longest } = recovery(&deliveries, ms(usual));
            let after = deliveries.iter().filter(|(at, _)| ms(*at) >= recovered);
            let (mut all, mut slow) = (BTreeMap::<u64, u64>::new(), BTreeMap::<u64, u64>::new());
            for (at, took) in after {
                *all.entry(at / 1000).or_default() += 1;
                *slow.entry(at / 1000).or_default() += u64::from(ms(*took) > healthy);
            }
            for (second, slow) in slow {
                prop_assert!(slow * 10 <= all[&second], "second {second}");
            }
            let last = deliveries.iter().map(|(at, _)| *at).max().unwrap_or_default();
            prop_assert!(recovered <= ms(last) + ms(1000) && longest <= ms(last));
        }
    }
}
