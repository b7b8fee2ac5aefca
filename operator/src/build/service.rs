//! The two Services: one for clients and services, one for Prometheus.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::edge::Plan;
use super::meta::{Component, named, object, selector, some};
use crate::validate::Validated;

/// The port of the Service for clients.
pub(super) const CLIENT_PORT: i32 = 80;

/// The port's name in the Service for Prometheus.
pub(super) const METRICS_PORT_NAME: &str = "metrics";

/// `appProtocol` tells gateways that connections are upgraded to WebSockets.
pub(super) fn clients(cluster: &Validated, edge: &Plan) -> Service {
    let mut metadata = object(cluster, Component::Server);
    metadata.annotations = some(edge.service_annotations.clone());
    Service {
        metadata,
        spec: Some(ServiceSpec {
            selector: Some(selector(&cluster.owner)),
            ports: Some(vec![ServicePort {
                name: Some("http".to_owned()),
                port: CLIENT_PORT,
                target_port: Some(IntOrString::String("http".to_owned())),
                protocol: Some("TCP".to_owned()),
                app_protocol: Some("kubernetes.io/ws".to_owned()),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// Headless, with pods that are not ready: a drain is worth watching.
pub(super) fn metrics(cluster: &Validated) -> Service {
    let name = format!("{}-metrics", cluster.owner.name);
    Service {
        metadata: named(cluster, name, Component::Metrics),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(true),
            selector: Some(selector(&cluster.owner)),
            ports: Some(vec![ServicePort {
                name: Some(METRICS_PORT_NAME.to_owned()),
                port: super::ADMIN_PORT,
                target_port: Some(IntOrString::String("admin".to_owned())),
                protocol: Some("TCP".to_owned()),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}
