//! Pods that run: this plays kubelet, kube-proxy and people. Each pod is the real server, at an address of its own, and
//! each client holds an event stream, moves when it is asked to, and comes back when it is cut.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use notice_operator::observe::ChildKind;
use notice_server::app::App;
use notice_server::config::{self, Overrides};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::scene::Scene;

/// The port of clients, and the admin port at which the operator asks.
const PUBLIC: u16 = 8080;
const ADMIN: u16 = 9090;

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// The server of a pod, with a store of its own.
pub(crate) struct Server {
    app: App,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Starts that of the pod `name` of the scene's cluster `rides`.
    pub(crate) async fn at(scene: &Scene, name: &str, ip: Ipv4Addr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("drain-keys.pem");
        let map = scene.wait_child(ChildKind::ConfigMap, "rides").await;
        std::fs::write(&keys, map["data"]["drain-keys.pem"].as_str().unwrap()).unwrap();
        let data = folder.path().join("data");
        let settings = [
            ("NOTICE_LISTEN", format!("{ip}:{PUBLIC}")),
            ("NOTICE_ADMIN_LISTEN", format!("{ip}:{ADMIN}")),
            ("NOTICE_NODE_NAME", name.to_owned()),
            ("NOTICE_API_KEYS", format!("rides:{KEY}")),
            ("NOTICE_DATA_DIR", data.display().to_string()),
            ("NOTICE_AUTH_DRAIN_KEYS_FILE", keys.display().to_string()),
            ("NOTICE_DRAIN_WINDOW_SECONDS", "1".to_owned()),
            ("NOTICE_LIMITS_SESSIONS", "100".to_owned()),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value));
        let loaded = config::load(Overrides::default(), settings).unwrap();
        Self {
            app: App::start(loaded.config).await.unwrap(),
            _folder: folder,
        }
    }

    /// Ends it in good order; its connections are closed then.
    pub(crate) async fn end(self) {
        self.app.end().await;
    }
}

/// A pod that has a server.
struct Pod {
    ip: Ipv4Addr,
    ready: bool,
    /// None: it has stopped answering.
    server: Option<Server>,
}

/// What is known of a pod that went.
#[derive(Clone, Debug)]
pub(crate) struct Gone {
    pub(crate) name: String,
    /// Sessions that it had when it was deleted.
    pub(crate) sessions: u64,
}

/// What clients went through.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Asked to move, and moved.
    pub(crate) moves: AtomicU64,
    /// Streams that ended although nobody had asked their client to go.
    pub(crate) cut: AtomicU64,
}

/// See the file's head.
pub(crate) struct Farm {
    pods: Arc<Mutex<BTreeMap<String, Pod>>>,
    gone: Arc<Mutex<Vec<Gone>>>,
    kubelet: JoinHandle<()>,
    clients: Vec<JoinHandle<()>>,
    pub(crate) tally: Arc<Tally>,
    number: u64,
}

impl Drop for Farm {
    fn drop(&mut self) {
        self.kubelet.abort();
        self.clients.iter().for_each(JoinHandle::abort);
    }
}

impl Farm {
    /// Runs the pods of a scene's cluster `rides`, at addresses 127.`network`.0.0.
    pub(crate) fn start(scene: &Arc<Scene>, network: (u8, u8)) -> Self {
        let (pods, gone) = (Arc::default(), Arc::default());
        let kubelet = Kubelet {
            scene: Arc::clone(scene),
            pods: Arc::clone(&pods),
            gone: Arc::clone(&gone),
            network,
            last: 0,
        };
        Self {
            pods,
            gone,
            kubelet: tokio::spawn(kubelet.run()),
            clients: Vec::new(),
            tally: Arc::default(),
            number: 0,
        }
    }

    /// So many clients in all, from now on.
    pub(crate) fn clients(&mut self, count: usize) {
        while self.clients.len() > count {
            self.clients.pop().unwrap().abort();
        }
        while self.clients.len() < count {
            self.number += 1;
            let client = Client {
                account: format!("u{}", self.number),
                number: self.number,
                pods: Arc::clone(&self.pods),
                tally: Arc::clone(&self.tally),
            };
            self.clients.push(tokio::spawn(client.live()));
        }
    }

