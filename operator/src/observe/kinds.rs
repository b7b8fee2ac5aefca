//! The kinds of children: how the API server calls them, and which of them a cluster may lack.

use std::fmt;

/// A kind of child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChildKind {
    /// `v1 ServiceAccount`.
    ServiceAccount,
    /// `v1 ConfigMap`: the server's configuration, and the dashboard.
    ConfigMap,
    /// `networking.k8s.io/v1 NetworkPolicy`.
    NetworkPolicy,
    /// `v1 Service`: for clients, and for metrics.
    Service,
    /// `policy/v1 PodDisruptionBudget`.
    PodDisruptionBudget,
    /// `autoscaling/v2 HorizontalPodAutoscaler`.
    HorizontalPodAutoscaler,
    /// `networking.k8s.io/v1 Ingress`.
    Ingress,
    /// `gateway.networking.k8s.io/v1 HTTPRoute`, optional.
    HttpRoute,
    /// `monitoring.coreos.com/v1 ServiceMonitor`, optional.
    ServiceMonitor,
    /// `monitoring.coreos.com/v1 PrometheusRule`, optional.
    PrometheusRule,
    /// `v1 PersistentVolumeClaim`: outlives the cluster object.
    PersistentVolumeClaim,
    /// `apps/v1 Deployment`: applied last.
    Deployment,
}

impl ChildKind {
    /// All kinds, in the order in which they are applied.
    pub const ALL: [Self; 12] = [
        Self::ServiceAccount,
        Self::ConfigMap,
        Self::NetworkPolicy,
        Self::Service,
        Self::PodDisruptionBudget,
        Self::HorizontalPodAutoscaler,
        Self::Ingress,
        Self::HttpRoute,
        Self::ServiceMonitor,
        Self::PrometheusRule,
        Self::PersistentVolumeClaim,
        Self::Deployment,
    ];

    /// `apiVersion`, `kind` and the plural in paths.
    const fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::ServiceAccount => ("v1", "ServiceAccount", "serviceaccounts"),
            Self::ConfigMap => ("v1", "ConfigMap", "configmaps"),
            Self::NetworkPolicy => ("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
            Self::Service => ("v1", "Service", "services"),
            Self::PodDisruptionBudget => ("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
            Self::HorizontalPodAutoscaler => (
                "autoscaling/v2",
                "HorizontalPodAutoscaler",
                "horizontalpodautoscalers",
            ),
            Self::Ingress => ("networking.k8s.io/v1", "Ingress", "ingresses"),
            Self::HttpRoute => ("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes"),
            Self::ServiceMonitor => ("monitoring.coreos.com/v1", "ServiceMonitor", "servicemonitors"),
            Self::PrometheusRule => ("monitoring.coreos.com/v1", "PrometheusRule", "prometheusrules"),
            Self::PersistentVolumeClaim => ("v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
            Self::Deployment => ("apps/v1", "Deployment", "deployments"),
        }
    }

    /// Such as `apps/v1`.
    #[must_use]
    pub const fn api_version(self) -> &'static str {
        self.names().0
    }

    /// Such as `Deployment`.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        self.names().1
    }

    /// Such as `deployments`.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        self.names().2
    }

    /// The definition without which a cluster does not serve this kind; `None` for what every cluster has.
    #[must_use]
    pub const fn definition(self) -> Option<&'static str> {
        match self {
            Self::HttpRoute => Some("httproutes.gateway.networking.k8s.io"),
            Self::ServiceMonitor => Some("servicemonitors.monitoring.coreos.com"),
            Self::PrometheusRule => Some("prometheusrules.monitoring.coreos.com"),
            _ => None,
        }
    }

    /// Where the API server has them: in a namespace, or in all.
    #[must_use]
    pub fn path(self, namespace: Option<&str>) -> String {
        resource_path(self.api_version(), self.plural(), namespace)
    }
}

impl fmt::Display for ChildKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

/// The path of a resource's collection.
#[must_use]
pub fn resource_path(api_version: &str, plural: &str, namespace: Option<&str>) -> String {
    let root = if api_version.contains('/') { "/apis" } else { "/api" };
    match namespace {
        Some(namespace) => format!("{root}/{api_version}/namespaces/{namespace}/{plural}"),
        None => format!("{root}/{api_version}/{plural}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deployment_is_applied_last_and_no_kind_is_forgotten() {
        assert_eq!(ChildKind::ALL.last(), Some(&ChildKind::Deployment));
        let mut sorted = ChildKind::ALL.to_vec();
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted.len(), ChildKind::ALL.len());
    }

    #[test]
    fn paths_are_those_of_the_api_server() {
        assert_eq!(
            ChildKind::Deployment.path(Some("a")),
            "/apis/apps/v1/namespaces/a/deployments"
        );
        assert_eq!(ChildKind::Service.path(None), "/api/v1/services");
    }

    #[test]
    fn an_optional_kind_is_named_by_its_plural_and_group() {
        for kind in ChildKind::ALL {
            if let Some(definition) = kind.definition() {
                let group = kind.api_version().split('/').next().unwrap();
                assert_eq!(definition, format!("{}.{group}", kind.plural()));
            }
        }
    }
}
