//! Contour. Routes with WebSockets must be named; Envoy's limit of 15 s for an answer is lifted.

use super::super::paths;
use super::{Note, Plan, Wish};

pub(super) fn plan(wish: &Wish<'_>) -> Plan {
    let sockets: Vec<String> = paths::sockets(&wish.cluster.base_path).collect();
    let timeouts = wish.ingress.timeouts;
    let message = format!(
        "Envoy ends streams that are quiet for 5 minutes, which the pings prevent; for more set \
         timeouts.stream-idle-timeout to {}s and timeouts.connect-timeout to {}s in Contour's configuration. \
         Least-connections needs an HTTPProxy (loadBalancerPolicy: WeightedLeastRequest)",
        timeouts.read, timeouts.connect
    );
    Plan::new(
        "projectcontour.io/",
        [
            ("websocket-routes", sockets.join(",")),
            ("response-timeout", "infinity".to_owned()),
        ],
        [Note::new("ControllerSettingNeeded", message)],
    )
}
