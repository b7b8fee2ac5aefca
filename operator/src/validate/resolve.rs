//! Defaults and contradictions, one function for each part of the spec.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::facts::Facts;
use super::finding::Finding;
use super::told::told;
use super::validated::{
    Autoscaling, Capacity, Image, Ingress, Log, Owner, Rollout, ServiceMonitor, Store, Timeouts,
    Validated, Volume,
};
use super::{quantity, sums};
use crate::api::{
    AutoscalingMode, ImagePullPolicy, IngressSpec, LogFormat, LogLevel, MonitoringSpec,
    NoticeCluster, NoticeClusterSpec, RolloutSpec,
};

const DEFAULT_PATH: &str = "/notice";
const DEFAULT_SESSIONS: i32 = 20_000;
const DEFAULT_CONNECT_RATE: i32 = 2000;
const DEFAULT_DRAIN_WINDOW: i32 = 60;
const DEFAULT_MAX_REPLICAS: i32 = 10;
const DEFAULT_INTERVAL: &str = "15s";

pub(super) fn resolve(cluster: &NoticeCluster, facts: &Facts) -> Result<Validated, Vec<Finding>> {
    let spec = &cluster.spec;
    let mut wrong = Vec::new();
    let capacity = capacity(spec);
    let autoscaling = autoscaling(spec, capacity, &mut wrong);
    let drain_window = spec.drain.as_ref().and_then(|drain| drain.window_seconds);
    let drain_window_seconds = i64::from(drain_window.unwrap_or(DEFAULT_DRAIN_WINDOW));
    let monitoring = spec.monitoring.clone().unwrap_or_default();
    let store = store(spec, facts, &mut wrong);
    let validated = store.map(|store| Validated {
        owner: owner(cluster),
        image: image(spec, facts),
        replicas: replicas(spec, autoscaling.as_ref(), facts),
        wanted_replicas: spec.replicas,
        store,
        redis: spec.redis.clone(),
        auth: spec.auth.clone().unwrap_or_default(),
        base_path: base_path(spec),
        expose_service_api: spec.ingress.as_ref().and_then(|i| i.expose_service_api) == Some(true),
        ingress: spec.ingress.as_ref().map(ingress),
        gateway: spec.gateway.clone(),
        url: url(spec),
        trusted_proxies: spec.trusted_proxies.clone(),
        capacity,
        autoscaling,
        rollout: rollout(spec.rollout.as_ref(), &mut wrong),
        drain_window_seconds,
        grace_period_seconds: sums::grace_period_seconds(drain_window_seconds),
        delivery: spec.delivery.clone().unwrap_or_default(),
        log: log(spec),
        service_monitor: service_monitor(&monitoring),
        prometheus_rule: prometheus_rule(&monitoring),
        dashboard: dashboard(&monitoring),
        network_policy: network_policy(spec),
        resources: resources(spec, capacity, &mut wrong),
        scheduling: spec.scheduling.clone().unwrap_or_default(),
        pod_template: spec.pod_template.clone().unwrap_or_default(),
        paused: spec.paused == Some(true),
        told: Vec::new(),
    });
    match validated {
        Some(mut validated) if wrong.is_empty() => {
            validated.told = told(&validated);
            Ok(validated)
        }
        _ => Err(wrong),
    }
}

fn owner(cluster: &NoticeCluster) -> Owner {
    let meta = &cluster.metadata;
    Owner {
        name: meta.name.clone().unwrap_or_default(),
        namespace: meta
            .namespace
            .clone()
            .unwrap_or_else(|| "default".to_owned()),
        uid: meta.uid.clone().unwrap_or_default(),
    }
}

fn image(spec: &NoticeClusterSpec, facts: &Facts) -> Image {
    let reference = spec
        .image
        .clone()
        .unwrap_or_else(|| facts.server_image.clone());
    Image {
        version: version(&reference),
        reference,
        pull_policy: spec
            .image_pull_policy
            .unwrap_or(ImagePullPolicy::IfNotPresent),
        pull_secrets: spec.image_pull_secrets.clone(),
    }
}