    /// The pods that went, in that order.
    pub(crate) fn gone(&self) -> Vec<Gone> {
        self.gone.lock().clone()
    }

    /// Sessions by pod, as the servers have them.
    pub(crate) async fn sessions(&self) -> BTreeMap<String, u64> {
        let places: Vec<_> = self
            .pods
            .lock()
            .iter()
            .map(|(name, pod)| (name.clone(), pod.ip))
            .collect();
        let mut sessions = BTreeMap::new();
        for (name, ip) in places {
            if let Some(load) = load(ip).await {
                sessions.insert(name, load);
            }
        }
        sessions
    }

    /// The pod's server is still there, and answers nothing any more: its process hangs.
    pub(crate) async fn silence(&self, name: &str) {
        let server = self.pods.lock().get_mut(name).unwrap().server.take();
        end(server);
    }
}

/// Sessions of the server at this address.
async fn load(ip: Ipv4Addr) -> Option<u64> {
    let answer = call(ip, ADMIN, "GET /load", "", None).await?;
    let body: Value = serde_json::from_str(&answer.1).ok()?;
    body["sessions"].as_u64()
}

/// Ends a server in good order, elsewhere: it takes its drain window.
fn end(server: Option<Server>) {
    if let Some(server) = server {
        tokio::spawn(server.end());
    }
}

struct Kubelet {
    scene: Arc<Scene>,
    pods: Arc<Mutex<BTreeMap<String, Pod>>>,
    gone: Arc<Mutex<Vec<Gone>>>,
    network: (u8, u8),
    last: u8,
}

