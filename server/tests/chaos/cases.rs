//! What breaks, case by case.

use std::time::Duration;

use tokio::time::sleep;

use super::book::{End, Retry};
use super::run::{Done, case};
use super::world::World;

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// No session was closed, or lost, because of what lies below the nodes.
fn sessions_stayed(done: &Done) {
    let ends = done.book.ends.lock();
    let ends: Vec<_> = ends
        .iter()
        .map(|ended| (ended.at - done.fault.begun, ended))
        .collect();
    assert!(ends.is_empty(), "with times from the fault on: {ends:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_a_node_is_killed() {
    case("kill -9 of a node", seconds(5), async |world: &World| {
        world.kill(1).await;
        sleep(seconds(5)).await;
        world.start_node(1).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_a_node_drains_and_its_clients_are_told_where_to_go() {
    let done = case(
        "SIGTERM drain of a node",
        seconds(5),
        async |world: &World| {
            world.drain(1).await;
            world.start_node(1).await;
        },
    )
    .await;
    let ends = done.book.ends.lock();
    let expected = |end: End| matches!(end, End::Moved | End::Code(1012));
    let others: Vec<_> = ends
        .iter()
        .filter(|ended| ended.place != 1 || !expected(ended.end))
        .collect();
    assert!(others.is_empty(), "{others:#?}");
    assert!(
        ends.iter().any(|ended| ended.v1),
        "nobody was asked to move"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_redis_dies_and_comes_back_empty_and_sessions_stay() {
    let done = case(
        "Redis killed, back empty",
        seconds(10),
        async |world: &World| {
            world.lose_redis(seconds(10)).await;
        },
    )
    .await;
    sessions_stayed(&done);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_mongodb_is_away_staging_is_refused_and_sessions_stay() {
    let mut away = None;
    let done = case("MongoDB away", seconds(20), async |world: &World| {
        away = Some(world.lose_mongodb(seconds(20)).await);
    })
    .await;
    sessions_stayed(&done);
    let retries = done.book.counts.lock().retries.clone();
    assert!(retries.get(&Retry::Refused) > Some(&0), "{retries:?}");
    // Every call had its answer: to be told no is better than to be told nothing.
    assert_eq!(retries.get(&Retry::Unanswered), None, "{retries:?}");
    let told = done.book.told.lock();
    let away = away.expect("MongoDB was away");
    let lucky = told
        .values()
        .filter(|told| away.contains(&told.begun) && away.contains(&told.answered));
    assert_eq!(lucky.count(), 0, "answered without a store");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_a_node_hangs() {
    case("a node frozen", seconds(30), async |world: &World| {
        world.freeze(1, seconds(30)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_a_node_is_cut_from_redis_without_a_word() {
    let done = case(
        "a node cut from Redis",
        seconds(20),
        async |world: &World| {
            world.cut(1, seconds(20)).await;
        },
    )
    .await;
    sessions_stayed(&done);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_everything_breaks_at_once() {
    let done = case("everything at once", seconds(22), async |world: &World| {
        let mongodb = world.lose_mongodb(seconds(12));
        let redis = async {
            sleep(seconds(4)).await;
            world.lose_redis(seconds(6)).await;
            // Its tokens are there again: now the network of one node.
            world.cut(1, seconds(8)).await;
        };
        let frozen = async {
            sleep(seconds(2)).await;
            world.freeze(2, seconds(15)).await;
        };
        let killed = async {
            sleep(seconds(1)).await;
            world.kill(0).await;
        };
        let (_, (), (), ()) = tokio::join!(mongodb, redis, frozen, killed);
        world.start_node(0).await;
    })
    .await;
    let told_off = done.book.ends.lock();
    let told_off: Vec<_> = told_off
        .iter()
        .filter(|ended| matches!(ended.end, End::Code(4401 | 4403 | 4409)))
        .collect();
    assert!(told_off.is_empty(), "{told_off:#?}");
}
