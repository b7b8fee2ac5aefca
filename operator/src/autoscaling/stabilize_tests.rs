//! Upstream's table, then properties.

use proptest::prelude::*;

use super::*;

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

struct Case {
    /// Its name in `TestNormalizeDesiredReplicasWithBehavior` of pkg/controller/podautoscaler/horizontal_test.go,
    /// Kubernetes 1.36.3.
    upstream: &'static str,
    /// The size and how many minutes ago it was recommended.
    recommended: &'static [(u32, u64)],
    current: u32,
    wanted: u32,
    up: Duration,
    down: Duration,
    expected: u32,
}

const NONE: Duration = Duration::ZERO;

#[rustfmt::skip]
const UPSTREAM: &[Case] = &[
    Case { upstream: "empty recommendations for scaling down", recommended: &[], current: 100, wanted: 5, up: NONE, down: NONE, expected: 5 },
    Case { upstream: "simple scale down stabilization", recommended: &[(4, 2), (5, 1)], current: 100, wanted: 3, up: NONE, down: minutes(3), expected: 5 },
    Case { upstream: "simple scale up stabilization", recommended: &[(4, 2), (5, 1)], current: 1, wanted: 7, up: minutes(5), down: NONE, expected: 4 },
    Case { upstream: "no scale down stabilization", recommended: &[(1, 2), (2, 1)], current: 100, wanted: 3, up: minutes(5), down: NONE, expected: 3 },
    Case { upstream: "no scale up stabilization", recommended: &[(4, 2), (5, 1)], current: 1, wanted: 3, up: NONE, down: minutes(5), expected: 3 },
    Case { upstream: "no scale down stabilization, reuse recommendation element", recommended: &[(10, 10), (9, 9)], current: 100, wanted: 3, up: NONE, down: NONE, expected: 3 },
    Case { upstream: "no scale up stabilization, reuse recommendation element", recommended: &[(10, 10), (9, 9)], current: 1, wanted: 100, up: NONE, down: NONE, expected: 100 },
    Case { upstream: "scale down stabilization, reuse one of obsolete recommendation element", recommended: &[(10, 10), (9, 9), (5, 2), (4, 1)], current: 100, wanted: 3, up: NONE, down: minutes(3), expected: 5 },
    Case { upstream: "scale up stabilization, reuse one of obsolete recommendation element", recommended: &[(10, 100), (9, 3), (5, 2), (6, 1)], current: 1, wanted: 100, up: minutes(5), down: NONE, expected: 5 },
    Case { upstream: "scale up and down stabilization, do not scale up when prenormalized rec goes down", recommended: &[(2, 100), (3, 3)], current: 2, wanted: 1, up: minutes(5), down: minutes(5), expected: 2 },
    Case { upstream: "scale up and down stabilization, do not scale down when prenormalized rec goes up", recommended: &[(2, 100), (1, 3)], current: 2, wanted: 3, up: minutes(5), down: minutes(5), expected: 2 },
];

#[test]
fn every_case_of_upstream_is_answered_as_upstream_answers_it() {
    for case in UPSTREAM {
        let now = Instant::now() + minutes(200);
        let mut recommendations = Recommendations::default();
        for &(size, ago) in case.recommended {
            recommendations.record(size, now - minutes(ago));
        }
        let windows = Windows {
            up: case.up,
            down: case.down,
        };
        let size = recommendations.stabilize(case.current, case.wanted, windows, now);
        assert_eq!(size, case.expected, "{}", case.upstream);
    }
}

#[test]
fn an_operator_that_has_just_started_shrinks_nothing_for_a_whole_window() {
    let begun = Instant::now();
    let windows = Windows {
        up: NONE,
        down: minutes(5),
    };
    let mut recommendations = Recommendations::starting_with(7, begun);
    for second in (0..300).step_by(10) {
        let now = begun + Duration::from_secs(second);
        assert_eq!(recommendations.stabilize(7, 2, windows, now), 7);
    }
    let now = begun + minutes(5);
    assert_eq!(recommendations.stabilize(7, 2, windows, now), 2);
}

/// The same by looking at all that was ever recommended.
fn by_the_book(
    history: &[(u64, u32)],
    now: u64,
    current: u32,
    wanted: u32,
    up: u64,
    down: u64,
) -> u32 {
    let within = |window| {
        let recent = history.iter().filter(move |it| now - it.0 < window);
        recent.map(|it| it.1).chain([wanted])
    };
    let lowest = within(up).min().unwrap();
    let highest = within(down).max().unwrap();
    current.max(lowest).min(highest)
}

proptest! {
    #[test]
    fn the_short_memory_answers_as_a_complete_one(
        steps in prop::collection::vec((0_u64..120, 1_u32..12), 1..60),
        up in 0_u64..400,
        down in 0_u64..400,
    ) {
        let begun = Instant::now();
        let windows = Windows { up: Duration::from_secs(up), down: Duration::from_secs(down) };
        let mut recommendations = Recommendations::default();
        let (mut now, mut current, mut history) = (0, 5, Vec::new());
        for (pause, wanted) in steps {
            now += pause;
            let expected = by_the_book(&history, now, current, wanted, up, down);
            current = recommendations.stabilize(current, wanted, windows, begun + Duration::from_secs(now));
            prop_assert_eq!(current, expected);
            history.push((now, wanted));
            prop_assert!(recommendations.highest.len() <= 12 && recommendations.lowest.len() <= 12);
        }
    }

    #[test]
    fn what_is_wanted_for_longer_than_the_windows_comes(current in 1_u32..50, wanted in 1_u32..50, up in 0_u64..400, down in 0_u64..400) {
        let begun = Instant::now();
        let windows = Windows { up: Duration::from_secs(up), down: Duration::from_secs(down) };
        let mut recommendations = Recommendations::starting_with(current, begun);
        recommendations.stabilize(current, wanted, windows, begun);
        let later = begun + Duration::from_secs(up.max(down));
        prop_assert_eq!(recommendations.stabilize(current, wanted, windows, later), wanted);
    }
}
