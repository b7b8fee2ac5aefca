//! Live sessions follow what another system does to their tokens.

use std::time::Duration;

use futures_util::future::join_all;
use redis::AsyncCommands as _;
use tokio::time::{Instant, timeout};

use crate::support::{Cluster, Handshake, Socket};

/// What is promised.
const FOLLOWED: Duration = Duration::from_secs(60);

#[tokio::test]
async fn live_sessions_follow_a_token_that_another_system_deletes_within_a_minute() {
    let cluster = Cluster::new();
    let nodes = cluster.three().await;
    let mut redis = cluster.redis().await;
    let (mut ends, mut stays, mut accounts) = (Vec::new(), Vec::new(), Vec::new());
    for (place, node) in nodes.iter().enumerate() {
        for number in 0..5 {
            for (kind, sessions) in [("ends", &mut ends), ("stays", &mut stays)] {
                let token = format!("{kind}-{place}-{number}");
                cluster.write_token(&token, &token, 3600).await;
                let socket = Handshake::v1(&token).open(node.public).await;
                sessions.push((token, socket));
            }
            accounts.push(format!("stays-{place}-{number}"));
        }
    }
    let keys: Vec<_> = ends.iter().map(|(token, _)| cluster.key(token)).collect();
    let (): () = redis.del(keys).await.unwrap();
    let deleted = Instant::now();
    // All are read at once: who does not answer pings is closed for that.
    let end = async |(token, socket): &mut (String, Socket)| {
        let end = timeout(FOLLOWED, socket.text_or_end()).await;
        (token.clone(), end)
    };
    let ended = join_all(ends.iter_mut().map(end));
    let staying = join_all(stays.iter_mut().map(|(_, socket)| socket.text_or_end()));
    let staging = async {
        for (token, end) in ended.await {
            assert_eq!(end, Ok(Err(Some(4401))), "{token}");
        }
        println!(
            "all had followed {:?} after their tokens were deleted",
            deleted.elapsed()
        );
        for account in &accounts {
            nodes[0].stage(account, "still there?").await;
        }
    };
    let (stayed, ()) = tokio::join!(staying, staging);
    for frame in stayed {
        assert_eq!(frame.unwrap()["notice"]["message"], "still there?");
    }
}
