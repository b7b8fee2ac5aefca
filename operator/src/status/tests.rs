//! Conditions and statuses of made-up observations.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::conditions::{Draft, conditions, stamp};
use super::*;
use crate::api::NoticeCluster;
use crate::apply::Done;
use crate::observe::summary::{DeploymentSeen, TheirCondition};
use crate::observe::{Child, ChildKind, ChildSeen, Classes, Detail, Index, Observed, PodSeen};
use crate::secrets::{Needs, SecretKey};
use crate::sessions::figures::tests::figures;
use crate::validate::{Facts, validate};

fn observed(spec: Value) -> Observed {
    let object = json!({
        "apiVersion": "noticecluster.dev/v1alpha1", "kind": "NoticeCluster",
        "metadata": {"name": "rides", "namespace": "a", "uid": "u", "generation": 3, "resourceVersion": "9"},
        "spec": spec
    });
    let mut index = Index::default();
    index.cluster_seen(object, 1);
    index.observe(&ClusterKey::new("a", "rides")).unwrap()
}

fn embedded() -> Observed {
    observed(
        json!({"storage": {"size": "1Gi"}, "auth": {"apiKeysSecretRef": {"name": "keys", "key": "keys"}}}),
    )
}

fn object(observed: &Observed) -> Arc<NoticeCluster> {
    observed.cluster.object.clone().unwrap()
}

fn outcome(observed: &Observed) -> Outcome {
    let spec = validate(&object(observed), &Facts::offline()).unwrap();
    Outcome {
        secrets: spec.secrets(),
        spec: Ok(Box::new(spec)),
        needs: Needs::default(),
        children: Vec::new(),
        notes: Vec::new(),
        figures: None,
        sizing: crate::reconcile::outcome::Sizing::default(),
    }
}

fn with_deployment(mut observed: Observed, seen: DeploymentSeen) -> Observed {
    let child = Child {
        seen: ChildSeen::of(&json!({})),
        detail: Some(Box::new(Detail::Deployment(seen))),
    };
    observed
        .children
        .insert((ChildKind::Deployment, "rides".into()), child);
    observed
}

fn settled(replicas: i32) -> DeploymentSeen {
    DeploymentSeen {
        generation: 4,
        observed_generation: 4,
        desired: replicas,
        replicas,
        updated: replicas,
        ready: replicas,
        available: replicas,
        ..DeploymentSeen::default()
    }
}

fn of(observed: &Observed, outcome: &Outcome, kind: &str) -> (String, String, String) {
    let drafts = conditions(observed, outcome);
    let draft = drafts
        .into_iter()
        .find(|it| it.kind == kind)
        .unwrap_or_else(|| Draft::new("none", "-", "-", "-"));
    (draft.status.to_owned(), draft.reason, draft.message)
}

fn short(observed: &Observed, outcome: &Outcome, kind: &str) -> (String, String) {
    let (status, reason, _) = of(observed, outcome, kind);
    (status, reason)
}

