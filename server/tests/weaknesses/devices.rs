//! Weaknesses 4 and 5: several sessions of one account.

use crate::support::{Handshake, Server};

/// Weakness 4: the older session's close removed the newer one from the pool, and the account went silent.
#[tokio::test]
async fn an_account_stays_reachable_when_its_older_session_closes() {
    let server = Server::start();
    let ways = [
        ("u1", Handshake::legacy as fn(&str) -> Handshake),
        ("u2", Handshake::v1),
    ];
    for (account, connect) in ways {
        let token = server.token(account).await;
        let older = connect(&token).open(server.public).await;
        let mut newer = connect(&token).open(server.public).await;
        older.close().await;
        server.reaches_sessions(account, 1).await;
        let id = server.stage(account, "still there?").await;
        assert_eq!(newer.notice().await.id, id);
        newer.close().await;
        server.reaches_sessions(account, 0).await;
    }
}

/// Weakness 5: one device an account; the older one was cut off from pushes, but not closed.
#[tokio::test]
async fn every_device_of_an_account_gets_its_notices() {
    let server = Server::start();
    let mut devices = Vec::new();
    for _ in 0..3 {
        devices.push(server.connect("u2").await);
        devices.push(server.connect_legacy("u2").await);
    }
    let id = server.stage("u2", "hello").await;
    for device in &mut devices {
        assert_eq!(device.notice().await.id, id);
    }
}
