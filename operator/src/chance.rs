//! Chance, for those who must not all come back at once.

/// A number in 0..1. Without a source of chance it is one half: pauses are whole then, and nothing breaks.
#[must_use]
pub fn chance() -> f64 {
    let mut bytes = [0; 4];
    match getrandom::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0),
        Err(_) => 0.5,
    }
}
