//! The API's documents, by the types of `k8s.io/metrics/pkg/apis/custom_metrics`. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::core::SelectorExt;
use serde_json::{Value, json};

use super::refusal::Refusal;
use super::requests::{Asked, GROUP, METRIC, SessionsAsked, Version};

/// A pod whose sessions are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Its name.
    pub(super) name: String,
    /// Its labels.
    pub(super) labels: BTreeMap<String, String>,
    /// Its sessions.
    pub(super) sessions: i64,
    /// When it said so.
    pub(super) read_at: Timestamp,
}

/// The answer to what was asked; `pods_of` gives the pods of a namespace whose sessions are known.
///
/// # Errors
/// A [`Refusal`]: the pod asked for by name is not known, or its sessions are not.
pub(super) fn answer(
    asked: &Asked,
    pods_of: impl FnOnce(&str) -> Vec<Row>,
) -> Result<Value, Refusal> {
    Ok(match asked {
        Asked::Groups => json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [group()]}),
        Asked::Group => {
            let mut group = group();
            group["kind"] = json!("APIGroup");
            group["apiVersion"] = json!("v1");
            group
        }
        Asked::Resources(version) => resources(*version),
        Asked::OpenApiV2 => {
            json!({"swagger": "2.0", "info": {"title": GROUP, "version": "v1"}, "paths": {}})
        }
        Asked::OpenApiV3 => json!({"paths": {}}),
        Asked::Sessions(asked) => sessions(asked, pods_of(&asked.namespace))?,
    })
}

fn group() -> Value {
    let version = |version: Version| json!({"groupVersion": group_version(version), "version": version.name()});
    json!({
        "name": GROUP, "versions": Version::ALL.map(version), "preferredVersion": version(Version::V1Beta2),
    })
}

fn group_version(version: Version) -> String {
    format!("{GROUP}/{}", version.name())
}

fn resources(version: Version) -> Value {
    json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version(version),
        "resources": [{
            "name": format!("pods/{METRIC}"), "singularName": "", "namespaced": true, "kind": "MetricValueList",
            "verbs": ["get"],
        }],
    })
}

/// A pod that is not known, or that could not be read lately, has no value: the autoscaler counts it as missing.
fn sessions(asked: &SessionsAsked, pods: Vec<Row>) -> Result<Value, Refusal> {
    let all = asked.name == "*";
    let wanted = |row: &Row| {
        if all {
            asked.pods.matches(&row.labels)
        } else {
            row.name == asked.name
        }
    };
    let items: Vec<_> = pods
        .iter()
        .filter(|row| wanted(row))
        .map(|row| value(asked, row))
        .collect();
    if items.is_empty() && !all {
        return Err(Refusal::NotFound(format!(
            "the sessions of the pod {}/{} are not known: it is no pod of a NoticeCluster, or has not answered lately",
            asked.namespace, asked.name
        )));
    }
    Ok(json!({
        "kind": "MetricValueList", "apiVersion": group_version(asked.version), "metadata": {}, "items": items,
    }))
}

fn value(asked: &SessionsAsked, row: &Row) -> Value {
    let mut value = json!({
        "describedObject": {"kind": "Pod", "apiVersion": "/v1", "namespace": asked.namespace, "name": row.name},
        "timestamp": row.read_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "value": row.sessions.to_string(),
        "selector": null,
    });
    match asked.version {
        Version::V1Beta1 => value["metricName"] = json!(METRIC),
        Version::V1Beta2 => {
            if let Some(fields) = value.as_object_mut() {
                fields.remove("selector");
            }
            value["metric"] = json!({"name": METRIC, "selector": null});
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::super::requests::parse;
    use super::*;

    fn pods() -> Vec<Row> {
        let row = |name: &str, instance: &str, sessions| Row {
            name: name.to_owned(),
            labels: [("app.kubernetes.io/instance".to_owned(), instance.to_owned())].into(),
            sessions,
            read_at: "2026-12-01T10:20:30.5Z".parse().unwrap(),
        };
        vec![
            row("rides-0", "rides", 7),
            row("rides-1", "rides", 12),
            row("meals-0", "meals", 3),
        ]
    }

    fn asked(path: &str, query: &str) -> Result<Value, Refusal> {
        let asked = parse(&format!("/apis/custom.metrics.k8s.io{path}"), Some(query)).unwrap();
        answer(&asked, |namespace| {
            if namespace == "im" {
                pods()
            } else {
                Vec::new()
            }
        })
    }

    const PODS: &str = "namespaces/im/pods/*/notice_online_sessions";

    #[test]
    fn the_selected_pods_are_told_with_the_time_of_their_reading() {
        let list = asked(
            &format!("/v1beta2/{PODS}"),
            "labelSelector=app.kubernetes.io/instance%3Drides",
        )
        .unwrap();
        assert_eq!(list["kind"], "MetricValueList");
        assert_eq!(list["apiVersion"], "custom.metrics.k8s.io/v1beta2");
        assert_eq!(list["items"].as_array().unwrap().len(), 2);
        assert_eq!(
            list["items"][1],
            json!({
                "describedObject": {"kind": "Pod", "apiVersion": "/v1", "namespace": "im", "name": "rides-1"},
                "metric": {"name": "notice_online_sessions", "selector": null},
                "timestamp": "2026-12-01T10:20:30Z", "value": "12",
            })
        );
    }

    #[test]
    fn the_older_version_names_the_metric_in_its_own_way() {
        let list = asked(
            "/v1beta1/namespaces/im/pods/meals-0/notice_online_sessions",
            "",
        )
        .unwrap();
        assert_eq!(list["items"][0]["metricName"], "notice_online_sessions");
        assert_eq!(list["items"][0]["metric"], Value::Null);
        assert_eq!(list["items"][0]["value"], "3");
    }

    #[test]
    fn a_namespace_without_pods_has_an_empty_list_and_an_unknown_pod_is_not_found() {
        let list = asked(
            "/v1beta2/namespaces/other/pods/*/notice_online_sessions",
            "",
        )
        .unwrap();
        assert_eq!(list["items"], json!([]));
        let refused =
            asked("/v1beta2/namespaces/im/pods/x/notice_online_sessions", "").unwrap_err();
        assert_eq!(refused.body()["code"], 404);
        assert_eq!(refused.body()["kind"], "Status");
    }

    #[test]
    fn discovery_tells_both_versions_and_the_one_resource() {
        let group = asked("", "").unwrap();
        assert_eq!(
            (&group["kind"], &group["name"]),
            (&json!("APIGroup"), &json!(GROUP))
        );
        assert_eq!(group["preferredVersion"]["version"], "v1beta2");
        assert_eq!(group["versions"].as_array().unwrap().len(), 2);
        for version in ["v1beta1", "v1beta2"] {
            let list = asked(&format!("/{version}"), "").unwrap();
            assert_eq!(list["groupVersion"], format!("{GROUP}/{version}"));
            assert_eq!(list["resources"][0]["name"], "pods/notice_online_sessions");
        }
    }
}
