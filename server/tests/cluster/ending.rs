//! Sessions and tokens ended by a call, on whichever node they live.

use crate::support::{Cluster, Handshake, Program, Socket, eventually};

/// A v1 and a legacy session on each node, all with this token.
async fn sessions_everywhere(nodes: &[Program; 3], account: &str, token: &str) -> Vec<Socket> {
    let mut sockets = Vec::new();
    for node in nodes {
        sockets.push(Handshake::v1(token).open(node.public).await);
        sockets.push(Handshake::legacy(token).open(node.public).await);
    }
    nodes[0].reaches_sessions(account, 6).await;
    sockets
}

async fn all_close_with(sockets: Vec<Socket>, code: u16) {
    for mut socket in sockets {
        assert_eq!(socket.closed().await, Some(code));
    }
}

#[tokio::test]
async fn a_kick_closes_an_accounts_sessions_on_every_node_and_lets_it_come_back() {
    let cluster = Cluster::new();
    let nodes = cluster.three().await;
    let token = nodes[0].token("u2").await;
    let sockets = sessions_everywhere(&nodes, "u2", &token).await;
    let mut other = nodes[1].connect("u3").await;
    let answer = nodes[2].service_delete("/accounts/u2/sessions").await;
    answer.expect(204);
    all_close_with(sockets, 4403).await;
    let mut back = Handshake::v1(&token).open(nodes[1].public).await;
    for account in ["u2", "u3"] {
        nodes[0].stage(account, "still there?").await;
    }
    assert_eq!(back.notice().await.message, "still there?");
    assert_eq!(other.notice().await.message, "still there?");
}

#[tokio::test]
async fn a_kick_with_revoke_ends_the_tokens_at_every_node() {
    let cluster = Cluster::new();
    let nodes = cluster.three().await;
    let token = nodes[0].token("u2").await;
    let unused = nodes[0].token("u3").await;
    let sockets = sessions_everywhere(&nodes, "u2", &token).await;
    let path = "/accounts/u2/sessions?revoke=true";
    nodes[1].service_delete(path).await.expect(204);
    all_close_with(sockets, 4403).await;
    for node in &nodes {
        let answer = Handshake::v1(&token).refused(node.public).await;
        answer.expect_problem(401, "UNAUTHENTICATED");
        Handshake::v1(&unused).open(node.public).await;
    }
}

#[tokio::test]
async fn a_revoked_token_closes_its_sessions_on_every_node_and_no_others() {
    let cluster = Cluster::new();
    let nodes = cluster.three().await;
    let token = nodes[1].token("u2").await;
    let sockets = sessions_everywhere(&nodes, "u2", &token).await;
    let mut other = nodes[2].connect("u2").await;
    nodes[0].revoke(&token).await;
    all_close_with(sockets, 4401).await;
    for node in &nodes {
        let answer = Handshake::legacy(&token).refused(node.public).await;
        answer.expect_problem(401, "UNAUTHENTICATED");
    }
    let id = nodes[0].stage("u2", "another device").await;
    assert_eq!(other.notice().await.id, id);
}

#[tokio::test]
async fn a_kick_that_a_node_did_not_confirm_says_so_and_may_be_asked_again() {
    let cluster = Cluster::new();
    let [a, b] = cluster.two().await;
    let mut there = b.connect("u2").await;
    a.reaches_sessions("u2", 1).await;
    b.freeze();
    let answer = a.service_delete("/accounts/u2/sessions").await;
    answer.expect_problem(503, "STORE_UNAVAILABLE");
    b.thaw();
    // By the first call, or by the second.
    eventually("a kick that reached everybody", async || {
        let answer = a.service_delete("/accounts/u2/sessions").await;
        if answer.status == 204 {
            Ok(())
        } else {
            Err(answer)
        }
    })
    .await;
    assert_eq!(there.closed().await, Some(4403));
}
