//! A NoticeCluster with every default resolved. Builders read this and nothing else of the spec.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::finding::Finding;
use crate::api::{
    AuthSpec, AutoscalingMode, DeliverySpec, GatewaySpec, ImagePullPolicy, LocalRef, LogFormat,
    LogLevel, MongoDbSpec, PodTemplateSpec, RedisSpec, SchedulingSpec, SecretKeyRef,
};

/// A NoticeCluster that makes sense, with every default resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Validated {
    /// The NoticeCluster itself, as its children name it.
    pub owner: Owner,
    /// The server's image.
    pub image: Image,
    /// How many pods the Deployment has, those that are still to be emptied included.
    pub replicas: i32,
    /// How many the spec asks for.
    pub wanted_replicas: i32,
    /// Where notices are kept.
    pub store: Store,
    /// Where session tokens are kept, and how pods wake each other.
    pub redis: Option<RedisSpec>,
    /// Credentials.
    pub auth: AuthSpec,
    /// What every public path begins with: `/notice`, or empty for the root.
    pub base_path: String,
    /// Whether the service API is published too.
    pub expose_service_api: bool,
    /// The Ingress.
    pub ingress: Option<Ingress>,
    /// The HTTPRoute.
    pub gateway: Option<GatewaySpec>,
    /// Where clients connect.
    pub url: Option<String>,
    /// Networks whose X-Forwarded-For is believed.
    pub trusted_proxies: Vec<String>,
    /// What one pod takes.
    pub capacity: Capacity,
    /// Who decides about `replicas`, and how.
    pub autoscaling: Option<Autoscaling>,
    /// How a change is rolled out.
    pub rollout: Rollout,
    /// Over how long a pod is emptied.
    pub drain_window_seconds: i64,
    /// How long a pod may take from its end's announcement to SIGKILL: more than everything that the server does in it.
    pub grace_period_seconds: i64,
    /// Settings of the server, as written: what is left out has the server's default.
    pub delivery: DeliverySpec,
    /// The servers' log.
    pub log: Log,
    /// The ServiceMonitor.
    pub service_monitor: Option<ServiceMonitor>,
    /// The labels of the PrometheusRule.
    pub prometheus_rule: Option<BTreeMap<String, String>>,
    /// The labels of the dashboard's ConfigMap.
    pub dashboard: Option<BTreeMap<String, String>>,
    /// Who, besides the operator, may reach the admin port.
    pub network_policy: Option<Vec<NetworkPolicyPeer>>,
    /// Requests and limits of the container, all resolved.
    pub resources: ResourceRequirements,
    /// Where the pods run.
    pub scheduling: SchedulingSpec,
    /// What else the pods carry.
    pub pod_template: PodTemplateSpec,
    /// Whether the children are left as they are.
    pub paused: bool,
    /// What is allowed but should be known.
    pub told: Vec<Finding>,
}

/// The NoticeCluster, as its children name it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    /// Its name, and that of most children.
    pub name: String,
    /// Its namespace, and that of all children.
    pub namespace: String,
    /// Its uid; empty offline, and children then name no owner.
    pub uid: String,
}

/// The server's image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// What is pulled.
    pub reference: String,
    /// Its tag, where it is fit for a label.
    pub version: Option<String>,
    /// When it is pulled.
    pub pull_policy: ImagePullPolicy,
    /// Secrets with the registry's credentials.
    pub pull_secrets: Vec<LocalRef>,
}

/// Where notices are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// On a volume of the one pod.
    Embedded(Volume),
    /// In MongoDB, for any number of pods.
    MongoDb(MongoDbSpec),
}

/// The embedded store's volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// As written.
    pub size: String,
    /// The same in bytes, or what it was grown to.
    pub bytes: u64,
    /// The StorageClass.
    pub storage_class_name: Option<String>,
}

/// The Ingress.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are those of the spec")]
pub struct Ingress {
    pub class_name: Option<String>,
    pub host: Option<String>,
    pub tls: Option<Option<String>>,
    pub timeouts: Timeouts,
    pub annotations: BTreeMap<String, String>,
}

/// How patient a proxy is, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are those of the spec")]
pub struct Timeouts {
    pub connect: i32,
    pub read: i32,
    pub send: i32,
}

/// What one pod takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Sessions.
    pub max_sessions: i32,
    /// New connections a second.
    pub connect_rate: i32,
}

