//! Scale-ins on a cluster in miniature: how they end, and what must never happen on the way.

use proptest::prelude::*;

use super::super::model::{CAPACITY, Model, observed, serving, settings};
use super::*;

fn news(model: &Model, news: News) -> usize {
    model.news.iter().filter(|it| it.1 == news).count()
}

#[test]
fn the_emptiest_pod_is_drained_and_goes_and_nobody_is_cut_off() {
    let mut model = Model::new(&[300, 100, 400], 1);
    model.wanted = 2;
    model.run(200);
    model.assert_at_rest();
    let left: Vec<_> = model
        .pods
        .iter()
        .map(|pod| pod.seen.name.as_str())
        .collect();
    assert_eq!(left, ["rides-1", "rides-3"]);
    assert_eq!((model.cut, model.clients()), (0, 800));
    assert_eq!(model.moves.len(), 100, "only its clients moved");
    let expected = [News::Started, News::Emptied, News::Went];
    let told: Vec<_> = model.news.iter().map(|it| it.1).collect();
    assert_eq!(told, expected);
}

#[test]
fn several_go_together_so_that_each_client_moves_once() {
    let mut model = Model::new(&[100; 10], 2);
    model.wanted = 3;
    model.run(400);
    model.assert_at_rest();
    assert_eq!((model.cut, model.clients()), (0, 1000));
    assert!(
        model.moves.values().all(|moves| *moves == 1),
        "{:?}",
        model.moves
    );
}

#[test]
fn load_that_comes_back_stops_the_drain_and_the_pod_serves_again() {
    let mut model = Model::new(&[300, 200, 400], 3);
    model.wanted = 2;
    model.run(20);
    let moved = model.moves.len();
    assert!(moved > 0 && moved < 200, "it is in the middle: {moved}");
    model.wanted = 3;
    model.run(60);
    model.assert_at_rest();
    assert_eq!(
        (model.replicas, model.made_since_start()),
        (3, 0),
        "no new pod was needed"
    );
    assert!(model.moves.len() < 200);
    assert_eq!(
        (news(&model, News::Stopped), news(&model, News::Went)),
        (1, 0)
    );
}

#[test]
fn more_than_those_that_leave_are_wanted_and_the_rest_is_made() {
    let mut model = Model::new(&[300, 200, 400], 4);
    model.wanted = 2;
    model.run(20);
    model.wanted = 5;
    model.run(100);
    model.assert_at_rest();
    assert_eq!((model.replicas, model.made_since_start()), (5, 2));
}

#[test]
fn an_operator_that_takes_over_in_the_middle_goes_on() {
    let mut model = Model::new(&[300, 200, 400], 5);
    model.wanted = 2;
    for _ in 0..40 {
        model.run(5);
        model.take_over();
    }
    model.assert_at_rest();
    assert_eq!(model.cut, 0);
    assert!(model.moves.values().all(|moves| *moves == 1));
}

#[test]
fn where_the_others_have_no_room_nothing_is_drained() {
    let mut model = Model::new(&[700, 600], 6);
    model.wanted = 1;
    model.run(100);
    assert_eq!((model.live(), model.moves.len()), (2, 0));
    let (state, actions) = step(Drains::default(), &model.observe(), &settings(), model.now);
    assert_eq!((state.blocked(), actions), (Some(Blocked::NoRoom), vec![]));
    // Clients leave, there is room, it goes on by itself.
    model.leave(400);
    model.run(200);
    model.assert_at_rest();
}

#[test]
fn room_that_goes_while_a_pod_drains_brings_it_back() {
    let mut model = Model::new(&[400, 300, 300], 7);
    model.wanted = 2;
    model.run(10);
    model.join(1100);
    model.run(300);
    assert!(news(&model, News::NoRoom) > 0, "{:?}", model.news);
    assert_eq!((model.live(), model.cut), (3, 0));
    for pod in &model.pods {
        assert!(pod.clients.len() as u64 <= CAPACITY);
    }
}

#[test]
fn a_pod_that_does_not_run_goes_first_and_without_a_drain() {
    let mut model = Model::new(&[300, 200], 8);
    model.wanted = 4;
    model.run(10);
    model.wanted = 3;
    model.run(5);
    assert_eq!(model.replicas, 3);
    model.run(100);
    model.assert_at_rest();
    assert_eq!(model.moves.len(), 0);
}