/// The tag of an image, where it can be a label's value. A digest says nothing to a person.
fn version(reference: &str) -> Option<String> {
    let (name, _digest) = reference.split_once('@').unwrap_or((reference, ""));
    let last = name.rsplit('/').next().unwrap_or(name);
    let (_, tag) = last.split_once(':')?;
    let ends = |c: char| c.is_ascii_alphanumeric();
    let fits = tag.len() <= 63 && tag.starts_with(ends) && tag.ends_with(ends);
    fits.then(|| tag.to_owned())
}

/// Where the operator decides, `replicas` is where it begins, within the bounds; what it decided later is taken as it is.
/// Whoever decides: pods that are too many are emptied before they go, so the size falls when they are.
fn replicas(spec: &NoticeClusterSpec, autoscaling: Option<&Autoscaling>, facts: &Facts) -> i32 {
    let auto = autoscaling.filter(|auto| auto.mode == AutoscalingMode::Operator);
    match (spec.replicas, auto) {
        (0, _) => 0,
        (wanted, Some(auto)) => {
            let first = || wanted.max(auto.min_replicas).min(auto.max_replicas);
            facts.size.map_or_else(first, |size| size.max(1))
        }
        (wanted, None) => facts.size.map_or(wanted, |size| size.max(wanted)),
    }
}

fn store(spec: &NoticeClusterSpec, facts: &Facts, wrong: &mut Vec<Finding>) -> Option<Store> {
    if let Some(mongodb) = &spec.mongodb {
        return Some(Store::MongoDb(mongodb.clone()));
    }
    if spec.replicas > 1 {
        wrong.push(Finding::new(
            "StoreNotShared",
            "spec.replicas",
            "the embedded store can't be shared by several pods",
            "set it to 1, or set spec.mongodb",
        ));
    }
    let Some(storage) = &spec.storage else {
        wrong.push(Finding::new(
            "NoStore",
            "spec",
            "there is no place for notices",
            "set spec.mongodb.uriSecretRef, or spec.storage.size for the embedded store",
        ));
        return None;
    };
    let Some(bytes) = quantity::bytes(&storage.size) else {
        wrong.push(Finding::new(
            "BadQuantity",
            "spec.storage.size",
            format!("{:?} is no amount of bytes", storage.size),
            "write one such as 10Gi",
        ));
        return None;
    };
    Some(Store::Embedded(Volume {
        size: storage.size.clone(),
        bytes: facts.claim_bytes.unwrap_or(0).max(bytes),
        storage_class_name: storage.storage_class_name.clone(),
    }))
}

/// Without the slash at the end that a root has.
fn base_path(spec: &NoticeClusterSpec) -> String {
    let written = spec
        .ingress
        .as_ref()
        .and_then(|ingress| ingress.path.as_deref());
    written
        .unwrap_or(DEFAULT_PATH)
        .trim_end_matches('/')
        .to_owned()
}

fn ingress(spec: &IngressSpec) -> Ingress {
    Ingress {
        class_name: spec.class_name.clone(),
        host: spec.host.clone(),
        tls: spec.tls.as_ref().map(|tls| tls.secret_name.clone()),
        timeouts: Timeouts {
            connect: spec.connect_timeout_seconds.unwrap_or(10),
            read: spec.read_timeout_seconds.unwrap_or(7200),
            send: spec.send_timeout_seconds.unwrap_or(10),
        },
        annotations: spec.annotations.clone(),
    }
}

/// The Ingress goes before the Gateway, whose listeners' TLS is not seen here: they have it, as a rule.
fn url(spec: &NoticeClusterSpec) -> Option<String> {
    let path = base_path(spec);
    let ingress = spec.ingress.as_ref().and_then(|ingress| {
        let scheme = if ingress.tls.is_some() {
            "https"
        } else {
            "http"
        };
        Some((scheme, ingress.host.as_deref()?))
    });
    let gateway = spec
        .gateway
        .as_ref()
        .and_then(|gateway| Some(("https", gateway.hostnames.first()?.as_str())));
    let (scheme, host) = ingress
        .or(gateway)
        .filter(|(_, host)| !host.starts_with('*'))?;
    Some(format!("{scheme}://{host}{path}"))
}

