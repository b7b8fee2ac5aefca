//! Which of several operators acts: by one Lease, read and written here only.
//!
//! Every write of the operator asks [`Leadership::holds`] right before it is sent, so that a process that was stopped
//! for a while (a frozen machine) does not write before it has noticed. A holder that can't renew ends the process:
//! nothing half done is worth a second writer.

pub mod record;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock;
use record::{Candidate, DURATION, LOOK_EVERY, RENEW_EVERY, Record, STOP_AFTER, Step};

/// The Lease's name.
pub const LEASE: &str = "notice-operator";
/// How long one call about the lease may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);

/// Whether this process acts. Shared by all who write.
#[derive(Clone, Debug)]
pub struct Leadership {
    until: Arc<Mutex<Option<Instant>>>,
    acts: watch::Sender<bool>,
}

impl Default for Leadership {
    fn default() -> Self {
        Self {
            until: Arc::default(),
            acts: watch::Sender::new(false),
        }
    }
}

impl Leadership {
    /// For an operator without election: it always acts.
    #[must_use]
    pub fn always() -> Self {
        let it = Self::default();
        *it.until.lock() = Some(Instant::now() + Duration::from_secs(100 * 365 * 24 * 3600));
        it.acts.send_replace(true);
        it
    }

    /// Whether a write may be sent now.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.until.lock().is_some_and(|until| Instant::now() < until)
    }

    /// Waits until this process acts.
    pub async fn acts(&self) {
        let mut acts = self.acts.subscribe();
        let _closed_never = acts.wait_for(|it| *it).await;
    }

    fn renewed(&self, started: Instant) {
        *self.until.lock() = Some(started + STOP_AFTER);
        self.acts.send_replace(true);
    }

    fn over(&self) {
        *self.until.lock() = None;
        self.acts.send_replace(false);
    }
}

/// Why the election ended.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Lost {
    /// Another one has written itself into the lease.
    #[error("another operator ({0}) holds the Lease notice-operator now")]
    Taken(String),
    /// It could not be renewed in time.
    #[error("the Lease notice-operator could not be renewed in time: {0}")]
    NotRenewed(String),
}

/// Takes part in the election until leadership, once won, is lost; gives the lease back when `stop` says so.
#[derive(Debug)]
pub struct Election {
    leases: Api<Lease>,
    namespace: String,
    candidate: Candidate,
    leadership: Leadership,
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Held => f.write_str("Held"),
            Self::Other(holder) => write!(f, "Other({holder})"),
        }
    }
}

enum Outcome {
    Held,
    Other(String),
}

impl Election {
    /// A candidate `identity` for the lease in `namespace`.
    #[must_use]
    pub fn new(client: Client, namespace: &str, identity: String, leadership: Leadership) -> Self {
        Self {
            leases: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            candidate: Candidate::new(identity),
            leadership,
        }
    }

