//! The race that loses notices in the source design (weakness 1): notices that are inserted between its find and its
//! update are marked read and pushed to nobody. The same load runs against three nodes of ours, which lose none, and
//! against a faithful copy of the old algorithm, which loses some: so the test can fail.

#![cfg(test)]

mod support;

#[path = "race_mongodb/load.rs"]
mod load;
#[path = "race_mongodb/old.rs"]
mod old;
#[path = "race_mongodb/ours.rs"]
mod ours;

use load::LOAD;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_lose_nothing_in_the_race_of_the_old_algorithm() {
    let ours = ours::run().await;
    println!("three nodes: {ours}");
    assert_eq!((ours.accepted, ours.lost()), (LOAD.notices(), 0), "{ours}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_the_old_algorithm_loses_some_so_the_race_is_real() {
    let old = old::run().await;
    println!("the old algorithm: {old}");
    assert!(old.lost() > 0, "{old}");
}
