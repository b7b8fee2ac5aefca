//! Staged anywhere, pushed where the receiver is.

use serde_json::json;

use crate::support::{Cluster, Handshake};

#[tokio::test]
async fn a_notice_staged_on_any_node_reaches_its_receiver_on_any_node() {
    let cluster = Cluster::new();
    let nodes = cluster.three().await;
    let mut clients = Vec::new();
    for (place, node) in nodes.iter().enumerate() {
        clients.push((
            format!("v1-{place}"),
            node.connect(&format!("v1-{place}")).await,
        ));
        let legacy = format!("legacy-{place}");
        clients.push((legacy.clone(), node.connect_legacy(&legacy).await));
    }
    for node in &nodes {
        for (account, client) in &mut clients {
            let id = node.stage(account, "hello").await;
            assert_eq!(client.notice().await.id, id, "{account}");
        }
    }
}

/// Guarantee 4.
#[tokio::test]
async fn what_a_sender_stages_on_one_node_after_the_other_arrives_in_its_order() {
    const NOTICES: usize = 90;
    let cluster = Cluster::new();
    let nodes = cluster.three().await;
    let mut here = nodes[2].connect("u2").await;
    let mut there = nodes[0].connect_legacy("u2").await;
    let mut staged = Vec::new();
    for (number, node) in (0..NOTICES).zip(nodes.iter().cycle()) {
        let body = json!({"receiverId": "u2", "senderId": "u1", "message": number.to_string()});
        staged.push(node.stage_body(&body).await);
    }
    for client in [&mut here, &mut there] {
        let notices = client.notices(NOTICES).await;
        let ids: Vec<_> = notices.iter().map(|notice| notice.id.as_str()).collect();
        assert_eq!(ids, staged);
    }
}

#[tokio::test]
async fn one_call_for_many_accounts_reaches_each_on_its_node() {
    let cluster = Cluster::new();
    let nodes = cluster.three().await;
    let mut clients = Vec::new();
    for (place, node) in nodes.iter().enumerate() {
        for number in 0..5 {
            let account = format!("u-{place}-{number}");
            clients.push((account.clone(), node.connect(&account).await));
        }
    }
    let accounts: Vec<_> = clients.iter().map(|(account, _)| account.clone()).collect();
    let body = json!({"receiverIds": accounts, "message": "to all"});
    let answer = nodes[1].try_stage(&body).await.expect(200).json();
    for (place, (account, client)) in clients.iter_mut().enumerate() {
        let notice = client.notice().await;
        assert_eq!(&notice.receiver, account);
        assert_eq!(answer["results"][place]["id"], notice.id);
    }
}

#[tokio::test]
async fn what_came_while_an_account_was_off_line_waits_for_it_at_every_node() {
    let cluster = Cluster::new();
    let [a, b, c] = cluster.three().await;
    let first = a.stage("u2", "first").await;
    let second = b.stage("u2", "second").await;
    let mut client = c.connect("u2").await;
    assert_eq!(client.notice().await.id, first);
    assert_eq!(client.notice().await.id, second);
}

#[tokio::test]
async fn what_was_not_acknowledged_at_one_node_comes_again_at_another() {
    let cluster = Cluster::new();
    let [a, b] = cluster.two().await;
    let mut client = a.connect("u2").await;
    let id = b.stage("u2", "hello").await;
    assert_eq!(client.notice().await.id, id);
    b.reaches_state(&id, "pushed").await;
    drop(client);
    let mut client = b.connect("u2").await;
    let again = client.notice().await;
    assert_eq!((&again.id, again.redelivered), (&id, true));
    client.ack(&[&id]).await;
    a.reaches_state(&id, "read").await;
}

#[tokio::test]
async fn a_client_sends_to_a_client_of_another_node_in_every_way() {
    let cluster = Cluster::new();
    let [a, b] = cluster.two().await;
    let mut receiver = b.connect("u2").await;
    let mut legacy_receiver = b.connect_legacy("u2").await;
    let mut received = async |message: &str| {
        for socket in [&mut receiver, &mut legacy_receiver] {
            let notice = socket.notice().await;
            let seen = (notice.message.as_str(), notice.sender.as_deref());
            assert_eq!(seen, (message, Some("u1")));
        }
    };
    let token = a.token("u1").await;
    let by_http = json!({"receiverId": "u2", "message": "by HTTP"});
    let answer = a.client_post(&token, "/send", &by_http).await.expect(201);
    assert_eq!(answer.json()["duplicate"], false);
    received("by HTTP").await;

    let mut sender = Handshake::legacy(&token).open(a.public).await;
    sender
        .send(&json!({"receiverId": "u2", "message": "as the source design"}))
        .await;
    received("as the source design").await;

    let mut sender = Handshake::v1(&token).open(a.public).await;
    let frame = json!({"type": "send", "ref": "r1", "receiverId": "u2", "message": "in v1"});
    sender.send(&frame).await;
    assert_eq!(sender.expect("sent").await["ref"], "r1");
    received("in v1").await;
}

#[tokio::test]
async fn a_notice_that_is_never_stored_reaches_the_sessions_of_every_node_once() {
    let cluster = Cluster::new();
    let nodes = cluster.three().await;
    let mut devices = Vec::new();
    for node in &nodes {
        devices.push(node.connect("u2").await);
    }
    nodes[0].reaches_sessions("u2", 3).await;
    let body = json!({"receiverId": "u2", "message": "typing", "ttlSeconds": 0});
    let id = nodes[0].stage_body(&body).await;
    let marker = nodes[1].stage("u2", "marker").await;
    for device in &mut devices {
        assert_eq!(device.notice().await.id, id);
        assert_eq!(device.notice().await.id, marker);
    }
    nodes[2].state(&id).await.expect_problem(404, "NOT_FOUND");
}
