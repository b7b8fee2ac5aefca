//! Every metric, by name, in one place. Labels take values from closed sets, and each series is there from the
//! start, at zero. `docs/OPERATIONS.md` says what each means.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use crate::clock::Millis;
use crate::credentials::{CredentialFile, Reload};
use crate::delivery::{CloseReason, MoveReason, Transport};
use crate::domain::{NoticeId, Source};
use crate::inbox::{Committed, Withdrawal};

/// By which way a notice reached a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushPath {
    /// Straight from staging.
    Live,
    /// Out of the inbox: the session had just joined, or was behind.
    Replay,
    /// Out of the inbox, where the sweep found it: no wake-up had brought it.
    Sweep,
}

impl PushPath {
    const ALL: [Self; 3] = [Self::Live, Self::Replay, Self::Sweep];

    fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Replay => "replay",
            Self::Sweep => "sweep",
        }
    }
}

/// Why a session was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalReason {
    /// No token, or a bad one.
    Unauthenticated,
    /// A cookie from a page of another origin.
    Origin,
    /// The node drains.
    Draining,
    /// The node is full.
    NodeFull,
    /// The account has as many sessions as it may.
    AccountFull,
    /// More new sessions a second than the node takes.
    ConnectRate,
    /// The handshake was no WebSocket handshake.
    Handshake,
    /// The token store is away.
    StoreUnavailable,
}

impl RefusalReason {
    const ALL: [Self; 8] = [
        Self::Unauthenticated,
        Self::Origin,
        Self::Draining,
        Self::NodeFull,
        Self::AccountFull,
        Self::ConnectRate,
        Self::Handshake,
        Self::StoreUnavailable,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::Origin => "origin",
            Self::Draining => "draining",
            Self::NodeFull => "node_full",
            Self::AccountFull => "account_full",
            Self::ConnectRate => "connect_rate",
            Self::Handshake => "handshake",
            Self::StoreUnavailable => "store_unavailable",
        }
    }
}

/// What may become of a change in a file of credentials.
const RELOADS: [&str; 2] = ["applied", "refused"];

const SOURCES: [Source; 2] = [Source::Service, Source::Client];

/// By [`Transport`] and [`PushPath`], looked up once: they are counted for every notice.
#[derive(Debug)]
struct PushedCounters([[IntCounter; PushPath::ALL.len()]; Transport::ALL.len()]);

impl PushedCounters {
    fn new(counters: &IntCounterVec) -> Self {
        Self(Transport::ALL.map(|transport| {
            PushPath::ALL.map(|path| counters.with_label_values(&[transport.name(), path.name()]))
        }))
    }
}

fn source_name(source: Source) -> &'static str {
    match source {
        Source::Service => "service",
        Source::Client => "client",
    }
}

/// The counters, gauges and histograms of one server.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    online_sessions: IntGaugeVec,
    /// Set when scraped.
    pub online_accounts: IntGauge,
    /// By [`PushPath`].
    push_lag: [Histogram; PushPath::ALL.len()],
    read_lag: Histogram,
    /// By [`Source`].
    staged: [IntCounter; 2],
    pushed: PushedCounters,
    read: IntCounter,
    expired: IntCounter,
    recalled: IntCounter,
    replaced: IntCounter,
    duplicate: IntCounter,
    stage_errors: IntCounterVec,
    /// Set when scraped, in ms.
    oldest_unpushed: prometheus::Gauge,
    opened: IntCounterVec,
    closed: IntCounterVec,
    refused: IntCounterVec,
    /// How many sessions this node takes.
    pub capacity_sessions: IntGauge,
    /// Set when scraped.
    pub draining: IntGauge,
    /// Set when scraped: sessions that a rebalance has yet to ask.
    pub rebalancing: IntGauge,
    moves_asked: IntCounterVec,
    store_seconds: HistogramVec,
    store_errors: IntCounterVec,
    /// 1 while wake-ups between nodes work; 0 also where there is no bus.
    pub bus_up: IntGauge,
    /// Messages that this node gave to the bus.
    pub bus_published: IntCounter,
    /// Messages that the bus brought.
    pub bus_received: IntCounter,
    credential_reloads: IntCounterVec,
    credential_refused: IntGaugeVec,
}

/// From a tenth of a millisecond, which a local push takes, to a minute, which only a backlog does.
const LAG_BUCKETS: [f64; 17] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    10.0, 60.0, 600.0,
];

fn seconds(millis: Millis) -> f64 {
    Duration::from_millis(millis).as_secs_f64()
}

