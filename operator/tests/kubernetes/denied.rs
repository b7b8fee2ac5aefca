//! An operator with the rights of its chart and no right to Secrets.

use notice_operator::observe::ChildKind;
use serde_json::{Value, json};

use crate::scene::{Account, Scene, cluster_of_two};

fn rule(groups: &[&str], resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": groups, "resources": resources, "verbs": verbs})
}

/// What the chart's Role allows in a watched namespace, and in the operator's own.
fn rules() -> Vec<Value> {
    let all = ["get", "list", "watch", "create", "patch", "delete"];
    vec![
        rule(&["noticecluster.dev"], &["noticeclusters"], &["get", "list", "watch"]),
        rule(&["noticecluster.dev"], &["noticeclusters/status"], &["patch"]),
        rule(&[""], &["serviceaccounts", "configmaps", "services", "persistentvolumeclaims"], &all),
        rule(&[""], &["pods"], &["get", "list", "watch"]),
        rule(&["apps"], &["deployments"], &all),
        rule(&["networking.k8s.io"], &["ingresses", "networkpolicies"], &all),
        rule(&["policy"], &["poddisruptionbudgets"], &all),
        rule(&["autoscaling"], &["horizontalpodautoscalers"], &all),
        rule(&["events.k8s.io"], &["events"], &["create", "patch"]),
        rule(&["coordination.k8s.io"], &["leases"], &["get", "create", "update"]),
        json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "update"], "resourceNames": ["notice-operator-drain-key"]}),
        rule(&[""], &["secrets"], &["create"]),
    ]
}

async fn allow(scene: &Scene, name: &str, rules: Vec<Value>) {
    let root = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{}", scene.namespace);
    let role = json!({"metadata": {"name": name}, "rules": rules});
    scene.post(&format!("{root}/roles"), &role).await;
    let binding = json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": scene.user()}]
    });
    scene.post(&format!("{root}/rolebindings"), &binding).await;
}

#[tokio::test]
async fn an_operator_that_may_not_read_secrets_says_which_role_to_apply_and_goes_on() {
    let mut scene = Scene::empty("denied").await;
    scene.create_secrets().await;
    allow(&scene, "operator", rules()).await;
    scene.start_operator(Account::Limited).await;
    scene.create_cluster("rides", cluster_of_two()).await;
    let told = scene.wait_condition("rides", "DependenciesReady", "Unknown", "SecretAccessDenied").await;
    let message = told["message"].as_str().unwrap();
    assert!(message.contains("resourceNames: [keys, mongo, redis]"), "{message}");
    // Reconciling goes on: it can't be told that anything is missing.
    scene.wait_child(ChildKind::Deployment, "rides").await;

    let by_name = json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"],
                         "resourceNames": ["keys", "mongo", "redis"]});
    allow(&scene, "secrets", vec![by_name]).await;
    scene
        .wait("it heals by itself", || async {
            let cluster = scene.cluster("rides").await;
            crate::scene::condition(&cluster, "DependenciesReady").filter(|it| it["status"] == "True")
        })
        .await;
}

#[tokio::test]
async fn a_namespace_that_may_not_be_read_does_not_stop_another() {
    let mut scene = Scene::empty("unreadable").await;
    scene.create_secrets().await;
    let mut options = scene.options();
    options.namespaces.insert(0, "kube-system".to_owned());
    allow(&scene, "operator", rules()).await;
    scene.start_with(options, Account::Limited).await;
    scene.create_cluster("rides", json!({"storage": {"size": "1Gi"}})).await;
    scene.wait_child(ChildKind::Deployment, "rides").await;
    scene.wait_settled("rides").await;
}