fn pair(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

#[test]
fn a_settled_deployment_is_ready_and_kstatus_sees_it_so() {
    let observed = with_deployment(embedded(), settled(1));
    let outcome = outcome(&observed);
    assert_eq!(
        short(&observed, &outcome, "Ready"),
        pair("True", "PodsReady")
    );
    assert_eq!(
        short(&observed, &outcome, "Reconciling"),
        pair("False", "Settled")
    );
    assert_eq!(
        short(&observed, &outcome, "Stalled"),
        pair("False", "NotStalled")
    );
}

#[test]
fn a_rollout_is_not_ready_until_the_last_old_pod_is_gone() {
    for unsettled in [
        DeploymentSeen {
            observed_generation: 3,
            ..settled(2)
        },
        DeploymentSeen {
            updated: 1,
            ..settled(2)
        },
        DeploymentSeen {
            replicas: 3,
            ..settled(2)
        },
        DeploymentSeen {
            available: 1,
            ..settled(2)
        },
    ] {
        let observed = with_deployment(embedded(), unsettled.clone());
        let outcome = outcome(&observed);
        assert_eq!(
            short(&observed, &outcome, "Ready"),
            pair("False", "RollingOut"),
            "{unsettled:?}"
        );
        assert_eq!(
            short(&observed, &outcome, "Reconciling"),
            pair("True", "RollingOut")
        );
    }
}

#[test]
fn a_rollout_that_takes_too_long_is_stalled_and_says_what_the_pods_say() {
    let late = DeploymentSeen {
        available: 0,
        progressing: TheirCondition {
            status: "False".into(),
            reason: "ProgressDeadlineExceeded".into(),
            message: String::new(),
        },
        ..settled(1)
    };
    let mut observed = with_deployment(embedded(), late);
    observed.pods = vec![PodSeen::of(&json!({
        "metadata": {"name": "rides-1"},
        "status": {"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]}
    }))];
    let (status, reason, message) = of(&observed, &outcome(&observed), "Stalled");
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("True", "ProgressDeadlineExceeded")
    );
    assert!(
        message.contains("pod rides-1: ImagePullBackOff"),
        "{message}"
    );
}

#[test]
fn a_missing_secret_says_what_to_create() {
    let observed = embedded();
    let mut outcome = outcome(&observed);
    outcome.needs.missing.insert("keys".into());
    let (status, reason, message) = of(&observed, &outcome, "DependenciesReady");
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("False", "SecretNotFound")
    );
    assert_eq!(
        message,
        "Secret keys is missing in namespace a (spec.auth.apiKeysSecretRef): create it with keys"
    );
    assert_eq!(
        short(&observed, &outcome, "Reconciling"),
        pair("True", "WaitingForSecrets")
    );
    outcome.needs = Needs::default();
    outcome.needs.missing_keys.insert(SecretKey {
        name: "keys".into(),
        key: "keys".into(),
    });
    assert_eq!(
        short(&observed, &outcome, "DependenciesReady"),
        pair("False", "SecretNotFound")
    );
}

#[test]
fn a_denied_secret_says_which_role_to_apply_and_does_not_hold_the_pods() {
    let observed = with_deployment(embedded(), settled(1));
    let mut outcome = outcome(&observed);
    outcome.needs.denied.insert("keys".into());
    let (status, reason, message) = of(&observed, &outcome, "DependenciesReady");
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("Unknown", "SecretAccessDenied")
    );
    assert!(
        message.contains("kind: Role\n") && message.contains("resourceNames: [keys]"),
        "{message}"
    );
    assert_eq!(
        short(&observed, &outcome, "Ready"),
        pair("True", "PodsReady")
    );
}

#[test]
fn refusals_are_stalled_with_what_was_said() {
    let observed = with_deployment(embedded(), settled(1));
    let mut outcome = outcome(&observed);
    outcome.children = vec![(
        ChildKind::Service,
        "rides".into(),
        Done::Rejected("spec.ports: Invalid value".into()),
    )];
    let (_, reason, message) = of(&observed, &outcome, "Stalled");
    assert_eq!(reason, "ApplyRejected");
    assert!(
        message.contains("Service rides: spec.ports: Invalid value"),
        "{message}"
    );
    outcome.children = vec![(
        ChildKind::Service,
        "rides".into(),
        Done::NotOurs("Rollout/x".into()),
    )];
    assert_eq!(
        short(&observed, &outcome, "Stalled"),
        pair("True", "NameConflict")
    );
}

#[test]
fn a_missing_optional_kind_is_told_and_does_not_hold_ready() {
    let observed = with_deployment(embedded(), settled(1));
    let mut outcome = outcome(&observed);
    outcome.children = vec![(ChildKind::ServiceMonitor, "rides".into(), Done::NotServed)];
    assert_eq!(
        short(&observed, &outcome, "DependenciesReady"),
        pair("False", "KindNotServed")
    );
    assert_eq!(
        short(&observed, &outcome, "Ready"),
        pair("True", "PodsReady")
    );
}

