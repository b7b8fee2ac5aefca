//! NGINX Ingress Controller by F5. Timeouts have a unit; services with WebSockets must be named.

use super::{Note, Plan, Wish, body_bytes};

const RELOADS: &str = "a reload of NGINX keeps old workers until their sockets end, or cuts them at \
                       worker-shutdown-timeout where the controller's ConfigMap sets it: leave it out or make it long";

pub(super) fn plan(wish: &Wish<'_>) -> Plan {
    let timeouts = wish.ingress.timeouts;
    Plan::new(
        "nginx.org/",
        [
            ("websocket-services", wish.cluster.owner.name.clone()),
            ("proxy-connect-timeout", format!("{}s", timeouts.connect)),
            ("proxy-read-timeout", format!("{}s", timeouts.read)),
            ("proxy-send-timeout", format!("{}s", timeouts.send)),
            ("proxy-buffering", "False".to_owned()),
            ("lb-method", "least_conn".to_owned()),
            ("client-max-body-size", body_bytes(wish).to_string()),
        ],
        [Note::new("ControllerSettingNeeded", RELOADS)],
    )
}
