//! Streams, polls and the page over several nodes: no request has to reach the node of the one before it.

use serde_json::{Value, json};

use super::links::linked;
use crate::support::{Carrier, Cluster, Device, Link, Listen, Program, Request, eventually};

async fn poll(node: &Program, token: &str, query: &str) -> Value {
    let request = Request::get(format!("/notice/poll?{query}")).bearer(token);
    request.send(node.public).await.expect(200).json()
}

fn ids(answer: &Value) -> Vec<String> {
    let notices = answer["notices"].as_array().unwrap();
    let id = |notice: &Value| notice["id"].as_str().unwrap().to_owned();
    notices.iter().map(id).collect()
}

#[tokio::test]
async fn a_poller_that_wanders_between_nodes_gets_everything_once_acknowledged_never_again() {
    let cluster = Cluster::new();
    let nodes = cluster.two().await;
    let token = nodes[0].token("u2").await;
    let mut device = Device::open(nodes[0].public, &token, Carrier::ShortPoll).await;
    for number in 0..30 {
        let message = number.to_string();
        nodes[number % 2].stage("u2", &message).await;
        device.poll_at(nodes[(number / 3) % 2].public);
        let notice = device.notice().await;
        assert_eq!(notice.message, message);
        device.ack(&[&notice.id]).await;
    }
    device.reads_all(&nodes[0], "u2").await;
    for node in &nodes {
        assert_eq!(
            ids(&poll(node, &token, "wait=0").await),
            Vec::<String>::new()
        );
        node.reaches_unread("u2", 0).await;
    }
}

#[tokio::test]
async fn a_long_poll_parked_at_one_node_is_answered_by_a_notice_staged_at_another() {
    let cluster = Cluster::new();
    let [a, b] = cluster.two().await;
    let mut device = Device::connect(&a, "u2", Carrier::LongPoll).await;
    for round in 0..5 {
        let waiting = tokio::spawn(async move {
            let notice = device.notice().await;
            device.ack(&[&notice.id]).await;
            (device, notice.message)
        });
        a.reaches_sessions("u2", 1).await;
        b.stage("u2", &round.to_string()).await;
        let (back, message) = waiting.await.unwrap();
        assert_eq!(message, round.to_string());
        device = back;
    }
}

#[tokio::test]
async fn an_acknowledgement_at_one_node_is_known_to_the_same_pollers_session_at_the_other() {
    let cluster = Cluster::new();
    let [a, b] = cluster.two().await;
    let token = a.token("u2").await;
    poll(&a, &token, "wait=0").await;
    poll(&b, &token, "wait=0").await;
    let id = a.stage("u2", "hello").await;
    assert_eq!(ids(&poll(&a, &token, "wait=10").await), [id.as_str()]);
    assert_eq!(ids(&poll(&b, &token, "wait=10").await), [id.as_str()]);
    assert_eq!(
        poll(&b, &token, &format!("wait=0&ack={id}")).await,
        json!({"notices": []})
    );
    eventually("node-a knows", async || {
        let answer = poll(&a, &token, "wait=0").await;
        if ids(&answer).is_empty() {
            Ok(())
        } else {
            Err(answer)
        }
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_comes_back_at_another_node_resumes_there() {
    let cluster = Cluster::new();
    let [a, b] = cluster.two().await;
    let token = a.token("u2").await;
    let mut events = Listen::with(&token).open(a.public).await;
    let staged = b.stage_many("u2", "message", 40).await;
    for id in &staged {
        a.reaches_state(id, "read").await;
    }
    assert_eq!(events.notice().await.id, staged[0]);
    drop(events);
    a.reaches_sessions("u2", 0).await;
    let unread = a.stage("u2", "unread").await;
    let mut events = Listen::with(&token).after(&staged[0]).open(b.public).await;
    for id in staged.iter().chain([&unread]) {
        assert_eq!(&events.notice().await.id, id);
    }
}

#[tokio::test]
async fn who_was_removed_does_not_come_back_by_itself_at_any_node() {
    let cluster = Cluster::new();
    let nodes = cluster.two().await;
    let token = nodes[0].token("u2").await;
    let mut events = Listen::with(&token).open(nodes[0].public).await;
    nodes[1].reaches_sessions("u2", 1).await;
    let removed = nodes[1].service_delete("/accounts/u2/sessions").await;
    removed.expect(204);
    events.ended().await;
    for node in &nodes {
        Listen::with(&token).refused(node.public).await.expect(204);
    }
}

#[tokio::test]
async fn what_the_page_showed_at_one_node_is_read_by_its_next_load_at_another() {
    let cluster = Cluster::new();
    let [a, b] = cluster.two().await;
    let token = a.token("u2").await;
    let id = b.stage("u2", "hello").await;
    let signed_in = format!("SESSION_TOKEN_KEY={token}");
    let load = Request::get("/notice/page").header("cookie", &signed_in);
    let page = load.send(a.public).await.expect(200);
    let shown = page
        .header("set-cookie")
        .unwrap()
        .split(';')
        .next()
        .unwrap();
    let load = Request::get("/notice/page").header("cookie", format!("{signed_in}; {shown}"));
    load.send(b.public).await.expect(200);
    a.reaches_state(&id, "read").await;
}

#[tokio::test]
async fn a_repeated_call_wakes_the_receiver_when_the_node_of_the_first_one_died_before_it_told_anybody()
 {
    // Nothing but a wake-up may bring it.
    let cluster = Cluster::new().with("NOTICE_DELIVERY_SWEEP_SECONDS", "3600");
    let ((dying, proxy), living) = tokio::join!(linked(&cluster), cluster.node("node-a"));
    let mut client = living.connect("u2").await;
    let marker = living.stage("u2", "caught up").await;
    assert_eq!(client.notice().await.id, marker);
    // The marker may have come by either way.
    let before = living.metrics().await;
    proxy.set(Link::Silent);
    let body = json!({"receiverId": "u2", "message": "hello", "idempotencyKey": "k"});
    let (call, notices) = (dying.api(), cluster.notices().await);
    let first = tokio::spawn({
        let body = body.clone();
        async move { call.try_stage(&body).await }
    });
    eventually("the notice is stored", async || {
        let stored = notices
            .find_one(mongodb::bson::doc! { "message": "hello" })
            .await;
        stored.unwrap().ok_or("not yet")
    })
    .await;
    dying.kill().await;
    first.abort();
    let again = living.try_stage(&body).await.expect(200).json();
    assert_eq!(again["duplicate"], true);
    assert_eq!(client.notice().await.id, again["id"].as_str().unwrap());
    let metrics = living.metrics().await;
    let came = |path: &str| {
        let sample = format!("notice_push_lag_seconds_count{{path=\"{path}\"}}");
        metrics.value(&sample) - before.value(&sample)
    };
    assert_eq!((came("replay"), came("sweep")), (1.0, 0.0));
}
