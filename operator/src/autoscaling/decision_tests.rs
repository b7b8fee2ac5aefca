//! Decisions in a row: storms, nights, blips, restarts.

use proptest::prelude::*;

use super::*;

const TARGET: u64 = 10_000;
const CAPACITY: u64 = 20_000;

fn rules() -> Rules {
    Rules {
        min: 2,
        max: 20,
        target: TARGET,
        capacity: CAPACITY,
        tolerance: Tolerance::default(),
        windows: Windows {
            up: Duration::ZERO,
            down: Duration::from_secs(300),
        },
        ahead: Duration::from_secs(60),
    }
}

fn seen(size: u32, standings: impl IntoIterator<Item = Standing>) -> Observation {
    let pods = standings.into_iter().enumerate();
    let pods = pods.map(|(number, standing)| Pod {
        name: format!("rides-{number}"),
        standing,
    });
    Observation {
        size,
        pods: pods.collect(),
    }
}

fn even(size: u32, total: u64) -> Observation {
    let each = total / u64::from(size);
    let rest = total % u64::from(size);
    let serving = (0..u64::from(size)).map(|pod| each + u64::from(pod < rest));
    seen(
        size,
        serving.map(|sessions| Standing::Serving(Some(sessions))),
    )
}

/// A cluster that obeys at once, looked at every ten seconds.
struct Cluster {
    autoscaler: Autoscaler,
    rules: Rules,
    now: Instant,
    size: u32,
}

impl Cluster {
    fn of(size: u32) -> Self {
        let now = Instant::now();
        Self {
            autoscaler: Autoscaler::new(size, now),
            rules: rules(),
            now,
            size,
        }
    }

    fn look(&mut self, total: u64) -> Decision {
        self.look_at(&even(self.size, total))
    }

    fn look_at(&mut self, observation: &Observation) -> Decision {
        self.now += Duration::from_secs(10);
        let decision = self.autoscaler.decide(observation, &self.rules, self.now);
        self.size = decision.desired;
        decision
    }

    fn looks(&mut self, seconds: u64, total: u64) -> Decision {
        let mut last = self.look(total);
        for _ in 1..seconds.div_ceil(10) {
            last = self.look(total);
        }
        last
    }
}

#[test]
fn a_quiet_cluster_says_that_it_is_within_the_tolerance() {
    let decision = Cluster::of(2).looks(60, 21_000);
    assert_eq!(
        (decision.desired, decision.reason),
        (2, Reason::WithinTolerance)
    );
    assert_eq!(
        decision.message,
        "21000 sessions on 2 pods are within the tolerance of the target of 10000 a pod"
    );
}

#[test]
fn three_times_the_sessions_get_three_times_the_pods_at_the_next_look() {
    let mut cluster = Cluster::of(2);
    cluster.looks(60, 20_000);
    let decision = cluster.look(60_000);
    assert!(decision.desired >= 6, "{decision:?}");
}

#[test]
fn fewer_sessions_for_five_minutes_shrink_it_to_what_they_need() {
    let mut cluster = Cluster::of(6);
    cluster.looks(60, 60_000);
    let waits = cluster.look(25_000);
    assert_eq!((waits.desired, waits.recommended), (6, 3));
    assert_eq!(waits.limit, Some(Limit::WaitsToShrink));
    assert_eq!(
        waits.message,
        "25000 sessions on 6 pods speak for 3, at a target of 10000 a pod; \
         6 until no more were wanted for 300 s"
    );
    assert_eq!(cluster.looks(280, 25_000).desired, 6);
    assert_eq!(cluster.looks(20, 25_000).desired, 3);
}

#[test]
fn load_that_comes_back_while_a_pod_leaves_is_seen_beyond_the_tolerance_of_those_who_stay() {
    let leaves = |total: u64| {
        let each = (total - 2000) / 4;
        let staying = [Standing::Serving(Some(each)); 4];
        seen(
            4,
            staying.into_iter().chain([Standing::Leaving(Some(2000))]),
        )
    };
    let desired = |total| Cluster::of(4).look_at(&leaves(total)).desired;
    assert_eq!(desired(38_000), 4, "which is what was decided");
    assert_eq!(
        desired(43_000),
        4,
        "a little more than four would have been chosen for"
    );
    assert_eq!(desired(45_000), 5);
}

#[test]
fn a_storm_gets_pods_before_the_target_speaks_for_them() {
    let mut cluster = Cluster::of(2);
    cluster.looks(60, 4000);
    // 1,500 more a second: both pods would be full in less than half a minute.
    let decision = cluster.look(19_000);
    assert_eq!(decision.reason, Reason::ConnectingFast);
    assert_eq!(
        u64::from(decision.recommended),
        (19_000_u64 + 60 * 1500).div_ceil(CAPACITY)
    );
    assert!(
        decision.message.contains("1500 more a second"),
        "{}",
        decision.message
    );
}

#[test]
fn when_no_load_can_be_read_nothing_changes_and_it_says_so() {
    let mut cluster = Cluster::of(3);
    let decision = cluster.look_at(&seen(3, [Standing::Serving(None); 3]));
    assert_eq!(
        (decision.desired, decision.reason),
        (3, Reason::LoadUnknown)
    );
}

#[test]
fn a_pod_that_stops_answering_neither_shrinks_nor_grows_the_cluster() {
    let mut cluster = Cluster::of(3);
    cluster.looks(400, 30_000);
    for _ in 0..60 {
        let [a, b] = [Standing::Serving(Some(10_000)); 2];
        let decision = cluster.look_at(&seen(3, [a, b, Standing::Serving(None)]));
        assert_eq!(decision.desired, 3);
        assert_eq!(decision.sessions, 30_000);
    }
}

