//! JWTs at several nodes: what one of them was told to refuse all refuse, and while that can't be asked nobody comes
//! in by one.

use serde_json::json;

use crate::links::linked;
use crate::support::{Api, Cluster, Handshake, Issuer, Link, eventually};

fn cluster() -> Cluster {
    Issuer::settings()
        .into_iter()
        .fold(Cluster::new(), |cluster, (name, value)| {
            cluster.with(name, value)
        })
}

async fn refused(node: &Api, token: &str) {
    for way in [Handshake::v1(token), Handshake::legacy(token)] {
        let answer = way.refused(node.public).await;
        answer.expect_problem(401, "UNAUTHENTICATED");
    }
    let answer = node.client_get(token, "/session").await;
    answer.expect_problem(401, "UNAUTHENTICATED");
}

#[tokio::test]
async fn a_jwt_that_one_node_revoked_ends_its_sessions_at_the_others_and_is_refused_by_all() {
    let cluster = cluster();
    let [a, b] = cluster.two().await;
    let issuer = Issuer::hs256();
    let [token, kept] = [issuer.jwt("u2", 3600), issuer.jwt("u2", 3600)];
    let mut here = Handshake::v1(&token).open(a.public).await;
    let mut v1 = Handshake::v1(&token).open(b.public).await;
    let mut legacy = Handshake::legacy(&token).open(b.public).await;
    let mut other = Handshake::v1(&kept).open(b.public).await;
    a.revoke(&token).await;
    for node in [&b, &a] {
        refused(node, &token).await;
    }
    for socket in [&mut v1, &mut legacy, &mut here] {
        assert_eq!(socket.closed().await, Some(4401));
    }
    let id = a.stage("u2", "still there?").await;
    assert_eq!(other.notice().await.id, id);
    // A node that starts later knows it as well.
    let c = cluster.node("node-c").await;
    refused(&c, &token).await;
    Handshake::v1(&kept).open(c.public).await;
}

#[tokio::test]
async fn a_kick_with_revoke_ends_the_jwts_of_the_sessions_at_every_node() {
    let cluster = cluster();
    let [a, b] = cluster.two().await;
    let issuer = Issuer::hs256();
    let [at_a, at_b] = [issuer.jwt("u2", 3600), issuer.jwt("u2", 3600)];
    let mut here = Handshake::v1(&at_a).open(a.public).await;
    let mut there = Handshake::v1(&at_b).open(b.public).await;
    let path = "/accounts/u2/sessions?revoke=true";
    a.service_delete(path).await.expect(204);
    for socket in [&mut here, &mut there] {
        assert_eq!(socket.closed().await, Some(4403));
    }
    for node in [&a, &b] {
        refused(node, &at_a).await;
        refused(node, &at_b).await;
    }
}

#[tokio::test]
async fn without_redis_the_list_of_revoked_jwts_is_in_mongodb_for_all_nodes() {
    let cluster = cluster().without_redis();
    let [a, b] = cluster.two().await;
    let issuer = Issuer::hs256();
    let [token, kept] = [issuer.jwt("u2", 3600), issuer.jwt("u2", 3600)];
    let mut here = Handshake::v1(&token).open(a.public).await;
    b.client_get(&token, "/session").await.expect(200);
    a.revoke(&token).await;
    assert_eq!(here.closed().await, Some(4401));
    for node in [&a, &b] {
        refused(node, &token).await;
        Handshake::v1(&kept).open(node.public).await;
    }
}

async fn comes_back_later(node: &Api, token: &str) {
    for way in [Handshake::v1(token), Handshake::legacy(token)] {
        let answer = way.refused(node.public).await;
        // With a Retry-After, as every 503.
        answer.expect_problem(503, "STORE_UNAVAILABLE");
    }
    let answer = node.client_get(token, "/session").await;
    answer.expect_problem(503, "STORE_UNAVAILABLE");
}

/// Waits until a node that was cut off can ask Redis again: the answer to a JWT is this one then.
async fn asks_again(node: &Api, token: &str, status: u16) {
    eventually("an answer by Redis", async || {
        let answer = node.client_get(token, "/session").await;
        if answer.status == status {
            Ok(())
        } else {
            Err(answer)
        }
    })
    .await;
}

async fn while_the_link_to_redis_is(cut: Link) {
    let cluster = cluster();
    let ((b, link), a) = tokio::join!(linked(&cluster), cluster.node("node-a"));
    let issuer = Issuer::hs256();
    let [live, new, revoked] = [(); 3].map(|()| issuer.jwt("u2", 3600));
    a.revoke(&revoked).await;
    let mut client = Handshake::v1(&live).open(b.public).await;
    link.set(cut);
    // A JWT that came in before is asked about like any other: it may have been revoked at another node since.
    for token in [&new, &live, &revoked] {
        comes_back_later(&b, token).await;
    }
    client.send(&json!({"type": "refresh", "token": new})).await;
    let error = client.expect("error").await;
    assert_eq!(error["code"], "STORE_UNAVAILABLE", "{error}");
    let revoking = json!({"token": new});
    let answer = b.service_post("/sessions/revoke", &revoking).await;
    answer.expect_problem(503, "STORE_UNAVAILABLE");
    let id = b.stage("u2", "still there?").await;
    assert_eq!(client.notice().await.id, id);
    client.ack(&[&id]).await;
    b.reaches_state(&id, "read").await;

    link.set(Link::Open);
    asks_again(&b, &new, 200).await;
    Handshake::v1(&new).open(b.public).await;
    refused(&b, &revoked).await;
    client.send(&json!({"type": "refresh", "token": new})).await;
    client.expect("refreshed").await;
}

#[tokio::test]
async fn while_redis_is_down_a_jwt_gets_503_and_live_sessions_stay() {
    while_the_link_to_redis_is(Link::Refused).await;
}

#[tokio::test]
async fn while_redis_does_not_answer_a_jwt_gets_503_and_live_sessions_stay() {
    while_the_link_to_redis_is(Link::Silent).await;
}

#[tokio::test]
async fn while_redis_is_down_the_exp_of_a_jwt_ends_its_session_all_the_same() {
    let cluster = cluster().with("NOTICE_JWT_LEEWAY_SECONDS", "0");
    let (b, link) = linked(&cluster).await;
    let token = Issuer::hs256().jwt("u2", 5);
    let mut client = Handshake::v1(&token).open(b.public).await;
    link.set(Link::Refused);
    b.reaches_metric("notice_bus_up", 0.0).await;
    client.expect("expiring").await;
    assert_eq!(client.closed().await, Some(4401));
    link.set(Link::Open);
    asks_again(&b, &token, 401).await;
    refused(&b, &token).await;
}
