//! Numbers that look random and are the same in every run and every process.

/// The finalizer of splitmix64: spreads numbers evenly over all 64 bits.
pub(crate) fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A secret that differs from run to run, for servers that live for one measurement.
pub(crate) fn secret() -> String {
    use std::hash::{BuildHasher, RandomState};
    // Each RandomState has keys of its own from the system's randomness.
    let part = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}{:016x}", part(), part())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_spread_evenly() {
        let mut buckets = [0_u32; 10];
        for number in 0..100_000 {
            if let Some(bucket) = buckets.get_mut(usize::try_from(mix(number) % 10).unwrap_or(0)) {
                *bucket += 1;
            }
        }
        assert!(
            buckets.iter().all(|count| (9_000..11_000).contains(count)),
            "{buckets:?}"
        );
    }

    #[test]
    fn secrets_differ() {
        assert_ne!(secret(), secret());
        assert_eq!(secret().len(), 32);
    }
}
