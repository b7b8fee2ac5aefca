//! What each ingress controller needs for connections that live for hours, one pure file a controller: annotations on the
//! Ingress and the Service, and notes on what only the administrator of the controller can set.

mod alb;
mod contour;
mod f5_nginx;
mod gke;
mod haproxy_ingress;
mod haproxy_tech;
mod ingress_nginx;
mod traefik;

use std::collections::BTreeMap;

use crate::validate::{Facts, Ingress, Validated};

/// A kind of ingress controller, by the `spec.controller` of its IngressClass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller {
    /// The Kubernetes project's, retired.
    IngressNginx,
    /// NGINX Ingress Controller by F5.
    F5Nginx,
    /// Traefik Proxy.
    Traefik,
    /// HAProxy Kubernetes Ingress Controller by HAProxy Technologies.
    HaproxyTech,
    /// HAProxy Ingress, the community's.
    HaproxyIngress,
    /// Contour, with Envoy.
    Contour,
    /// AWS Load Balancer Controller.
    Alb,
    /// Google's, in GKE.
    Gke,
}

impl Controller {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::IngressNginx,
        Self::F5Nginx,
        Self::Traefik,
        Self::HaproxyTech,
        Self::HaproxyIngress,
        Self::Contour,
        Self::Alb,
        Self::Gke,
    ];

    /// The `spec.controller` of its classes.
    #[must_use]
    pub fn string(self) -> &'static str {
        match self {
            Self::IngressNginx => "k8s.io/ingress-nginx",
            Self::F5Nginx => "nginx.org/ingress-controller",
            Self::Traefik => "traefik.io/ingress-controller",
            Self::HaproxyTech => "haproxy.org/ingress-controller",
            Self::HaproxyIngress => "haproxy-ingress.github.io/controller",
            Self::Contour => "projectcontour.io/ingress-controller",
            Self::Alb => "ingress.k8s.aws/alb",
            Self::Gke => "networking.gke.io/ingress-controller",
        }
    }

    /// The one that a class names. Several put a name of the installation behind theirs.
    #[must_use]
    pub fn of(string: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|controller| {
            let rest = string.strip_prefix(controller.string());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

/// Something about the edge that a person should know or do: for an event and the condition EdgeReady.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// A word for machines, in CamelCase.
    pub reason: &'static str,
    /// What it is and what to do.
    pub message: String,
}

impl Note {
    fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

/// What the edge needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Annotations on the Ingress; a person's own are not among them yet.
    pub ingress_annotations: BTreeMap<String, String>,
    /// Annotations on the Service for clients.
    pub service_annotations: BTreeMap<String, String>,
    /// What the administrator must know or do.
    pub notes: Vec<Note>,
}

impl Plan {
    /// Annotations with a common prefix.
    fn new<const N: usize, const M: usize>(
        prefix: &str,
        annotations: [(&str, String); N],
        notes: [Note; M],
    ) -> Self {
        let annotations = annotations.into_iter();
        Self {
            ingress_annotations: annotations
                .map(|(key, value)| (format!("{prefix}{key}"), value))
                .collect(),
            service_annotations: BTreeMap::new(),
            notes: notes.into(),
        }
    }

    fn on_service<const N: usize>(mut self, annotations: [(&str, String); N]) -> Self {
        let annotations = annotations.into_iter();
        self.service_annotations = annotations
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        self
    }
}

/// What a controller's file is given.
struct Wish<'a> {
    cluster: &'a Validated,
    ingress: &'a Ingress,
}

/// What the Ingress of `cluster` needs, if it has one.
#[must_use]
pub fn plan(cluster: &Validated, facts: &Facts) -> Plan {
    let Some(ingress) = &cluster.ingress else {
        return Plan::default();
    };
    let wish = Wish { cluster, ingress };
    match facts.ingress_controller.as_deref() {
        None => Plan::new("", [], [unread(ingress)]),
        Some(string) => match Controller::of(string) {
            Some(controller) => by_controller(controller, &wish),
            None => Plan::new("", [], [unknown(string, ingress)]),
        },
    }
}

/// The largest body that the proxy must let through: a client's is bounded by one notice with all its characters escaped, a
/// service's by a call. What a
/// proxy refuses itself reaches nobody with our own words.
fn body_bytes(wish: &Wish<'_>) -> i32 {
    let limits = wish.cluster.delivery.limits.clone().unwrap_or_default();
    match wish.cluster.expose_service_api {
        true => limits.body_bytes.unwrap_or(16 << 20),
        false => (6 * limits.message_bytes.unwrap_or(64 << 10) + (64 << 10)).max(1 << 20),
    }
}

fn by_controller(controller: Controller, wish: &Wish<'_>) -> Plan {
    match controller {
        Controller::IngressNginx => ingress_nginx::plan(wish),
        Controller::F5Nginx => f5_nginx::plan(wish),
        Controller::Traefik => traefik::plan(wish),
        Controller::HaproxyTech => haproxy_tech::plan(wish),
        Controller::HaproxyIngress => haproxy_ingress::plan(wish),
        Controller::Contour => contour::plan(wish),
        Controller::Alb => alb::plan(wish),
        Controller::Gke => gke::plan(wish),
    }
}

fn unread(ingress: &Ingress) -> Note {
    let class = ingress.class_name.as_deref();
    let class = class.map_or_else(
        || "no IngressClass is named and there is no default one".to_owned(),
        |class| format!("the IngressClass {class} is not there"),
    );
    Note::new(
        "IngressClassUnknown",
        format!(
            "{class}: no annotations for WebSockets were set; name an existing class in spec.ingress.className, or set \
             what your controller needs in spec.ingress.annotations"
        ),
    )
}

fn unknown(string: &str, ingress: &Ingress) -> Note {
    let read = ingress.timeouts.read;
    Note::new(
        "IngressControllerUnknown",
        format!(
            "the ingress controller {string} is not known: set in spec.ingress.annotations what it needs to pass \
             WebSockets, to leave quiet connections open for {read} s and not to buffer answers"
        ),
    )
}
