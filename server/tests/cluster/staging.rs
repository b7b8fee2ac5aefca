//! A retried staging call is one notice, whichever node each attempt reached.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{Cluster, Program, Response, eventually};

#[tokio::test]
async fn the_same_key_on_one_node_after_the_other_is_one_notice() {
    let cluster = Cluster::new();
    let [a, b, c] = cluster.three().await;
    let mut client = c.connect("u2").await;
    let body = json!({"receiverId": "u2", "message": "accepted", "idempotencyKey": "ride-7"});
    let id = a.stage_body(&body).await;
    for node in [&b, &c, &a] {
        let again = node.try_stage(&body).await.expect(200).json();
        assert_eq!(again, json!({"id": id, "duplicate": true}));
    }
    let other = json!({"receiverId": "u2", "message": "refused", "idempotencyKey": "ride-7"});
    let answer = b.try_stage(&other).await;
    answer.expect_problem(409, "IDEMPOTENCY_CONFLICT");
    let marker = b.stage("u2", "marker").await;
    assert_eq!(client.notice().await.id, id);
    assert_eq!(client.notice().await.id, marker);
}

/// Asks again with the same key after a 503, as the contract says.
async fn until_answered(node: &Program, body: &Value) -> Response {
    let what = format!("an answer to {body}");
    eventually(&what, async || {
        let answer = node.try_stage(body).await;
        if answer.status == 503 {
            println!("{}", answer.text());
            return Err(answer.expect_problem(503, "STORE_UNAVAILABLE"));
        }
        Ok(answer)
    })
    .await
}

#[tokio::test]
async fn the_same_key_on_every_node_at_once_is_one_notice() {
    const KEYS: usize = 8;
    let cluster = Cluster::new();
    let nodes = cluster.three().await;
    let mut client = nodes[1].connect("u2").await;
    let staging = async {
        let mut ids = BTreeSet::new();
        for number in 0..KEYS {
            ids.insert(stage_everywhere(&nodes, &format!("ride-{number}")).await);
        }
        let marker = nodes[0].stage("u2", "marker").await;
        (ids, marker)
    };
    // Read meanwhile: who does not answer pings is closed for that.
    let (received, (ids, marker)) = tokio::join!(client.notices(KEYS), staging);
    let received: BTreeSet<_> = received.into_iter().map(|notice| notice.id).collect();
    assert_eq!((ids.len(), &received), (KEYS, &ids));
    assert_eq!(client.notice().await.id, marker);
}

/// The id that all nodes answered with.
async fn stage_everywhere(nodes: &[Program; 3], key: &str) -> String {
    let body = json!({"receiverId": "u2", "message": key, "idempotencyKey": key});
    let answers = join_all(nodes.iter().map(|node| until_answered(node, &body))).await;
    let fresh = answers.iter().filter(|answer| answer.status == 201).count();
    let ids: BTreeSet<_> = answers
        .iter()
        .map(|answer| answer.json()["id"].as_str().unwrap().to_owned())
        .collect();
    // Of the one that stored it the caller may have heard a 503, and a duplicate when it asked again.
    assert!(fresh <= 1 && ids.len() == 1, "{answers:?}");
    ids.into_iter().next().unwrap()
}

#[tokio::test]
async fn clients_that_repeat_a_send_at_another_node_send_once() {
    let cluster = Cluster::new();
    let [a, b] = cluster.two().await;
    let mut receiver = b.connect("u2").await;
    let token = a.token("u1").await;
    let body = json!({"receiverId": "u2", "message": "hello", "idempotencyKey": "k"});
    let first = a.client_post(&token, "/send", &body).await.expect(201);
    let again = b.client_post(&token, "/send", &body).await.expect(201);
    let id = &first.json()["id"];
    assert_eq!(again.json(), json!({"id": id, "duplicate": true}));
    let marker = a.stage("u2", "marker").await;
    assert_eq!(receiver.notice().await.id, *id);
    assert_eq!(receiver.notice().await.id, marker);
}
