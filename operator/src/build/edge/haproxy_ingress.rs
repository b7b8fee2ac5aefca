//! HAProxy Ingress. Each backend has its own timeouts; after the upgrade `timeout-tunnel` counts.

use super::{Note, Plan, Wish};

const RELOADS: &str = "a reload of HAProxy cuts sockets after timeout-stop (10m): raise it in the controller's ConfigMap, \
                       and set close-sessions-duration there so that they end one after the other";

pub(super) fn plan(wish: &Wish<'_>) -> Plan {
    let timeouts = wish.ingress.timeouts;
    Plan::new(
        "haproxy-ingress.github.io/",
        [
            ("timeout-connect", format!("{}s", timeouts.connect)),
            ("timeout-server", format!("{}s", timeouts.read)),
            ("timeout-tunnel", format!("{}s", timeouts.read)),
            ("balance-algorithm", "leastconn".to_owned()),
        ],
        [Note::new("ControllerSettingNeeded", RELOADS)],
    )
}
