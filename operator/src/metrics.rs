//! The operator's own metrics, by name. What can be read from the state itself is read when it is scraped, so that it can't
//! drift.

use std::time::Duration;

use prometheus::{
    Encoder, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder,
};

use crate::leader::Leadership;
use crate::observe::{Detail, SharedIndex};
use crate::watch::Freshness;

/// Why a reconcile did not reach its aim. Closed: it is a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureReason {
    /// The API server can't be reached, is overloaded or failed.
    ApiServer,
    /// It took too long.
    Timeout,
    /// The API server refuses a child.
    ApplyRejected,
    /// A child's name is somebody else's.
    NameConflict,
    /// The spec makes no sense.
    InvalidSpec,
    /// A Secret or a key of it is missing.
    SecretNotFound,
    /// A Secret may not be read.
    SecretAccessDenied,
}

impl FailureReason {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::ApiServer,
        Self::Timeout,
        Self::ApplyRejected,
        Self::NameConflict,
        Self::InvalidSpec,
        Self::SecretNotFound,
        Self::SecretAccessDenied,
    ];

    const fn label(self) -> &'static str {
        match self {
            Self::ApiServer => "api_server",
            Self::Timeout => "timeout",
            Self::ApplyRejected => "apply_rejected",
            Self::NameConflict => "name_conflict",
            Self::InvalidSpec => "invalid_spec",
            Self::SecretNotFound => "secret_not_found",
            Self::SecretAccessDenied => "secret_access_denied",
        }
    }
}

/// All metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reconciles: IntCounter,
    failures: IntCounterVec,
    duration: Histogram,
    status_writes: IntCounter,
    child_writes: IntCounterVec,
    leader: IntGauge,
    watch_age: GaugeVec,
    watch_blind: IntGaugeVec,
    queue: IntGauge,
    desired: IntGaugeVec,
    ready: IntGaugeVec,
    sessions: IntGaugeVec,
    metrics_api_requests: IntCounterVec,
    metrics_api_registered: IntGaugeVec,
}

/// Not `namespace`: that is the operator's own, which Prometheus adds.
const CLUSTER: [&str; 2] = ["cluster_namespace", "cluster"];

