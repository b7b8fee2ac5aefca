//! Optional kinds: absent, installed, removed. This test alone touches their definitions.

use notice_operator::observe::ChildKind;
use serde_json::{Value, json};

use crate::scene::Scene;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const NAME: &str = "httproutes.gateway.networking.k8s.io";

/// As much of the Gateway API's definition as an API server needs.
fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": NAME, "annotations": {"api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/gateway-api"}},
        "spec": {
            "group": "gateway.networking.k8s.io", "scope": "Namespaced",
            "names": {"kind": "HTTPRoute", "listKind": "HTTPRouteList", "plural": "httproutes", "singular": "httproute"},
            "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]
        }
    })
}

#[tokio::test]
async fn an_optional_kind_that_is_absent_stalls_nothing_and_is_used_when_it_comes() {
    let scene = Scene::empty("optional").await;
    if scene.get(&format!("{DEFINITIONS}/{NAME}")).await.is_some() {
        scene.delete(&format!("{DEFINITIONS}/{NAME}")).await;
        scene
            .wait("the definition is gone", || async {
                scene.get(&format!("{DEFINITIONS}/{NAME}")).await.is_none().then_some(())
            })
            .await;
    }
    let mut scene = scene;
    scene.start_operator(crate::scene::Account::Master).await;
    let gateway = json!({"parentRefs": [{"name": "edge"}], "hostnames": ["im.example.com"]});
    scene.create_cluster("rides", json!({"storage": {"size": "1Gi"}, "gateway": gateway})).await;
    scene.wait_condition("rides", "EdgeReady", "False", "KindNotServed").await;
    scene.wait_child(ChildKind::Deployment, "rides").await;

    scene.post(DEFINITIONS, &definition()).await;
    let path = scene.child_path(ChildKind::HttpRoute, "rides");
    let route = scene.wait("the route is there", || async { scene.get_served(&path).await }).await;
    assert_eq!(route["spec"]["parentRefs"][0]["name"], "edge");
    let pending = scene.wait_condition("rides", "EdgeReady", "Unknown", "RoutePending").await;
    assert!(pending["message"].as_str().unwrap().contains("edge"), "{pending}");

    let parents = json!({"status": {"parents": [{"parentRef": {"name": "edge"}, "controllerName": "example.com/x",
        "conditions": [{"type": "Accepted", "status": "False", "reason": "NotAllowedByListeners", "message": "no"}]}]}});
    scene.edit(&format!("{path}/status"), parents).await;
    let refused = scene.wait_condition("rides", "EdgeReady", "False", "RouteNotAccepted").await;
    assert!(refused["message"].as_str().unwrap().contains("Gateway edge"), "{refused}");

    scene.delete(&format!("{DEFINITIONS}/{NAME}")).await;
    scene.wait_condition("rides", "EdgeReady", "False", "KindNotServed").await;
}
