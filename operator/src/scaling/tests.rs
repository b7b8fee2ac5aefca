//! Turns over made-up observations: what a desk makes of them.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::drains::{LEAVING, News};
use crate::observe::{Child, ChildKind, ChildSeen, DeploymentSeen, Detail, Index, PodSeen};
use crate::sessions::figures::Load;
use crate::validate::{Facts, validate};

const NOW: u64 = 1_790_000_000;

fn key() -> ClusterKey {
    ClusterKey::new("a", "rides")
}

fn observed(autoscaling: &Value, replicas: i32, pods: &[(&str, Value)]) -> Observed {
    let object = json!({
        "apiVersion": "noticecluster.dev/v1alpha1", "kind": "NoticeCluster",
        "metadata": {"name": "rides", "namespace": "a", "uid": "u", "generation": 3, "resourceVersion": "9"},
        "spec": {
            "replicas": 2,
            "mongodb": {"uriSecretRef": {"name": "mongo", "key": "uri"}},
            "auth": {"apiKeysSecretRef": {"name": "keys", "key": "keys"}},
            "capacity": {"maxSessionsPerPod": 1000, "connectRatePerSecond": 100},
            "drain": {"windowSeconds": 30},
            "autoscaling": autoscaling,
        }
    });
    let mut index = Index::default();
    index.cluster_seen(object, 1);
    let mut observed = index.observe(&key()).unwrap();
    let deployment = DeploymentSeen {
        desired: replicas,
        replicas,
        updated: replicas,
        ready: replicas,
        available: replicas,
        ..DeploymentSeen::default()
    };
    let child = Child {
        seen: ChildSeen::of(&json!({})),
        detail: Some(Box::new(Detail::Deployment(deployment))),
    };
    observed
        .children
        .insert((ChildKind::Deployment, "rides".into()), child);
    observed.pods = pods
        .iter()
        .map(|(name, annotations)| pod(name, annotations))
        .collect();
    observed
}

