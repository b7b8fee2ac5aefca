//! The API server's side: the chart makes one APIService for each version, and the operator that acts writes into them
//! whose certificates to trust. One that leads to somebody else's service is not touched: a cluster has one such API.

use serde_json::{Value, json};
use tokio::sync::watch;

use kube::api::{Patch, PatchParams};
use kube::{Api, Client};

use k8s_openapi::ByteString;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;

use super::Service;
use super::keeper::certificates;
use super::requests::{GROUP, Version};
use crate::apply::within;
use crate::failure::refusal;
use crate::leader::Leadership;
use crate::metrics::Metrics;
use crate::watch::latest::Known;

/// The field manager.
const MANAGER: &str = "notice-operator-metrics-api";
/// The pause after a failure.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(10);

/// The name of a version's APIService.
#[must_use]
pub(super) fn name(version: Version) -> String {
    format!("{}.{GROUP}", version.name())
}

/// How a version stands with the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is not known yet.
    Unknown,
    /// There is no APIService.
    Absent,
    /// It leads to another service, this one.
    Foreign(String),
    /// It leads to us, and these certificates are not what it trusts yet.
    Distrusted,
    /// It leads to us, and all is well.
    Registered,
}

/// How a version stands, when this `bundle` is to be trusted.
#[must_use]
pub(super) fn standing(known: &Known, ours: &Service, bundle: &str) -> Standing {
    let object = match known {
        Known::Unknown => return Standing::Unknown,
        Known::Absent => return Standing::Absent,
        Known::There(object) => object,
    };
    let service = &object["spec"]["service"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let found = Service {
        namespace: text(&service["namespace"]),
        name: text(&service["name"]),
    };
    if found != *ours {
        return Standing::Foreign(format!("{}/{}", found.namespace, found.name));
    }
    let trusted: Option<ByteString> =
        serde_json::from_value(object["spec"]["caBundle"].clone()).ok();
    if trusted.is_some_and(|it| it.0 == bundle.as_bytes()) {
        Standing::Registered
    } else {
        Standing::Distrusted
    }
}

/// Keeps one version's APIService right.
pub(super) struct Registrar {
    /// Calls to the API server.
    pub(super) client: Client,
    /// The version.
    pub(super) version: Version,
    /// Where it should lead to.
    pub(super) service: Service,
    /// The APIService as it is.
    pub(super) api_service: watch::Receiver<Known>,
    /// The Secret of the certificates.
    pub(super) secret: watch::Receiver<Known>,
    /// Whether this operator acts.
    pub(super) leadership: Leadership,
    /// Where it is told.
    pub(super) metrics: std::sync::Arc<Metrics>,
}

impl Registrar {
    /// Works for ever.
    pub(super) async fn work(mut self) {
        let mut told = Standing::Unknown;
        loop {
            let bundle = certificates(&self.secret.borrow_and_update()).map(|it| it.bundle());
            let now = match &bundle {
                Some(bundle) => {
                    standing(&self.api_service.borrow_and_update(), &self.service, bundle)
                }
                None => Standing::Unknown,
            };
            self.metrics
                .metrics_api_registered(self.version.name(), now == Standing::Registered);
            if now != told {
                self.tell(&now);
                told.clone_from(&now);
            }
            let mut again = None;
            if let (Standing::Distrusted, Some(bundle)) = (&now, &bundle)
                && let Err(why) = self.trust(bundle).await
            {
                tracing::warn!("APIService {}: {why}", name(self.version));
                again = Some(AGAIN);
            }
            let pause = async {
                match again {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = pause => {}
                changed = self.api_service.changed() => if changed.is_err() { return },
                changed = self.secret.changed() => if changed.is_err() { return },
            }
        }
    }

    fn tell(&self, now: &Standing) {
        let name = name(self.version);
        match now {
            Standing::Unknown | Standing::Distrusted => {}
            Standing::Absent => tracing::warn!(
                "there is no APIService {name}, so nobody asks here for metrics: the chart makes it by metricsApi.enabled"
            ),
            Standing::Foreign(whose) => tracing::warn!(
                "the APIService {name} leads to {whose} and stays so: a cluster has one such API. Turn metricsApi off, and \
                 let that one serve notice_online_sessions"
            ),
            Standing::Registered => tracing::info!("the APIService {name} leads here"),
        }
    }

    /// Only the operator that acts writes, once it does.
    async fn trust(&self, bundle: &str) -> Result<(), String> {
        self.leadership.acts().await;
        let services: Api<APIService> = Api::all(self.client.clone());
        let patch = json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": name(self.version)},
            "spec": {"caBundle": ByteString(bundle.as_bytes().to_vec())},
        });
        let params = PatchParams::apply(MANAGER).force();
        let patched =
            within(services.patch(&name(self.version), &params, &Patch::Apply(patch))).await;
        patched.map(drop).map_err(|error| {
            format!(
                "whose certificates to trust can't be written: {}",
                refusal(&error)
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn ours() -> Service {
        Service {
            namespace: "notice-system".to_owned(),
            name: "notice-operator-metrics-api".to_owned(),
        }
    }

    fn there(namespace: &str, bundle: &str) -> Known {
        let bundle = ByteString(bundle.as_bytes().to_vec());
        let service = json!({"namespace": namespace, "name": "notice-operator-metrics-api"});
        Known::There(Arc::new(
            json!({"spec": {"service": service, "caBundle": bundle}}),
        ))
    }

    #[test]
    fn only_what_leads_to_us_is_ours() {
        let of = |known: &Known| standing(known, &ours(), "PEM");
        assert_eq!(of(&Known::Absent), Standing::Absent);
        assert_eq!(of(&there("notice-system", "PEM")), Standing::Registered);
        assert_eq!(of(&there("notice-system", "old")), Standing::Distrusted);
        assert_eq!(
            of(&there("monitoring", "PEM")),
            Standing::Foreign("monitoring/notice-operator-metrics-api".to_owned())
        );
        let local = Known::There(Arc::new(json!({"spec": {"service": null}})));
        assert_eq!(of(&local), Standing::Foreign("/".to_owned()));
    }
}
