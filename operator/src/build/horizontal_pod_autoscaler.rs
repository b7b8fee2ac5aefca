//! The HorizontalPodAutoscaler, in that mode only. It writes the NoticeCluster's scale, never the Deployment's, so that the
//! operator can empty a pod before it goes.

use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HPAScalingPolicy, HPAScalingRules, HorizontalPodAutoscaler,
    HorizontalPodAutoscalerBehavior, HorizontalPodAutoscalerSpec, MetricIdentifier, MetricSpec,
    MetricTarget, PodsMetricSource,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::Resource;

use super::meta::{Component, object};
use crate::api::{AutoscalingMode, NoticeCluster};
use crate::validate::{Autoscaling, Validated};

/// The metric of each pod.
const METRIC: &str = "notice_online_sessions";

/// The longest period of a policy that the API takes.
const MOST_PERIOD_SECONDS: i64 = 1800;

pub(super) fn build(cluster: &Validated) -> Option<HorizontalPodAutoscaler> {
    let auto = cluster.autoscaling.as_ref()?;
    (auto.mode == AutoscalingMode::HorizontalPodAutoscaler).then(|| HorizontalPodAutoscaler {
        metadata: object(cluster, Component::Server),
        spec: Some(HorizontalPodAutoscalerSpec {
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some(NoticeCluster::api_version(&()).into_owned()),
                kind: NoticeCluster::kind(&()).into_owned(),
                name: cluster.owner.name.clone(),
            },
            min_replicas: Some(auto.min_replicas),
            max_replicas: auto.max_replicas,
            metrics: Some(vec![metric(auto)]),
            behavior: Some(behavior(cluster, auto)),
        }),
        ..HorizontalPodAutoscaler::default()
    })
}

fn metric(auto: &Autoscaling) -> MetricSpec {
    MetricSpec {
        type_: "Pods".to_owned(),
        pods: Some(PodsMetricSource {
            metric: MetricIdentifier {
                name: METRIC.to_owned(),
                selector: None,
            },
            target: MetricTarget {
                type_: "AverageValue".to_owned(),
                average_value: Some(Quantity(auto.target_sessions.to_string())),
                ..MetricTarget::default()
            },
        }),
        ..MetricSpec::default()
    }
}

fn behavior(cluster: &Validated, auto: &Autoscaling) -> HorizontalPodAutoscalerBehavior {
    HorizontalPodAutoscalerBehavior {
        scale_up: Some(HPAScalingRules {
            stabilization_window_seconds: Some(auto.up_stabilization_seconds),
            ..HPAScalingRules::default()
        }),
        scale_down: Some(HPAScalingRules {
            stabilization_window_seconds: Some(auto.down_stabilization_seconds),
            select_policy: Some("Max".to_owned()),
            policies: Some(shrink_no_faster_than_pods_drain(cluster)),
            ..HPAScalingRules::default()
        }),
    }
}

/// One pod, or a tenth of them, in the time that emptying one takes.
fn shrink_no_faster_than_pods_drain(cluster: &Validated) -> Vec<HPAScalingPolicy> {
    let period = cluster.grace_period_seconds.min(MOST_PERIOD_SECONDS);
    let policy = |type_: &str, value| HPAScalingPolicy {
        type_: type_.to_owned(),
        value,
        period_seconds: i32::try_from(period).unwrap_or(i32::MAX),
    };
    vec![policy("Pods", 1), policy("Percent", 10)]
}