#[test]
fn a_drain_that_does_not_end_is_ended_by_the_pods_own_end() {
    let mut model = Model::new(&[300, 200], 9);
    model.wanted = 1;
    model.run(10);
    model.silent = vec!["rides-2".to_owned()];
    model.run(200);
    assert_eq!((model.live(), model.replicas), (1, 1));
    assert_eq!(news(&model, News::DeadlinePassed), 1);
    assert_eq!(news(&model, News::Went), 1);
}

#[test]
fn another_pod_that_went_is_told_and_the_empty_one_serves_again() {
    let mut model = Model::new(&[300, 200, 400], 10);
    model.wanted = 2;
    model.run(45);
    while model.replicas == 3 {
        model.run(1);
    }
    // Somebody deletes another one between the lowering and the ReplicaSet's choice.
    model.pods.retain(|pod| pod.seen.name != "rides-3");
    model.run(100);
    model.assert_at_rest();
    assert_eq!(news(&model, News::AnotherWent), 1, "{:?}", model.news);
    assert!(model.pods.iter().any(|pod| pod.seen.name == "rides-2"));
}

#[test]
fn a_person_has_a_pod_emptied_and_gets_another_one_for_it_and_has_it_back() {
    let mut model = Model::new(&[300, 200, 400], 11);
    model.pod("rides-1").requested = true;
    model.run(100);
    model.assert_at_rest();
    assert_eq!((model.live(), model.pod("rides-1").clients.len()), (4, 0));
    model.pod("rides-1").requested = false;
    model.run(200);
    model.assert_at_rest();
    assert_eq!((model.live(), model.cut), (3, 0));
}

#[test]
fn a_pod_that_a_person_drains_by_hand_is_left_alone_and_another_one_made_for_it() {
    let mut by_hand = serving("a", 10);
    by_hand.load.as_mut().unwrap().draining = true;
    let seen = observed(2, 2, &[by_hand, serving("b", 10)]);
    let (_, actions) = step(Drains::default(), &seen, &settings(), 1000);
    assert_eq!(actions, [Action::Resize(3)]);
}

#[test]
fn in_a_rollout_nothing_begins_to_leave() {
    let mut seen = observed(
        3,
        2,
        &[
            serving("a", 1),
            serving("b", 1),
            serving("c", 1),
            serving("d", 0),
        ],
    );
    seen.rolling = true;
    let (state, actions) = step(Drains::default(), &seen, &settings(), 1000);
    assert_eq!((state.blocked(), actions), (Some(Blocked::Rolling), vec![]));
}

#[test]
fn a_size_set_by_hand_is_brought_to_what_is_wanted_without_cutting_anybody_off() {
    let mut model = Model::new(&[300, 200], 12);
    model.replicas = 6;
    model.run(300);
    model.assert_at_rest();
    assert_eq!((model.replicas, model.cut), (2, 0));
    model.replicas = 1;
    model.run(60);
    model.assert_at_rest();
    assert_eq!(model.replicas, 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_is_wanted_and_whatever_fails_it_ends_at_rest_and_cuts_nobody_off(
        loads in prop::collection::vec(0_u64..150, 1..8),
        changes in prop::collection::vec((1_u32..10, 1_u64..150, any::<bool>()), 1..8),
        failing in prop_oneof![Just(0_u64), 3_u64..20],
        seed in any::<u64>(),
    ) {
        let mut model = Model::new(&loads, seed);
        let clients = model.clients();
        model.failing = failing;
        for (wanted, seconds, restarts) in changes {
            // At most so many fit on them.
            model.wanted = wanted.max(2);
            model.run(seconds);
            if restarts {
                model.take_over();
            }
        }
        model.failing = 0;
        model.run(600);
        model.assert_at_rest();
        prop_assert_eq!(model.clients(), clients);
        if failing == 0 {
            prop_assert_eq!(model.cut, 0);
        }
    }

    #[test]
    fn one_scale_in_moves_each_client_at_most_once(
        loads in prop::collection::vec(0_u64..150, 2..10),
        fewer in 1_usize..9,
        seed in any::<u64>(),
    ) {
        let mut model = Model::new(&loads, seed);
        model.wanted = u32::try_from(loads.len().saturating_sub(fewer).max(1)).unwrap();
        // So many fit at nine tenths, whoever goes.
        prop_assume!(model.clients() as u64 <= u64::from(model.wanted) * CAPACITY * 9 / 10);
        model.run(600);
        model.assert_at_rest();
        prop_assert_eq!(model.cut, 0);
        prop_assert!(model.moves.values().all(|moves| *moves <= 1));
    }
}
