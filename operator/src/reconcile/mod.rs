//! One cluster, made as its spec says, in five steps: observe, validate, build, apply, status. Only the last two write.

pub mod facts;
pub mod outcome;
pub mod plan;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::api::NoticeCluster;
use crate::apply::{Applier, Broken, Done};
use crate::events::{Teller, tellings};
use crate::failure::{chain, refusal};
use crate::leader::Leadership;
use crate::metrics::{FailureReason, Metrics};
use crate::observe::{ClusterKey, Observed, SharedIndex};
use crate::scaling::Scaling;
use crate::secrets::{Needs, SecretSeen};
use crate::sessions::Board;
use crate::status;
use crate::validate::validate;
use crate::watch::secrets::SecretWatches;
use facts::Common;
use outcome::Outcome;
use plan::{Step, plan};

/// What is looked at again though no watch will tell.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// How long a Secret's first answer is waited for before a cluster's status says that it is not there.
const FIRST_LOOK: Duration = Duration::from_secs(5);

/// Reconciles clusters.
#[derive(Debug)]
pub struct Reconciler {
    /// What is known.
    pub index: SharedIndex,
    /// Writes children.
    pub applier: Applier,
    /// What pods say.
    pub board: Board,
    /// Decides about sizes.
    pub scaling: Arc<Scaling>,
    /// Watches of Secrets.
    pub secrets: SecretWatches,
    /// Tells people.
    pub teller: Teller,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Whether writing is allowed.
    pub leadership: Leadership,
    /// What is the same for all clusters.
    pub common: Common,
    /// For statuses.
    pub status: StatusWriter,
    /// Since when a cluster waits for a first look at its Secrets.
    pub first_looks: Mutex<HashMap<ClusterKey, Instant>>,
}

/// Writes statuses, and remembers when figures were told.
pub struct StatusWriter {
    client: Client,
    told: Mutex<HashMap<ClusterKey, Instant>>,
}

impl std::fmt::Debug for StatusWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StatusWriter").finish_non_exhaustive()
    }
}

impl StatusWriter {
    /// Writes by this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            client,
            told: Mutex::default(),
        }
    }
}

impl Reconciler {
    /// One turn for this cluster. Says when to look again by itself, if at all.
    ///
    /// # Errors
    /// [`Broken`]: to be tried again soon.
    pub async fn reconcile(&self, key: &ClusterKey) -> Result<Option<Duration>, Broken> {
        let observed = self.index.lock().observe(key);
        let Some(observed) = observed.filter(|it| !it.cluster.deleting) else {
            self.forget(key);
            return Ok(None);
        };
        let object = match &observed.cluster.object {
            Ok(object) => Arc::clone(object),
            Err(why) => return self.not_understood(&observed, why).await,
        };
        match self.make(&observed, &object).await? {
            Some(outcome) => self.tell(key, &observed, &object, outcome).await,
            None => Ok(Some(FIRST_LOOK)),
        }
    }

    /// Validates, builds and applies. `None` while a first look at Secrets is to be waited for.
    async fn make(
        &self,
        observed: &Observed,
        object: &NoticeCluster,
    ) -> Result<Option<Outcome>, Broken> {
        let mut facts = facts::without_secrets(&self.common, observed, object);
        facts.size = self.scaling.size(observed);
        let spec = match validate(object, &facts) {
            Ok(spec) => Box::new(spec),
            Err(findings) => {
                self.metrics.failed(FailureReason::InvalidSpec);
                return Ok(Some(Outcome::invalid(findings)));
            }
        };
        self.scaling.learn(&observed.key, &spec);
        let uses = spec.secrets();
        let wanted = facts::wanted_keys(&uses);
        let known = self.look_at_secrets(observed, &wanted);
        let needs = Needs::of(&wanted, |name| {
            known
                .secrets
                .get(name)
                .cloned()
                .unwrap_or(SecretSeen::Unknown)
        });
        if !needs.unknown.is_empty() && self.first_look(&observed.key) {
            return Ok(None);
        }
        self.first_looks.lock().remove(&observed.key);
        facts.secrets_digest = facts::secrets_digest(&self.common, &known, &uses);
        let children = crate::build::children(&spec, &facts);
        let held = needs.lacks_something() || !needs.unknown.is_empty();
        let done = if spec.paused {
            Vec::new()
        } else {
            self.apply(observed, &children, held).await?
        };
        Ok(Some(Outcome {
            figures: self.board.figures(&observed.key, &observed.pods),
            spec: Ok(spec),
            secrets: uses,
            needs,
            children: done,
            notes: children.edge_notes,
            sizing: self.scaling.told(&observed.key),
        }))
    }

    /// Has the Secrets watched that the spec uses; what is known of them by now.
    fn look_at_secrets(
        &self,
        observed: &Observed,
        wanted: &std::collections::BTreeSet<crate::secrets::SecretKey>,
    ) -> Observed {
        let (all, now) = {
            let mut index = self.index.lock();
            index.set_wanted(&observed.key, wanted.clone());
            (index.wanted_secrets(), index.observe(&observed.key))
        };
        self.secrets.set(&all);
        now.unwrap_or_else(|| observed.clone())
    }

    /// Whether the first look at a cluster's Secrets is still to be waited for.
    fn first_look(&self, key: &ClusterKey) -> bool {
        let mut looks = self.first_looks.lock();
        looks
            .entry(key.clone())
            .or_insert_with(Instant::now)
            .elapsed()
            < FIRST_LOOK
    }

