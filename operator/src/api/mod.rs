//! The NoticeCluster API, version v1alpha1: what a person writes, and what the operator says about it.
//!
//! One file for each part of the spec. Doc comments here are the descriptions that `kubectl explain` shows. Every
//! contradiction that needs no other object is refused at admission, by the schema or by a CEL rule whose message says
//! what to change. Defaults are resolved in [`crate::validate`], not in the schema, with one exception: `replicas`, which
//! the scale subresource needs.

pub mod auth;
pub mod backends;
pub mod crd;
pub mod delivery;
pub mod edge;
pub mod foreign;
pub mod monitoring;
pub mod refs;
pub mod scaling;
pub mod status;
pub mod workload;

use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

pub use auth::{AuthSpec, JwtAlgorithm, JwtSpec};
pub use backends::{MongoDbSpec, RedisSpec, StorageSpec};
pub use delivery::{
    DeliverySpec, LimitsSpec, LogFormat, LogLevel, LogSpec, RetentionSpec, SessionsSpec,
};
pub use edge::{GatewaySpec, IngressSpec, IngressTls, ParentRef};
pub use monitoring::{
    DashboardSpec, MonitoringSpec, NetworkPolicySpec, PrometheusRuleSpec, ServiceMonitorSpec,
};
pub use refs::{LocalRef, SecretKeyRef};
pub use scaling::{AutoscalingMode, AutoscalingSpec, CapacitySpec, ScaleDownSpec, ScaleUpSpec};
pub use status::{AutoscalingStatus, MOST_PODS, NoticeClusterStatus, PodStatus};
pub use workload::{DrainSpec, ImagePullPolicy, PodTemplateSpec, RolloutSpec, SchedulingSpec};

/// What a person wants.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "noticecluster.dev",
    version = "v1alpha1",
    kind = "NoticeCluster",
    plural = "noticeclusters",
    singular = "noticecluster",
    shortname = "nc",
    namespaced,
    status = "NoticeClusterStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "A set of notice servers: instant push to clients over a durable inbox.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".status.replicas"),
    printcolumn(name = "Sessions", type_ = "integer", json_path = ".status.onlineSessions"),
    printcolumn(name = "URL", type_ = "string", json_path = ".status.url"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 46 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name must begin with a letter, have only lower-case letters, digits and \"-\", and at most 46 characters: it names the Service, and the pods after it")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.mongodb) || has(self.storage)")
        .message("there is no place for notices: set mongodb.uriSecretRef, or storage.size for the embedded store"),
    validation = Rule::new("!(has(self.mongodb) && has(self.storage))")
        .message("storage is the embedded store's volume, of no use with mongodb: remove one of the two"),
    validation = Rule::new("has(self.mongodb) || self.replicas <= 1")
        .message("the embedded store cannot be shared: set replicas to 1 at most, or set mongodb"),
    validation = Rule::new("has(self.mongodb) || !has(self.autoscaling)")
        .message("the embedded store cannot be shared: remove autoscaling, or set mongodb"),
    validation = Rule::new("!has(self.autoscaling) || !has(self.autoscaling.targetSessionsPerPod) || self.autoscaling.targetSessionsPerPod <= (has(self.capacity) && has(self.capacity.maxSessionsPerPod) ? self.capacity.maxSessionsPerPod : 20000)")
        .message("autoscaling.targetSessionsPerPod is more than capacity.maxSessionsPerPod (default 20000), so no pod could reach it: lower the first or raise the second")
)]
pub struct NoticeClusterSpec {
    /// The server's image. Default: that of the operator's own release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^\S+$"))]
    pub image: Option<String>,
    /// When the image is pulled. Default: IfNotPresent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// Secrets with the registry's credentials. The kubelet reads them, not the operator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Vec<LocalRef>,
    /// How many pods there are. With autoscaling in the mode Operator it counts at creation only; in the mode
    /// HorizontalPodAutoscaler leave it out. 0 keeps everything but the pods.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: i32,
    /// MongoDB keeps the notices. Without it the embedded store does, on the volume of storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mongodb: Option<MongoDbSpec>,
    /// Redis keeps session tokens, and with MongoDB it wakes the pod that a notice is for. With MongoDB and without Redis the
    /// pods poll.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisSpec>,
    /// The embedded store's volume: only without mongodb. It can't be changed, and it outlives the NoticeCluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("storage can't be changed: grow the volume by its PersistentVolumeClaim, or make another NoticeCluster"))]
    pub storage: Option<StorageSpec>,
    /// Credentials of services and clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthSpec>,
    /// An Ingress for clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<IngressSpec>,
    /// An HTTPRoute of the Gateway API for clients, instead of or beside ingress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewaySpec>,
    /// Networks of proxies whose X-Forwarded-For is believed, such as 10.0.0.0/8, or single addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 2, max = 43)))]
    #[x_kube(validation = Rule::new("self.all(n, isIP(n) || (isCIDR(n) && cidr(n) == cidr(n).masked()))")
        .message("trustedProxies must hold networks without bits behind their prefix, such as 10.0.0.0/8 or fd00::/8, or single addresses"))]
    pub trusted_proxies: Vec<String>,
    /// What one pod takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<CapacitySpec>,
    /// The number of pods by the number of sessions. Only with mongodb.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<AutoscalingSpec>,
    /// How a change is rolled out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutSpec>,
    /// How pods are emptied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<DrainSpec>,
    /// Settings of the server: how notices are delivered and kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<DeliverySpec>,
    /// The servers' log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogSpec>,
    /// Objects for Prometheus and Grafana.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<MonitoringSpec>,
    /// A NetworkPolicy for the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<NetworkPolicySpec>,
    /// CPU, memory and ephemeral storage of a pod. What is left out follows from capacity.maxSessionsPerPod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Where the pods run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduling: Option<SchedulingSpec>,
    /// What else the pods carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplateSpec>,
    /// Leave the children as they are until this is false again. Status is still kept. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
}

fn one() -> i32 {
    1
}
