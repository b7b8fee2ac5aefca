//! The link between a node and Redis: what the metrics say of it, and life without it.

use crate::support::{Api, Cluster, Link, Program, Proxy, Services, eventually};

const UP: &str = "notice_bus_up";
const LIVE: &str = "notice_push_lag_seconds_count{path=\"live\"}";
const SWEPT: &str = "notice_push_lag_seconds_count{path=\"sweep\"}";

async fn rises(api: &Api, sample: &str, from: f64) {
    eventually(&format!("{sample} above {from}"), async || {
        let now = api.metrics().await.value(sample);
        if now > from { Ok(()) } else { Err(now) }
    })
    .await;
}

/// A node whose link to Redis the test holds in its hand.
pub(crate) async fn linked(cluster: &Cluster) -> (Program, Proxy) {
    let uri = Services::shared().redis;
    let proxy = Proxy::to_redis(&uri).await;
    let uri = proxy.instead_of(&uri);
    let node = cluster
        .node_with("linked", &[("NOTICE_REDIS_URI", &uri)])
        .await;
    (node, proxy)
}

#[tokio::test]
async fn the_metrics_count_what_goes_over_the_bus() {
    let cluster = Cluster::new();
    let [a, b] = cluster.two().await;
    let mut client = b.connect("u2").await;
    a.reaches_sessions("u2", 1).await;
    let (published, received) = (
        a.metrics().await.value("notice_bus_published_total"),
        b.metrics().await.value("notice_bus_received_total"),
    );
    for _ in 0..5 {
        a.stage("u2", "hello").await;
    }
    client.notices(5).await;
    rises(&a, "notice_bus_published_total", published + 4.0).await;
    rises(&b, "notice_bus_received_total", received + 4.0).await;
    b.reaches_metric(LIVE, 5.0).await;
    let (on_a, on_b) = (a.metrics().await, b.metrics().await);
    assert!((on_a.value(UP) - 1.0).abs() < 1e-9);
    // Found by nobody's sweep, and by no node that holds no session of the account.
    assert!(on_b.value(SWEPT).abs() < 1e-9 && on_a.value(LIVE).abs() < 1e-9);
}

#[tokio::test]
async fn a_node_that_is_cut_off_from_redis_keeps_its_sessions_and_finds_their_notices_by_polling() {
    let cluster = Cluster::new();
    let ((b, proxy), a) = tokio::join!(linked(&cluster), cluster.node("node-a"));
    let mut client = b.connect("u2").await;
    a.reaches_sessions("u2", 1).await;
    proxy.set(Link::Refused);
    b.reaches_metric(UP, 0.0).await;
    let from_another = a.stage("u2", "from another node").await;
    assert_eq!(client.notice().await.id, from_another);
    rises(&b, SWEPT, 0.0).await;
    let own = b.stage("u2", "from its own").await;
    assert_eq!(client.notice().await.id, own);
    b.admin_get("/readyz").await.expect(200);

    proxy.set(Link::Open);
    b.reaches_metric(UP, 1.0).await;
    a.reaches_sessions("u2", 1).await;
    let live = b.metrics().await.value(LIVE);
    let id = a.stage("u2", "by a wake-up again").await;
    assert_eq!(client.notice().await.id, id);
    rises(&b, LIVE, live).await;
}

#[tokio::test]
async fn what_was_read_and_recalled_while_the_link_was_broken_is_told_when_it_is_back() {
    let cluster = Cluster::new();
    let ((b, proxy), a) = tokio::join!(linked(&cluster), cluster.node("node-a"));
    let mut there = a.connect("u2").await;
    b.reaches_sessions("u2", 1).await;
    let (first, second) = (a.stage("u2", "1").await, a.stage("u2", "2").await);
    there.notices(2).await;
    let token = a.token("u2").await;
    // By then the node knows the token.
    b.client_get(&token, "/session").await.expect(200);
    proxy.set(Link::Refused);
    b.reaches_metric(UP, 0.0).await;
    b.recall(&first).await.expect(204);
    assert_eq!(b.ack(&token, &[&second]).await, 1);
    proxy.set(Link::Open);
    assert_eq!(there.expect("recall").await["ids"][0], first);
    assert_eq!(there.expect("read").await["ids"][0], second);
}
