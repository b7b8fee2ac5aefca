//! The Secret of the certificates: the operator that acts makes and renews them, and all replicas read them.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::sync::watch;

use super::Service;
use super::certificate::Certificates;
use crate::apply::within;
use crate::clock::unix_seconds;
use crate::failure::chain;
use crate::leader::Leadership;
use crate::watch::latest::Known;

/// The Secret's name, in the operator's own namespace.
pub const SECRET: &str = "notice-operator-metrics-api";

/// How often it is looked whether a renewal is due.
const LOOK_EVERY: Duration = Duration::from_secs(600);
/// The pause after a failure.
const AGAIN: Duration = Duration::from_secs(10);

/// Keeps the Secret right.
pub(super) struct Keeper {
    /// Calls to the API server.
    pub(super) client: Client,
    /// Whose certificates.
    pub(super) service: Service,
    /// The Secret as it is.
    pub(super) secret: watch::Receiver<Known>,
    /// Whether this operator acts.
    pub(super) leadership: Leadership,
}

impl Keeper {
    /// Works for ever, whenever this operator acts.
    pub(super) async fn work(mut self) {
        loop {
            self.leadership.acts().await;
            if self
                .secret
                .wait_for(|it| *it != Known::Unknown)
                .await
                .is_err()
            {
                return;
            }
            let known = self.secret.borrow_and_update().clone();
            let pause = match self.tend(&known).await {
                Ok(()) => LOOK_EVERY,
                Err(why) => {
                    tracing::warn!("the metrics API's certificate can't be kept: {why}");
                    AGAIN
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                changed = self.secret.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn tend(&self, known: &Known) -> Result<(), String> {
        let found = certificates(known);
        let due = Certificates::due(found.as_ref(), &self.service.host(), unix_seconds());
        let Some(due) = due.map_err(|error| error.to_string())? else {
            return Ok(());
        };
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.service.namespace);
        let version = match known {
            Known::There(object) => object["metadata"]["resourceVersion"]
                .as_str()
                .map(str::to_owned),
            _ => None,
        };
        let there = version.is_some();
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(SECRET.to_owned()),
                namespace: Some(self.service.namespace.clone()),
                // Of two that write at a time one is refused, and looks again.
                resource_version: version,
                ..ObjectMeta::default()
            },
            data: Some(due.entries()),
            ..Secret::default()
        };
        let params = PostParams::default();
        let written = if there {
            within(secrets.replace(SECRET, &params, &secret)).await
        } else {
            within(secrets.create(&params, &secret)).await
        };
        match written {
            Ok(_) => {
                tracing::info!("the metrics API has a new certificate");
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            Err(error) => Err(format!(
                "the Secret {SECRET} in {} can't be written: {}",
                self.service.namespace,
                chain(&error)
            )),
        }
    }
}

/// The certificates in a Secret; none where they are missing or broken, so that new ones are made.
#[must_use]
pub(super) fn certificates(known: &Known) -> Option<Certificates> {
    let Known::There(object) = known else {
        return None;
    };
    let secret: Secret = serde_json::from_value(serde_json::Value::clone(object)).ok()?;
    let read = Certificates::from_entries(&secret.data.unwrap_or_default());
    read.inspect_err(|error| {
        tracing::warn!("the Secret {SECRET}: {error}; the operator that acts makes a new one")
    })
    .ok()
}
