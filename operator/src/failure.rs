//! Errors as texts for people: the whole chain of causes, and nothing that varies between equal failures.

use std::error::Error;

/// An error with its causes, `a: b: c`, without repeats.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = plain(&error.to_string());
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = plain(&cause.to_string());
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// What an API server's refusal says to a person: its message alone.
#[must_use]
pub fn refusal(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => plain(&status.message),
        other => chain(other),
    }
}

/// Without what differs from one try to the next (ports, request ids), so that equal failures compare equal.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_inclusive(' ') {
        let bare = word.trim_end();
        let address = bare.trim_end_matches([':', ',', ';']);
        match address.parse::<std::net::SocketAddr>() {
            Ok(parsed) => out.push_str(&word.replacen(address, &parsed.ip().to_string(), 1)),
            Err(_) => out.push_str(word),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("reading failed")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn causes_are_told_once() {
        let error = Outer(std::io::Error::other("disk"));
        assert_eq!(chain(&error), "reading failed: disk");
    }

    #[test]
    fn ports_do_not_make_equal_failures_differ() {
        assert_eq!(plain("read 10.0.0.1:4711: reset"), "read 10.0.0.1: reset");
        assert_eq!(plain("read [::1]:4711: reset"), "read ::1: reset");
        assert_eq!(plain("at 12:30"), "at 12:30");
    }
}