fn pod(name: &str, annotations: &Value) -> PodSeen {
    PodSeen::of(&json!({
        "metadata": {
            "name": name, "creationTimestamp": "2026-12-01T00:00:00Z", "annotations": annotations,
            "labels": {"pod-template-hash": "7d9"},
        },
        "status": {
            "phase": "Running", "podIP": "10.0.0.1",
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }))
}

fn figures(loads: &[(&str, i64)]) -> Figures {
    let load = |sessions| Load {
        sessions,
        draining: false,
    };
    Figures {
        pods: loads
            .iter()
            .map(|(name, sessions)| ((*name).to_owned(), Some(load(*sessions))))
            .collect(),
    }
}

fn learned(scaling: &Scaling, observed: &Observed) {
    let object = Arc::clone(observed.cluster.object.as_ref().unwrap());
    let spec = validate(&object, &Facts::offline()).unwrap();
    scaling.learn(&observed.key, &spec);
}

fn by_operator() -> Value {
    json!({"minReplicas": 1, "maxReplicas": 5, "targetSessionsPerPod": 500, "scaleDown": {"stabilizationSeconds": 0}})
}

const PLAIN: [(&str, Value); 2] = [("rides-a", Value::Null), ("rides-b", Value::Null)];

#[test]
fn before_anything_is_decided_the_size_is_the_one_that_is_found() {
    let scaling = Scaling::default();
    let observed = observed(&by_operator(), 4, &PLAIN);
    assert_eq!(scaling.size(&observed), Some(4));
    learned(&scaling, &observed);
    assert_eq!(scaling.size(&observed), Some(4));
    assert_eq!(scaling.told(&key()), Sizing::default());
}

#[test]
fn more_sessions_than_the_target_ask_for_another_size_and_say_why_once() {
    let scaling = Scaling::default();
    let observed = observed(&by_operator(), 2, &PLAIN);
    learned(&scaling, &observed);
    let loads = figures(&[("rides-a", 700), ("rides-b", 700)]);
    let todo = scaling.turn(&observed, &loads, NOW);
    assert!(todo.reconcile);
    assert_eq!(scaling.size(&observed), Some(3));
    let status = scaling.told(&key()).decision.unwrap();
    assert_eq!(status.desired_replicas, Some(3));
    assert!(
        status
            .reason
            .unwrap()
            .starts_with("1400 sessions on 2 pods speak for 3")
    );
    // The Deployment has been written meanwhile.
    let grown = self::observed(&by_operator(), 3, &PLAIN);
    let again = scaling.turn(&grown, &loads, NOW + 5);
    assert!(again.actions.is_empty(), "{again:?}");
    assert_eq!(scaling.size(&grown), Some(3));
}

#[test]
fn at_rest_no_turn_asks_for_anything() {
    let scaling = Scaling::default();
    let observed = observed(&by_operator(), 2, &PLAIN);
    learned(&scaling, &observed);
    let turn = |sessions, now| {
        scaling.turn(
            &observed,
            &figures(&[("rides-a", sessions), ("rides-b", 500)]),
            now,
        )
    };
    assert!(turn(500, NOW).reconcile, "the first decision is told");
    for later in 1..100 {
        let todo = turn(480 + i64::try_from(later % 40).unwrap(), NOW + 5 * later);
        assert!(
            todo.actions.is_empty() && !todo.reconcile && todo.rebalance.is_none(),
            "{todo:?}"
        );
    }
}

#[test]
fn too_few_sessions_mark_and_drain_the_emptiest_pod_and_leave_the_size() {
    let scaling = Scaling::default();
    let observed = observed(&by_operator(), 2, &PLAIN);
    learned(&scaling, &observed);
    let todo = scaling.turn(
        &observed,
        &figures(&[("rides-a", 200), ("rides-b", 100)]),
        NOW,
    );
    let [
        Action::Tell(_, News::Started),
        Action::Mark(marked, leaving),
        Action::Drain(drained, window),
    ] = &todo.actions[..]
    else {
        panic!("{todo:?}");
    };
    assert_eq!(
        (marked.as_str(), drained.as_str(), window.as_secs()),
        ("rides-b", "rides-b", 30)
    );
    assert_eq!((leaving.since, leaving.sessions), (NOW, 100));
    assert_eq!(
        scaling.size(&observed),
        Some(2),
        "it is lowered when the pod is empty"
    );
}

#[test]
fn an_operator_that_takes_over_takes_a_marked_pod_for_one_that_leaves() {
    let scaling = Scaling::default();
    let mark = json!({LEAVING: format!("ScaleIn since={NOW} window=30 sessions=100")});
    let observed = observed(
        &by_operator(),
        3,
        &[PLAIN[0].clone(), PLAIN[1].clone(), ("rides-c", mark)],
    );
    learned(&scaling, &observed);
    let mut loads = figures(&[("rides-a", 500), ("rides-b", 500), ("rides-c", 40)]);
    loads.pods.insert(
        "rides-c".to_owned(),
        Some(Load {
            sessions: 40,
            draining: true,
        }),
    );
    let todo = scaling.turn(&observed, &loads, NOW + 10);
    assert!(todo.actions.is_empty(), "it goes on as it was: {todo:?}");
    assert_eq!(scaling.size(&observed), Some(3));
}

#[test]
fn where_somebody_else_decides_pods_that_are_too_many_are_emptied_first_too() {
    let scaling = Scaling::default();
    let by_hpa = json!({"mode": "HorizontalPodAutoscaler", "maxReplicas": 5});
    let three = [PLAIN[0].clone(), PLAIN[1].clone(), ("rides-c", Value::Null)];
    let observed = observed(&by_hpa, 3, &three);
    learned(&scaling, &observed);
    assert_eq!(scaling.size(&observed), Some(3), "the spec asks for two");
    let loads = figures(&[("rides-a", 300), ("rides-b", 100), ("rides-c", 20)]);
    let todo = scaling.turn(&observed, &loads, NOW);
    let drained = todo.actions.iter().find_map(|it| match it {
        Action::Drain(pod, _) => Some(pod.as_str()),
        _ => None,
    });
    assert_eq!(drained, Some("rides-c"));
    assert!(!todo.reconcile);
    assert_eq!(scaling.size(&observed), Some(3));
    assert_eq!(
        scaling.told(&key()),
        Sizing::default(),
        "nothing was decided here"
    );
}

#[test]
fn pods_that_do_not_tell_their_sessions_go_all_the_same_when_somebody_asks_for_fewer() {
    let scaling = Scaling::default();
    let observed = observed(&Value::Null, 3, &[PLAIN[0].clone(), PLAIN[1].clone()]);
    learned(&scaling, &observed);
    let mut silent = Figures::default();
    for (name, _) in &PLAIN {
        silent.pods.insert((*name).to_owned(), None);
    }
    // The third is not made yet, so it is the one that is left out.
    assert!(scaling.turn(&observed, &silent, NOW).reconcile);
    assert_eq!(scaling.size(&observed), Some(2));
}

#[test]
fn a_paused_cluster_rests() {
    let scaling = Scaling::default();
    let loads = figures(&[("rides-a", 900), ("rides-b", 900)]);
    let mut paused = observed(&by_operator(), 2, &PLAIN);
    let mut object = paused.cluster.object.as_ref().unwrap().as_ref().clone();
    object.spec.paused = Some(true);
    paused.cluster.object = Ok(Arc::new(object));
    learned(&scaling, &paused);
    assert!(!scaling.turn(&paused, &loads, NOW).reconcile);
}
