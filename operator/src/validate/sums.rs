//! Sums over a pod: its grace period, its memory.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::quantity;

/// How long a pod stays in service after its end was announced: until endpoints and proxies have heard of it. Then SIGTERM
/// comes, and no client that moves is sent to a pod that is going too.
pub const PRE_STOP_SECONDS: i64 = 5;

/// The server's `drain.margin_seconds`: after the window, until what is left is closed.
const DRAIN_MARGIN_SECONDS: i64 = 10;

/// What the server takes after its deadline: close frames, calls under way, the last sync of the store.
const END_SECONDS: i64 = 15;

/// The least that leaves a drain of `window_seconds` in peace.
#[must_use]
pub fn grace_period_seconds(window_seconds: i64) -> i64 {
    PRE_STOP_SECONDS + window_seconds.max(0) + DRAIN_MARGIN_SECONDS + END_SECONDS
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// What a server holds without any session, store and caches included.
const BASE_REQUEST: u64 = 128 * MIB;
const BASE_LIMIT: u64 = 384 * MIB;

/// What an idle session takes, TLS-free, with room to spare; and one that is busy or slow to read.
const SESSION_REQUEST: u64 = 6 * KIB;
const SESSION_LIMIT: u64 = 24 * KIB;

/// Requests and limits of a pod for so many sessions; what a person wrote goes before it.
#[must_use]
pub fn resources(sessions: u64, written: Option<&ResourceRequirements>) -> ResourceRequirements {
    let written = written.cloned().unwrap_or_default();
    let memory = |base, session| quantity::of_bytes(round_up(base + sessions * session));
    let requests = [
        ("cpu", "100m".to_owned()),
        ("memory", memory(BASE_REQUEST, SESSION_REQUEST)),
        ("ephemeral-storage", "64Mi".to_owned()),
    ];
    let limits = [
        ("memory", memory(BASE_LIMIT, SESSION_LIMIT)),
        ("ephemeral-storage", "256Mi".to_owned()),
    ];
    let (given_requests, given_limits) = (
        written.requests.unwrap_or_default(),
        written.limits.unwrap_or_default(),
    );
    let mut requests = over(&requests, given_requests.clone());
    let mut limits = over(&limits, given_limits.clone());
    fit(&mut requests, &given_requests, &mut limits, &given_limits);
    ResourceRequirements {
        claims: written.claims,
        limits: Some(limits),
        requests: Some(requests),
    }
}

type Amounts = BTreeMap<String, Quantity>;

/// The defaults, and over them what was given.
fn over(defaults: &[(&str, String)], given: Amounts) -> Amounts {
    let defaults = defaults
        .iter()
        .map(|(name, amount)| ((*name).to_owned(), Quantity(amount.clone())));
    defaults.chain(given).collect()
}

/// A default gives way to what was written beside it: a request must not be more than its limit.
fn fit(requests: &mut Amounts, given_requests: &Amounts, limits: &mut Amounts, given: &Amounts) {
    for (name, request) in requests.iter_mut() {
        let Some(limit) = limits.get_mut(name) else {
            continue;
        };
        if !exceeds(request, limit) {
            continue;
        }
        match (given_requests.contains_key(name), given.contains_key(name)) {
            (false, _) => *request = limit.clone(),
            (true, false) => *limit = request.clone(),
            (true, true) => {}
        }
    }
}

/// Whether the first is more. Nothing can be said about what is no quantity.
#[must_use]
pub(super) fn exceeds(a: &Quantity, b: &Quantity) -> bool {
    let thousandths = |q: &Quantity| quantity::thousandths(&q.0);
    matches!((thousandths(a), thousandths(b)), (Some(a), Some(b)) if a > b)
}

/// To the next 32 MiB: amounts that people can read.
fn round_up(bytes: u64) -> u64 {
    bytes.div_ceil(32 * MIB) * 32 * MIB
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn amount(of: Option<&Amounts>, name: &str) -> u64 {
        quantity::bytes(&of.unwrap()[name].0).unwrap()
    }

    fn written(requests: &[(&str, &str)], limits: &[(&str, &str)]) -> ResourceRequirements {
        let amounts = |of: &[(&str, &str)]| {
            let pairs = of.iter();
            pairs
                .map(|(k, v)| ((*k).to_owned(), Quantity((*v).to_owned())))
                .collect()
        };
        ResourceRequirements {
            requests: Some(amounts(requests)),
            limits: Some(amounts(limits)),
            claims: None,
        }
    }

    proptest! {
        #[test]
        fn the_grace_period_covers_all_that_the_server_does_in_it(window in 0i64..=86_400) {
            // docs/OPERATIONS.md: more than preStop + window + margin, and the server's own last seconds.
            prop_assert!(grace_period_seconds(window) >= PRE_STOP_SECONDS + window + 10 + 8);
        }

        #[test]
        fn a_longer_window_has_a_longer_grace_period(window in 0i64..86_400) {
            prop_assert_eq!(grace_period_seconds(window + 1), grace_period_seconds(window) + 1);
        }

        #[test]
        fn memory_grows_with_sessions_and_the_limit_stays_above_the_request(sessions in 1u64..=1_000_000) {
            let some = resources(sessions, None);
            let more = resources(sessions + 10_000, None);
            let (request, limit) = (amount(some.requests.as_ref(), "memory"), amount(some.limits.as_ref(), "memory"));
            prop_assert!(request < limit);
            prop_assert!(request >= sessions * 5 * KIB);
            prop_assert!(amount(more.limits.as_ref(), "memory") > limit);
        }

        #[test]
        fn one_amount_given_never_makes_a_request_exceed_a_limit(mib in 1u64..100_000, limit in any::<bool>()) {
            let text = format!("{mib}Mi");
            let given = [("memory", text.as_str())];
            let written = if limit { written(&[], &given) } else { written(&given, &[]) };
            let got = resources(20_000, Some(&written));
            prop_assert!(amount(got.requests.as_ref(), "memory") <= amount(got.limits.as_ref(), "memory"));
        }
    }

    #[test]
    fn what_a_person_wrote_goes_before_the_defaults() {
        let got = resources(
            20_000,
            Some(&written(&[("cpu", "2")], &[("memory", "4Gi")])),
        );
        assert_eq!(got.requests.as_ref().unwrap()["cpu"].0, "2");
        assert_eq!(got.limits.as_ref().unwrap()["memory"].0, "4Gi");
        assert_eq!(got.requests.as_ref().unwrap()["memory"].0, "256Mi");
        assert!(!got.limits.as_ref().unwrap().contains_key("cpu"));
    }
}
