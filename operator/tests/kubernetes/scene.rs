//! A namespace, an operator in it, and ways to look at both.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::{Duration, Instant};

use hyper::Request;
use kube::core::params::{Patch, PatchParams};
use kube::core::request::Request as Paths;
use kube::{Client, Config};
use notice_operator::app::{self, Options};
use notice_operator::observe::ChildKind;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// How long a condition is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What the tests' own calls are named: everything but the operator's manager is somebody else.
const PERSON: &str = "a-person";

/// One test's world.
pub(crate) struct Scene {
    pub(crate) namespace: String,
    pub(crate) client: Client,
    operator: Option<Running>,
}

/// An operator that runs.
pub(crate) struct Running {
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Who the operator is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Account {
    /// One that may do everything.
    Master,
    /// One that may do what a Role says (see `denied.rs`).
    Limited,
}

pub(crate) fn kubeconfig() -> String {
    std::env::var("NOTICE_TEST_KUBECONFIG").expect(
        "NOTICE_TEST_KUBECONFIG names no kubeconfig: run these tests by `scripts/test operator`",
    )
}

async fn config() -> Config {
    let _already_there = rustls::crypto::ring::default_provider().install_default();
    let kubeconfig = kube::config::Kubeconfig::read_from(kubeconfig()).unwrap();
    Config::from_custom_kubeconfig(kubeconfig, &Default::default())
        .await
        .unwrap()
}

/// The operator's log beside a test's own words, for who looks for a cause: NOTICE_OPERATOR_LOG=debug.
fn log_if_asked() {
    use tracing_subscriber::EnvFilter;
    if let Ok(filter) = EnvFilter::try_from_env("NOTICE_OPERATOR_LOG") {
        let log = tracing_subscriber::fmt().with_env_filter(filter);
        let _already_there = log.with_test_writer().try_init();
    }
}

fn random() -> String {
    let mut bytes = [0_u8; 5];
    getrandom::fill(&mut bytes).unwrap();
    bytes
        .iter()
        .map(|byte| char::from(b'a' + byte % 26))
        .collect()
}

impl Scene {
    /// A namespace without an operator.
    pub(crate) async fn empty(name: &str) -> Self {
        log_if_asked();
        let client = Client::try_from(config().await).unwrap();
        let namespace = format!("{name}-{}", random());
        let scene = Self {
            namespace,
            client,
            operator: None,
        };
        scene.install_definition().await;
        let body =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": scene.namespace}});
        scene.post("/api/v1/namespaces", &body).await;
        scene
    }

    /// A namespace with an operator that may do everything.
    pub(crate) async fn new(name: &str) -> Self {
        let mut scene = Self::empty(name).await;
        scene.start_operator(Account::Master).await;
        scene
    }

    /// The name under which the operator's requests are in the audit log.
    pub(crate) fn user(&self) -> String {
        format!("operator-of-{}", self.namespace)
    }

    pub(crate) fn options(&self) -> Options {
        Options {
            namespaces: vec![self.namespace.clone()],
            metrics_listen: "127.0.0.1:0".parse().unwrap(),
            pod_namespace: Some(self.namespace.clone()),
            pod_name: "operator".to_owned(),
            server_image: "example.test/notice-server:1".to_owned(),
            leader_elect: true,
            json_log: false,
            admin_port: 9090,
            metrics_api: None,
        }
    }

    pub(crate) async fn start_operator(&mut self, account: Account) {
        self.start_with(self.options(), account).await;
    }

    pub(crate) async fn start_with(&mut self, options: Options, account: Account) {
        self.operator = Some(self.run_operator(options, account).await);
    }

    /// An operator beside the scene's own; dropped, it is gone without a goodbye.
    pub(crate) async fn run_operator(&self, options: Options, account: Account) -> Running {
        let mut config = config().await;
        config.auth_info.impersonate = Some(self.user());
        if account == Account::Master {
            config.auth_info.impersonate_groups = Some(vec!["system:masters".to_owned()]);
        }
        let task = tokio::spawn(async move {
            let never = std::future::pending();
            app::serve(&options, config, never).await.unwrap();
        });
        Running { task }
    }

    async fn install_definition(&self) {
        let crd = serde_json::to_value(notice_operator::api::crd::crd().unwrap()).unwrap();
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        self.patch_apply(path, "noticeclusters.noticecluster.dev", &crd)
            .await;
        self.wait("the definition is established", || async {
            let found = self
                .get(&format!("{path}/noticeclusters.noticecluster.dev"))
                .await?;
            condition(&found, "Established")
                .filter(|it| it["status"] == "True")
                .map(|_| ())
        })
        .await;
    }

    // --- calls ------------------------------------------------------------------------------

    pub(crate) async fn get(&self, path: &str) -> Option<Value> {
        let request = Request::get(path).body(Vec::new()).unwrap();
        match self.client.request::<Value>(request).await {
            Ok(value) => Some(value),
            Err(kube::Error::Api(status)) if status.code == 404 => None,
            Err(error) => panic!("GET {path}: {error}"),
        }
    }