impl Metrics {
    /// Makes and registers all of them. `stage_codes` and `store_operations` are the closed sets of those labels.
    ///
    /// # Errors
    /// When a name is given twice: a mistake in this file.
    pub fn new(stage_codes: &[&str], store_operations: &[&str]) -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(Some("notice".to_owned()), None)?;
        let metrics = Self::build(registry)?;
        metrics.start_at_zero(stage_codes, store_operations);
        Ok(metrics)
    }

    fn build(registry: Registry) -> Result<Self, prometheus::Error> {
        let make = Maker(&registry);
        let push_lag = make.histograms(
            "push_lag_seconds",
            "From the staging call (live), or the notice's creation (replay, sweep), to taken by the transport",
            &["path"],
        )?;
        let staged = make.counters("staged_total", "Notices staged", &["source"])?;
        let pushed = make.counters(
            "pushed_total",
            "Notices taken by a transport",
            &["transport", "path"],
        )?;
        let metrics = Self {
            online_sessions: make.gauges("online_sessions", "Sessions online on this node", &["transport"])?,
            online_accounts: make.gauge("online_accounts", "Accounts with a session on this node")?,
            push_lag: PushPath::ALL.map(|path| push_lag.with_label_values(&[path.name()])),
            read_lag: make.histogram("read_lag_seconds", "From staged to read, on the store's clock")?,
            staged: SOURCES.map(|source| staged.with_label_values(&[source_name(source)])),
            pushed: PushedCounters::new(&pushed),
            read: make.counter("read_total", "Notices read")?,
            expired: make.counter("expired_total", "Notices that expired unread")?,
            recalled: make.counter("recalled_total", "Notices taken back")?,
            replaced: make.counter("replaced_total", "Notices replaced by a newer one of their collapse key")?,
            duplicate: make.counter("duplicate_total", "Staging calls that repeated an earlier one")?,
            stage_errors: make.counters("stage_errors_total", "Drafts that were refused", &["code"])?,
            oldest_unpushed: make.seconds(
                "oldest_unpushed_seconds",
                "Age of the oldest notice that an account online here was not handed yet; 0 is healthy",
            )?,
            opened: make.counters("sessions_opened_total", "Sessions that joined", &["transport"])?,
            closed: make.counters("sessions_closed_total", "Sessions that ended", &["reason"])?,
            refused: make.counters("sessions_refused_total", "Sessions that were not let in", &["reason"])?,
            capacity_sessions: make.gauge("capacity_sessions", "Sessions this node takes")?,
            draining: make.gauge("draining", "1 while this node drains or is drained")?,
            rebalancing: make.gauge("rebalancing", "Sessions that a rebalance has yet to ask to move")?,
            moves_asked: make.counters("moves_asked_total", "Sessions that were asked to move", &["reason"])?,
            store_seconds: make.histograms(
                "store_operation_seconds",
                "Time of one operation of the store",
                &["operation"],
            )?,
            store_errors: make.counters("store_errors_total", "Operations of the store that failed", &["operation"])?,
            bus_up: make.gauge("bus_up", "1 while wake-ups between nodes work; 0 also without a bus")?,
            bus_published: make.counter("bus_published_total", "Messages given to the bus between nodes")?,
            bus_received: make.counter("bus_received_total", "Messages that the bus between nodes brought")?,
            credential_reloads: make.counters(
                "credential_reloads_total",
                "Changes of a file of credentials while the server ran",
                &["file", "result"],
            )?,
            credential_refused: make.gauges(
                "credential_file_refused",
                "1 while a file of credentials can't be used, and what it held before stays in force",
                &["file"],
            )?,
            registry: registry.clone(),
        };
        let build = make.gauges(
            "build_info",
            "1, with the version of this build",
            &["version"],
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Ok(metrics)
    }

    fn start_at_zero(&self, stage_codes: &[&str], store_operations: &[&str]) {
        for transport in Transport::ALL.map(Transport::name) {
            self.online_sessions.with_label_values(&[transport]);
            self.opened.with_label_values(&[transport]);
        }
        for reason in CloseReason::ALL.map(CloseReason::name) {
            self.closed.with_label_values(&[reason]);
        }
        for reason in MoveReason::ALL.map(MoveReason::name) {
            self.moves_asked.with_label_values(&[reason]);
        }
        for reason in RefusalReason::ALL.map(RefusalReason::name) {
            self.refused.with_label_values(&[reason]);
        }
        for file in CredentialFile::ALL.map(CredentialFile::name) {
            self.credential_refused.with_label_values(&[file]);
            for result in RELOADS {
                self.credential_reloads.with_label_values(&[file, result]);
            }
        }
        for code in stage_codes {
            self.stage_errors.with_label_values(&[code]);
        }
        for operation in store_operations {
            self.store_seconds.with_label_values(&[operation]);
            self.store_errors.with_label_values(&[operation]);
        }
    }

    /// A session joined.
    pub fn session_opened(&self, transport: Transport) {
        self.opened.with_label_values(&[transport.name()]).inc();
        self.online_sessions
            .with_label_values(&[transport.name()])
            .inc();
    }

    /// A session is no longer online.
    pub fn session_left(&self, transport: Transport) {
        self.online_sessions
            .with_label_values(&[transport.name()])
            .dec();
    }

    /// Why a session ended.
    pub fn session_closed(&self, reason: CloseReason) {
        self.closed.with_label_values(&[reason.name()]).inc();
    }

    /// A session was asked to move.
    pub fn move_asked(&self, reason: MoveReason) {
        self.moves_asked.with_label_values(&[reason.name()]).inc();
    }

    /// A session was not let in.
    pub fn session_refused(&self, reason: RefusalReason) {
        self.refused.with_label_values(&[reason.name()]).inc();
    }

    /// Counts what became true in the store, on the node that did it.
    pub fn committed(&self, event: &Committed) {
        match event {
            Committed::Staged { source, .. } => self.staged[*source as usize].inc(),
            Committed::Duplicate => self.duplicate.inc(),
            Committed::Read { read, at, .. } => self.read(read, *at),
            Committed::Withdrawn { ids, why, .. } => self.withdrawn(*why, ids.len()),
            Committed::NotRead(_) | Committed::CameBack => {}
        }
    }

    /// A draft was refused with this code, one of those given to [`Metrics::new`].
    pub fn stage_error(&self, code: &str) {
        self.stage_errors.with_label_values(&[code]).inc();
    }

    /// A transport took a notice `lag` after it was staged.
    pub fn pushed(&self, transport: Transport, path: PushPath, lag: Duration) {
        self.pushed.0[transport as usize][path as usize].inc();
        self.push_lag[path as usize].observe(lag.as_secs_f64());
    }

    fn read(&self, ids: &[NoticeId], at: Millis) {
        self.read.inc_by(ids.len() as u64);
        for id in ids {
            self.read_lag
                .observe(seconds(at.saturating_sub(id.millis())));
        }
    }

    fn withdrawn(&self, why: Withdrawal, count: usize) {
        let counter = match why {
            Withdrawal::Recalled => &self.recalled,
            Withdrawal::Replaced => &self.replaced,
            Withdrawal::Expired => &self.expired,
        };
        counter.inc_by(count as u64);
    }

    /// A file of credentials was read again.
    pub fn credential_file(&self, file: CredentialFile, reload: Reload) {
        let [applied, refused] = RELOADS;
        let count = |result| {
            self.credential_reloads
                .with_label_values(&[file.name(), result])
                .inc()
        };
        match reload {
            Reload::Unchanged => {}
            Reload::Applied => count(applied),
            Reload::Refused => count(refused),
        }
        let in_vain = i64::from(reload == Reload::Refused);
        self.credential_refused
            .with_label_values(&[file.name()])
            .set(in_vain);
    }

    /// An operation of the store took so long.
    pub fn store_operation(&self, operation: &str, took: Duration) {
        self.store_seconds
            .with_label_values(&[operation])
            .observe(took.as_secs_f64());
    }

    /// An operation of the store failed.
    pub fn store_error(&self, operation: &str) {
        self.store_errors.with_label_values(&[operation]).inc();
    }

    /// The age of the oldest notice not handed over, for the scrape that comes.
    pub fn set_oldest_unpushed(&self, age: Millis) {
        self.oldest_unpushed.set(seconds(age));
    }

    /// Everything, as Prometheus text.
    ///
    /// # Errors
    /// When a metric can't be encoded.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        let mut families = self.registry.gather();
        families.extend(prometheus::process_collector::ProcessCollector::for_self().collect());
        TextEncoder::new().encode_to_string(&families)
    }
}

/// Makes metrics and registers them.
struct Maker<'a>(&'a Registry);

impl Maker<'_> {
    fn add<C: Collector + Clone + 'static>(&self, metric: C) -> Result<C, prometheus::Error> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.add(IntCounter::new(name, help)?)
    }

    fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        self.add(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.add(IntGauge::new(name, help)?)
    }

    fn seconds(&self, name: &str, help: &str) -> Result<prometheus::Gauge, prometheus::Error> {
        self.add(prometheus::Gauge::new(name, help)?)
    }

    fn gauges(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntGaugeVec, prometheus::Error> {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    fn histogram(&self, name: &str, help: &str) -> Result<Histogram, prometheus::Error> {
        self.add(Histogram::with_opts(
            HistogramOpts::new(name, help).buckets(LAG_BUCKETS.to_vec()),
        )?)
    }

    fn histograms(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<HistogramVec, prometheus::Error> {
        self.add(HistogramVec::new(
            HistogramOpts::new(name, help).buckets(LAG_BUCKETS.to_vec()),
            labels,
        )?)
    }
}
