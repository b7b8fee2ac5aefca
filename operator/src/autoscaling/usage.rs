//! The formula: desired = ceil(current * mean / target), with a tolerance, and with the HorizontalPodAutoscaler's rules
//! for pods of which nothing is known. The same as upstream's `calcPlainMetricReplicas` (Kubernetes 1.36), in whole
//! numbers, so that no rounding of floats adds a pod.

/// What is known of one pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// It reported so many sessions.
    Sessions(u64),
    /// It runs, but its load could not be read.
    Missing,
    /// It does not run yet.
    Pending,
    /// It is being deleted or has failed: it does not count.
    Ignored,
}

/// How far the mean may be from the target before anything is done, in thousandths of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tolerance {
    /// Below the target.
    pub down: u32,
    /// Above the target.
    pub up: u32,
}

impl Default for Tolerance {
    /// A tenth in both directions, as `--horizontal-pod-autoscaler-tolerance` has it.
    fn default() -> Self {
        Self { down: 100, up: 100 }
    }
}

/// Sessions on a number of pods, against a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// All sessions.
    pub total: u64,
    /// The pods that are counted.
    pub pods: u64,
    /// What one pod should have.
    pub target: u64,
}

impl Usage {
    fn full(self) -> u64 {
        self.pods.saturating_mul(self.target)
    }

    fn is_under(self) -> bool {
        self.total < self.full()
    }

    fn is_over(self) -> bool {
        self.total > self.full()
    }

    fn is_within(self, tolerance: Tolerance) -> bool {
        let (total, full) = (u128::from(self.total) * 1000, u128::from(self.full()));
        let lowest = full * u128::from(1000 - tolerance.down.min(1000));
        let highest = full * u128::from(1000 + tolerance.up);
        (lowest..=highest).contains(&total)
    }

    /// How many pods would have the target.
    fn replicas(self) -> u32 {
        u32::try_from(self.total.div_ceil(self.target.max(1))).unwrap_or(u32::MAX)
    }

    /// Sessions of a pod, on average, rounded down.
    #[must_use]
    pub fn mean(self) -> u64 {
        self.total / self.pods.max(1)
    }
}

/// How many of each kind of pod there are.
#[derive(Debug, Default)]
struct Groups {
    sessions: u64,
    known: u64,
    missing: u64,
    pending: u64,
}

impl Groups {
    fn of(pods: &[Sample]) -> Self {
        let mut groups = Self::default();
        for pod in pods {
            match pod {
                Sample::Sessions(sessions) => {
                    groups.sessions = groups.sessions.saturating_add(*sessions);
                    groups.known += 1;
                }
                Sample::Missing => groups.missing += 1,
                Sample::Pending => groups.pending += 1,
                Sample::Ignored => {}
            }
        }
        groups
    }
}

/// The number of pods that would bring the mean to `target`, where `current` are wanted now; with the usage that it was
/// judged by. `adrift` are sessions on pods that are being emptied: they will come to the others. None when no pod's
/// load is known.
///
/// Pods whose load is missing count as on target when there are too many pods, and as empty when there are too few;
/// pending ones count as empty when there are too few. So what is not known never makes a change larger, and never
/// turns its direction.
#[must_use]
pub fn replicas_by_usage(
    current: u32,
    target: u64,
    tolerance: Tolerance,
    pods: &[Sample],
    adrift: u64,
) -> Option<(u32, Usage)> {
    let groups = Groups::of(pods);
    if groups.known == 0 {
        return None;
    }
    let measured = Usage {
        total: groups.sessions.saturating_add(adrift),
        pods: groups.known,
        target,
    };
    let assumed = assume(measured, &groups);
    let replicas = if assumed == measured {
        settle(current, tolerance, measured)
    } else {
        settle_assumed(current, tolerance, measured, assumed)
    };
    Some((replicas, measured))
}

/// The usage with assumptions about those of which nothing is known.
fn assume(measured: Usage, groups: &Groups) -> Usage {
    let mut assumed = measured;
    if measured.is_under() {
        assumed.pods += groups.missing;
        assumed.total += groups.missing.saturating_mul(measured.target);
    } else if measured.is_over() {
        assumed.pods += groups.missing + groups.pending;
    }
    assumed
}

fn settle(current: u32, tolerance: Tolerance, usage: Usage) -> u32 {
    if usage.is_within(tolerance) {
        current
    } else {
        usage.replicas()
    }
}

fn settle_assumed(current: u32, tolerance: Tolerance, measured: Usage, assumed: Usage) -> u32 {
    let turned =
        (measured.is_under() && assumed.is_over()) || (measured.is_over() && assumed.is_under());
    let replicas = assumed.replicas();
    let wrong_way =
        (assumed.is_under() && replicas > current) || (assumed.is_over() && replicas < current);
    if turned || wrong_way || assumed.is_within(tolerance) {
        current
    } else {
        replicas
    }
}

#[cfg(test)]
#[path = "usage_tests.rs"]
mod tests;
