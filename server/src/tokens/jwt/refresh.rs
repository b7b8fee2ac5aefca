//! The keys in use, and when they are fetched again. What was fetched last stays in use until
//! something better comes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use parking_lot::RwLock;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::JwtSetupError;
use super::fetch::{Fetched, Site, Source, read_file};
use super::keys::KeySet;
use crate::chance;

/// When to fetch again.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    /// After a fetch, unless its answer says how long it is good for.
    pub(super) refresh: Duration,
    /// The bounds of what an answer may say.
    pub(super) shortest: Duration,
    pub(super) longest: Duration,
    /// Between two fetches, if a JWT names a key that is not known.
    pub(super) asked: Duration,
    /// After a first fetch that failed; twice as long after each more, up to `most_retry`.
    pub(super) retry: Duration,
    pub(super) most_retry: Duration,
}

const OF_URL: Pace = Pace {
    refresh: Duration::from_secs(600),
    shortest: Duration::from_secs(60),
    longest: Duration::from_secs(3600),
    asked: Duration::from_secs(30),
    retry: Duration::from_secs(1),
    most_retry: Duration::from_secs(60),
};

/// A file costs next to nothing, and a key that was taken out of it opens nothing after 10 s.
const OF_FILE: Pace = Pace {
    refresh: Duration::from_secs(5),
    asked: Duration::from_secs(2),
    most_retry: Duration::from_secs(5),
    ..OF_URL
};

impl Pace {
    fn after_success(&self, max_age: Option<Duration>) -> Duration {
        max_age.map_or(self.refresh, |age| age.clamp(self.shortest, self.longest))
    }

    fn after_failures(&self, failures: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
        self.retry.saturating_mul(doubled).min(self.most_retry)
    }
}

/// The keys in use, shared by who checks and who fetches.
#[derive(Clone)]
pub(super) struct KeyRing(Arc<Shared>);

struct Shared {
    /// None until the first fetch.
    keys: RwLock<Option<Arc<KeySet>>>,
    /// A JWT named a key that is not among them.
    asked: Notify,
    refreshed: Option<Refreshed>,
}

/// Where keys come from that change.
struct Refreshed {
    source: Source,
    algorithms: Vec<Algorithm>,
    pace: Pace,
}

impl KeyRing {
    /// Keys that are not fetched.
    pub(super) fn fixed(keys: KeySet) -> Self {
        Self::new(Some(keys), None)
    }

    /// The keys in a file, which must be there now.
    pub(super) fn of_file(path: &Path, algorithms: &[Algorithm]) -> Result<Self, JwtSetupError> {
        let read = read_file(path).and_then(|text| KeySet::from_jwks(&text, algorithms));
        let keys = read.map_err(|why| JwtSetupError::JwksFile {
            path: path.to_owned(),
            why,
        })?;
        let source = Source::File(path.to_owned());
        Ok(Self::refreshed(Some(keys), source, algorithms, OF_FILE))
    }

    /// The keys behind a URL, none yet.
    pub(super) fn of_url(url: &str, algorithms: &[Algorithm]) -> Result<Self, JwtSetupError> {
        let site = Site::new(url).map_err(JwtSetupError::JwksUrl)?;
        let source = Source::Url(Box::new(site));
        Ok(Self::refreshed(None, source, algorithms, OF_URL))
    }

    /// Keys that are fetched at this pace.
    pub(super) fn refreshed(
        keys: Option<KeySet>,
        source: Source,
        algorithms: &[Algorithm],
        pace: Pace,
    ) -> Self {
        let refreshed = Refreshed {
            source,
            algorithms: algorithms.to_owned(),
            pace,
        };
        Self::new(keys, Some(refreshed))
    }

    fn new(keys: Option<KeySet>, refreshed: Option<Refreshed>) -> Self {
        Self(Arc::new(Shared {
            keys: RwLock::new(keys.map(Arc::new)),
            asked: Notify::new(),
            refreshed,
        }))
    }

    /// The keys to check with now.
    pub(super) fn keys(&self) -> Option<Arc<KeySet>> {
        self.0.keys.read().clone()
    }

    /// Has the keys fetched sooner than planned.
    pub(super) fn ask(&self) {
        self.0.asked.notify_one();
    }

    /// Fetches the keys for ever.
    pub(super) async fn keep_fresh(self) {
        let Some(refreshed) = &self.0.refreshed else {
            return std::future::pending().await;
        };
        let mut failures = 0_u32;
        loop {
            let begun = Instant::now();
            let pause = match refreshed.fetch().await {
                Ok((keys, max_age)) => {
                    failures = 0;
                    self.put(keys, &refreshed.source);
                    refreshed.pace.after_success(max_age)
                }
                Err(why) => {
                    failures = failures.saturating_add(1);
                    tracing::warn!(source = %refreshed.source, why, "keys for JWTs can't be fetched");
                    refreshed.pace.after_failures(failures)
                }
            };
            self.wait(begun + spread(pause), begun + spread(refreshed.pace.asked))
                .await;
        }
    }

    fn put(&self, keys: KeySet, source: &Source) {
        tracing::debug!(%source, keys = keys.len(), "keys for JWTs fetched");
        self.replace(keys);
    }

    /// Other keys from now on.
    pub(super) fn replace(&self, keys: KeySet) {
        *self.0.keys.write() = Some(Arc::new(keys));
    }

    /// Waits until `planned`; if somebody asks for keys until `asked`, if that is sooner.
    async fn wait(&self, planned: Instant, asked: Instant) {
        tokio::select! {
            () = sleep_until(planned) => return,
            () = self.0.asked.notified() => {}
        }
        sleep_until(planned.min(asked)).await;
    }
}

impl Refreshed {
    async fn fetch(&self) -> Result<(KeySet, Option<Duration>), String> {
        let Fetched { text, max_age } = self.source.fetch().await?;
        let keys = KeySet::from_jwks(&text, &self.algorithms)?;
        Ok((keys, max_age))
    }
}

/// A little longer, by chance: nodes that began together shall not fetch together for ever.
fn spread(pause: Duration) -> Duration {
    pause + pause.mul_f64(chance::roll().unwrap_or(0.0) / 5.0)
}
