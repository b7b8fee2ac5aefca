//! Three nodes, the services below them, and the means to break each.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::devices::PING_SECONDS;
use super::roads::Roads;
use crate::support::{Cluster, Link, Part, Program, Proxy, ServiceSet};

const NODES: [&str; 3] = ["node-a", "node-b", "node-c"];

/// How long a node takes to move its sessions away.
const DRAIN_SECONDS: &str = "3";

/// Tokens outlive every case.
const TOKEN_SECONDS: u64 = 86_400;

/// A node and its link to Redis.
struct Node {
    program: Mutex<Option<Program>>,
    link: Proxy,
}

/// Dropped in this order: who stands on others first.
pub(crate) struct World {
    nodes: Vec<Node>,
    pub(crate) roads: Arc<Roads>,
    cluster: Cluster,
    set: ServiceSet,
    /// Tokens with their accounts, as another system made them.
    tokens: Vec<(String, String)>,
}

impl World {
    pub(crate) async fn start(tokens: Vec<(String, String)>) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let kind = format!("chaos-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let set = ServiceSet::start(&kind).await;
        let cluster = Cluster::on(set.services())
            .with("NOTICE_DRAIN_WINDOW_SECONDS", DRAIN_SECONDS)
            .with("NOTICE_DELIVERY_PING_SECONDS", PING_SECONDS)
            .with("NOTICE_DELIVERY_PONG_TIMEOUT_SECONDS", PING_SECONDS);
        let mut nodes = Vec::new();
        for _ in NODES {
            nodes.push(Node {
                program: Mutex::new(None),
                link: Proxy::to_redis(&set.services().redis).await,
            });
        }
        let world = Self {
            nodes,
            roads: Arc::default(),
            cluster,
            set,
            tokens,
        };
        world.write_tokens().await;
        for place in 0..NODES.len() {
            world.start_node(place).await;
        }
        world
    }

    /// Starts a node, for the first time or again.
    pub(crate) async fn start_node(&self, place: usize) {
        let node = &self.nodes[place];
        let uri = node.link.instead_of(&self.set.services().redis);
        let own = [("NOTICE_REDIS_URI", uri.as_str())];
        let program = self.cluster.node_with(NODES[place], &own).await;
        self.roads.lead_to(place, program.api());
        *node.program.lock().await = Some(program);
    }

    async fn take(&self, place: usize) -> Program {
        self.roads.set_away(place, true);
        let program = self.nodes[place].program.lock().await.take();
        program.expect("the node runs")
    }

    /// `kill -9`.
    pub(crate) async fn kill(&self, place: usize) {
        self.take(place).await.kill().await;
    }

    /// SIGTERM, and the drain that follows, to the end.
    pub(crate) async fn drain(&self, place: usize) {
        let program = self.take(place).await;
        program.terminate();
        let exit = program.exit().await;
        assert!(exit.status.success(), "{exit:?}");
    }

    /// Stops a node where it stands, for a time.
    pub(crate) async fn freeze(&self, place: usize, length: Duration) {
        let node = self.nodes[place].program.lock().await;
        let program = node.as_ref().expect("the node runs");
        self.roads.set_away(place, true);
        program.freeze();
        sleep(length).await;
        program.thaw();
        self.roads.set_away(place, false);
    }

    /// Cuts a node from Redis for a time, and nobody says so.
    pub(crate) async fn cut(&self, place: usize, length: Duration) {
        self.nodes[place].link.set(Link::Silent);
        sleep(length).await;
        self.nodes[place].link.set(Link::Open);
    }

    /// Redis dies, and is back after a time, empty. Before a node can ask it, the other system has written its tokens
    /// anew.
    pub(crate) async fn lose_redis(&self, length: Duration) {
        self.nodes
            .iter()
            .for_each(|node| node.link.set(Link::Refused));
        self.set.kill(Part::Redis).await;
        sleep(length).await;
        self.set.revive(Part::Redis).await;
        self.write_tokens().await;
        self.nodes.iter().for_each(|node| node.link.set(Link::Open));
    }

    /// MongoDB dies, all of it, and is back after a time. Answers with when there was none.
    pub(crate) async fn lose_mongodb(&self, length: Duration) -> Range<Instant> {
        self.set.kill(Part::Ferretdb).await;
        self.set.kill(Part::Postgres).await;
        let gone = Instant::now();
        sleep(length).await;
        let away = gone..Instant::now();
        self.set.revive(Part::Postgres).await;
        self.set.revive(Part::Ferretdb).await;
        away
    }

    async fn write_tokens(&self) {
        let mut redis: MultiplexedConnection = self.cluster.redis().await;
        let mut pipe = redis::pipe();
        for (token, account) in &self.tokens {
            let value = json!({"accountID": account}).to_string();
            pipe.set_ex(self.cluster.key(token), value, TOKEN_SECONDS)
                .ignore();
        }
        let (): () = pipe.query_async(&mut redis).await.unwrap();
    }

    /// Whether every node's process still runs.
    pub(crate) async fn all_run(&self) -> bool {
        for node in &self.nodes {
            let mut program = node.program.lock().await;
            if !program.as_mut().is_some_and(Program::is_running) {
                return false;
            }
        }
        true
    }
}
