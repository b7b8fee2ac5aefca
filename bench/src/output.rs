//! Progress on standard error; results go to standard output.

use std::io::{Write, stderr};

/// Writes one line to standard error; that nobody reads it is no failure.
pub(crate) fn progress(text: &str) {
    let _ = writeln!(stderr(), "{text}");
}

/// Writes one formatted line of progress to standard error.
#[macro_export]
macro_rules! progress {
    ($($part:tt)*) => { $crate::output::progress(&format!($($part)*)) };
}