impl Metrics {
    /// New ones, at zero.
    ///
    /// # Errors
    /// Two have one name.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let metrics = Self::unregistered(registry)?;
        metrics.register()?;
        for reason in FailureReason::ALL {
            metrics.failures.with_label_values(&[reason.label()]);
        }
        Ok(metrics)
    }

    fn unregistered(registry: Registry) -> Result<Self, prometheus::Error> {
        let seconds = HistogramOpts::new(
            "notice_operator_reconcile_duration_seconds",
            "How long a reconcile took.",
        )
        .buckets(vec![
            0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0,
        ]);
        Ok(Self {
            registry,
            reconciles: IntCounter::new(
                "notice_operator_reconciles_total",
                "Reconciles that were ended, well or not.",
            )?,
            failures: counters(
                "notice_operator_reconcile_failures_total",
                "Reconciles that did not reach their aim.",
                &["reason"],
            )?,
            duration: Histogram::with_opts(seconds)?,
            status_writes: IntCounter::new(
                "notice_operator_status_writes_total",
                "Statuses that were written.",
            )?,
            child_writes: counters(
                "notice_operator_child_writes_total",
                "Children that were written or deleted.",
                &["kind"],
            )?,
            leader: IntGauge::new("notice_operator_leader", "1 while this operator acts.")?,
            watch_age: GaugeVec::new(
                Opts::new(
                    "notice_operator_watch_age_seconds",
                    "Since the API server was heard on the oldest watch of a kind.",
                ),
                &["resource"],
            )?,
            watch_blind: gauges(
                "notice_operator_watches_blind",
                "Watches that see nothing.",
                &["resource"],
            )?,
            queue: IntGauge::new(
                "notice_operator_queue_length",
                "Clusters that wait for a reconcile or are in one.",
            )?,
            desired: gauges(
                "notice_operator_cluster_desired_replicas",
                "Pods that a cluster should have.",
                &CLUSTER,
            )?,
            ready: gauges(
                "notice_operator_cluster_ready_replicas",
                "Pods of a cluster that are ready.",
                &CLUSTER,
            )?,
            sessions: gauges(
                "notice_operator_cluster_sessions",
                "Sessions of a cluster, as last told in its status.",
                &CLUSTER,
            )?,
            metrics_api_requests: counters(
                "notice_operator_metrics_api_requests_total",
                "Requests to the metrics API, by how they were answered: OK, or a Kubernetes reason.",
                &["result"],
            )?,
            metrics_api_registered: gauges(
                "notice_operator_metrics_api_registered",
                "1 while the API server leads to this metrics API and trusts it; nothing where it is off.",
                &["version"],
            )?,
        })
    }

    fn register(&self) -> Result<(), prometheus::Error> {
        let collectors: [Box<dyn prometheus::core::Collector>; 14] = [
            Box::new(self.reconciles.clone()),
            Box::new(self.failures.clone()),
            Box::new(self.duration.clone()),
            Box::new(self.status_writes.clone()),
            Box::new(self.child_writes.clone()),
            Box::new(self.leader.clone()),
            Box::new(self.watch_age.clone()),
            Box::new(self.watch_blind.clone()),
            Box::new(self.queue.clone()),
            Box::new(self.desired.clone()),
            Box::new(self.ready.clone()),
            Box::new(self.sessions.clone()),
            Box::new(self.metrics_api_requests.clone()),
            Box::new(self.metrics_api_registered.clone()),
        ];
        collectors
            .into_iter()
            .try_for_each(|it| self.registry.register(it))?;
        #[cfg(target_os = "linux")]
        self.registry.register(Box::new(
            prometheus::process_collector::ProcessCollector::for_self(),
        ))?;
        Ok(())
    }

    /// A reconcile has ended.
    pub fn reconciled(&self, took: Duration) {
        self.reconciles.inc();
        self.duration.observe(took.as_secs_f64());
    }

    /// A reconcile did not reach its aim.
    pub fn failed(&self, reason: FailureReason) {
        self.failures.with_label_values(&[reason.label()]).inc();
    }

    /// A status was written.
    pub fn status_written(&self) {
        self.status_writes.inc();
    }

    /// A child of this kind was written or deleted.
    pub fn child_written(&self, kind: &str) {
        self.child_writes.with_label_values(&[kind]).inc();
    }

    /// A request to the metrics API was answered.
    pub fn metrics_api_answered(&self, result: &'static str) {
        self.metrics_api_requests.with_label_values(&[result]).inc();
    }

    /// Whether the API server leads to this metrics API, for one of its versions.
    pub fn metrics_api_registered(&self, version: &'static str, registered: bool) {
        self.metrics_api_registered
            .with_label_values(&[version])
            .set(i64::from(registered));
    }

    /// Reads what is read at scrape time, and renders everything.
    ///
    /// # Errors
    /// A metric can't be written.
    pub fn render(&self, state: &State) -> Result<String, prometheus::Error> {
        self.leader.set(i64::from(state.leadership.holds()));
        self.queue
            .set(i64::try_from((state.queue_length)()).unwrap_or(i64::MAX));
        self.read_watches(&state.freshness);
        self.read_clusters(&state.index);
        let mut out = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut out)?;
        String::from_utf8(out).map_err(|error| prometheus::Error::Msg(error.to_string()))
    }

    fn read_watches(&self, freshness: &Freshness) {
        self.watch_age.reset();
        self.watch_blind.reset();
        for (name, (age, blind)) in freshness.ages() {
            self.watch_age
                .with_label_values(&[name])
                .set(age.as_secs_f64());
            self.watch_blind
                .with_label_values(&[name])
                .set(i64::try_from(blind).unwrap_or(i64::MAX));
        }
    }

    fn read_clusters(&self, index: &SharedIndex) {
        for gauges in [&self.desired, &self.ready, &self.sessions] {
            gauges.reset();
        }
        let index = index.lock();
        for (key, cluster) in index.clusters() {
            let labels = [&*key.namespace, &*key.name];
            if let Some(Detail::Deployment(seen)) = index.deployment(key).as_deref() {
                self.desired
                    .with_label_values(&labels)
                    .set(seen.desired.into());
                self.ready.with_label_values(&labels).set(seen.ready.into());
            }
            let status = cluster
                .object
                .as_ref()
                .ok()
                .and_then(|it| it.status.as_ref());
            if let Some(sessions) = status.and_then(|it| it.online_sessions) {
                self.sessions.with_label_values(&labels).set(sessions);
            }
        }
    }
}

/// What is read at scrape time.
pub struct State {
    /// Whether this operator acts.
    pub leadership: Leadership,
    /// The watches.
    pub freshness: Freshness,
    /// What is known.
    pub index: SharedIndex,
    /// How many clusters wait.
    pub queue_length: Box<dyn Fn() -> usize + Send + Sync>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

fn counters(name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
    IntCounterVec::new(Opts::new(name, help), labels)
}

fn gauges(name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
    IntGaugeVec::new(Opts::new(name, help), labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_reason_and_the_leader_are_there_from_the_start() {
        let metrics = Metrics::new().unwrap();
        metrics.failed(FailureReason::NameConflict);
        let state = State {
            leadership: Leadership::always(),
            freshness: Freshness::default(),
            index: SharedIndex::default(),
            queue_length: Box::new(|| 3),
        };
        let text = metrics.render(&state).unwrap();
        for line in [
            "notice_operator_leader 1",
            "notice_operator_queue_length 3",
            "notice_operator_reconcile_failures_total{reason=\"name_conflict\"} 1",
            "notice_operator_reconcile_failures_total{reason=\"timeout\"} 0",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