/// Autoscaling, resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are those of the spec")]
pub struct Autoscaling {
    pub min_replicas: i32,
    pub max_replicas: i32,
    pub target_sessions: i32,
    pub mode: AutoscalingMode,
    pub up_stabilization_seconds: i32,
    pub down_stabilization_seconds: i32,
}

/// How a change is rolled out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are those of the spec")]
pub struct Rollout {
    pub max_surge: IntOrString,
    pub min_ready_seconds: i32,
}

/// The servers' log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are those of the spec")]
pub struct Log {
    pub level: LogLevel,
    pub format: LogFormat,
}

/// The ServiceMonitor.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are those of the spec")]
pub struct ServiceMonitor {
    pub interval: String,
    pub labels: BTreeMap<String, String>,
}

/// What a key of a Secret is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum SecretPurpose {
    MongoDbUri,
    MongoDbCa,
    RedisUri,
    RedisCa,
    ApiKeys,
    JwtKey,
}

impl SecretPurpose {
    /// The folder below `/etc/notice/secrets` that its file is mounted in.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            Self::MongoDbUri => "mongodb",
            Self::MongoDbCa => "mongodb-ca",
            Self::RedisUri => "redis",
            Self::RedisCa => "redis-ca",
            Self::ApiKeys => "api-keys",
            Self::JwtKey => "jwt",
        }
    }

    /// The field of the spec that refers to it.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::MongoDbUri => "spec.mongodb.uriSecretRef",
            Self::MongoDbCa => "spec.mongodb.caSecretRef",
            Self::RedisUri => "spec.redis.uriSecretRef",
            Self::RedisCa => "spec.redis.caSecretRef",
            Self::ApiKeys => "spec.auth.apiKeysSecretRef",
            Self::JwtKey => "spec.auth.jwt.keySecretRef",
        }
    }

    /// Whether a changed value must roll the pods. The others' files are read again by the running servers.
    #[must_use]
    pub fn rolls(self) -> bool {
        match self {
            Self::MongoDbUri | Self::MongoDbCa | Self::RedisUri | Self::RedisCa => true,
            Self::ApiKeys | Self::JwtKey => false,
        }
    }
}

/// A key of a Secret that the pods use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretUse {
    /// What for.
    pub purpose: SecretPurpose,
    /// Which one.
    pub reference: SecretKeyRef,
}

impl SecretUse {
    /// Whether a changed value must roll the pods.
    #[must_use]
    pub fn rolls(&self) -> bool {
        self.purpose.rolls()
    }

    /// Where its file is in the pods.
    #[must_use]
    pub fn file(&self) -> String {
        format!("{}/{}", super::CONFIG_FOLDER, self.relative_file())
    }

    /// The same, below the folder of the configuration.
    #[must_use]
    pub fn relative_file(&self) -> String {
        format!("secrets/{}/{}", self.purpose.folder(), self.reference.key)
    }
}

impl Validated {
    /// The keys of Secrets that the pods use, in a fixed order.
    #[must_use]
    pub fn secrets(&self) -> Vec<SecretUse> {
        let mongodb = match &self.store {
            Store::MongoDb(mongodb) => Some(mongodb),
            Store::Embedded(_) => None,
        };
        let jwt = self.auth.jwt.as_ref();
        let redis = self.redis.as_ref();
        [
            (
                SecretPurpose::MongoDbUri,
                mongodb.map(|m| &m.uri_secret_ref),
            ),
            (
                SecretPurpose::MongoDbCa,
                mongodb.and_then(|m| m.ca_secret_ref.as_ref()),
            ),
            (SecretPurpose::RedisUri, redis.map(|r| &r.uri_secret_ref)),
            (
                SecretPurpose::RedisCa,
                redis.and_then(|r| r.ca_secret_ref.as_ref()),
            ),
            (
                SecretPurpose::ApiKeys,
                self.auth.api_keys_secret_ref.as_ref(),
            ),
            (
                SecretPurpose::JwtKey,
                jwt.and_then(|j| j.key_secret_ref.as_ref()),
            ),
        ]
        .into_iter()
        .filter_map(|(purpose, reference)| {
            let reference = reference?.clone();
            Some(SecretUse { purpose, reference })
        })
        .collect()
    }

    /// The one of them that is used for `purpose`.
    #[must_use]
    pub fn secret(&self, purpose: SecretPurpose) -> Option<SecretUse> {
        self.secrets()
            .into_iter()
            .find(|used| used.purpose == purpose)
    }

    /// Whether the one pod has a volume that no second one may use at the same time.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        matches!(self.store, Store::Embedded(_))
    }
}
