//! The pods' ServiceAccount: an identity without any right and without a token.

use k8s_openapi::api::core::v1::ServiceAccount;

use super::meta::{Component, object};
use crate::validate::Validated;

pub(super) fn build(cluster: &Validated) -> ServiceAccount {
    ServiceAccount {
        metadata: object(cluster, Component::Server),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}
