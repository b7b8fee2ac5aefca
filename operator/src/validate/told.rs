//! What is allowed but should be known: said in a condition, an event, and by `lint`.

use super::finding::Finding;
use super::validated::{Store, Validated};

pub(super) fn told(cluster: &Validated) -> Vec<Finding> {
    let findings = [
        polling(cluster),
        no_api_keys(cluster),
        everyone_trusted(cluster),
        quiet_longer_than_the_proxy(cluster),
        no_way_in(cluster),
    ];
    findings.into_iter().flatten().collect()
}

fn polling(cluster: &Validated) -> Option<Finding> {
    let polls = matches!(cluster.store, Store::MongoDb(_)) && cluster.redis.is_none();
    polls.then(|| {
        Finding::new(
            "Polling",
            "spec.redis",
            "without Redis the pods poll MongoDB, so notices come up to a second late and the load does not fall at rest",
            "set spec.redis for wake-ups",
        )
    })
}

fn no_api_keys(cluster: &Validated) -> Option<Finding> {
    cluster.auth.api_keys_secret_ref.is_none().then(|| {
        Finding::new(
            "NoApiKeys",
            "spec.auth.apiKeysSecretRef",
            "without API keys no service can stage notices or issue session tokens",
            "make a Secret with lines of name:secret and refer to it",
        )
    })
}

fn everyone_trusted(cluster: &Validated) -> Option<Finding> {
    let everyone = |network: &String| network.ends_with("/0");
    cluster.trusted_proxies.iter().any(everyone).then(|| {
        Finding::new(
            "EveryoneTrusted",
            "spec.trustedProxies",
            "a network of length 0 lets every client name its own address",
            "list the networks of your proxies only",
        )
    })
}

/// The ping is what keeps a quiet connection alive.
fn quiet_longer_than_the_proxy(cluster: &Validated) -> Option<Finding> {
    let read = cluster.ingress.as_ref()?.timeouts.read;
    let ping = cluster.delivery.ping_seconds.unwrap_or(25);
    (read <= ping).then(|| {
        Finding::new(
            "ReadTimeoutTooShort",
            "spec.ingress.readTimeoutSeconds",
            format!("the proxy ends a quiet connection after {read} s, and the server pings each {ping} s"),
            "raise it, or lower spec.delivery.pingSeconds",
        )
    })
}

fn no_way_in(cluster: &Validated) -> Option<Finding> {
    let closed = cluster.ingress.is_none() && cluster.gateway.is_none();
    closed.then(|| {
        Finding::new(
            "OnlyInsideTheCluster",
            "spec",
            "neither ingress nor gateway is set, so clients reach the Service from within the cluster only",
            "set one of them, unless that is what you want",
        )
    })
}
