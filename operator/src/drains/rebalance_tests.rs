//! Rebalancing, with a load balancer that spreads by chance, and with one that does not.

use proptest::prelude::*;

use super::super::Load;
use super::super::model::{CAPACITY, Chance, observed, serving, settings};
use super::*;

fn pods(loads: &[u64]) -> Vec<Pod> {
    let named = loads.iter().enumerate();
    named
        .map(|(number, load)| serving(&format!("rides-{number}"), *load))
        .collect()
}

fn balance(loads: &[u64]) -> Balance {
    Balance::of(&pods(loads))
}

fn seen(loads: &[u64]) -> Observation {
    observed(u32::try_from(loads.len()).unwrap(), 1, &pods(loads))
}

/// Those who move land anywhere.
fn move_by_chance(loads: &mut [u64], moves: &[Move], chance: &mut Chance) {
    for it in moves {
        let from: usize = it.pod.strip_prefix("rides-").unwrap().parse().unwrap();
        for _ in 0..it.sessions {
            loads[from] -= 1;
            loads[chance.one_of(loads.len())] += 1;
        }
    }
}

#[test]
fn up_to_a_quarter_more_than_the_mean_is_well() {
    assert!(!balance(&[5000, 4000, 3000]).is_skewed());
    assert!(balance(&[5400, 4000, 3000]).is_skewed());
    assert_eq!(balance(&[5000, 3000]).skew(), 125);
}

#[test]
fn what_chance_gives_a_pod_is_no_reason_to_move_anybody() {
    assert!(!balance(&[3, 1]).is_skewed());
    assert!(!balance(&[0, 0]).is_skewed());
    assert!(!balance(&[14, 8]).is_skewed());
    assert!(balance(&[12, 0]).is_skewed());
    assert!(
        !balance(&[12]).is_skewed(),
        "a single pod has nobody to give to"
    );
}

#[test]
fn only_the_overloaded_are_asked_and_for_no_more_than_needed() {
    let moves = balance(&[10_000, 10_000, 0]).moves();
    let asked: Vec<_> = moves
        .iter()
        .map(|it| (it.pod.as_str(), it.sessions))
        .collect();
    // Of 20,000 each asks x: 10,000 - x + 2x/3 is 1.15 of the mean.
    assert_eq!(asked, [("rides-0", 6999), ("rides-1", 6999)]);
}

#[test]
fn a_round_is_spread_as_a_drain_is_and_the_next_waits_for_its_end() {
    let (state, verdict) = Rebalance::default().judge(&seen(&[900, 0]), &settings(), 1000);
    let Verdict::Ask(moves, window) = verdict else {
        panic!("{verdict:?}");
    };
    assert_eq!(moves.len(), 1);
    assert!(window >= settings().window && window.as_secs() * 100 >= moves[0].sessions);
    let end = 1000 + window.as_secs() + SETTLE;
    let judged = |now| state.clone().judge(&seen(&[900, 0]), &settings(), now).1;
    assert_eq!(judged(end - 1), Verdict::Rest);
    assert_ne!(judged(end), Verdict::Rest);
}

#[test]
fn while_pods_start_or_leave_or_are_replaced_nobody_is_asked() {
    let judged = |seen: &Observation| Rebalance::default().judge(seen, &settings(), 1000).1;
    let skewed = || seen(&[900, 0, 0]);
    assert_ne!(judged(&skewed()), Verdict::Rest);
    let mut starting = skewed();
    starting.pods[2].phase = Phase::Pending;
    assert_eq!(judged(&starting), Verdict::Rest);
    let mut rolling = skewed();
    rolling.rolling = true;
    assert_eq!(judged(&rolling), Verdict::Rest);
    let mut leaving = skewed();
    leaving.pods[1].marks.leaving = Some("ScaleIn since=1 window=1 sessions=1".parse().unwrap());
    assert_eq!(judged(&leaving), Verdict::Rest);
    let mut held = skewed();
    held.pods[1].marks.requested = true;
    held.pods[1].ready = false;
    assert_ne!(
        judged(&held),
        Verdict::Rest,
        "a person's pod is none of them"
    );
}

