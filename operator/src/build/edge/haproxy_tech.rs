//! HAProxy Kubernetes Ingress Controller. After the upgrade `timeout tunnel` counts, which only its ConfigMap can set.

use super::{Note, Plan, Wish};

pub(super) fn plan(wish: &Wish<'_>) -> Plan {
    let timeouts = wish.ingress.timeouts;
    let message = format!(
        "HAProxy takes the timeout of WebSockets in the controller's ConfigMap only: set timeout-tunnel to {}s (its default \
         is 1h), timeout-client to {}s, timeout-connect to {}s, and hard-stop-after to the time that sockets may take to \
         move",
        timeouts.read, timeouts.read, timeouts.connect
    );
    Plan::new(
        "haproxy.org/",
        [
            ("timeout-server", format!("{}s", timeouts.read)),
            ("load-balance", "leastconn".to_owned()),
        ],
        [Note::new("ControllerSettingNeeded", message)],
    )
}
