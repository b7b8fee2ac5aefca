//! Does what was decided: marks on pods, verbs of pods, words to people. The size itself is written by a reconcile.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{PERIOD, Scaling, Todo, Verbs};
use crate::apply::within;
use crate::drains::{Action, DELETION_COST, LEAVING, LEAVING_COST, News, Verdict};
use crate::events::{Teller, Telling};
use crate::failure::refusal;
use crate::leader::Leadership;
use crate::observe::{ClusterKey, Observed, SharedIndex};
use crate::queue::Queue;
use crate::sessions::{Asker, Board};

/// The field manager of pods' annotations.
const MANAGER: &str = "notice-operator";

/// What acting needs.
pub struct Hands {
    /// The desks.
    pub scaling: Arc<Scaling>,
    /// What is known.
    pub index: SharedIndex,
    /// What pods say.
    pub board: Board,
    /// Asks a pod once more, after a verb.
    pub asker: Asker,
    /// The pods' verbs.
    pub verbs: Verbs,
    /// Calls to the API server.
    pub client: Client,
    /// Reconciles.
    pub queue: Arc<Queue<ClusterKey>>,
    /// Tells people.
    pub teller: Teller,
    /// Whether acting is allowed.
    pub leadership: Leadership,
}

impl std::fmt::Debug for Hands {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hands").finish_non_exhaustive()
    }
}

impl Hands {
    /// Looks at every cluster that has a desk, again and again.
    pub async fn work_for_ever(self) {
        loop {
            for key in self.scaling.clusters() {
                if self.leadership.holds() {
                    self.turn(&key).await;
                }
            }
            sleep(PERIOD).await;
        }
    }

    async fn turn(&self, key: &ClusterKey) {
        let observed = self.index.lock().observe(key);
        let Some(observed) = observed.filter(|it| !it.cluster.deleting) else {
            self.scaling.forget(key);
            return;
        };
        let Some(figures) = self.board.figures(key, &observed.pods) else {
            return;
        };
        let todo = self
            .scaling
            .turn(&observed, &figures, crate::clock::unix_seconds());
        self.act(&observed, todo).await;
    }

    async fn act(&self, observed: &Observed, todo: Todo) {
        let mut failed = BTreeSet::new();
        for action in todo.actions {
            let Some(pod) = action.pod().map(str::to_owned) else {
                continue;
            };
            if failed.contains(&pod) {
                continue;
            }
            if let Err(why) = self.one(observed, action).await {
                tracing::warn!(cluster = %observed.key, "{why}");
                failed.insert(pod);
            }
        }
        if let Some(verdict) = todo.rebalance {
            self.rebalance(observed, verdict).await;
        }
        if todo.reconcile {
            self.queue.touch(observed.key.clone());
        }
    }

    async fn one(&self, observed: &Observed, action: Action) -> Result<(), String> {
        match action {
            Action::Mark(pod, leaving) => {
                self.annotate(observed, &pod, json!({LEAVING: leaving.to_string()}))
                    .await
            }
            Action::Unmark(pod) => {
                self.annotate(observed, &pod, json!({LEAVING: Value::Null}))
                    .await
            }
            Action::Prefer(pod) => {
                self.annotate(
                    observed,
                    &pod,
                    json!({DELETION_COST: LEAVING_COST.to_string()}),
                )
                .await
            }
            Action::Unprefer(pod) => {
                self.annotate(observed, &pod, json!({DELETION_COST: Value::Null}))
                    .await
            }
            Action::Drain(pod, window) => {
                let ip = address(observed, &pod)?;
                self.verbs
                    .drain(&pod, ip, window)
                    .await
                    .map_err(|error| error.to_string())?;
                self.ask_again(observed, &pod, ip).await;
                Ok(())
            }
            Action::Undrain(pod) => {
                let ip = address(observed, &pod)?;
                self.verbs
                    .undrain(&pod, ip)
                    .await
                    .map_err(|error| error.to_string())?;
                self.ask_again(observed, &pod, ip).await;
                Ok(())
            }
            Action::Tell(pod, news) => {
                self.tell(observed, telling(&pod, news)).await;
                Ok(())
            }
            Action::Resize(_) => Ok(()),
        }
    }

