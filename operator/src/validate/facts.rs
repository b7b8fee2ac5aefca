//! What building the children needs to know besides the NoticeCluster itself. Plain data: whoever watches the cluster
//! fills it, `render` and `lint` use [`Facts::offline`].

use super::DEFAULT_SERVER_IMAGE;

/// What was observed, as far as children depend on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The image of a NoticeCluster that names none.
    pub server_image: String,
    /// The `spec.controller` of the Ingress's class, such as `k8s.io/ingress-nginx`; as it was last known where the
    /// class can't be read. None: it was never known.
    pub ingress_controller: Option<String>,
    /// Which optional kinds the cluster serves. Children of the others are built all the same; they can't be applied.
    pub kinds: OptionalKinds,
    /// The public half of the key by which the operator proves itself to the servers' drain verbs, in PEM.
    pub drain_public_key: Option<String>,
    /// A digest of the values of those keys of Secrets that the servers can't read again while they run (see
    /// [`super::SecretUse::rolls`]). A change rolls the pods. None: there are no such keys.
    pub secrets_digest: Option<String>,
    /// How many pods the Deployment should have now, those that are still to be emptied included. None: it is not there.
    pub size: Option<i32>,
    /// How large the embedded store's volume is, when somebody has grown it.
    pub claim_bytes: Option<u64>,
}

/// Kinds that come from other projects' CRDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the kinds")]
pub struct OptionalKinds {
    pub http_route: bool,
    pub service_monitor: bool,
    pub prometheus_rule: bool,
}

impl OptionalKinds {
    /// A cluster that serves them all.
    pub const ALL: Self = Self {
        http_route: true,
        service_monitor: true,
        prometheus_rule: true,
    };
}

impl Facts {
    /// What is assumed where no cluster can be asked: every kind is served, nothing was measured.
    #[must_use]
    pub fn offline() -> Self {
        Self {
            server_image: DEFAULT_SERVER_IMAGE.to_owned(),
            ingress_controller: None,
            kinds: OptionalKinds::ALL,
            drain_public_key: None,
            secrets_digest: None,
            size: None,
            claim_bytes: None,
        }
    }
}
