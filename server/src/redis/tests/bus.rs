//! The bus on real servers: the suite, and what only Redis can do to it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rustix::process::Signal;

use super::proxy::Proxy;
use super::server::{Server, shared, unique};
use crate::cluster::bus::conformance::{Cluster, Node, account, message};
use crate::cluster::bus::{Bus, Channel, Message, NodeId, NotPublished};
use crate::redis::{Connector, Endpoint, Kind, RedisBus};

/// A node's bus at an endpoint.
pub(super) fn bus(endpoint: &Endpoint, namespace: &str) -> Arc<RedisBus> {
    let connector = Arc::new(Connector::new(endpoint.clone()).expect("readable"));
    let mut id = [0; 8];
    getrandom::fill(&mut id).expect("randomness");
    Arc::new(RedisBus::new(
        connector,
        namespace,
        NodeId(u64::from_ne_bytes(id)),
    ))
}

/// Nodes on the shared server, each by a way that can be cut.
struct Shared {
    proxy: Proxy,
    namespace: String,
}

impl Shared {
    async fn new() -> Self {
        Self {
            proxy: Proxy::before(shared()).await,
            namespace: unique("bus"),
        }
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint {
            kind: Kind::Single(self.proxy.address.clone()),
            ..Endpoint::single("", 0)
        }
    }
}

#[async_trait]
impl Cluster for Shared {
    async fn join(&self) -> Arc<dyn Bus> {
        bus(&self.endpoint(), &self.namespace)
    }

    async fn join_elsewhere(&self) -> Arc<dyn Bus> {
        bus(&self.endpoint(), &unique("elsewhere"))
    }

    async fn cut(&self) {
        self.proxy.cut();
    }

    async fn mend(&self) {
        self.proxy.mend();
    }
}

mod suite {
    crate::bus_conformance!(super::Shared::new().await);
}

#[tokio::test]
async fn a_link_that_is_cut_without_a_word_is_noticed_within_three_seconds() {
    let cluster = Shared::new().await;
    let node = Node::run(cluster.join().await).await;
    node.listen(&[account("u1")]).await;
    cluster.proxy.freeze();
    let begun = Instant::now();
    node.until("down", |told| told.downs == 1).await;
    assert!(begun.elapsed() < Duration::from_secs(3));
    cluster.proxy.mend();
    node.until_listening(&[account("u1")]).await;
    // Redis may still count the connection that it does not know to be dead.
    let listeners = node.say(&account("u1"), "x").await;
    assert!(matches!(listeners, Ok(1..)), "{listeners:?}");
    node.until("heard", |told| told.on(&account("u1")) == ["x"])
        .await;
}

#[tokio::test]
async fn receipts_fail_within_three_seconds_when_the_link_says_nothing() {
    let cluster = Shared::new().await;
    let node = Node::run(cluster.join().await).await;
    cluster.proxy.freeze();
    let begun = Instant::now();
    assert_eq!(node.say(&account("u1"), "x").await, Err(NotPublished));
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_call_that_is_larger_than_the_queue_is_refused_and_the_next_one_goes() {
    let node = Node::run(Shared::new().await.join().await).await;
    let begun = Instant::now();
    let many = vec![message(&account("u1"), "x"); 16_385];
    assert_eq!(node.bus.publish(many).confirmed().await, Err(NotPublished));
    let large = Message {
        channel: account("u1"),
        payload: vec![0; (16 << 20) + 1].into(),
    };
    assert_eq!(
        node.bus.publish(vec![large]).confirmed().await,
        Err(NotPublished)
    );
    assert!(begun.elapsed() < Duration::from_secs(1), "at once");
}

#[tokio::test]
async fn redis_that_was_killed_and_comes_back_empty_is_listened_to_again() {
    let mut server = Server::start(&[]).await;
    let node = Node::run(bus(&server.endpoint(), "ns:")).await;
    let channels = [account("u1"), Channel::Nodes];
    node.listen(&channels).await;
    for round in 1..=2 {
        server.kill();
        node.until("down", |told| told.downs == round).await;
        server.restart(&[]).await;
        node.until_listening(&channels).await;
        assert_eq!(node.say(&account("u1"), "x").await, Ok(1));
    }
}

#[tokio::test]
async fn redis_that_is_stopped_for_five_seconds_is_noticed_and_found_again() {
    let server = Server::start(&[]).await;
    let node = Node::run(bus(&server.endpoint(), "ns:")).await;
    node.listen(&[account("u1")]).await;
    server.signal(Signal::STOP);
    let begun = Instant::now();
    node.until("down", |told| told.downs == 1).await;
    assert!(begun.elapsed() < Duration::from_secs(3));
    tokio::time::sleep_until((begun + Duration::from_secs(5)).into()).await;
    server.signal(Signal::CONT);
    node.until_listening(&[account("u1")]).await;
    assert_eq!(node.say(&account("u1"), "x").await, Ok(1));
    assert_eq!(node.told().ups, 2);
}

#[tokio::test]
async fn a_subscriber_that_redis_cuts_off_comes_back() {
    let server = Server::start(&[]).await;
    let node = Node::run(bus(&server.endpoint(), "ns:")).await;
    node.listen(&[account("u1")]).await;
    let kill = ["CLIENT", "KILL", "TYPE", "pubsub"];
    super::server::ask(&server.endpoint(), &server.address(), &kill).await;
    node.until("down", |told| told.downs == 1).await;
    node.until_listening(&[account("u1")]).await;
    assert_eq!(node.say(&account("u1"), "x").await, Ok(1));
}

#[tokio::test]
async fn a_master_that_became_a_replica_is_left() {
    let server = Server::start(&[]).await;
    let node = Node::run(bus(&server.endpoint(), "ns:")).await;
    let replica_of = ["REPLICAOF", "127.0.0.1", "1"];
    super::server::ask(&server.endpoint(), &server.address(), &replica_of).await;
    node.until("down", |told| told.downs == 1).await;
    let master = ["REPLICAOF", "NO", "ONE"];
    super::server::ask(&server.endpoint(), &server.address(), &master).await;
    node.until("up", |told| told.ups == 2).await;
}
