//! What the operator does when the API server refuses, fails, forgets and falls silent.

use hyper::Method;
use notice_operator::app::{self, Options};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::fake::{Fake, Fault};

const CLUSTER: &str = "/apis/noticecluster.dev/v1alpha1/namespaces/a/noticeclusters/rides";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/a/deployments/rides";
const SERVICE: &str = "/api/v1/namespaces/a/services/rides";
const SECRET: &str = "/api/v1/namespaces/a/secrets/keys";

struct Operator(JoinHandle<()>);

impl Operator {
    fn start(fake: &Fake) -> Self {
        let config = kube::Config::new(fake.url.parse().unwrap());
        let options = Options {
            namespaces: Vec::new(),
            metrics_listen: "127.0.0.1:0".parse().unwrap(),
            pod_namespace: Some("operator".to_owned()),
            pod_name: "operator".to_owned(),
            server_image: "example.test/notice-server:1".to_owned(),
            leader_elect: false,
            json_log: false,
            admin_port: 9090,
            metrics_api: None,
        };
        Self(tokio::spawn(async move {
            app::serve(&options, config, std::future::pending())
                .await
                .unwrap();
        }))
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn cluster(replicas: i64) -> Value {
    json!({
        "apiVersion": "noticecluster.dev/v1alpha1", "kind": "NoticeCluster",
        "metadata": {"name": "rides", "namespace": "a"},
        "spec": {"replicas": replicas, "storage": {"size": "1Gi"}, "auth": {"apiKeysSecretRef": {"name": "keys", "key": "keys"}}}
    })
}

fn secret() -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "data": {"keys": "cmlkZXM6MDEyMzQ1Njc4OWFiY2RlZg=="}})
}

