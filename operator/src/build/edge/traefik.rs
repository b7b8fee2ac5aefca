//! Traefik. WebSockets pass and answers are not buffered by themselves; timeouts are in its static configuration.

use super::{Note, Plan, Wish};

pub(super) fn plan(wish: &Wish<'_>) -> Plan {
    let timeouts = wish.ingress.timeouts;
    let message = format!(
        "Traefik takes timeouts in its static configuration only: for the entry point set \
         transport.respondingTimeouts.readTimeout to 0 and idleTimeout to {}s or more, transport.lifeCycle.graceTimeOut to \
         the time that sockets may take to move, and in serversTransport.forwardingTimeouts.dialTimeout {}s",
        timeouts.read, timeouts.connect
    );
    Plan::new("", [], [Note::new("ControllerSettingNeeded", message)])
}