    /// Runs until leadership is lost. Dropping the future does not give the lease back: see [`Election::release`].
    pub async fn run(&mut self) -> Lost {
        let mut failing = false;
        while !self.try_once(&mut failing).await {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        tracing::info!(namespace = self.namespace, identity = self.candidate.identity(), "this operator acts now");
        self.keep().await
    }

    /// One look of a candidate; whether it holds the lease now.
    async fn try_once(&mut self, failing: &mut bool) -> bool {
        match self.turn().await {
            Ok(Outcome::Held) => return true,
            Ok(Outcome::Other(_)) => *failing = false,
            Err(error) if !*failing => {
                *failing = true;
                tracing::warn!(namespace = self.namespace, "the Lease {LEASE} can't be read or written: {error}");
            }
            Err(_) => {}
        }
        false
    }

    async fn keep(&mut self) -> Lost {
        let mut renewed = Instant::now();
        let mut trouble = String::new();
        loop {
            let pause = if trouble.is_empty() { RENEW_EVERY } else { Duration::from_secs(1) };
            tokio::time::sleep(pause).await;
            let started = Instant::now();
            match self.turn().await {
                Ok(Outcome::Held) => {
                    renewed = started;
                    trouble.clear();
                }
                Ok(Outcome::Other(holder)) => {
                    self.leadership.over();
                    return Lost::Taken(holder);
                }
                Err(error) => trouble = error,
            }
            if renewed.elapsed() >= STOP_AFTER {
                self.leadership.over();
                return Lost::NotRenewed(trouble);
            }
        }
    }

    /// Looks at the lease and does what the rules say.
    async fn turn(&mut self) -> Result<Outcome, String> {
        let started = Instant::now();
        let call = async {
            let found = self.leases.get_opt(LEASE).await?;
            let record = found.as_ref().map(record_of);
            match self.candidate.decide(record.as_ref(), Instant::now()) {
                Step::Wait => Ok(Outcome::Other(record.map(|it| it.holder).unwrap_or_default())),
                Step::Take(transitions) => self.write(found, transitions, true).await,
                Step::Renew(transitions) => self.write(found, transitions, false).await,
            }
        };
        let outcome: Result<Outcome, kube::Error> = match tokio::time::timeout(CALL_TIMEOUT, call).await {
            Ok(outcome) => outcome,
            Err(_) => return Err("no answer in time".to_owned()),
        };
        let outcome = outcome.map_err(|error| crate::failure::chain(&error))?;
        if matches!(outcome, Outcome::Held) {
            self.leadership.renewed(started);
        }
        Ok(outcome)
    }

    /// Writes ourselves into the lease, over the version that was seen and no other.
    async fn write(&self, found: Option<Lease>, transitions: i32, taken: bool) -> Result<Outcome, kube::Error> {
        let mut lease = self.lease(found.as_ref(), transitions, taken);
        let result = match found {
            None => self.leases.create(&PostParams::default(), &lease).await,
            Some(found) => {
                lease.metadata.resource_version = found.metadata.resource_version;
                self.leases.replace(LEASE, &PostParams::default(), &lease).await
            }
        };
        match result {
            Ok(_) => Ok(Outcome::Held),
            // Somebody was quicker: their write stands, and is looked at next time.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(Outcome::Other("another".to_owned())),
            Err(error) => Err(error),
        }
    }

    fn lease(&self, found: Option<&Lease>, transitions: i32, taken: bool) -> Lease {
        let now = MicroTime(clock::now());
        let before = found.and_then(|it| it.spec.as_ref());
        Lease {
            metadata: ObjectMeta {
                name: Some(LEASE.to_owned()),
                namespace: Some(self.namespace.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.candidate.identity().to_owned()),
                lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
                acquire_time: if taken { Some(now.clone()) } else { before.and_then(|it| it.acquire_time.clone()) },
                renew_time: Some(now),
                lease_transitions: Some(transitions),
                ..LeaseSpec::default()
            }),
        }
    }

    /// Gives the lease back, if it is ours, so that another takes it at once. Nothing may be written afterwards.
    pub async fn release(&mut self) {
        self.leadership.over();
        let call = async {
            let Some(mut lease) = self.leases.get_opt(LEASE).await? else {
                return Ok(());
            };
            if record_of(&lease).holder != self.candidate.identity() {
                return Ok(());
            }
            if let Some(spec) = &mut lease.spec {
                spec.holder_identity = Some(String::new());
            }
            self.leases.replace(LEASE, &PostParams::default(), &lease).await.map(|_| ())
        };
        match tokio::time::timeout(CALL_TIMEOUT, call).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("the Lease {LEASE} was not given back: {}", crate::failure::chain(&error)),
            Err(_) => tracing::warn!("the Lease {LEASE} was not given back in time"),
        }
    }
}

fn record_of(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    Record {
        holder: spec.holder_identity.unwrap_or_default(),
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
        transitions: spec.lease_transitions.unwrap_or(0),
        seconds: spec.lease_duration_seconds.unwrap_or(0),
    }
}
