//! Figures of sessions, and when they are worth a write. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// A change that is worth telling, as a part of what was told before.
const WORTH_TELLING: f64 = 0.05;
/// Figures are written at most so often.
pub const WRITE_EVERY: Duration = Duration::from_secs(30);
/// A pod that could not be read for so long has no figures; until then its last ones stand.
const STALE_AFTER: Duration = Duration::from_secs(25);

/// What a pod says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Its sessions.
    pub sessions: i64,
    /// It is being emptied.
    pub draining: bool,
}

/// What is known of one pod's load.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    load: Option<(Load, Instant)>,
}

impl Reading {
    /// A try to read that went well or not, after what was known `before`.
    #[must_use]
    pub fn after(before: Option<Self>, tried: Option<Load>, now: Instant) -> Self {
        let kept = before.and_then(|it| it.load);
        Self {
            load: match tried {
                Some(load) => Some((load, now)),
                None => kept.filter(|(_, at)| now.saturating_duration_since(*at) < STALE_AFTER),
            },
        }
    }

    /// The load, unless it is not known.
    #[must_use]
    pub fn load(&self) -> Option<Load> {
        self.load.map(|(load, _)| load)
    }

    /// The load, and how old it is.
    #[must_use]
    pub fn aged(&self, now: Instant) -> Option<(Load, Duration)> {
        self.load
            .map(|(load, at)| (load, now.saturating_duration_since(at)))
    }
}

/// The figures of a cluster's pods, by pod. A pod of which nothing is known is there without a load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// By pod.
    pub pods: BTreeMap<String, Option<Load>>,
}

impl Figures {
    /// All sessions; `None` while a pod's are not known.
    #[must_use]
    pub fn total(&self) -> Option<i64> {
        self.pods
            .values()
            .map(|it| it.map(|load| load.sessions))
            .sum()
    }

    /// The pods that are being emptied.
    #[must_use]
    pub fn drains(&self) -> Vec<&str> {
        let drains = |load: &Option<Load>| load.is_some_and(|load| load.draining);
        let pods = self.pods.iter().filter(|(_, load)| drains(load));
        pods.map(|(name, _)| name.as_str()).collect()
    }

    /// Whether these figures are worth telling when `told` were told before: another pod, a drain, a pod that became
    /// known or unknown, or a change of 5 %.
    #[must_use]
    pub fn worth_telling(&self, told: &Self) -> bool {
        if !self.pods.keys().eq(told.pods.keys()) {
            return true;
        }
        let scale = told.total().unwrap_or(0);
        self.pods.iter().any(|(name, now)| {
            let before = told.pods.get(name).copied().flatten();
            match (before, now) {
                (None, None) => false,
                (Some(a), Some(b)) => {
                    a.draining != b.draining || far(a.sessions, b.sessions, scale)
                }
                _ => true,
            }
        }) || matches!((told.total(), self.total()), (Some(a), Some(b)) if far(a, b, a))
    }
}

/// Whether two counts differ by 5 % of `scale`. From and to nothing is always far.
#[allow(
    clippy::cast_precision_loss,
    reason = "counts of sessions are far below 2^52"
)]
fn far(a: i64, b: i64, scale: i64) -> bool {
    a != b && ((a == 0) != (b == 0) || (a - b).abs() as f64 >= scale.max(1) as f64 * WORTH_TELLING)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn figures(loads: &[(&str, Option<i64>)]) -> Figures {
        let load = |sessions| Load {
            sessions,
            draining: false,
        };
        Figures {
            pods: loads
                .iter()
                .map(|(name, it)| ((*name).to_owned(), it.map(load)))
                .collect(),
        }
    }

    #[test]
    fn the_total_is_not_known_while_a_pods_is_not() {
        assert_eq!(figures(&[("a", Some(3)), ("b", Some(4))]).total(), Some(7));
        assert_eq!(figures(&[("a", Some(3)), ("b", None)]).total(), None);
        assert_eq!(figures(&[]).total(), Some(0));
    }

    #[test]
    fn a_change_below_five_percent_is_not_told_and_others_are() {
        let told = figures(&[("a", Some(1000)), ("b", Some(1000))]);
        assert!(!figures(&[("a", Some(1049)), ("b", Some(1049))]).worth_telling(&told));
        assert!(figures(&[("a", Some(1050)), ("b", Some(1050))]).worth_telling(&told));
        assert!(figures(&[("a", Some(1100)), ("b", Some(900))]).worth_telling(&told));
        assert!(figures(&[("a", Some(1000)), ("b", None)]).worth_telling(&told));
        assert!(figures(&[("a", Some(1000)), ("c", Some(1000))]).worth_telling(&told));
        assert!(figures(&[("a", Some(1000)), ("b", Some(0))]).worth_telling(&told));
        let mut draining = told.clone();
        draining.pods.insert(
            "a".into(),
            Some(Load {
                sessions: 1000,
                draining: true,
            }),
        );
        assert!(draining.worth_telling(&told));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_misses_a_turn_keeps_its_figures_for_a_while() {
        let load = Load {
            sessions: 1,
            draining: false,
        };
        let reading = Reading::after(None, Some(load), Instant::now());
        tokio::time::advance(Duration::from_secs(10)).await;
        let reading = Reading::after(Some(reading), None, Instant::now());
        assert_eq!(reading.load(), Some(load));
        tokio::time::advance(STALE_AFTER).await;
        assert_eq!(
            Reading::after(Some(reading), None, Instant::now()).load(),
            None
        );
    }

    proptest! {
        #[test]
        fn what_was_told_is_never_worth_telling_again(loads in prop::collection::vec(prop::option::of(0_i64..1_000_000), 0..8)) {
            let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
            let loads: Vec<_> = names.into_iter().zip(loads).collect();
            let it = figures(&loads);
            prop_assert!(!it.worth_telling(&it.clone()));
        }
    }
}
