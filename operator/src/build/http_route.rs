//! The HTTPRoute of the Gateway API.

use super::meta::{Component, object};
use super::paths::{Published, published};
use super::service::CLIENT_PORT;
use crate::api::foreign::{
    BackendRef, HTTPRoute, HttpPathMatch, HttpRouteMatch, HttpRouteRule, HttpRouteSpec,
    HttpRouteTimeouts,
};
use crate::validate::Validated;

/// Paths whose connections stay open have a rule of their own, without a time limit.
pub(super) fn build(cluster: &Validated) -> Option<HTTPRoute> {
    let gateway = cluster.gateway.as_ref()?;
    let paths = published(&cluster.base_path, cluster.expose_service_api);
    let (long, short): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| path.long);
    let unlimited = HttpRouteTimeouts {
        request: Some("0s".to_owned()),
    };
    let mut rules = vec![rule(cluster, &long, Some(unlimited))];
    if !short.is_empty() {
        rules.push(rule(cluster, &short, None));
    }
    Some(HTTPRoute {
        metadata: object(cluster, Component::Server),
        spec: HttpRouteSpec {
            parent_refs: gateway.parent_refs.clone(),
            hostnames: gateway.hostnames.clone(),
            rules,
        },
        status: None,
    })
}

fn rule(
    cluster: &Validated,
    paths: &[Published],
    timeouts: Option<HttpRouteTimeouts>,
) -> HttpRouteRule {
    HttpRouteRule {
        matches: paths.iter().map(matches).collect(),
        backend_refs: vec![BackendRef {
            name: cluster.owner.name.clone(),
            port: CLIENT_PORT,
        }],
        timeouts,
    }
}

fn matches(published: &Published) -> HttpRouteMatch {
    let type_ = if published.prefix {
        "PathPrefix"
    } else {
        "Exact"
    };
    HttpRouteMatch {
        path: HttpPathMatch {
            type_: type_.to_owned(),
            value: published.path.clone(),
        },
    }
}
