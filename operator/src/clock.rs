//! The one place that reads the wall clock.

use jiff::Timestamp;

/// Now, on the wall clock: for times that people read. Pauses and deadlines use the monotonic clock.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// Seconds since 1970.
#[must_use]
pub fn unix_seconds() -> u64 {
    u64::try_from(now().as_second()).unwrap_or(0)
}
