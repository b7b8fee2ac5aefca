//! How clients come in from outside: `ingress`, `gateway`.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// An Ingress. Its class's controller decides which annotations are set.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IngressSpec {
    /// The IngressClass. Default: the cluster's default class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub class_name: Option<String>,
    /// The host name that clients use. Without one the Ingress takes every host, and status has no url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(
            pattern = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
        )
    )]
    pub host: Option<String>,
    /// The path that everything public is below; also the server's base path, and the HTTPRoute's. Default: /notice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = r"^/([-_~A-Za-z0-9][-._~A-Za-z0-9]*(/[-_~A-Za-z0-9][-._~A-Za-z0-9]*)*)?$")
    )]
    pub path: Option<String>,
    /// Publish the service API too (staging, session tokens, accounts). By default only client paths are published, and
    /// services use the Service within the cluster. Counts for the HTTPRoute as well. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expose_service_api: Option<bool>,
    /// TLS at the Ingress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<IngressTls>,
    /// How long the proxy may take to connect to a pod. Default: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 600))]
    pub connect_timeout_seconds: Option<i32>,
    /// How long a connection may be quiet from the pod's side before the proxy ends it. The server pings each 25 s, so 60 is
    /// the least that makes sense. Default: 7200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 30, max = 604_800))]
    pub read_timeout_seconds: Option<i32>,
    /// How long the proxy waits between two writes to a peer that takes nothing. Default: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub send_timeout_seconds: Option<i32>,
    /// Annotations of your own on the Ingress. Merged last: they win over those that the operator sets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub annotations: BTreeMap<String, String>,
}

/// TLS at the Ingress.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IngressTls {
    /// The Secret with the certificate, of type kubernetes.io/tls. The ingress controller reads it, not the operator. Without
    /// it the controller's own certificate is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: Option<String>,
}

/// An HTTPRoute of the Gateway API, instead of or beside the Ingress. Its base path is ingress.path, or /notice.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.parentRefs.size() > 0")
    .message("gateway.parentRefs must name the Gateway that the route attaches to, for example [{name: edge}]"))]
pub struct GatewaySpec {
    /// The Gateways, or their listeners, that the route attaches to.
    #[serde(default)]
    #[schemars(length(max = 32))]
    pub parent_refs: Vec<ParentRef>,
    /// The host names that clients use. Without any the route takes those of the Gateway's listeners, and status has no url.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(
            length(min = 1, max = 253),
            regex(
                pattern = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
            )
        )
    )]
    pub hostnames: Vec<String>,
}

/// What an HTTPRoute attaches to.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// Name of the Gateway.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its namespace. Default: the NoticeCluster's. The Gateway's listener must allow routes from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// Name of one of its listeners. Default: all that fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub section_name: Option<String>,
    /// Port of its listeners. Default: all that fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: Option<i32>,
    /// API group of the parent. Default: gateway.networking.k8s.io.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub group: Option<String>,
    /// Kind of the parent. Default: Gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub kind: Option<String>,
}
