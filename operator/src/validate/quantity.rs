//! Kubernetes quantities as numbers, as far as sums over memory and disk need them.

/// A suffix and what it multiplies by.
const BINARY: [(&str, u64); 6] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
    ("Ei", 1 << 60),
];

const DECIMAL: [(&str, i32); 9] = [
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];

/// The value of a quantity that counts bytes, rounded up; none when it is no quantity, negative or beyond 2^63.
#[must_use]
pub fn bytes(text: &str) -> Option<u64> {
    let (number, factor) = split(text.trim())?;
    let value = number * factor;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range was checked"
    )]
    (value.is_finite() && (0.0..9.2e18).contains(&value)).then(|| value.ceil() as u64)
}

/// The value in thousandths, which is how fine quantities are, for comparisons.
pub(super) fn thousandths(text: &str) -> Option<u128> {
    let (number, factor) = split(text.trim())?;
    let value = number * factor * 1000.0;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range was checked"
    )]
    (value.is_finite() && (0.0..9.2e21).contains(&value)).then(|| value.ceil() as u128)
}

/// The number and what its suffix multiplies by.
fn split(text: &str) -> Option<(f64, f64)> {
    for (suffix, factor) in BINARY {
        if let Some(number) = text.strip_suffix(suffix) {
            #[allow(clippy::cast_precision_loss, reason = "a power of two")]
            return Some((plain(number)?, factor as f64));
        }
    }
    for (suffix, exponent) in DECIMAL {
        if let Some(number) = text.strip_suffix(suffix) {
            return Some((plain(number)?, 10f64.powi(exponent)));
        }
    }
    match text.split_once(['e', 'E']) {
        Some((number, exponent)) => Some((plain(number)?, 10f64.powi(exponent.parse().ok()?))),
        None => Some((plain(text)?, 1.0)),
    }
}

/// A number without an exponent. (Rust's own parser takes "inf" and "nan" too.)
fn plain(text: &str) -> Option<f64> {
    let digits = |c: char| c.is_ascii_digit() || matches!(c, '.' | '+' | '-');
    text.chars().all(digits).then(|| text.parse().ok())?
}

/// So many bytes, in the largest binary unit that divides them.
#[must_use]
pub fn of_bytes(bytes: u64) -> String {
    BINARY
        .iter()
        .rev()
        .find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor))
        .map_or_else(
            || bytes.to_string(),
            |(suffix, factor)| format!("{}{suffix}", bytes / factor),
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantities_have_the_values_that_kubernetes_gives_them() {
        let known = [
            ("10Gi", Some(10 << 30)),
            ("1.5Gi", Some(3 << 29)),
            ("500M", Some(500_000_000)),
            ("1e3", Some(1000)),
            ("1E3", Some(1000)),
            ("2E", Some(2_000_000_000_000_000_000)),
            ("1500m", Some(2)),
            ("128974848", Some(128_974_848)),
            ("0", Some(0)),
        ];
        for (text, value) in known {
            assert_eq!(bytes(text), value, "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_has_no_value() {
        for text in [
            "", "Gi", "10 Gi", "ten", "-1", "inf", "nan", "10GB", "1e", "99Ei",
        ] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn bytes_written_as_a_quantity_read_back_the_same(mantissa in 0u64..1 << 40, shift in 0u32..20) {
            let value = mantissa << shift;
            prop_assert_eq!(bytes(&of_bytes(value)), Some(value));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,12}") {
            let _ = bytes(&text);
        }
    }
}
