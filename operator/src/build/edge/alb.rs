//! AWS Load Balancer Controller. One idle timeout for both directions, 4,000 s at most; probes go to the admin port.

use super::super::pod::ADMIN_PORT;
use super::{Note, Plan, Wish};

/// What the load balancer takes.
const MOST_IDLE_SECONDS: i32 = 4000;
const MOST_DEREGISTRATION_SECONDS: i64 = 3600;

const SCHEME: &str = "the load balancer is internal unless spec.ingress.annotations has \
                      alb.ingress.kubernetes.io/scheme: internet-facing; for TLS set certificate-arn and listen-ports there";

pub(super) fn plan(wish: &Wish<'_>) -> Plan {
    let idle = wish.ingress.timeouts.read.min(MOST_IDLE_SECONDS);
    let deregistration = wish
        .cluster
        .grace_period_seconds
        .min(MOST_DEREGISTRATION_SECONDS);
    let mut plan = Plan::new(
        "alb.ingress.kubernetes.io/",
        [
            ("target-type", "ip".to_owned()),
            (
                "load-balancer-attributes",
                format!("idle_timeout.timeout_seconds={idle}"),
            ),
            (
                "target-group-attributes",
                format!(
                    "deregistration_delay.timeout_seconds={deregistration},\
                     load_balancing.algorithm.type=least_outstanding_requests"
                ),
            ),
            ("healthcheck-path", "/readyz".to_owned()),
            ("healthcheck-port", ADMIN_PORT.to_string()),
        ],
        [Note::new("ControllerSettingNeeded", SCHEME)],
    );
    if idle < wish.ingress.timeouts.read {
        plan.notes
            .push(Note::new("TimeoutCut", cut(wish.ingress.timeouts.read)));
    }
    plan
}

fn cut(wanted: i32) -> String {
    format!(
        "the load balancer takes an idle timeout of {MOST_IDLE_SECONDS} s at most, so {wanted} s became that; pings keep \
         quiet connections open"
    )
}
