//! MongoDB without Redis: the source design's polling, with nothing of what it lost.

use serde_json::json;

use crate::support::{Cluster, Handshake};

#[tokio::test]
async fn without_redis_notices_of_other_nodes_are_found_by_polling_once_and_in_order() {
    const NOTICES: usize = 30;
    let cluster = Cluster::new().without_redis();
    let nodes = cluster.three().await;
    let mut clients = [
        nodes[0].connect("u2").await,
        nodes[1].connect("u2").await,
        nodes[2].connect_legacy("u2").await,
    ];
    let mut staged = Vec::new();
    for number in 0..NOTICES {
        let body = json!({"receiverId": "u2", "senderId": "u1", "message": number.to_string()});
        staged.push(nodes[0].stage_body(&body).await);
    }
    for client in &mut clients {
        let notices = client.notices(NOTICES).await;
        let ids: Vec<_> = notices.iter().map(|notice| notice.id.as_str()).collect();
        assert_eq!(ids, staged);
    }
    let marker = nodes[1].stage("u2", "marker").await;
    for client in &mut clients {
        assert_eq!(client.notice().await.id, marker);
    }
}

#[tokio::test]
async fn without_redis_tokens_are_kept_in_mongodb_for_every_node() {
    let cluster = Cluster::new().without_redis();
    let [a, b] = cluster.two().await;
    let token = a.token("u2").await;
    let mut client = Handshake::v1(&token).open(b.public).await;
    let id = a.stage("u2", "hello").await;
    assert_eq!(client.notice().await.id, id);
    let sessions = cluster.database().await;
    let sessions = sessions.collection::<mongodb::bson::Document>("notice_session");
    let kept = sessions.find_one(mongodb::bson::doc! {}).await.unwrap();
    let kept = kept.expect("a document of the token").to_string();
    assert!(!kept.contains(&token), "the token itself is kept: {kept}");

    b.revoke(&token).await;
    assert_eq!(client.closed().await, Some(4401));
    let answer = Handshake::v1(&token).refused(a.public).await;
    answer.expect_problem(401, "UNAUTHENTICATED");
}

#[tokio::test]
async fn without_redis_what_is_recalled_or_read_on_another_node_is_offered_to_nobody_later() {
    let cluster = Cluster::new().without_redis();
    let [a, b] = cluster.two().await;
    let token = a.token("u2").await;
    let (recalled, read) = (a.stage("u2", "1").await, a.stage("u2", "2").await);
    let left = b.stage("u2", "3").await;
    b.recall(&recalled).await.expect(204);
    assert_eq!(b.ack(&token, &[&read]).await, 1);
    let mut client = Handshake::v1(&token).open(a.public).await;
    assert_eq!(client.notice().await.id, left);
}
