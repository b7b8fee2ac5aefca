//! The Ingress.

use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule,
    IngressServiceBackend, IngressSpec, IngressTLS, ServiceBackendPort,
};

use super::edge::Plan;
use super::meta::{Component, object, some};
use super::paths::{Published, published};
use crate::validate::{self, Facts, Validated};

/// Remembers the class's controller: an IngressClass that can't be read must not strip a live Ingress of its annotations.
pub const CONTROLLER_ANNOTATION: &str = "noticecluster.dev/ingress-controller";

pub(super) fn build(cluster: &Validated, facts: &Facts, edge: &Plan) -> Option<Ingress> {
    let wish = cluster.ingress.as_ref()?;
    let mut annotations = edge.ingress_annotations.clone();
    annotations.extend(wish.annotations.clone());
    if let Some(controller) = &facts.ingress_controller {
        annotations.insert(CONTROLLER_ANNOTATION.to_owned(), controller.clone());
    }
    let mut metadata = object(cluster, Component::Server);
    metadata.annotations = some(annotations);
    Some(Ingress {
        metadata,
        spec: Some(IngressSpec {
            ingress_class_name: wish.class_name.clone(),
            rules: Some(vec![rule(cluster, wish)]),
            tls: tls(wish).map(|tls| vec![tls]),
            ..IngressSpec::default()
        }),
        ..Ingress::default()
    })
}

fn rule(cluster: &Validated, wish: &validate::Ingress) -> IngressRule {
    let paths = published(&cluster.base_path, cluster.expose_service_api);
    IngressRule {
        host: wish.host.clone(),
        http: Some(HTTPIngressRuleValue {
            paths: paths
                .into_iter()
                .map(|path| to_service(cluster, path))
                .collect(),
        }),
    }
}

fn to_service(cluster: &Validated, published: Published) -> HTTPIngressPath {
    let path_type = if published.prefix { "Prefix" } else { "Exact" };
    HTTPIngressPath {
        path: Some(published.path),
        path_type: path_type.to_owned(),
        backend: IngressBackend {
            service: Some(IngressServiceBackend {
                name: cluster.owner.name.clone(),
                port: Some(ServiceBackendPort {
                    name: Some("http".to_owned()),
                    number: None,
                }),
            }),
            resource: None,
        },
    }
}

fn tls(wish: &validate::Ingress) -> Option<IngressTLS> {
    let secret_name = wish.tls.as_ref()?;
    Some(IngressTLS {
        hosts: wish.host.clone().map(|host| vec![host]),
        secret_name: secret_name.clone(),
    })
}
