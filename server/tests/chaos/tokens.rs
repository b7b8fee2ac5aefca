//! Live sessions follow what another system does to their tokens.

use std::time::Duration;

use redis::AsyncCommands as _;
use tokio::time::{Instant, timeout};

use crate::support::{Cluster, Handshake};

/// What is promised.
const FOLLOWED: Duration = Duration::from_secs(60);

#[tokio::test]
async fn live_sessions_follow_a_token_that_another_system_deletes_within_a_minute() {
    let cluster = Cluster::new();
    let nodes = cluster.three().await;
    let mut redis = cluster.redis().await;
    let (mut ends, mut stays) = (Vec::new(), Vec::new());
    for (place, node) in nodes.iter().enumerate() {
        for number in 0..5 {
            for (kind, sessions) in [("ends", &mut ends), ("stays", &mut stays)] {
                let token = format!("{kind}-{place}-{number}");
                cluster.write_token(&token, &token, 3600).await;
                sessions.push((token.clone(), Handshake::v1(&token).open(node.public).await));
            }
        }
    }
    let keys: Vec<_> = ends.iter().map(|(token, _)| cluster.key(token)).collect();
    let (): () = redis.del(keys).await.unwrap();
    let deleted = Instant::now();
    for (token, socket) in &mut ends {
        // By itself `closed` has less patience.
        let closed = timeout(FOLLOWED, socket.text_or_end()).await;
        assert_eq!(closed, Ok(Err(Some(4401))), "{token}");
    }
    let followed = deleted.elapsed();
    println!("all followed {followed:?} after their tokens were deleted");
    assert!(followed < FOLLOWED, "{followed:?}");
    for (account, socket) in &mut stays {
        let id = nodes[0].stage(account, "still there?").await;
        assert_eq!(socket.notice().await.id, id);
    }
}
