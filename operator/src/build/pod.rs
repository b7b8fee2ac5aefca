//! The pods: Restricted Pod Security, probes, files, where they run.

use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapProjection, Container, ContainerPort, EnvVar, EnvVarSource,
    HTTPGetAction, KeyToPath, Lifecycle, LifecycleHandler, LocalObjectReference,
    ObjectFieldSelector, PersistentVolumeClaimVolumeSource, PodSecurityContext, PodSpec, Probe,
    ProjectedVolumeSource, SeccompProfile, SecretProjection, SecurityContext, SleepAction,
    TopologySpreadConstraint, Volume, VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::config_map::{CONFIG_KEY, DRAIN_KEYS};
use super::meta::{label_selector, some};
use crate::validate::{CONFIG_FOLDER, Facts, PRE_STOP_SECONDS, SecretUse, Validated};

/// The one container.
pub const CONTAINER: &str = "notice-server";
/// The port of clients and services; its name is `http`.
pub const HTTP_PORT: i32 = 8080;
/// The port of probes, metrics and drains; its name is `admin`.
pub const ADMIN_PORT: i32 = 9090;

/// Where the embedded store is.
pub(super) const DATA_FOLDER: &str = "/var/lib/notice";

/// User and group of the process; its files are the group's.
const USER: i64 = 10_001;

/// Files that the group may read and others may not.
const MODE: i32 = 0o440;

pub(super) fn spec(cluster: &Validated, facts: &Facts) -> PodSpec {
    let scheduling = &cluster.scheduling;
    PodSpec {
        service_account_name: Some(cluster.owner.name.clone()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(cluster.grace_period_seconds),
        security_context: Some(pod_security()),
        image_pull_secrets: pull_secrets(cluster),
        containers: vec![container(cluster)],
        volumes: Some(volumes(cluster, facts)),
        node_selector: some(scheduling.node_selector.clone()),
        tolerations: list(&scheduling.tolerations),
        affinity: scheduling.affinity.clone(),
        topology_spread_constraints: Some(spread(cluster)),
        priority_class_name: scheduling
            .priority_class_name
            .clone()
            .filter(|name| !name.is_empty()),
        ..PodSpec::default()
    }
}

/// No empty list is sent: it would be owned.
fn list<T: Clone>(items: &[T]) -> Option<Vec<T>> {
    (!items.is_empty()).then(|| items.to_vec())
}

fn pull_secrets(cluster: &Validated) -> Option<Vec<LocalObjectReference>> {
    let secrets = cluster.image.pull_secrets.iter();
    let secrets: Vec<_> = secrets
        .map(|secret| LocalObjectReference {
            name: secret.name.clone(),
        })
        .collect();
    list(&secrets)
}

fn pod_security() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        fs_group: Some(USER),
        fs_group_change_policy: Some("OnRootMismatch".to_owned()),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            localhost_profile: None,
        }),
        ..PodSecurityContext::default()
    }
}

fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".to_owned()]),
            add: None,
        }),
        ..SecurityContext::default()
    }
}

fn container(cluster: &Validated) -> Container {
    Container {
        name: CONTAINER.to_owned(),
        image: Some(cluster.image.reference.clone()),
        image_pull_policy: Some(cluster.image.pull_policy.name().to_owned()),
        args: Some(vec![
            "--config".to_owned(),
            format!("{CONFIG_FOLDER}/{CONFIG_KEY}"),
        ]),
        env: closed_door(cluster),
        ports: Some(vec![port("http", HTTP_PORT), port("admin", ADMIN_PORT)]),
        startup_probe: Some(probe("/livez", 1, 60)),
        liveness_probe: Some(probe("/livez", 10, 3)),
        readiness_probe: Some(probe("/readyz", 2, 2)),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                sleep: Some(SleepAction {
                    seconds: PRE_STOP_SECONDS,
                }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        resources: Some(cluster.resources.clone()),
        security_context: Some(container_security()),
        volume_mounts: Some(mounts(cluster)),
        ..Container::default()
    }
}

/// A server that others can reach refuses to start without an API key. Where no service is to stage, the key is one that
/// nobody is told: the pod's own uid.
fn closed_door(cluster: &Validated) -> Option<Vec<EnvVar>> {
    if cluster.auth.api_keys_secret_ref.is_some() {
        return None;
    }
    let uid = EnvVar {
        name: "POD_UID".to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: Some("v1".to_owned()),
                field_path: "metadata.uid".to_owned(),
            }),
            ..EnvVarSource::default()
        }),
        value: None,
    };
    let key = EnvVar {
        name: "NOTICE_API_KEYS".to_owned(),
        value: Some("nobody:$(POD_UID)".to_owned()),
        value_from: None,
    };
    Some(vec![uid, key])
}

