//! Google's ingress. Timeouts, draining and probes are in a BackendConfig that the Service names: another project's kind,
//! which the administrator makes.

use super::{Note, Plan, Wish};

/// What the load balancer takes.
const MOST_DRAINING_SECONDS: i64 = 3600;

pub(super) fn plan(wish: &Wish<'_>) -> Plan {
    let name = &wish.cluster.owner.name;
    let timeout = wish.ingress.timeouts.read;
    let draining = wish.cluster.grace_period_seconds.min(MOST_DRAINING_SECONDS);
    let message = format!(
        "the load balancer ends every WebSocket after 30 s until a BackendConfig says otherwise: make one named {name} with \
         spec {{timeoutSec: {timeout}, connectionDraining: {{drainingTimeoutSec: {draining}}}, healthCheck: {{type: HTTP, \
         requestPath: /readyz, port: 9090}}}} and annotate the Service: kubectl annotate service {name} \
         'cloud.google.com/backend-config={{\"default\":\"{name}\"}}'"
    );
    Plan::new("", [], [Note::new("ControllerSettingNeeded", message)])
        .on_service([("cloud.google.com/neg", r#"{"ingress": true}"#.to_owned())])
}