    async fn apply(
        &self,
        observed: &Observed,
        children: &crate::build::Children,
        held: bool,
    ) -> Result<Vec<(crate::observe::ChildKind, String, Done)>, Broken> {
        let name = &observed.key.name;
        let plan = plan(name, children).map_err(|error| Broken::Failed {
            what: format!("writing the children of {name}"),
            why: error.to_string(),
        })?;
        let mut done = Vec::new();
        for step in &plan.free {
            done.extend(self.step(observed, step).await?);
        }
        // A Deployment that must wait keeps the configuration that it was made with.
        if !held {
            for step in &plan.held_by_secrets {
                done.extend(self.step(observed, step).await?);
            }
        }
        Ok(done)
    }

    async fn step(
        &self,
        observed: &Observed,
        step: &Step,
    ) -> Result<Option<(crate::observe::ChildKind, String, Done)>, Broken> {
        let (kind, name, done) = match step {
            Step::Keep(wanted) if ours_already(observed, wanted) => return Ok(None),
            Step::Apply(wanted) | Step::Keep(wanted) => (
                wanted.kind,
                &wanted.name,
                self.applier.apply(observed, wanted).await?,
            ),
            Step::Remove(kind, name) => (
                *kind,
                name,
                self.applier.delete(observed, *kind, name).await?,
            ),
        };
        match &done {
            Done::Created | Done::Written | Done::Deleted => {
                self.metrics.child_written(kind.kind());
                tracing::info!(cluster = %observed.key, kind = kind.kind(), name, what = ?done, "a child was written");
            }
            Done::NotOurs(_) => self.metrics.failed(FailureReason::NameConflict),
            Done::Rejected(_) => self.metrics.failed(FailureReason::ApplyRejected),
            Done::Left | Done::Waits(_) | Done::NotServed => {}
        }
        Ok(Some((kind, name.clone(), done)))
    }

    /// Writes status if it differs, and tells what changed.
    async fn tell(
        &self,
        key: &ClusterKey,
        before: &Observed,
        object: &NoticeCluster,
        outcome: Outcome,
    ) -> Result<Option<Duration>, Broken> {
        // What was written is in the index by now.
        let Some(observed) = self.index.lock().observe(key) else {
            return Ok(None);
        };
        self.count(&outcome);
        let since_told = self.status.told.lock().get(key).map(Instant::elapsed);
        let wanted = status::wanted(&observed, &outcome, since_told, crate::clock::now());
        let old = observed
            .cluster
            .object
            .as_ref()
            .ok()
            .and_then(|it| it.status.clone())
            .unwrap_or_default();
        if wanted.status != old {
            self.write_status(key, &wanted.status).await?;
            if wanted.new_figures {
                self.status.told.lock().insert(key.clone(), Instant::now());
            }
        }
        let tellings = tellings(before, &outcome, &old, &wanted.status);
        self.teller.tell(object, tellings).await;
        let look_again = outcome.to_be_looked_at_again().then_some(LOOK_AGAIN);
        Ok(wanted.again.into_iter().chain(look_again).min())
    }

    fn count(&self, outcome: &Outcome) {
        if outcome.needs.lacks_something() {
            self.metrics.failed(FailureReason::SecretNotFound);
        }
        if !outcome.needs.denied.is_empty() {
            self.metrics.failed(FailureReason::SecretAccessDenied);
        }
    }

    async fn write_status(
        &self,
        key: &ClusterKey,
        status: &crate::api::NoticeClusterStatus,
    ) -> Result<(), Broken> {
        if !self.leadership.holds() {
            return Err(Broken::NotLeader);
        }
        match status::write(&self.status.client, key, status).await {
            Ok(object) => {
                self.metrics.status_written();
                // Nobody is touched by it: it is what this turn has made.
                let _own_write = self.index.lock().cluster_answered(object);
                Ok(())
            }
            // Deleted meanwhile.
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(Broken::Failed {
                what: format!("writing the status of {key}"),
                why: if matches!(error, kube::Error::Api(_)) {
                    refusal(&error)
                } else {
                    chain(&error)
                },
            }),
        }
    }

    /// A spec that this release can't read at all: said in status, and the pods stay.
    async fn not_understood(
        &self,
        observed: &Observed,
        why: &str,
    ) -> Result<Option<Duration>, Broken> {
        self.metrics.failed(FailureReason::InvalidSpec);
        let finding = crate::validate::Finding {
            reason: "InvalidSpec",
            path: "spec".to_owned(),
            message: format!("this release of the operator can't read it ({why})"),
            fix: "install the CustomResourceDefinition of this release, and write the NoticeCluster anew".to_owned(),
        };
        let outcome = Outcome::invalid(vec![finding]);
        let wanted = status::wanted(observed, &outcome, None, crate::clock::now());
        tracing::warn!(cluster = %observed.key, "the NoticeCluster can't be read: {why}");
        self.write_status(&observed.key, &wanted.status).await?;
        Ok(None)
    }

    fn forget(&self, key: &ClusterKey) {
        self.applier.forget(key);
        self.scaling.forget(key);
        self.status.told.lock().remove(key);
        self.first_looks.lock().remove(key);
        let wanted = {
            let mut index = self.index.lock();
            index.set_wanted(key, std::collections::BTreeSet::new());
            index.wanted_secrets()
        };
        self.secrets.set(&wanted);
    }
}

/// Whether a child that only must be there is there, and may be used.
fn ours_already(observed: &Observed, wanted: &crate::apply::Wanted) -> bool {
    let child = observed.child(wanted.kind, &wanted.name);
    child.is_some_and(|it| {
        !it.seen.deleting && it.seen.instance.as_deref() == Some(&*observed.key.name)
    })
}
