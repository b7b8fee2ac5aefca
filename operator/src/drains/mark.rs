//! What stands on a pod that leaves. It is written before anything is done, so that whoever comes after a crash can
//! tell our drains from a person's, and knows since when.

use std::fmt;
use std::str::FromStr;

/// The annotation of a pod that we empty. Its value is a [`Leaving`].
pub const LEAVING: &str = "noticecluster.dev/leaving";

/// The annotation by which a person asks for a pod to be emptied, and to stay so until it is taken away.
pub const DRAIN_REQUEST: &str = "noticecluster.dev/drain";

/// The annotation by which a ReplicaSet chooses among pods that are alike otherwise.
pub const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The lowest cost there is: whoever else writes costs, this pod goes.
pub const LEAVING_COST: i32 = i32::MIN;

/// Whether the value of [`DRAIN_REQUEST`] asks for anything.
#[must_use]
pub fn is_request(value: &str) -> bool {
    !matches!(value.trim(), "" | "false" | "no")
}

/// Why a pod is emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// There are more pods than wanted. It goes when it is empty.
    ScaleIn,
    /// A person has asked for it. It stays, empty.
    Requested,
}

impl Cause {
    fn name(self) -> &'static str {
        match self {
            Self::ScaleIn => "ScaleIn",
            Self::Requested => "Requested",
        }
    }
}

/// Since when and over how long a pod is emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaving {
    /// Why.
    pub cause: Cause,
    /// In seconds since 1970.
    pub since: u64,
    /// In seconds.
    pub window: u64,
    /// Sessions that it had.
    pub sessions: u64,
}

impl Leaving {
    /// When the last session is asked to go, in seconds since 1970.
    #[must_use]
    pub fn eta(&self) -> u64 {
        self.since.saturating_add(self.window)
    }
}

impl fmt::Display for Leaving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cause = self.cause.name();
        let (since, window, sessions) = (self.since, self.window, self.sessions);
        write!(
            f,
            "{cause} since={since} window={window} sessions={sessions}"
        )
    }
}

/// The annotation's value was not written by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotOurs;

impl FromStr for Leaving {
    type Err = NotOurs;

    fn from_str(text: &str) -> Result<Self, NotOurs> {
        let mut words = text.split(' ');
        let cause = match words.next() {
            Some("ScaleIn") => Cause::ScaleIn,
            Some("Requested") => Cause::Requested,
            _ => return Err(NotOurs),
        };
        let mut number = |name: &str| {
            let word = words.next().and_then(|word| word.strip_prefix(name));
            word.and_then(|digits| digits.parse().ok()).ok_or(NotOurs)
        };
        let leaving = Self {
            cause,
            since: number("since=")?,
            window: number("window=")?,
            sessions: number("sessions=")?,
        };
        words.next().map_or(Ok(leaving), |_| Err(NotOurs))
    }
}

/// What stands on a pod, of all this.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marks {
    /// We empty it.
    pub leaving: Option<Leaving>,
    /// It has our deletion cost.
    pub preferred: bool,
    /// A person has asked for it to be emptied.
    pub requested: bool,
}

impl Marks {
    /// Those among a pod's annotations. A value of ours that somebody has changed counts as a mark of now.
    #[must_use]
    pub fn of<'a>(annotations: impl IntoIterator<Item = (&'a str, &'a str)>, now: u64) -> Self {
        let mut marks = Self::default();
        for (name, value) in annotations {
            match name {
                LEAVING => marks.leaving = Some(value.parse().unwrap_or(unreadable(now))),
                DELETION_COST => marks.preferred = value.parse() == Ok(LEAVING_COST),
                DRAIN_REQUEST => marks.requested = is_request(value),
                _ => {}
            }
        }
        marks
    }
}

fn unreadable(now: u64) -> Leaving {
    Leaving {
        cause: Cause::ScaleIn,
        since: now,
        window: 0,
        sessions: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_leaving() -> impl Strategy<Value = Leaving> {
        let cause = prop_oneof![Just(Cause::ScaleIn), Just(Cause::Requested)];
        (cause, any::<u64>(), any::<u64>(), any::<u64>()).prop_map(
            |(cause, since, window, sessions)| Leaving {
                cause,
                since,
                window,
                sessions,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_on_a_pod_is_read_again(leaving in any_leaving()) {
            prop_assert_eq!(leaving.to_string().parse(), Ok(leaving));
        }

        #[test]
        fn anything_else_is_not_ours(text in ".{0,40}") {
            if let Ok(leaving) = text.parse::<Leaving>() {
                prop_assert_eq!(leaving.to_string().len(), text.len());
            }
        }
    }

    #[test]
    fn a_mark_that_somebody_has_changed_is_a_mark_still() {
        let marks = Marks::of([(LEAVING, "go away"), ("other", "x")], 1000);
        assert_eq!(marks.leaving, Some(unreadable(1000)));
        assert!(!marks.preferred && !marks.requested);
    }

    #[test]
    fn only_our_own_deletion_cost_is_ours() {
        let preferred = |value| Marks::of([(DELETION_COST, value)], 0).preferred;
        assert!(preferred("-2147483648"));
        assert!(!preferred("-1") && !preferred("100") && !preferred("x"));
    }

    #[test]
    fn a_person_asks_with_any_word_but_no() {
        for (value, asks) in [
            ("true", true),
            ("please", true),
            ("false", false),
            ("", false),
        ] {
            assert_eq!(Marks::of([(DRAIN_REQUEST, value)], 0).requested, asks);
        }
    }
}