fn capacity(spec: &NoticeClusterSpec) -> Capacity {
    let written = spec.capacity.clone().unwrap_or_default();
    Capacity {
        max_sessions: written.max_sessions_per_pod.unwrap_or(DEFAULT_SESSIONS),
        connect_rate: written
            .connect_rate_per_second
            .unwrap_or(DEFAULT_CONNECT_RATE),
    }
}

fn autoscaling(
    spec: &NoticeClusterSpec,
    capacity: Capacity,
    wrong: &mut Vec<Finding>,
) -> Option<Autoscaling> {
    let written = spec.autoscaling.as_ref()?;
    let up = written
        .scale_up
        .as_ref()
        .and_then(|up| up.stabilization_seconds);
    let down = written
        .scale_down
        .as_ref()
        .and_then(|down| down.stabilization_seconds);
    let min_replicas = written.min_replicas.unwrap_or(1);
    let resolved = Autoscaling {
        min_replicas,
        max_replicas: written
            .max_replicas
            .unwrap_or(DEFAULT_MAX_REPLICAS.max(min_replicas)),
        target_sessions: written
            .target_sessions_per_pod
            .unwrap_or((capacity.max_sessions / 2).max(1)),
        mode: written.mode.unwrap_or_default(),
        up_stabilization_seconds: up.unwrap_or(0),
        down_stabilization_seconds: down.unwrap_or(300),
    };
    wrong.extend(autoscaling_findings(spec, &resolved, capacity));
    Some(resolved)
}

fn autoscaling_findings(
    spec: &NoticeClusterSpec,
    auto: &Autoscaling,
    capacity: Capacity,
) -> Vec<Finding> {
    let mut wrong = Vec::new();
    if spec.mongodb.is_none() {
        wrong.push(Finding::new(
            "StoreNotShared",
            "spec.autoscaling",
            "the embedded store can't be shared by several pods",
            "remove it, or set spec.mongodb",
        ));
    }
    if auto.min_replicas > auto.max_replicas {
        wrong.push(Finding::new(
            "BadRange",
            "spec.autoscaling.minReplicas",
            "it is more than spec.autoscaling.maxReplicas",
            "lower the first or raise the second",
        ));
    }
    if auto.target_sessions > capacity.max_sessions {
        wrong.push(Finding::new(
            "BadTarget",
            "spec.autoscaling.targetSessionsPerPod",
            format!("no pod takes more than {} sessions", capacity.max_sessions),
            "lower it, or raise spec.capacity.maxSessionsPerPod",
        ));
    }
    wrong
}

fn rollout(written: Option<&RolloutSpec>, wrong: &mut Vec<Finding>) -> Rollout {
    let written = written.cloned().unwrap_or_default();
    let max_surge = written.max_surge.unwrap_or(IntOrString::Int(1));
    if !is_surge(&max_surge) {
        wrong.push(Finding::new(
            "BadSurge",
            "spec.rollout.maxSurge",
            "no new pod could start, since no old one goes before it",
            "write a number of at least 1, or a percentage from 1% to 100%",
        ));
    }
    Rollout {
        max_surge,
        min_ready_seconds: written.min_ready_seconds.unwrap_or(5),
    }
}

fn is_surge(surge: &IntOrString) -> bool {
    match surge {
        IntOrString::Int(pods) => *pods >= 1,
        IntOrString::String(text) => {
            let percent = text
                .strip_suffix('%')
                .and_then(|number| number.parse::<u8>().ok());
            percent.is_some_and(|percent| (1..=100).contains(&percent))
        }
    }
}

fn log(spec: &NoticeClusterSpec) -> Log {
    let written = spec.log.clone().unwrap_or_default();
    Log {
        level: written.level.unwrap_or(LogLevel::Info),
        format: written.format.unwrap_or(LogFormat::Json),
    }
}

