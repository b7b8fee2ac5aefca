//! The API of custom metrics behind a real API server, with Kubernetes' own autoscaler as its user.
//!
//! One test: a cluster has one such API.

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use notice_operator::app::MetricsApiOptions;
use notice_operator::metrics_api::GROUP;
use notice_operator::observe::ChildKind;
use serde_json::{Value, json};

use crate::farm::Farm;
use crate::scene::{Account, Scene, cluster_of_two, condition};

/// The autoscaler looks every five seconds and shrinks by one pod in the time of a drain.
const PATIENCE: Duration = Duration::from_secs(180);

const SERVICE: &str = "notice-operator-metrics-api";
const API_SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";

/// An address of this machine that an endpoint may have: no loopback.
fn address() -> SocketAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // Nothing is sent: only a way out is looked for.
    socket
        .connect("192.0.2.1:9")
        .expect("this machine has no network but its own: endpoints can't be loopback");
    let ip: IpAddr = socket.local_addr().unwrap().ip();
    TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap()
}

/// What the chart makes, but with an endpoint by hand, since the operator is no pod here.
async fn register(scene: &Scene, at: SocketAddr) {
    let namespaced =
        |group: &str, plural: &str| format!("{group}/namespaces/{}/{plural}", scene.namespace);
    let ports = json!([{"name": "metrics-api", "port": 443}]);
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": SERVICE}, "spec": {"ports": ports}});
    scene
        .post(&namespaced("/api/v1", "services"), &service)
        .await;
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": SERVICE, "labels": {"kubernetes.io/service-name": SERVICE}}, "addressType": "IPv4",
        "ports": [{"name": "metrics-api", "port": at.port(), "protocol": "TCP"}],
        "endpoints": [{"addresses": [at.ip()], "conditions": {"ready": true}}],
    });
    scene
        .post(
            &namespaced("/apis/discovery.k8s.io/v1", "endpointslices"),
            &slice,
        )
        .await;
    for (priority, version) in [(100, "v1beta1"), (200, "v1beta2")] {
        let api_service = json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": format!("{version}.{GROUP}")},
            "spec": {
                "group": GROUP, "version": version, "groupPriorityMinimum": 100, "versionPriority": priority,
                "service": {"namespace": scene.namespace, "name": SERVICE, "port": 443},
            },
        });
        scene.post(API_SERVICES, &api_service).await;
    }
}

async fn unregister(scene: &Scene) {
    for version in ["v1beta1", "v1beta2"] {
        scene
            .delete(&format!("{API_SERVICES}/{version}.{GROUP}"))
            .await;
    }
}

async fn wait_active(scene: &Scene, status: &str) -> Value {
    let what = format!("AutoscalingActive is {status}");
    scene
        .wait_for(PATIENCE, &what, || async {
            let found = condition(&scene.cluster("rides").await, "AutoscalingActive")?;
            (found["status"] == status).then_some(found)
        })
        .await
}

async fn ready(scene: &Scene, count: i64) {
    scene
        .wait_for(PATIENCE, &format!("{count} pods are ready"), || async {
            let deployment = scene.child(ChildKind::Deployment, "rides").await?;
            let is = |of: &str| deployment["status"][of].as_i64().unwrap_or(0) == count;
            (is("readyReplicas") && is("replicas") && deployment["spec"]["replicas"] == count)
                .then_some(())
        })
        .await;
}

