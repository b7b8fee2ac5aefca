//! Chance, where many that wait for one thing must not come back to it in one moment.

/// A number from 0 to 1; none where the system has no random numbers, which is no reason to stop.
pub(crate) fn roll() -> Option<f64> {
    let random = getrandom::u32().ok()?;
    Some(f64::from(random) / f64::from(u32::MAX))
}
