//! ingress-nginx. Timeouts are seconds without a unit, WebSockets pass by themselves. Of its ways to balance none counts
//! connections; `ewma` at least avoids slow pods.

use super::{Note, Plan, Wish, body_bytes};

const RETIRED: &str = "ingress-nginx was retired in March 2026 and gets no security fixes: plan to move to another \
                       ingress controller, or to a Gateway by spec.gateway";

const RELOADS: &str = "each change of any Ingress reloads ingress-nginx, which cuts sockets after \
                       worker-shutdown-timeout (240s): raise it in the controller's ConfigMap";

pub(super) fn plan(wish: &Wish<'_>) -> Plan {
    let timeouts = wish.ingress.timeouts;
    Plan::new(
        "nginx.ingress.kubernetes.io/",
        [
            ("proxy-connect-timeout", timeouts.connect.to_string()),
            ("proxy-read-timeout", timeouts.read.to_string()),
            ("proxy-send-timeout", timeouts.send.to_string()),
            ("proxy-buffering", "off".to_owned()),
            ("load-balance", "ewma".to_owned()),
            ("proxy-body-size", body_bytes(wish).to_string()),
        ],
        [
            Note::new("IngressNginxRetired", RETIRED),
            Note::new("ControllerSettingNeeded", RELOADS),
        ],
    )
}