fn service_monitor(spec: &MonitoringSpec) -> Option<ServiceMonitor> {
    let written = spec.service_monitor.as_ref()?;
    (written.enabled == Some(true)).then(|| ServiceMonitor {
        interval: written
            .interval
            .clone()
            .unwrap_or_else(|| DEFAULT_INTERVAL.to_owned()),
        labels: written.labels.clone(),
    })
}

type Labels = std::collections::BTreeMap<String, String>;

fn prometheus_rule(spec: &MonitoringSpec) -> Option<Labels> {
    let written = spec.prometheus_rule.as_ref()?;
    (written.enabled == Some(true)).then(|| written.labels.clone())
}

fn dashboard(spec: &MonitoringSpec) -> Option<Labels> {
    let written = spec.dashboard.as_ref()?;
    let usual = || Labels::from([("grafana_dashboard".to_owned(), "1".to_owned())]);
    (written.enabled == Some(true)).then(|| written.labels.clone().unwrap_or_else(usual))
}

fn network_policy(
    spec: &NoticeClusterSpec,
) -> Option<Vec<k8s_openapi::api::networking::v1::NetworkPolicyPeer>> {
    let written = spec.network_policy.as_ref()?;
    (written.enabled == Some(true)).then(|| written.admin_from.clone())
}

fn resources(
    spec: &NoticeClusterSpec,
    capacity: Capacity,
    wrong: &mut Vec<Finding>,
) -> k8s_openapi::api::core::v1::ResourceRequirements {
    let sessions = u64::try_from(capacity.max_sessions).unwrap_or_default();
    let resolved = sums::resources(sessions, spec.resources.as_ref());
    for (name, request) in resolved.requests.iter().flatten() {
        let limit = resolved.limits.as_ref().and_then(|limits| limits.get(name));
        if limit.is_some_and(|limit| sums::exceeds(request, limit)) {
            wrong.push(Finding::new(
                "BadResources",
                format!("spec.resources.requests.{name}"),
                "it is more than the limit beside it",
                "lower it or raise the limit",
            ));
        }
    }
    resolved
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_images_version_is_its_tag_where_that_fits_a_label() {
        let known = [
            ("notice-server", None),
            ("notice-server:0.1.0", Some("0.1.0")),
            ("host:5000/notice-server", None),
            ("host:5000/notice-server:0.1.0", Some("0.1.0")),
            ("host:5000/notice-server:0.1.0@sha256:abc", Some("0.1.0")),
            ("notice-server@sha256:abc", None),
            ("notice-server:odd_", None),
        ];
        for (image, version_) in known {
            assert_eq!(version(image).as_deref(), version_, "{image}");
        }
    }

    proptest! {
        #[test]
        fn the_operators_own_number_of_pods_begins_within_its_bounds_and_is_then_what_it_decided(
            replicas_ in 1i32..50, wish in proptest::option::of(1i32..2000), a in 1i32..100, b in 1i32..100,
        ) {
            let auto = Autoscaling {
                min_replicas: a.min(b), max_replicas: a.max(b), target_sessions: 1,
                mode: AutoscalingMode::Operator, up_stabilization_seconds: 0, down_stabilization_seconds: 0,
            };
            let spec = NoticeClusterSpec { replicas: replicas_, ..NoticeClusterSpec::default() };
            let facts = Facts { size: wish, ..Facts::offline() };
            let got = replicas(&spec, Some(&auto), &facts);
            match wish {
                Some(wish) => prop_assert_eq!(got, wish),
                None => prop_assert!((auto.min_replicas..=auto.max_replicas).contains(&got)),
            }
        }

        #[test]
        fn where_somebody_else_decides_more_pods_come_at_once_and_fewer_only_when_it_is_their_turn(
            wanted in 0i32..50, size in proptest::option::of(1i32..50),
        ) {
            let spec = NoticeClusterSpec { replicas: wanted, ..NoticeClusterSpec::default() };
            let facts = Facts { size, ..Facts::offline() };
            let got = replicas(&spec, None, &facts);
            prop_assert_eq!(got, if wanted == 0 { 0 } else { wanted.max(size.unwrap_or(0)) });
        }
    }
}
