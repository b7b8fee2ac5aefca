//! Several nodes on one MongoDB database and one namespace in Redis, both of this test alone.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::thread;
use std::time::Duration;

use mongodb::bson::Document;
use mongodb::{Client, Collection, Database};
use redis::AsyncCommands as _;
use redis::aio::MultiplexedConnection;
use serde_json::json;
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::folder::Folder;
use super::program::Program;
use super::services::Services;

const DATABASE: &str = "NOTICE_MONGODB_DATABASE";
const NAMESPACE: &str = "NOTICE_REDIS_NAMESPACE";
const REDIS: &str = "NOTICE_REDIS_URI";

/// What the nodes of a cluster share. Its database is dropped with it.
#[derive(Debug)]
pub struct Cluster {
    services: Services,
    database: String,
    key_prefix: String,
    settings: BTreeMap<String, String>,
}

impl Cluster {
    /// On the services that all tests share.
    pub fn new() -> Self {
        Self::on(&Services::shared())
    }

    /// On services of the test's own.
    pub fn on(services: &Services) -> Self {
        let unique = format!("{:016x}", RandomState::new().hash_one("a cluster"));
        let database = format!("notice_test_{unique}");
        let key_prefix = format!("test-{unique}-token:");
        let cluster = Self {
            services: services.clone(),
            settings: BTreeMap::new(),
            database: database.clone(),
            key_prefix: key_prefix.clone(),
        };
        cluster
            .with("NOTICE_MONGODB_URI", &services.mongodb)
            .with(DATABASE, &database)
            .with(REDIS, &services.redis)
            .with(NAMESPACE, &format!("test-{unique}:"))
            .with("NOTICE_REDIS_KEY_PREFIX", &key_prefix)
    }

    /// With one more setting for every node, by its name in the environment.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.insert(name.to_owned(), value.to_owned());
        self
    }

    /// With the namespace that follows from the database.
    pub fn with_the_usual_namespace(mut self) -> Self {
        self.settings.remove(NAMESPACE);
        self
    }

    /// With MongoDB alone.
    pub fn without_redis(mut self) -> Self {
        self.settings
            .retain(|name, _| !name.starts_with("NOTICE_REDIS_"));
        self
    }

    /// Starts a node.
    pub async fn node(&self, name: &str) -> Program {
        self.node_with(name, &[]).await
    }

    /// Starts a node with settings that the others do not have.
    pub async fn node_with(&self, name: &str, own: &[(&str, &str)]) -> Program {
        let mut settings = self.settings.clone();
        settings.insert("NOTICE_NODE_NAME".to_owned(), name.to_owned());
        settings.extend(
            own.iter()
                .map(|&(name, value)| (name.to_owned(), value.to_owned())),
        );
        let bus = settings.contains_key(REDIS);
        let settings: Vec<_> = settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let node = Program::start(&Folder::new(), &settings).await;
        if bus {
            node.reaches_metric("notice_bus_up", 1.0).await;
        }
        node
    }

    /// Starts two nodes at once: "node-a" and "node-b".
    pub async fn two(&self) -> [Program; 2] {
        let (a, b) = tokio::join!(self.node("node-a"), self.node("node-b"));
        [a, b]
    }

    /// Starts three nodes at once, "node-c" as well.
    pub async fn three(&self) -> [Program; 3] {
        let (a, b, c) = tokio::join!(
            self.node("node-a"),
            self.node("node-b"),
            self.node("node-c")
        );
        [a, b, c]
    }

    /// A connection to Redis, as another program has it.
    pub async fn redis(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.services.redis.as_str()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    /// The key of a token in Redis.
    pub fn key(&self, token: &str) -> String {
        format!("{}{token}", self.key_prefix)
    }

    /// Writes a token as another system does, to live so many seconds.
    pub async fn write_token(&self, token: &str, account: &str, seconds: u64) {
        let value = json!({"accountID": account}).to_string();
        let mut redis = self.redis().await;
        let (): () = redis.set_ex(self.key(token), value, seconds).await.unwrap();
    }

    /// The database, as another program sees it.
    pub async fn database(&self) -> Database {
        let client = Client::with_uri_str(&self.services.mongodb).await;
        client.unwrap().database(&self.database)
    }

    /// The collection of the notices.
    pub async fn notices(&self) -> Collection<Document> {
        self.database().await.collection("notice")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let (uri, database) = (self.services.mongodb.clone(), self.database.clone());
        let dropping = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let dropping = async {
                    let client = Client::with_uri_str(&uri).await?;
                    client.database(&database).drop().await
                };
                timeout(Duration::from_secs(5), dropping).await
            })
        });
        let dropped = dropping.join();
        if !matches!(dropped, Ok(Ok(Ok(())))) {
            eprintln!("the database {} stays behind: {dropped:?}", self.database);
        }
    }
}