fn port(name: &str, number: i32) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: number,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

fn probe(path: &str, period_seconds: i32, failure_threshold: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String("admin".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        failure_threshold: Some(failure_threshold),
        timeout_seconds: Some(2),
        ..Probe::default()
    }
}

fn mounts(cluster: &Validated) -> Vec<VolumeMount> {
    let config = VolumeMount {
        name: "config".to_owned(),
        mount_path: CONFIG_FOLDER.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    };
    let data = cluster.is_embedded().then(|| VolumeMount {
        name: "data".to_owned(),
        mount_path: DATA_FOLDER.to_owned(),
        ..VolumeMount::default()
    });
    [Some(config), data].into_iter().flatten().collect()
}

fn volumes(cluster: &Validated, facts: &Facts) -> Vec<Volume> {
    let data = cluster.is_embedded().then(|| Volume {
        name: "data".to_owned(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: cluster.owner.name.clone(),
            read_only: None,
        }),
        ..Volume::default()
    });
    [Some(config_volume(cluster, facts)), data]
        .into_iter()
        .flatten()
        .collect()
}

/// One volume for the configuration and the files of secrets: a mount within a read-only one could not be made, and files of
/// a projected volume change while the pod runs.
fn config_volume(cluster: &Validated, facts: &Facts) -> Volume {
    let secrets = cluster.secrets();
    let secrets = secrets.iter().map(secret_source);
    let sources = [config_source(cluster, facts)].into_iter().chain(secrets);
    Volume {
        name: "config".to_owned(),
        projected: Some(ProjectedVolumeSource {
            default_mode: Some(MODE),
            sources: Some(sources.collect()),
        }),
        ..Volume::default()
    }
}

fn config_source(cluster: &Validated, facts: &Facts) -> VolumeProjection {
    let drain_keys = facts.drain_public_key.is_some().then_some(DRAIN_KEYS);
    let files = [CONFIG_KEY].into_iter().chain(drain_keys);
    VolumeProjection {
        config_map: Some(ConfigMapProjection {
            name: cluster.owner.name.clone(),
            items: Some(files.map(|file| item(file, file)).collect()),
            optional: None,
        }),
        ..VolumeProjection::default()
    }
}

/// Only the key that is used.
fn secret_source(used: &SecretUse) -> VolumeProjection {
    VolumeProjection {
        secret: Some(SecretProjection {
            name: used.reference.name.clone(),
            items: Some(vec![item(&used.reference.key, &used.relative_file())]),
            optional: None,
        }),
        ..VolumeProjection::default()
    }
}

fn item(key: &str, path: &str) -> KeyToPath {
    KeyToPath {
        key: key.to_owned(),
        path: path.to_owned(),
        mode: None,
    }
}

/// A person's constraints, each about these pods unless it says otherwise; by default over nodes and zones, as well as it
/// goes.
fn spread(cluster: &Validated) -> Vec<TopologySpreadConstraint> {
    let written = &cluster.scheduling.topology_spread_constraints;
    if written.is_empty() {
        return ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
            .map(|key| evenly_over(cluster, key))
            .into();
    }
    let mut constraints = written.clone();
    for constraint in &mut constraints {
        let selector = &mut constraint.label_selector;
        selector.get_or_insert_with(|| label_selector(&cluster.owner));
    }
    constraints
}

/// Pods of one revision are counted by themselves, otherwise those that are going would push the new ones together.
fn evenly_over(cluster: &Validated, topology_key: &str) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew: 1,
        topology_key: topology_key.to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(label_selector(&cluster.owner)),
        match_label_keys: Some(vec!["pod-template-hash".to_owned()]),
        ..TopologySpreadConstraint::default()
    }
}
