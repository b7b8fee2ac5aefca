//! The one place that reads the wall clock.
//!
//! Everything else takes milliseconds as an argument or a [`Clock`], so that tests own time. Durations
//! are measured by `Instant`, never by this.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch.
pub type Millis = u64;

/// Tells the time of whoever made it: as a rule the store's, by which ids, lags and the ends of tokens are reckoned.
pub type Now = Arc<dyn Fn() -> Millis + Send + Sync>;

/// A duration in whole milliseconds; one that does not fit is the longest that does.
#[must_use]
pub fn whole_millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}

/// Where the time of day comes from.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The operating system's clock.
    #[default]
    System,
    /// A clock that stands still until it is set: for tests.
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// A clock for tests that starts at `now`.
    #[must_use]
    pub fn manual(now: Millis) -> Self {
        Self::Manual(Arc::new(AtomicU64::new(now)))
    }

    /// The time now. A system clock before 1970 reads as 0.
    #[must_use]
    pub fn now(&self) -> Millis {
        match self {
            Self::System => system_now(),
            Self::Manual(at) => at.load(Ordering::SeqCst),
        }
    }

    /// Moves a manual clock on by `by`; the system's clock is left alone.
    pub fn advance(&self, by: Millis) {
        if let Self::Manual(at) = self {
            at.fetch_add(by, Ordering::SeqCst);
        }
    }
}

fn system_now() -> Millis {
    wall_clock()
        .duration_since(UNIX_EPOCH)
        .map_or(0, whole_millis)
}

/// The time of day as HTTP's `Date` has it.
#[must_use]
pub fn http_date() -> String {
    httpdate::fmt_http_date(wall_clock())
}

/// Another time as HTTP's `Date` has it.
#[must_use]
pub fn http_date_of(at: Millis) -> String {
    // What lies beyond the year 9999 has no such date.
    const LAST: Millis = 253_402_300_799_000;
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(at.min(LAST)))
}

#[allow(
    clippy::disallowed_methods,
    reason = "this is the file that may read the wall clock"
)]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}