    /// As [`Scene::get`], of a kind that may not be served yet.
    pub(crate) async fn get_served(&self, path: &str) -> Option<Value> {
        let request = Request::get(path).body(Vec::new()).unwrap();
        self.client.request::<Value>(request).await.ok()
    }

    pub(crate) async fn try_post(&self, path: &str, body: &Value) -> Result<Value, kube::Error> {
        let request = Request::post(path)
            .header("content-type", "application/json")
            .body(serde_json::to_vec(body).unwrap())
            .unwrap();
        self.client.request::<Value>(request).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Value {
        self.try_post(path, body)
            .await
            .unwrap_or_else(|error| panic!("POST {path}: {error}"))
    }

    async fn patch_apply(&self, path: &str, name: &str, body: &Value) {
        let params = PatchParams::apply("tests").force();
        let request = Paths::new(path)
            .patch(name, &params, &Patch::Apply(body))
            .unwrap();
        self.client.request::<Value>(request).await.unwrap();
    }

    /// A merge patch, as a person makes one.
    pub(crate) async fn edit(&self, path: &str, change: Value) -> Value {
        self.try_edit(path, change)
            .await
            .unwrap_or_else(|error| panic!("PATCH {path}: {error}"))
    }

    pub(crate) async fn try_edit(&self, path: &str, change: Value) -> Result<Value, kube::Error> {
        let request = Request::patch(format!("{path}?fieldManager={PERSON}"))
            .header("content-type", "application/merge-patch+json")
            .body(serde_json::to_vec(&change).unwrap())
            .unwrap();
        self.client.request::<Value>(request).await
    }

    pub(crate) async fn delete(&self, path: &str) {
        let request = Request::delete(path).body(Vec::new()).unwrap();
        self.client
            .request::<Value>(request)
            .await
            .unwrap_or_else(|error| panic!("DELETE {path}: {error}"));
    }

    // --- places -----------------------------------------------------------------------------

    pub(crate) fn clusters(&self) -> String {
        format!(
            "/apis/noticecluster.dev/v1alpha1/namespaces/{}/noticeclusters",
            self.namespace
        )
    }

    pub(crate) fn cluster_path(&self, name: &str) -> String {
        format!("{}/{name}", self.clusters())
    }

    pub(crate) fn child_path(&self, kind: ChildKind, name: &str) -> String {
        format!("{}/{name}", kind.path(Some(&self.namespace)))
    }

    pub(crate) async fn child(&self, kind: ChildKind, name: &str) -> Option<Value> {
        self.get(&self.child_path(kind, name)).await
    }

    pub(crate) async fn cluster(&self, name: &str) -> Value {
        self.get(&self.cluster_path(name)).await.unwrap()
    }

    pub(crate) async fn create_cluster(&self, name: &str, spec: Value) -> Value {
        let body = json!({
            "apiVersion": "noticecluster.dev/v1alpha1", "kind": "NoticeCluster",
            "metadata": {"name": name}, "spec": spec
        });
        self.post(&self.clusters(), &body).await
    }

    pub(crate) fn secret_path(&self, name: &str) -> String {
        format!("/api/v1/namespaces/{}/secrets/{name}", self.namespace)
    }

    pub(crate) async fn create_secret(&self, name: &str, data: Value) {
        let body = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
        self.post(
            &format!("/api/v1/namespaces/{}/secrets", self.namespace),
            &body,
        )
        .await;
    }

    /// The Secrets of [`cluster_of_two`].
    pub(crate) async fn create_secrets(&self) {
        self.create_secret(
            "mongo",
            json!({"uri": "mongodb://mongo:27017", "other": "1"}),
        )
        .await;
        self.create_secret("redis", json!({"uri": "redis://redis:6379"}))
            .await;
        self.create_secret(
            "keys",
            json!({"keys": "rides:0123456789abcdef0123456789abcdef"}),
        )
        .await;
    }

    // --- waiting ----------------------------------------------------------------------------

    /// Waits until `look` finds something, and fails with the namespace's state when it does not in time.
    pub(crate) async fn wait<T, F: Future<Output = Option<T>>>(
        &self,
        what: &str,
        look: impl FnMut() -> F,
    ) -> T {
        self.wait_for(PATIENCE, what, look).await
    }

    pub(crate) async fn wait_for<T, F: Future<Output = Option<T>>>(
        &self,
        patience: Duration,
        what: &str,
        mut look: impl FnMut() -> F,
    ) -> T {
        let started = Instant::now();
        loop {
            if let Some(found) = look().await {
                return found;
            }
            if started.elapsed() > patience {
                let state = self.get(&self.clusters()).await.unwrap_or_default();
                panic!("not so after {patience:?}: {what}\n{state:#}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn wait_child(&self, kind: ChildKind, name: &str) -> Value {
        self.wait(&format!("{kind} {name} is there"), || {
            self.child(kind, name)
        })
        .await
    }

    pub(crate) async fn wait_gone(&self, kind: ChildKind, name: &str) {
        self.wait(&format!("{kind} {name} is gone"), || async {
            self.child(kind, name).await.is_none().then_some(())
        })
        .await;
    }

    /// Waits for a condition of this status and reason.
    pub(crate) async fn wait_condition(
        &self,
        name: &str,
        kind: &str,
        status: &str,
        reason: &str,
    ) -> Value {
        self.wait(&format!("{kind} is {status}, {reason}"), || async {
            let found = condition(&self.cluster(name).await, kind)?;
            (found["status"] == status && found["reason"] == reason).then_some(found)
        })
        .await
    }

    /// Waits until the operator has nothing to do for this cluster: two looks with the same versions, and its status is
    /// about the spec of now.
    pub(crate) async fn wait_settled(&self, name: &str) {
        self.wait("status is about the spec of now", || async {
            let cluster = self.cluster(name).await;
            let generation = &cluster["metadata"]["generation"];
            (cluster["status"]["observedGeneration"] == *generation).then_some(())
        })
        .await;
    }

    // --- pods -------------------------------------------------------------------------------

    pub(crate) async fn pods(&self) -> Vec<Value> {
        let path = format!("/api/v1/namespaces/{}/pods", self.namespace);
        let list = self.get(&path).await.unwrap();
        list["items"].as_array().cloned().unwrap_or_default()
    }

    pub(crate) async fn wait_pods(&self, count: usize) -> Vec<Value> {
        self.wait(&format!("there are {count} pods"), || async {
            let pods = self.pods().await;
            (pods.len() == count).then_some(pods)
        })
        .await
    }

    /// Says that a pod runs at this address.
    pub(crate) async fn run_pod(&self, pod: &Value, ip: &str) {
        let name = pod["metadata"]["name"].as_str().unwrap();
        let ready = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let status = json!({"status": {
            "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
            "conditions": [ready("PodScheduled"), ready("ContainersReady"), ready("Ready")]
        }});
        self.edit(
            &format!("/api/v1/namespaces/{}/pods/{name}/status", self.namespace),
            status,
        )
        .await;
    }

    /// What the operator asked of the API server so far, as `verb resource[/subresource]`, by the audit log.
    pub(crate) fn requests(&self) -> Vec<String> {
        let folder = std::env::var("NOTICE_KUBERNETES_DIR")
            .expect("NOTICE_KUBERNETES_DIR names no control plane");
        let log = std::fs::read_to_string(format!("{folder}/audit.log")).unwrap();
        let user = self.user();
        let lines = log.lines().filter(|line| line.contains(&user));
        let parsed = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        parsed
            .filter(|it| {
                it["impersonatedUser"]["username"] == user.as_str()
                    && it["stage"] != "RequestReceived"
            })
            .map(|it| {
                let at = &it["objectRef"];
                let mut text = format!("{} {}", word(&it["verb"]), word(&at["resource"]));
                if let Some(part) = at["subresource"].as_str() {
                    text.push('/');
                    text.push_str(part);
                }
                text
            })
            .collect()
    }
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

impl Drop for Scene {
    fn drop(&mut self) {
        drop(self.operator.take());
        // The namespace is removed behind the test's back; a runtime of its own, since the test's is ending.
        let namespace = self.namespace.clone();
        let removed = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let client = Client::try_from(config().await).unwrap();
                let request = Request::delete(format!("/api/v1/namespaces/{namespace}"))
                    .body(Vec::new())
                    .unwrap();
                let _best_effort = client.request::<Value>(request).await;
            });
        });
        let _best_effort = removed.join();
    }
}

/// A cluster of two pods on MongoDB and Redis, with every child but the optional kinds.
pub(crate) fn cluster_of_two() -> Value {
    json!({
        "replicas": 2,
        "mongodb": {"uriSecretRef": {"name": "mongo", "key": "uri"}},
        "redis": {"uriSecretRef": {"name": "redis", "key": "uri"}},
        "auth": {"apiKeysSecretRef": {"name": "keys", "key": "keys"}},
        "ingress": {"className": "nginx", "host": "im.example.com"},
        "monitoring": {"dashboard": {"enabled": true}},
        "networkPolicy": {"enabled": true}
    })
}

/// Its children, by kind and name.
pub(crate) fn children_of_two() -> BTreeSet<(ChildKind, &'static str)> {
    BTreeSet::from([
        (ChildKind::ServiceAccount, "rides"),
        (ChildKind::ConfigMap, "rides"),
        (ChildKind::ConfigMap, "rides-dashboard"),
        (ChildKind::NetworkPolicy, "rides"),
        (ChildKind::Service, "rides"),
        (ChildKind::Service, "rides-metrics"),
        (ChildKind::PodDisruptionBudget, "rides"),
        (ChildKind::Ingress, "rides"),
        (ChildKind::Deployment, "rides"),
    ])
}

/// A condition of an object.
pub(crate) fn condition(object: &Value, kind: &str) -> Option<Value> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions.iter().find(|it| it["type"] == kind).cloned()
}