impl Kubelet {
    async fn run(mut self) {
        loop {
            let wanted = self.scene.pods().await;
            let name = |pod: &Value| pod["metadata"]["name"].as_str().unwrap().to_owned();
            let names: Vec<_> = wanted.iter().map(name).collect();
            self.remove_all_but(&names).await;
            for pod in &wanted {
                let known = self.pods.lock().contains_key(&name(pod));
                if !known {
                    self.begin(&name(pod)).await;
                }
                self.probe(pod).await;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn remove_all_but(&self, names: &[String]) {
        let over: Vec<_> = {
            let pods = self.pods.lock();
            let over = pods.iter().filter(|(name, _)| !names.contains(name));
            over.map(|(name, pod)| (name.clone(), pod.ip)).collect()
        };
        for (name, ip) in over {
            let sessions = load(ip).await.unwrap_or(0);
            let pod = self.pods.lock().remove(&name);
            end(pod.and_then(|pod| pod.server));
            self.gone.lock().push(Gone { name, sessions });
        }
    }

    async fn begin(&mut self, name: &str) {
        self.last += 1;
        let ip = Ipv4Addr::new(127, self.network.0, self.network.1, self.last);
        let server = Server::at(&self.scene, name, ip).await;
        let pod = Pod {
            ip,
            ready: false,
            server: Some(server),
        };
        self.pods.lock().insert(name.to_owned(), pod);
    }

    /// Says whether the pod is ready, where that has changed.
    async fn probe(&self, pod: &Value) {
        let name = pod["metadata"]["name"].as_str().unwrap();
        let Some((ip, was)) = self.pods.lock().get(name).map(|pod| (pod.ip, pod.ready)) else {
            return;
        };
        let answer = call(ip, ADMIN, "GET /readyz", "", None).await;
        let ready = answer.is_some_and(|it| it.0 == 200);
        let told = pod["status"]["podIP"].is_string();
        if ready == was && told {
            return;
        }
        // It may be deleted meanwhile.
        if self.scene.pod_is_at(name, IpAddr::V4(ip), ready).await
            && let Some(pod) = self.pods.lock().get_mut(name)
        {
            pod.ready = ready;
        }
    }
}

/// Whoever uses the product.
struct Client {
    account: String,
    number: u64,
    pods: Arc<Mutex<BTreeMap<String, Pod>>>,
    tally: Arc<Tally>,
}

impl Client {
    async fn live(mut self) {
        loop {
            let mut stream = self.open_somewhere().await;
            while let Some(after) = asked_to_move(&mut stream).await {
                tokio::time::sleep(after).await;
                // Make before break; a pod that takes nobody any more may not be known to be so yet.
                stream = self.open_somewhere().await;
                self.tally.moves.fetch_add(1, Ordering::Relaxed);
            }
            self.tally.cut.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A stream, as soon as a pod takes it.
    async fn open_somewhere(&mut self) -> TcpStream {
        loop {
            if let Some(stream) = self.open().await {
                return stream;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A stream at one of the pods that are ready, by turns.
    async fn open(&mut self) -> Option<TcpStream> {
        self.number += 1;
        let ip = {
            let pods = self.pods.lock();
            let ready: Vec<_> = pods.values().filter(|pod| pod.ready).collect();
            let turn = usize::try_from(self.number).unwrap();
            ready.get(turn % ready.len().max(1))?.ip
        };
        let body = json!({"accountId": self.account}).to_string();
        let head = format!("authorization: Bearer {KEY}\r\n");
        let (status, body) = call(ip, PUBLIC, "POST /notice/sessions", &head, Some(&body)).await?;
        let body: Value = serde_json::from_str(&body).ok()?;
        let token = body["token"].as_str().filter(|_| status == 201)?;
        let mut stream = TcpStream::connect(SocketAddr::from((ip, PUBLIC)))
            .await
            .ok()?;
        let request = format!(
            "GET /notice/sse HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {token}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.ok()?;
        let head = read_until(&mut stream, "\r\n\r\n").await?;
        head.starts_with("HTTP/1.1 200").then_some(stream)
    }
}

/// When this stream's client is asked to move; none when the stream ends.
async fn asked_to_move(stream: &mut TcpStream) -> Option<Duration> {
    loop {
        let event = read_until(stream, "\n\n").await?;
        if !event.contains("event: move") {
            continue;
        }
        let data = event.split("data: ").nth(1).unwrap_or_default();
        let data: Value = serde_json::from_str(data.lines().next().unwrap_or_default()).ok()?;
        return Some(Duration::from_millis(data["afterMs"].as_u64()?));
    }
}

async fn read_until(stream: &mut TcpStream, end: &str) -> Option<String> {
    let mut text = String::new();
    while !text.ends_with(end) {
        let byte = stream.read_u8().await.ok()?;
        text.push(char::from(byte));
    }
    Some(text)
}

/// One HTTP call over a connection of its own; status and body.
async fn call(
    ip: Ipv4Addr,
    port: u16,
    what: &str,
    head: &str,
    body: Option<&str>,
) -> Option<(u16, String)> {
    let exchange = async {
        let mut stream = TcpStream::connect(SocketAddr::from((ip, port)))
            .await
            .ok()?;
        let body = body.unwrap_or_default();
        let request = format!(
            "{what} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {}\r\n{head}\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        Some((status, answer.split("\r\n\r\n").nth(1)?.to_owned()))
    };
    tokio::time::timeout(Duration::from_secs(5), exchange)
        .await
        .ok()?
}

impl Scene {
    /// Says that a pod runs at this address, and whether it is ready. False: it is gone.
    async fn pod_is_at(&self, name: &str, ip: IpAddr, ready: bool) -> bool {
        let is = if ready { "True" } else { "False" };
        let of = |kind: &str, is: &str| json!({"type": kind, "status": is, "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let status = json!({"status": {
            "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
            "conditions": [of("PodScheduled", "True"), of("ContainersReady", is), of("Ready", is)]
        }});
        let path = format!("/api/v1/namespaces/{}/pods/{name}/status", self.namespace);
        self.try_edit(&path, status).await.is_ok()
    }

    /// Changes a pod's annotations.
    pub(crate) async fn annotate_pod(&self, name: &str, annotations: Value) {
        let path = format!("/api/v1/namespaces/{}/pods/{name}", self.namespace);
        self.edit(&path, json!({"metadata": {"annotations": annotations}}))
            .await;
    }

    /// The names of events about the cluster.
    pub(crate) async fn reasons(&self) -> Vec<String> {
        let path = format!(
            "/apis/events.k8s.io/v1/namespaces/{}/events",
            self.namespace
        );
        let list = self.get(&path).await.unwrap_or_default();
        let items = list["items"].as_array().cloned().unwrap_or_default();
        items
            .iter()
            .filter_map(|it| Some(it["reason"].as_str()?.to_owned()))
            .collect()
    }
}
