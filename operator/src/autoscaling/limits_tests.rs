//! Upstream's table, then properties.

use proptest::prelude::*;

use super::*;

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

struct Case {
    /// Its name in `TestScalingWithRules` of pkg/controller/podautoscaler/horizontal_test.go, Kubernetes 1.36.3.
    upstream: &'static str,
    /// Pods added, and how many seconds ago.
    events: &'static [(i64, u64)],
    policies: &'static [Policy],
    current: u32,
    /// What upstream lets grow to, before its maximum of replicas.
    expected: u32,
}

// `generateEventsUniformDistribution` puts three events of 120 s in the middle of their 40 s.
const THREE: &[(i64, u64)] = &[(1, 100), (5, 60), (9, 20)];

#[rustfmt::skip]
const UPSTREAM: &[Case] = &[
    Case { upstream: "scaleUpLimit is the limit because scaleUpLimit < maxReplicas with user policies", events: &[], policies: &[Policy::Percent(1, seconds(60))], current: 3, expected: 4 },
    Case { upstream: "scaleUp with default behavior", events: &[], policies: &DEFAULT_SCALE_UP, current: 10, expected: 20 },
    Case { upstream: "scaleUp with pods policy larger than percent policy", events: &[], policies: &[Policy::Pods(100, seconds(60)), Policy::Percent(100, seconds(60))], current: 10, expected: 110 },
    Case { upstream: "scaleUp with percent policy larger than pods policy", events: &[], policies: &[Policy::Pods(2, seconds(60)), Policy::Percent(100, seconds(60))], current: 10, expected: 20 },
    Case { upstream: "scaleUp with spec MaxReplicas limitation with large pod policy", events: &[], policies: &[Policy::Pods(100, seconds(60))], current: 10, expected: 110 },
    Case { upstream: "scaleUp with pod policy limitation", events: &[], policies: &[Policy::Pods(30, seconds(60))], current: 10, expected: 40 },
    Case { upstream: "scaleUp with percent policy limitation", events: &[], policies: &[Policy::Percent(200, seconds(60))], current: 10, expected: 30 },
    Case { upstream: "scaleUp with spec MaxReplicas limitation with large pod policy and events", events: THREE, policies: &[Policy::Pods(300, seconds(120))], current: 100, expected: 385 },
    Case { upstream: "scaleUp with currentReplicas limitation with rate.PeriodSeconds with a lot of recent scale up events", events: THREE, policies: &[Policy::Pods(5, seconds(120))], current: 100, expected: 100 },
    Case { upstream: "scaleUp with pod policy and previous scale up events", events: THREE, policies: &[Policy::Pods(150, seconds(120))], current: 100, expected: 235 },
    Case { upstream: "scaleUp with percent policy and previous scale up events", events: THREE, policies: &[Policy::Percent(200, seconds(120))], current: 100, expected: 255 },
    Case { upstream: "scaleUp with percent policy and previous scale up and down events", events: &[(4, 60), (-2, 60)], policies: &[Policy::Percent(300, seconds(300))], current: 6, expected: 16 },
];

#[test]
fn every_case_of_upstream_is_answered_as_upstream_answers_it() {
    for case in UPSTREAM {
        let now = Instant::now() + seconds(1000);
        let events = case.events.iter();
        let events = events.map(|&(change, ago)| (now - seconds(ago), change));
        let mut events = ScaleEvents(events.collect());
        let most = events.most(case.current, case.policies, now);
        assert_eq!(most, case.expected, "{}", case.upstream);
    }
}

#[test]
fn the_first_table_of_upstream_holds_for_the_default_too() {
    // TestConvertDesiredReplicasWithRules: twice as many, and four at least.
    let now = Instant::now();
    for (current, expected) in [(1, 5), (3, 7), (4, 8), (5, 10), (20, 40)] {
        let most = ScaleEvents::default().most(current, &DEFAULT_SCALE_UP, now);
        assert_eq!(most, expected, "from {current}");
    }
}

proptest! {
    #[test]
    fn within_a_period_it_never_grows_by_more_than_four_or_double(
        steps in prop::collection::vec((0_u64..20, 1_u32..500), 1..40),
        first in 1_u32..30,
    ) {
        let begun = Instant::now();
        let (mut now, mut size, mut events) = (0, first, ScaleEvents::default());
        let mut sizes = vec![(0, first)];
        for (pause, wanted) in steps {
            now += pause;
            let at = begun + seconds(now);
            let next = wanted.min(events.most(size, &DEFAULT_SCALE_UP, at));
            events.record(size, next, at);
            size = next;
            sizes.push((now, size));
            let recent = sizes.iter().filter(|it| now - it.0 < 15);
            let before = sizes.iter().rev().find(|it| now - it.0 >= 15);
            let smallest_and_before = recent.chain(before).map(|it| it.1);
            let base = smallest_and_before.max().unwrap();
            let lowest = before.map_or(first, |it| it.1);
            prop_assert!(size <= base.max((lowest * 2).max(lowest + 4)));
        }
    }
}