/// The status that a user without rights gets.
async fn refused(scene: &Scene, path: &str) -> u16 {
    let request = Request::get(path)
        .header("impersonate-user", "nobody-in-particular")
        .body(Vec::new())
        .unwrap();
    match scene.client.request::<Value>(request).await {
        Err(kube::Error::Api(status)) => status.code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn kubernetes_own_autoscaler_sizes_a_cluster_by_the_sessions_that_the_operator_serves() {
    let at = address();
    let scene = {
        let scene = Scene::empty("hpa").await;
        let mut options = scene.options();
        options.metrics_api = Some(MetricsApiOptions {
            listen: at,
            service: SERVICE.to_owned(),
        });
        let mut scene = scene;
        scene.start_with(options, Account::Master).await;
        Arc::new(scene)
    };
    scene.create_secrets().await;
    let mut spec = cluster_of_two();
    spec.as_object_mut().unwrap().remove("replicas");
    spec["rollout"] = json!({"minReadySeconds": 0});
    spec["drain"] = json!({"windowSeconds": 5});
    spec["capacity"] = json!({"maxSessionsPerPod": 100, "connectRatePerSecond": 100});
    spec["autoscaling"] = json!({
        "minReplicas": 2, "maxReplicas": 4, "targetSessionsPerPod": 5, "mode": "HorizontalPodAutoscaler",
        "scaleUp": {"stabilizationSeconds": 0}, "scaleDown": {"stabilizationSeconds": 0},
    });
    scene.create_cluster("rides", spec).await;
    scene.wait_child(ChildKind::Deployment, "rides").await;
    let mut farm = Farm::start(&scene, (70, 20));

    // No API of metrics: it is told, and the size is the minimum.
    ready(&scene, 2).await;
    let inactive = wait_active(&scene, "False").await;
    assert!(
        inactive["message"]
            .as_str()
            .unwrap()
            .contains("notice_online_sessions"),
        "{inactive}"
    );

    register(&scene, at).await;
    scene
        .wait("the API server takes the metrics API", || async {
            let found = scene
                .get(&format!("{API_SERVICES}/v1beta2.{GROUP}"))
                .await?;
            condition(&found, "Available")
                .filter(|it| it["status"] == "True")
                .map(|_| ())
        })
        .await;
    farm.clients(8);
    wait_active(&scene, "True").await;

    farm.clients(14);
    ready(&scene, 3).await;
    let path = scene.child_path(ChildKind::HorizontalPodAutoscaler, "rides");
    let autoscaler = scene.get(&path).await.unwrap();
    let active = condition(&autoscaler, "ScalingActive").unwrap();
    assert_eq!(
        (&active["status"], &active["reason"]),
        (&json!("True"), &json!("ValidMetricFound"))
    );
    let current = &autoscaler["status"]["currentMetrics"][0]["pods"];
    assert_eq!(
        current["metric"]["name"], "notice_online_sessions",
        "{autoscaler}"
    );
    assert_eq!(
        scene.cluster("rides").await["spec"]["replicas"],
        3,
        "by the scale of the NoticeCluster"
    );

    // Who may not is refused by the API server's own word, and who comes past it is nobody.
    let values = format!(
        "/apis/{GROUP}/v1beta2/namespaces/{}/pods/*/notice_online_sessions",
        scene.namespace
    );
    scene
        .wait("the new pod has been asked, too", || async {
            let list = scene.get(&values).await?;
            (list["items"].as_array()?.len() == 3).then_some(())
        })
        .await;
    assert_eq!(refused(&scene, &values).await, 403);
    assert_eq!(past_the_api_server(at, &values).await, 401);

    farm.clients(8);
    ready(&scene, 2).await;
    let gone = scene
        .wait("its end is seen", || async { farm.gone().first().cloned() })
        .await;
    assert_eq!(gone.sessions, 0, "emptied before it went");
    assert_eq!(farm.tally.cut.load(std::sync::atomic::Ordering::Relaxed), 0);

    // It goes away: the size stays, and it is told.
    unregister(&scene).await;
    wait_active(&scene, "False").await;
    ready(&scene, 2).await;
}

/// The status that a call gets which does not come from the API server.
async fn past_the_api_server(at: SocketAddr, path: &str) -> u16 {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut config = rustls::ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(
            rustls::crypto::ring::default_provider(),
        )))
        .with_no_client_auth();
    config.enable_sni = false;
    let stream = tokio::net::TcpStream::connect(at).await.unwrap();
    let name = rustls::pki_types::ServerName::from(at.ip());
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(name, stream).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: x\r\nx-remote-user: admin\r\nx-remote-group: system:masters\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _without_goodbye = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Trusts every server: what is tested is whom the server trusts.
#[derive(Debug)]
struct Anybody(rustls::crypto::CryptoProvider);

impl rustls::client::danger::ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &rustls::pki_types::CertificateDer<'_>,
        _intermediates: &[rustls::pki_types::CertificateDer<'_>],
        _server_name: &rustls::pki_types::ServerName<'_>,
        _ocsp_response: &[u8],
        _now: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &rustls::pki_types::CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &rustls::pki_types::CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