#[test]
fn what_a_rollout_leaves_uneven_stays_for_a_while_unless_pods_are_added_or_one_is_nearly_full() {
    let at = |seen: &Observation, now| Rebalance::default().judge(seen, &settings(), now).1;
    let judged = |seen: &Observation| at(seen, 1500);
    let mut rolled = seen(&[700, 100]);
    rolled.rolled_out = Some(rolled.pods[1].created + 10);
    assert_eq!(judged(&rolled), Verdict::Rest);
    assert_ne!(at(&rolled, 1010 + QUIET), Verdict::Rest);
    let mut added = rolled.clone();
    added.pods[1].created += 10;
    assert_ne!(judged(&added), Verdict::Rest);
    let mut full = rolled;
    full.pods[0].load = Some(Load {
        sessions: CAPACITY * 4 / 5,
        draining: false,
    });
    assert_ne!(judged(&full), Verdict::Rest);
}

#[test]
fn a_pod_that_is_full_and_so_not_ready_does_not_hold_the_others_up() {
    let mut seen = seen(&[700, 1000, 0]);
    seen.pods[1].ready = false;
    let verdict = Rebalance::default().judge(&seen, &settings(), 1000).1;
    assert_ne!(verdict, Verdict::Rest);
}

#[test]
fn where_clients_come_back_to_the_pod_they_left_it_ends_with_a_word_and_a_pause() {
    let (mut state, mut now, mut asked) = (Rebalance::default(), 1000, 0);
    let in_vain = loop {
        let (next, verdict) = state.judge(&seen(&[900, 100]), &settings(), now);
        state = next;
        match verdict {
            Verdict::Rest => now += 10,
            Verdict::Ask(..) => asked += 1,
            Verdict::InVain => break now,
        }
    };
    assert_eq!(asked, PATIENCE);
    let rests = |now| state.clone().judge(&seen(&[900, 100]), &settings(), now).1 == Verdict::Rest;
    assert!(rests(in_vain + PAUSE - 1) && !rests(in_vain + PAUSE));
}

proptest! {
    #[test]
    fn a_load_balancer_that_spreads_by_chance_brings_it_within_the_limit_in_a_few_rounds(
        mut loads in prop::collection::vec(0_u64..3000, 2..8),
        seed in any::<u64>(),
    ) {
        let mut chance = Chance(seed);
        let (mut rounds, mut moved) = (0, 0);
        let total: u64 = loads.iter().sum();
        while balance(&loads).is_skewed() {
            let moves = balance(&loads).moves();
            moved += moves.iter().map(|it| it.sessions).sum::<u64>();
            move_by_chance(&mut loads, &moves, &mut chance);
            rounds += 1;
            prop_assert!(rounds <= 3, "{loads:?}");
        }
        prop_assert_eq!(loads.iter().sum::<u64>(), total);
        prop_assert!(moved <= 2 * total);
    }

    #[test]
    fn if_those_who_move_land_evenly_nobody_is_above_the_aim(loads in prop::collection::vec(0_u64..100_000, 2..20)) {
        let balance = balance(&loads);
        let moves = balance.moves();
        let moving: u64 = moves.iter().map(|it| it.sessions).sum();
        let count = loads.len() as u64;
        let total: u64 = loads.iter().sum();
        for (number, load) in loads.iter().enumerate() {
            let asked = moves.iter().find(|it| it.pod == format!("rides-{number}"));
            let after = load - asked.map_or(0, |it| it.sessions) + moving / count;
            let mean = total / count;
            prop_assert!(after * 100 <= (mean + 1) * AIM + 100 || asked.is_none());
        }
        if !balance.is_skewed() && balance.skew() <= AIM {
            prop_assert!(moves.is_empty());
        }
    }
}