#[test]
fn the_edge_is_told_by_its_worst_part() {
    let spec = json!({"storage": {"size": "1Gi"}, "ingress": {"className": "nginx", "host": "x.example.com"}});
    let mut observed = with_deployment(observed(spec), settled(1));
    let outcome = outcome(&observed);
    assert_eq!(
        short(&observed, &outcome, "EdgeReady"),
        pair("Unknown", "Creating")
    );
    observed.classes = Classes::Known(BTreeMap::from([(
        "traefik".into(),
        ("traefik.io/ingress-controller".into(), true),
    )]));
    let (_, reason, message) = of(&observed, &outcome, "EdgeReady");
    assert_eq!(reason, "IngressClassNotFound");
    assert!(
        message.contains("no IngressClass nginx: there are traefik"),
        "{message}"
    );
    observed.host_conflict = Some((ClusterKey::new("b", "other"), "x.example.com/notice".into()));
    assert_eq!(
        short(&observed, &outcome, "EdgeReady"),
        pair("False", "HostConflict")
    );
    assert_eq!(
        short(&observed, &outcome, "Ready"),
        pair("True", "PodsReady"),
        "Ready does not wait for the edge"
    );
}

#[test]
fn without_an_edge_there_is_no_condition_about_it() {
    let observed = embedded();
    assert_eq!(of(&observed, &outcome(&observed), "EdgeReady").0, "-");
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn the_transition_time_moves_only_when_the_status_flips() {
    let first = stamp(vec![Draft::new("Ready", "False", "A", "a")], &[], 1, at(10));
    let reason = stamp(
        vec![Draft::new("Ready", "False", "B", "b")],
        &first,
        2,
        at(20),
    );
    assert_eq!(reason[0].last_transition_time.0, at(10));
    assert_eq!(
        (reason[0].reason.as_str(), reason[0].observed_generation),
        ("B", Some(2))
    );
    let flipped = stamp(
        vec![Draft::new("Ready", "True", "C", "c")],
        &reason,
        2,
        at(30),
    );
    assert_eq!(flipped[0].last_transition_time.0, at(30));
}

fn with_status(observed: &Observed, status: NoticeClusterStatus) -> Observed {
    let mut object = (*object(observed)).clone();
    object.status = Some(status);
    let mut observed = observed.clone();
    observed.cluster.object = Ok(Arc::new(object));
    observed
}

#[test]
fn a_second_pass_over_the_same_state_wants_the_same_status() {
    let before = with_deployment(embedded(), settled(1));
    let result = outcome(&before);
    let first = wanted(&before, &result, None, at(10));
    // As the API server gives it back.
    let written: NoticeClusterStatus =
        serde_json::from_value(serde_json::to_value(&first.status).unwrap()).unwrap();
    let again = wanted(
        &with_status(&before, written.clone()),
        &result,
        None,
        at(999),
    );
    assert_eq!(again.status, written);
}

fn pods(names: &[&str]) -> Vec<PodSeen> {
    names
        .iter()
        .map(|name| PodSeen::of(&json!({"metadata": {"name": name}})))
        .collect()
}

#[test]
fn figures_wait_their_time_and_a_small_change_is_not_told() {
    let mut observed = with_deployment(embedded(), settled(1));
    observed.pods = pods(&["p"]);
    let mut result = outcome(&observed);
    result.figures = Some(figures(&[("p", Some(1000))]));
    let first = wanted(&observed, &result, None, at(1));
    assert_eq!(
        (first.status.online_sessions, first.new_figures),
        (Some(1000), true)
    );

    let observed = with_status(&observed, first.status);
    result.figures = Some(figures(&[("p", Some(1040))]));
    assert_eq!(
        wanted(&observed, &result, None, at(2))
            .status
            .online_sessions,
        Some(1000)
    );

    result.figures = Some(figures(&[("p", Some(2000))]));
    let early = wanted(&observed, &result, Some(Duration::from_secs(10)), at(2));
    assert_eq!(
        (early.status.online_sessions, early.again),
        (Some(1000), Some(Duration::from_secs(20)))
    );
    let due = wanted(&observed, &result, Some(Duration::from_secs(31)), at(2));
    assert_eq!((due.status.online_sessions, due.again), (Some(2000), None));
}

#[test]
fn a_restart_of_the_operator_blanks_nothing_and_a_pod_that_cannot_be_asked_does() {
    let mut observed = with_deployment(embedded(), settled(1));
    observed.pods = pods(&["p"]);
    let mut result = outcome(&observed);
    result.figures = Some(figures(&[("p", Some(7))]));
    let told = wanted(&observed, &result, None, at(1)).status;
    let observed = with_status(&observed, told);
    result.figures = None;
    let restarted = wanted(&observed, &result, None, at(2)).status;
    assert_eq!(
        (restarted.online_sessions, restarted.pods[0].sessions),
        (Some(7), Some(7))
    );
    result.figures = Some(figures(&[("p", None)]));
    let unread = wanted(&observed, &result, None, at(3)).status;
    assert_eq!(
        (unread.online_sessions, unread.pods[0].sessions),
        (None, None)
    );
    let draining = unread
        .conditions
        .iter()
        .find(|it| it.type_ == "Draining")
        .unwrap();
    assert_eq!(draining.status, "Unknown");
}

#[test]
fn a_spec_that_makes_no_sense_is_stalled_and_what_is_known_of_the_pods_stays() {
    let mut observed = with_deployment(embedded(), settled(1));
    observed.pods = pods(&["p"]);
    let mut result = outcome(&observed);
    result.figures = Some(figures(&[("p", Some(7))]));
    let observed = with_status(&observed, wanted(&observed, &result, None, at(1)).status);
    let status = wanted(&observed, &Outcome::invalid(Vec::new()), None, at(2)).status;
    assert_eq!(
        (status.online_sessions, status.ready_replicas),
        (Some(7), Some(1))
    );
    let stalled = status
        .conditions
        .iter()
        .find(|it| it.type_ == "Stalled")
        .unwrap();
    assert_eq!(
        (stalled.status.as_str(), stalled.reason.as_str()),
        ("True", "InvalidSpec")
    );
}

#[test]
fn status_lists_no_more_pods_than_its_schema_takes() {
    let mut observed = with_deployment(embedded(), settled(1));
    let names: Vec<_> = (0..MOST_PODS + 5).map(|it| format!("p{it:05}")).collect();
    observed.pods = pods(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let result = outcome(&observed);
    assert_eq!(
        wanted(&observed, &result, None, at(1)).status.pods.len(),
        MOST_PODS
    );
}

proptest! {
    /// Whatever the Deployment says: exactly one of ready, working and stuck is so, and every condition is complete.
    #[test]
    fn exactly_one_of_ready_reconciling_and_stalled_is_true(
        generation in 0_i64..3, seen_generation in 0_i64..3, desired in 0_i32..4, replicas in 0_i32..5,
        updated in 0_i32..5, available in 0_i32..5, late: bool, refused: bool, missing: bool,
    ) {
        let mut seen = DeploymentSeen {
            generation, observed_generation: seen_generation, desired, replicas, updated, ready: available, available,
            ..DeploymentSeen::default()
        };
        if late { seen.progressing.reason = "ProgressDeadlineExceeded".into(); }
        if refused { seen.replica_failure.status = "True".into(); }
        let observed = with_deployment(embedded(), seen);
        let mut result = outcome(&observed);
        if missing { result.needs.missing.insert("keys".into()); }
        let drafts = conditions(&observed, &result);
        let on = drafts.iter().filter(|it| ["Ready", "Reconciling", "Stalled"].contains(&it.kind) && it.status == "True");
        prop_assert_eq!(on.count(), 1);
        for draft in drafts {
            prop_assert!(draft.reason.chars().next().is_some_and(char::is_uppercase), "{:?}", draft);
        }
    }
}
