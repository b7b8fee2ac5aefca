//! Two clusters on the same services never hear each other.

use crate::support::{Cluster, Handshake, Program, Socket};

async fn connected(node: &Program, account: &str) -> Socket {
    let socket = node.connect(account).await;
    node.reaches_sessions(account, 1).await;
    socket
}

/// Everything that one of them says to all, it says to itself alone.
async fn never_hear_each_other(one: Cluster, other: Cluster) {
    let (here, there) = tokio::join!(one.node("node-a"), other.node("node-a"));
    let mut hears = connected(&here, "u2").await;
    let mut deaf = connected(&there, "u2").await;
    assert_eq!(
        here.account("u2").await["sessions"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let token = there.token("u2").await;
    let answer = Handshake::v1(&token).refused(here.public).await;
    answer.expect_problem(401, "UNAUTHENTICATED");

    let id = here.stage("u2", "hello").await;
    assert_eq!(hears.notice().await.id, id);
    here.recall(&id).await.expect(204);
    hears.expect("recall").await;
    here.service_delete("/accounts/u2/sessions")
        .await
        .expect(204);
    assert_eq!(hears.closed().await, Some(4403));

    let marker = there.stage("u2", "marker").await;
    assert_eq!(deaf.notice().await.id, marker);
}

#[tokio::test]
async fn clusters_with_namespaces_of_their_own_never_hear_each_other() {
    never_hear_each_other(Cluster::new(), Cluster::new()).await;
}

#[tokio::test]
async fn clusters_with_the_usual_namespace_of_two_databases_never_hear_each_other() {
    let usual = || Cluster::new().with_the_usual_namespace();
    never_hear_each_other(usual(), usual()).await;
}
