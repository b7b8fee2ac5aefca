//! The ConfigMap: the server's configuration and the operator's public key. Secrets are never in it.

use k8s_openapi::api::core::v1::ConfigMap;

use super::meta::{Component, object};
use super::server_config;
use crate::validate::{Facts, Validated};

/// The server's configuration.
pub(super) const CONFIG_KEY: &str = "notice-server.toml";

/// Who may drain the servers. Running servers read it again.
pub(super) const DRAIN_KEYS: &str = "drain-keys.pem";

pub(super) fn build(cluster: &Validated, facts: &Facts) -> ConfigMap {
    let config = server_config::toml(cluster, facts.drain_public_key.is_some());
    let mut data = vec![(CONFIG_KEY.to_owned(), config)];
    if let Some(key) = &facts.drain_public_key {
        data.push((DRAIN_KEYS.to_owned(), key.clone()));
    }
    ConfigMap {
        metadata: object(cluster, Component::Server),
        data: Some(data.into_iter().collect()),
        ..ConfigMap::default()
    }
}