    async fn annotate(
        &self,
        observed: &Observed,
        pod: &str,
        annotations: Value,
    ) -> Result<(), String> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &observed.key.namespace);
        let patch = json!({"metadata": {"annotations": annotations}});
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patched = within(pods.patch_metadata(pod, &params, &Patch::Merge(patch))).await;
        patched
            .map(drop)
            .map_err(|error| format!("pod {pod} can't be annotated: {}", refusal(&error)))
    }

    /// The load after a verb: the next turn must not act on the one before.
    async fn ask_again(&self, observed: &Observed, pod: &str, ip: std::net::IpAddr) {
        let load = self.asker.ask(ip).await;
        self.board.note(&observed.key, pod, load);
    }

    async fn rebalance(&self, observed: &Observed, verdict: Verdict) {
        match verdict {
            Verdict::Rest => {}
            Verdict::Ask(moves, window) => {
                for it in &moves {
                    let asked = match address(observed, &it.pod) {
                        Ok(ip) => {
                            let asked =
                                self.verbs.rebalance(&it.pod, ip, it.sessions, window).await;
                            asked.map_err(|error| error.to_string())
                        }
                        Err(why) => Err(why),
                    };
                    if let Err(why) = asked {
                        tracing::warn!(cluster = %observed.key, "{why}");
                    }
                }
                let sessions: u64 = moves.iter().map(|it| it.sessions).sum();
                let note = format!(
                    "{sessions} sessions of {} fuller pods are asked to move within {} s",
                    moves.len(),
                    window.as_secs()
                );
                self.tell(
                    observed,
                    telling_of(false, "Rebalancing", "Rebalance", note),
                )
                .await;
            }
            Verdict::InVain => {
                let note = "clients that were asked to move came back to the pods they left: the load balancer in front \
                            is sticky, or sends all connections of a proxy to one pod; use least connections";
                self.tell(
                    observed,
                    telling_of(true, "RebalanceInVain", "Rebalance", note.to_owned()),
                )
                .await;
            }
        }
    }

    async fn tell(&self, observed: &Observed, telling: Telling) {
        if let Ok(object) = &observed.cluster.object {
            self.teller.tell(object, vec![telling]).await;
        }
    }
}

fn address(observed: &Observed, pod: &str) -> Result<std::net::IpAddr, String> {
    let found = observed.pods.iter().find(|it| it.name == pod);
    found
        .and_then(|it| it.ip)
        .ok_or_else(|| format!("pod {pod} has no address"))
}

fn telling_of(warning: bool, reason: &str, action: &'static str, note: String) -> Telling {
    Telling {
        warning,
        reason: reason.to_owned(),
        action,
        note,
    }
}

fn telling(pod: &str, news: News) -> Telling {
    let (warning, reason, text) = match news {
        News::Started => (false, "DrainStarted", "is being emptied"),
        News::Emptied => (false, "Drained", "is empty"),
        News::DeadlinePassed => (
            true,
            "DrainDeadlinePassed",
            "was not empty in time: who is left is moved when it ends",
        ),
        News::Went => (false, "PodRemoved", "went, empty"),
        News::AnotherWent => (
            true,
            "AnotherPodRemoved",
            "was to go, and another one went: it serves again",
        ),
        News::Stopped => (
            false,
            "DrainStopped",
            "is needed after all, and serves again",
        ),
        News::NoRoom => (
            true,
            "DrainStopped",
            "serves again: the other pods have no room for its sessions",
        ),
    };
    telling_of(warning, reason, "Drain", format!("pod {pod} {text}"))
}
