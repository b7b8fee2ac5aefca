//! Where notices and session tokens are kept: `mongodb`, `redis`, `storage`.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::refs::SecretKeyRef;

/// MongoDB, for any number of replicas.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MongoDbSpec {
    /// The Secret key with the connection string (mongodb:// or mongodb+srv://), credentials included. A changed value
    /// rolls the pods.
    pub uri_secret_ref: SecretKeyRef,
    /// Name of the database. Default: notice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[-_A-Za-z0-9]+$"))]
    pub database: Option<String>,
    /// A Secret key with the CA certificates to trust, in PEM. It is mounted at
    /// /etc/notice/secrets/mongodb-ca/<key>: name that file in the URI (tls=true&tlsCAFile=...).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretKeyRef>,
}

/// Redis: session tokens, and with MongoDB the wake-ups between the pods.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RedisSpec {
    /// The Secret key with the URI: redis://, redis+sentinel:// or redis+cluster://, and the same with rediss for TLS. A
    /// changed value rolls the pods.
    pub uri_secret_ref: SecretKeyRef,
    /// What the keys of session tokens begin with; the token follows. Other systems may write them. Default: "session:".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200), regex(pattern = r"^[^\x00-\x1f\x7f]*$"))]
    pub key_prefix: Option<String>,
    /// What all other keys and channels begin with. No other cluster may share it. Default: "notice:", the MongoDB
    /// database and ":".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200), regex(pattern = r"^[-_.:/A-Za-z0-9]+$"))]
    pub namespace: Option<String>,
    /// A Secret key with the CA certificates to trust with rediss://, in PEM. A changed value rolls the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretKeyRef>,
}

/// The volume of the embedded store.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("isQuantity(self.size) && quantity(self.size).compareTo(quantity('512Mi')) >= 0")
    .message("storage.size must be a quantity of at least 512Mi, such as 10Gi: the store needs room for its journals"))]
pub struct StorageSpec {
    /// How large the volume is, at least 512Mi. Staging is refused when the store has grown to it.
    #[schemars(length(min = 1, max = 32))]
    pub size: String,
    /// The StorageClass. Default: the cluster's default class. Local disks are best: each group of notices waits for one
    /// sync, so a file system over the network makes staging slow or unsafe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class_name: Option<String>,
}