#[test]
fn pods_that_are_still_starting_keep_more_from_being_asked_for() {
    let mut cluster = Cluster::of(4);
    let waiting = seen(
        4,
        [
            Standing::Serving(Some(15_000)),
            Standing::Serving(Some(15_000)),
            Standing::Pending,
            Standing::Pending,
        ],
    );
    for _ in 0..10 {
        assert_eq!(cluster.look_at(&waiting).desired, 4);
    }
}

#[test]
fn bounds_that_a_person_moves_are_kept_at_once() {
    let mut cluster = Cluster::of(2);
    cluster.rules.min = 4;
    let raised = cluster.look(1000);
    assert_eq!((raised.desired, raised.limit), (4, Some(Limit::Minimum)));
    cluster.rules = Rules {
        min: 1,
        max: 3,
        ..rules()
    };
    let lowered = cluster.look(90_000);
    assert_eq!((lowered.desired, lowered.limit), (3, Some(Limit::Maximum)));
    assert!(
        lowered.message.ends_with("; maxReplicas is 3"),
        "{}",
        lowered.message
    );
}

#[test]
fn a_window_upwards_holds_for_wishes_and_not_for_what_the_present_sessions_need() {
    let mut cluster = Cluster::of(2);
    cluster.rules.windows.up = Duration::from_secs(60);
    cluster.looks(120, 20_000);
    let wished = cluster.look(39_000);
    assert_eq!(
        (wished.desired, wished.limit),
        (2, Some(Limit::WaitsToGrow))
    );
    let needed = cluster.look(41_000);
    assert_eq!(needed.desired, 3);
}

fn standings() -> impl Strategy<Value = Vec<Standing>> {
    let known = || (0_u64..=CAPACITY).prop_map(Some);
    let standing = prop_oneof![
        6 => known().prop_map(Standing::Serving),
        1 => Just(Standing::Serving(None)),
        1 => known().prop_map(Standing::Leaving),
        1 => Just(Standing::Pending),
        1 => Just(Standing::Gone),
    ];
    prop::collection::vec(standing, 0..25)
}

proptest! {
    #[test]
    fn it_stays_within_the_bounds_and_never_below_what_the_sessions_need(
        looks in prop::collection::vec((standings(), 1_u64..100), 1..20),
        first in 1_u32..40,
        min in 1_u32..10,
        more in 0_u32..20,
    ) {
        let rules = Rules { min, max: min + more, ..rules() };
        let mut now = Instant::now();
        let mut autoscaler = Autoscaler::new(first, now);
        let mut size = first;
        for (standings, pause) in looks {
            now += Duration::from_secs(pause);
            let before = size;
            let decision = autoscaler.decide(&seen(size, standings), &rules, now);
            size = decision.desired;
            prop_assert!((rules.min..=rules.max).contains(&size));
            let needed = needed(decision.sessions, CAPACITY).min(rules.max);
            // Only the pace of growth may keep it from that for a moment, where the minimum is not above it.
            let paced = matches!(decision.limit, Some(Limit::Pace | Limit::Minimum));
            prop_assert!(size >= needed || paced);
            prop_assert!(size <= (before * 2).max(before + 4).max(rules.min));
            prop_assert!(!decision.message.is_empty());
        }
    }

    #[test]
    fn noise_within_the_tolerance_never_changes_the_size(
        size in 2_u32..20,
        noise in prop::collection::vec(900_u64..=1100, 1..80),
    ) {
        let mut cluster = Cluster::of(size);
        // Half of what a pod takes: no rate within the noise fills it.
        cluster.rules.target = 1000;
        for thousandths in noise {
            let decision = cluster.look(u64::from(size) * thousandths);
            prop_assert_eq!((decision.desired, decision.limit), (size, None));
        }
    }

    #[test]
    fn more_sessions_never_desire_fewer_pods(size in 1_u32..20, total in 0_u64..400_000, more in 0_u64..100_000) {
        let desired = |total| Cluster::of(size).look(total).desired;
        prop_assert!(desired(total + more) >= desired(total));
    }

    /// New pods are there 50 s after the look that asked for them, which is at most 10 s old. Clients connect evenly to
    /// those that are there; what they would fill before the first look can help is beyond any decision.
    #[test]
    fn a_storm_never_fills_the_pods_that_are_there(size in 2_u32..6, share in 1_u64..=100) {
        let rate = share * u64::from(size) * (CAPACITY - TARGET / 2) / 100 / 70;
        let mut rules = rules();
        rules.max = 1000;
        let begun = Instant::now();
        let mut autoscaler = Autoscaler::new(size, begun);
        let mut orders = vec![(0_u64, size)];
        for second in (0..600).step_by(10) {
            let total = u64::from(size) * TARGET / 2 + rate * second;
            let there = orders.iter().rev().find(|it| it.0 + 50 <= second).map_or(size, |it| it.1);
            prop_assert!(total <= u64::from(there) * CAPACITY, "full after {second} s: {total} on {there}");
            let wanted = orders.last().unwrap().1;
            let mut observation = even(there, total);
            observation.size = wanted;
            for number in there..wanted {
                observation.pods.push(Pod { name: format!("new-{number}"), standing: Standing::Pending });
            }
            let now = begun + Duration::from_secs(second);
            let decision = autoscaler.decide(&observation, &rules, now);
            orders.push((second, decision.desired));
        }
    }
}
