//! What other programs write to Redis and MongoDB themselves.

use std::time::Duration;

use mongodb::bson::oid::ObjectId;
use mongodb::bson::{DateTime, Document, doc};
use redis::AsyncCommands as _;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use crate::support::{Cluster, Handshake, eventually};

#[tokio::test]
async fn a_token_that_another_system_wrote_is_good_at_every_node_until_it_is_deleted() {
    let cluster = Cluster::new();
    let [a, b] = cluster.two().await;
    cluster.write_token("made-elsewhere", "u2", 3600).await;
    let handshake = Handshake::v1("made-elsewhere");
    for node in [&a, &b] {
        let session = node.client_get("made-elsewhere", "/session").await;
        assert_eq!(session.expect(200).json()["accountId"], "u2");
        let mut client = handshake.open(node.public).await;
        let id = a.stage("u2", "hello").await;
        assert_eq!(client.notice().await.id, id);
        client.ack(&[&id]).await;
        a.reaches_state(&id, "read").await;
        client.close().await;
    }
    let mut redis = cluster.redis().await;
    let deleted: u32 = redis.del(cluster.key("made-elsewhere")).await.unwrap();
    assert_eq!(deleted, 1);
    for node in [&a, &b] {
        eventually("the end of a deleted token", async || {
            match handshake.try_open(node.public).await {
                Err(answer) if answer.status == 401 => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_token_that_another_system_prolongs_lets_its_session_live_on() {
    const FIRST: u64 = 8;
    let cluster = Cluster::new();
    let [a, b] = cluster.two().await;
    cluster.write_token("prolonged", "u2", FIRST).await;
    cluster.write_token("ends", "u3", FIRST).await;
    let written = Instant::now();
    let mut lives = Handshake::v1("prolonged").open(a.public).await;
    let mut ends = Handshake::v1("ends").open(b.public).await;
    let mut redis = cluster.redis().await;
    let prolonged: bool = redis.expire(cluster.key("prolonged"), 3600).await.unwrap();
    assert!(prolonged);
    assert_eq!(ends.closed().await, Some(4401));
    // It is about what does not happen at a time, so the time must have passed.
    sleep_until(written + Duration::from_secs(FIRST + 1)).await;
    let id = b.stage("u2", "still there?").await;
    assert_eq!(lives.find("notice").await["notice"]["id"], id);
}

#[tokio::test]
async fn what_the_value_of_a_token_says_of_its_end_counts_as_well() {
    let cluster = Cluster::new();
    let a = cluster.node("node-a").await;
    let now = DateTime::now().timestamp_millis();
    let mut redis = cluster.redis().await;
    for (token, expires) in [("over", now - 1000), ("lives", now + 60_000)] {
        let value = json!({"accountID": "u2", "expireTime": expires}).to_string();
        let (): () = redis.set(cluster.key(token), value).await.unwrap();
    }
    let answer = Handshake::v1("over").refused(a.public).await;
    answer.expect_problem(401, "UNAUTHENTICATED");
    Handshake::v1("lives").open(a.public).await;
    let session = a.client_get("lives", "/session").await.json();
    assert_eq!(session["expireTime"], now + 60_000);
    for token in ["over", "lives"] {
        let (): () = redis.del(cluster.key(token)).await.unwrap();
    }
}

/// As the old service wrote them, created so many milliseconds ago.
fn old_document(receiver: &str, message: &str, ago: i64) -> Document {
    let created = DateTime::from_millis(DateTime::now().timestamp_millis() - ago);
    doc! {
        "_id": ObjectId::new(),
        "receiverId": receiver,
        "senderId": "u1",
        "message": message,
        "createdTime": created,
        "read": false,
    }
}

#[tokio::test]
async fn what_the_old_service_writes_reaches_an_account_that_is_online_by_the_sweep() {
    let cluster = Cluster::new().with("NOTICE_DELIVERY_SWEEP_SECONDS", "1");
    let [a, b] = cluster.two().await;
    let mut client = b.connect("u2").await;
    a.reaches_sessions("u2", 1).await;
    let notices = cluster.notices().await;
    let written = Instant::now();
    let id = notices
        .insert_one(old_document("u2", "from the old service", 0))
        .await
        .unwrap()
        .inserted_id;
    let notice = client.notice().await;
    println!("found after {:?}", written.elapsed());
    assert_eq!(notice.message, "from the old service");
    assert_eq!(notice.sender.as_deref(), Some("u1"));
    let swept = "notice_push_lag_seconds_count{path=\"sweep\"}";
    b.reaches_metric(swept, 1.0).await;

    client.ack(&[&notice.id]).await;
    eventually("the document as the old service sees it", async || {
        let found = notices.find_one(doc! {"_id": &id}).await.unwrap();
        match found.as_ref().map(|found| found.get_bool("read")) {
            Some(Ok(true)) => Ok(()),
            _ => Err(found),
        }
    })
    .await;
}

#[tokio::test]
async fn what_the_old_service_left_comes_in_order_of_its_time_when_its_account_connects() {
    let cluster = Cluster::new();
    let [a, b] = cluster.two().await;
    let notices = cluster.notices().await;
    let left = [("third", 1000), ("first", 3_600_000), ("second", 60_000)];
    for (message, ago) in left {
        let document = old_document("u2", message, ago);
        notices.insert_one(document).await.unwrap();
    }
    let read =
        doc! {"receiverId": "u2", "message": "read", "createdTime": DateTime::now(), "read": true};
    notices.insert_one(read).await.unwrap();
    a.stage("u2", "fourth").await;
    let mut client = b.connect("u2").await;
    let received = client.notices(4).await;
    let messages: Vec<_> = received
        .iter()
        .map(|notice| notice.message.as_str())
        .collect();
    assert_eq!(messages, ["first", "second", "third", "fourth"]);
    let ids: Vec<_> = received.iter().map(|notice| notice.id.as_str()).collect();
    client.ack(&ids).await;
    a.reaches_unread("u2", 0).await;
    // An old notice is one like any other.
    assert_eq!(a.state_name(ids[0]).await, "read");
    a.recall(ids[0]).await.expect(204);
    assert_eq!(client.expect("recall").await["ids"], json!([ids[0]]));
}