fn condition(fake: &Fake, kind: &str) -> Option<(String, String)> {
    let object = fake.object(CLUSTER)?;
    let found = object["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|it| it["type"] == kind)?
        .clone();
    Some((
        found["status"].as_str()?.to_owned(),
        found["reason"].as_str()?.to_owned(),
    ))
}

async fn wait_condition(fake: &Fake, kind: &str, status: &str, reason: &str) {
    let wanted = (status.to_owned(), reason.to_owned());
    fake.wait(&format!("{kind} is {status}, {reason}"), || {
        condition(fake, kind).filter(|it| *it == wanted)
    })
    .await;
}

fn writes(fake: &Fake) -> usize {
    fake.seen()
        .iter()
        .filter(|it| it.method != Method::GET)
        .count()
}

/// A running cluster, and an operator that has nothing to do.
async fn settled() -> (Fake, Operator) {
    let fake = Fake::start().await;
    fake.put(SECRET, secret());
    fake.put(CLUSTER, cluster(1));
    let operator = Operator::start(&fake);
    fake.wait("the Deployment is there", || fake.object(DEPLOYMENT))
        .await;
    wait_condition(&fake, "Reconciling", "True", "RollingOut").await;
    (fake, operator)
}

#[tokio::test]
async fn a_refusal_that_lasts_is_stalled_and_the_other_children_are_made() {
    let fake = Fake::start().await;
    let message = "exceeded quota";
    fake.fail(Fault {
        method: Method::PATCH,
        holds: "/services/rides?",
        code: 403,
        message,
        times: usize::MAX,
    });
    fake.put(SECRET, secret());
    fake.put(CLUSTER, cluster(1));
    let _operator = Operator::start(&fake);
    wait_condition(&fake, "Stalled", "True", "ApplyRejected").await;
    fake.wait("the Deployment is there", || fake.object(DEPLOYMENT))
        .await;
    assert!(fake.object(SERVICE).is_none());
    let told = fake.object(CLUSTER).unwrap()["status"].to_string();
    assert!(told.contains("Service rides: exceeded quota"), "{told}");
}

#[tokio::test]
async fn failures_that_pass_are_tried_again_until_they_have_passed() {
    let fake = Fake::start().await;
    for code in [429, 500, 503] {
        fake.fail(Fault {
            method: Method::PATCH,
            holds: "/deployments/rides",
            code,
            message: "later",
            times: 1,
        });
    }
    fake.put(SECRET, secret());
    fake.put(CLUSTER, cluster(1));
    let _operator = Operator::start(&fake);
    fake.wait("the Deployment is there", || fake.object(DEPLOYMENT))
        .await;
    let tries = fake
        .seen()
        .iter()
        .filter(|it| it.path == DEPLOYMENT && it.method == Method::PATCH)
        .count();
    assert_eq!(tries, 4);
}

#[tokio::test]
async fn a_pass_over_the_same_state_writes_nothing() {
    let (fake, _operator) = settled().await;
    // A change that nobody needs to act on, then one that somebody must: between them nothing else was written.
    let before = writes(&fake);
    let mut same = fake.object(CLUSTER).unwrap();
    same["metadata"]["labels"] = json!({"a": "b"});
    fake.put(CLUSTER, same);
    let mut next = fake.object(CLUSTER).unwrap();
    next["spec"]["drain"] = json!({"windowSeconds": 90});
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(writes(&fake), before);
    fake.put(CLUSTER, next);
    fake.wait("the change is written", || {
        (writes(&fake) > before).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_watch_that_expired_lists_anew_and_finds_what_it_missed() {
    let (fake, _operator) = settled().await;
    fake.remove_in_silence(SERVICE);
    fake.expire_watches();
    fake.wait("the Service is back", || fake.object(SERVICE))
        .await;
}

#[tokio::test]
async fn a_watch_that_ends_goes_on_from_where_it_was() {
    let (fake, _operator) = settled().await;
    let lists = |fake: &Fake| {
        fake.seen()
            .iter()
            .filter(|it| it.path.ends_with("/noticeclusters") && !it.watch)
            .count()
    };
    let before = lists(&fake);
    fake.cut_watches();
    let mut next = fake.object(CLUSTER).unwrap();
    next["spec"]["replicas"] = json!(0);
    fake.put(CLUSTER, next);
    fake.wait("the Deployment follows", || {
        fake.object(DEPLOYMENT)
            .filter(|it| it["spec"]["replicas"] == 0)
    })
    .await;
    assert_eq!(lists(&fake), before, "no list was needed");
}

#[tokio::test]
async fn a_secret_that_may_not_be_read_is_unknown_and_heals() {
    let fake = Fake::start().await;
    fake.fail(Fault {
        method: Method::GET,
        holds: "metadata.name%3Dkeys",
        code: 403,
        message: "forbidden",
        times: 1,
    });
    fake.put(SECRET, secret());
    fake.put(CLUSTER, cluster(1));
    let _operator = Operator::start(&fake);
    wait_condition(&fake, "DependenciesReady", "Unknown", "SecretAccessDenied").await;
    fake.wait("the Deployment is there", || fake.object(DEPLOYMENT))
        .await;
    fake.wait("the Secret is read in the end", || {
        condition(&fake, "DependenciesReady").filter(|(status, _)| status == "True")
    })
    .await;
}

#[tokio::test]
async fn one_kind_that_fails_for_ever_does_not_hold_up_the_others() {
    let fake = Fake::start().await;
    fake.fail(Fault {
        method: Method::GET,
        holds: "/networkpolicies?",
        code: 500,
        message: "broken",
        times: usize::MAX,
    });
    fake.put(SECRET, secret());
    fake.put(CLUSTER, cluster(1));
    let _operator = Operator::start(&fake);
    fake.wait("the Deployment is there", || fake.object(DEPLOYMENT))
        .await;
    let mut edited = fake.object(DEPLOYMENT).unwrap();
    edited["spec"]["replicas"] = json!(9);
    fake.put(DEPLOYMENT, edited);
    fake.wait("the edit is undone", || {
        fake.object(DEPLOYMENT)
            .filter(|it| it["spec"]["replicas"] == 1)
    })
    .await;
}

#[tokio::test]
async fn a_spec_that_this_release_cannot_read_is_told_and_the_pods_stay() {
    let (fake, _operator) = settled().await;
    let deployment = fake.object(DEPLOYMENT).unwrap();
    let mut odd = fake.object(CLUSTER).unwrap();
    odd["spec"]["replicas"] = json!("many");
    fake.put(CLUSTER, odd);
    wait_condition(&fake, "Stalled", "True", "InvalidSpec").await;
    assert_eq!(
        fake.object(DEPLOYMENT).unwrap()["metadata"]["resourceVersion"],
        deployment["metadata"]["resourceVersion"]
    );
    // And others are served.
    let mut mended = fake.object(CLUSTER).unwrap();
    mended["spec"]["replicas"] = json!(1);
    fake.put(CLUSTER, mended);
    wait_condition(&fake, "Stalled", "False", "NotStalled").await;
}
