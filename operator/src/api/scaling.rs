//! How many sessions a pod takes, and how many pods there are: `capacity`, `autoscaling`.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What one pod takes.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CapacitySpec {
    /// Sessions of one pod. At the limit new ones are refused and the pod is not ready. The pods' memory follows from it.
    /// Default: 20000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_sessions_per_pod: Option<i32>,
    /// New connections a second of one pod. Default: 2000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connect_rate_per_second: Option<i32>,
}

/// The number of pods by the number of sessions.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas")
    .message("autoscaling.minReplicas is more than autoscaling.maxReplicas: lower the first or raise the second"))]
pub struct AutoscalingSpec {
    /// The fewest pods. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub min_replicas: Option<i32>,
    /// The most pods. Default: 10, or minReplicas where that is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: Option<i32>,
    /// Sessions of one pod to aim at. Default: half of capacity.maxSessionsPerPod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub target_sessions_per_pod: Option<i32>,
    /// Who decides: the Operator itself, from the sessions that the pods report, or a HorizontalPodAutoscaler, which needs an
    /// API that serves the pods metric notice_online_sessions; leave spec.replicas out then. Default: Operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<AutoscalingMode>,
    /// When more pods are wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_up: Option<ScaleUpSpec>,
    /// When fewer pods are wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_down: Option<ScaleDownSpec>,
}

/// Who decides how many pods there are.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AutoscalingMode {
    /// The operator, from what the pods report.
    #[default]
    Operator,
    /// A HorizontalPodAutoscaler on the NoticeCluster's scale.
    HorizontalPodAutoscaler,
}

/// When more pods are wanted.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScaleUpSpec {
    /// The lowest wish of so many seconds counts. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub stabilization_seconds: Option<i32>,
}

/// When fewer pods are wanted.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScaleDownSpec {
    /// The highest wish of so many seconds counts. Default: 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub stabilization_seconds: Option<i32>,
}
