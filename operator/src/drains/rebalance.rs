//! Filling pods that are new: the fullest ones ask sessions to go elsewhere, until the fullest has at most a quarter
//! more than the mean.
//!
//! Who is asked connects again through the load balancer, which may bring it to any pod, the one it left included. So
//! as many are asked as will do if all who move land evenly, and no more: each round is a move for real people.
//!
//! For the same reason what a rollout leaves uneven stays so for a while: everybody has just been moved. Rounds come then
//! only when pods have been added since, or when a pod is about to be full.

use std::time::Duration;

use super::pace::{Pace, Rest};
use super::{Observation, Phase, Pod, Settings};

/// The fullest pod may have so many hundredths of the mean.
const LIMIT: u64 = 125;

/// From so many hundredths of what it takes on, a pod is about to be full.
const NEARLY_FULL: u64 = 80;

/// A round aims a little lower, so that chance does not ask for another one.
const AIM: u64 = 115;

/// Readings are this old at most when a round is judged: it must be over, and seen to be.
const SETTLE: u64 = 30;

/// So many rounds may bring nothing: then the load balancer does not spread clients, and moving more is in vain.
const PATIENCE: u32 = 3;

/// So many seconds after a rollout nobody is moved for the sake of evenness.
const QUIET: u64 = 600;

/// After that, and after a round that was disturbed, the next try comes so many seconds later.
const PAUSE: u64 = 600;

/// How sessions lie on the pods that take clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    /// Name and sessions of each.
    loads: Vec<(String, u64)>,
}

/// What a pod is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The pod.
    pub pod: String,
    /// So many of its sessions are asked to move.
    pub sessions: u64,
}

impl Balance {
    /// That of the pods which run, are ready, and whose load is known.
    #[must_use]
    pub fn of(pods: &[Pod]) -> Self {
        let takes = pods.iter().filter(|pod| {
            let stays = pod.marks.leaving.is_none() && !pod.marks.requested;
            pod.ready && pod.phase == Phase::Running && stays
        });
        let loads = takes.filter_map(|pod| {
            let load = pod.load.filter(|load| !load.draining)?;
            Some((pod.name.clone(), load.sessions))
        });
        Self {
            loads: loads.collect(),
        }
    }

    fn pods(&self) -> u64 {
        self.loads.len() as u64
    }

    fn total(&self) -> u64 {
        self.loads
            .iter()
            .map(|it| it.1)
            .fold(0, u64::saturating_add)
    }

    fn fullest(&self) -> u64 {
        self.loads.iter().map(|it| it.1).max().unwrap_or(0)
    }

    /// The fullest pod in hundredths of the mean, rounded up; 100 where there is nothing to compare.
    #[must_use]
    pub fn skew(&self) -> u64 {
        let total = self.total();
        if total == 0 {
            return 100;
        }
        self.fullest()
            .saturating_mul(100 * self.pods())
            .div_ceil(total)
    }

    /// Whether the fullest pod has too many, and more than chance gives it anyway: sessions that land by chance lie
    /// within two roots of the mean.
    #[must_use]
    pub fn is_skewed(&self) -> bool {
        let mean = self.total() / self.pods().max(1);
        let above = self.fullest().saturating_sub(mean);
        self.pods() > 1 && self.skew() > LIMIT && above.saturating_mul(above) > 4 * mean
    }

    fn is_nearly_full(&self, settings: &Settings) -> bool {
        self.fullest().saturating_mul(100) >= settings.capacity.saturating_mul(NEARLY_FULL)
    }

    /// How many sessions each pod should ask to move. The fewest with which no pod is above the aim, if those who move
    /// land evenly on all pods.
    #[must_use]
    pub fn moves(&self) -> Vec<Move> {
        let level = self.level();
        let over = self.loads.iter().filter(|it| it.1 > level);
        let moves = over.map(|(pod, sessions)| Move {
            pod: pod.clone(),
            sessions: sessions - level,
        });
        moves.collect()
    }

    /// The highest number of sessions that a pod may keep.
    fn level(&self) -> u64 {
        let aim = (self.total() * AIM).div_ceil(100 * self.pods().max(1));
        let after = |level: u64| {
            let moving = self
                .loads
                .iter()
                .map(|it| it.1.saturating_sub(level))
                .sum::<u64>();
            level + moving.div_ceil(self.pods().max(1))
        };
        let (mut low, mut high) = (0, self.fullest());
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if after(middle) <= aim {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        low
    }
}

/// What is remembered of rounds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rebalance {
    /// Nothing is judged before then, in seconds since 1970.
    not_before: u64,
    /// Rounds that brought nothing, one after another.
    in_vain: u32,
    /// The skew before the last round.
    skew: Option<u64>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing, or nothing yet.
    Rest,
    /// Each of these pods is asked for so many sessions, over this window.
    Ask(Vec<Move>, Duration),
    /// Rounds have brought nothing: clients come back to the pods they left. Told once, then a pause.
    InVain,
}

impl Rebalance {
    /// Judges what is seen at `now`. Nothing is asked while pods are emptied, in a rollout, while one is starting, or
    /// before the last round is over.
    #[must_use]
    pub fn judge(mut self, seen: &Observation, settings: &Settings, now: u64) -> (Self, Verdict) {
        if now < self.not_before || is_disturbed(seen) {
            return (self, Verdict::Rest);
        }
        let balance = Balance::of(&seen.pods);
        let worthwhile = !was_rolled_lately(seen, now) || balance.is_nearly_full(settings);
        if !worthwhile || !balance.is_skewed() {
            return (Self::default(), Verdict::Rest);
        }
        if self.is_in_vain(balance.skew()) {
            let paused = Self {
                not_before: now + PAUSE,
                ..Self::default()
            };
            return (paused, Verdict::InVain);
        }
        let moves = balance.moves();
        let window = window(&moves, seen, settings);
        self.skew = Some(balance.skew());
        self.not_before = now + window.as_secs() + SETTLE;
        (self, Verdict::Ask(moves, window))
    }

    /// Counts rounds after which the skew is nearly what it was.
    fn is_in_vain(&mut self, skew: u64) -> bool {
        let better = self.skew.is_none_or(|before| {
            // By a tenth of what is above the mean.
            skew.saturating_sub(100) * 10 <= before.saturating_sub(100) * 9
        });
        self.in_vain = if better { 0 } else { self.in_vain + 1 };
        self.in_vain >= PATIENCE
    }
}

/// Whether there was a rollout, and no pod has been made since: for a bigger size, or in another one's place. Both times
/// are told in whole seconds; its own pods were made before it was through.
fn was_rolled_lately(seen: &Observation, now: u64) -> bool {
    let added = |since: u64| seen.pods.iter().any(|pod| pod.created >= since);
    seen.rolled_out
        .is_some_and(|at| now < at.saturating_add(QUIET) && !added(at))
}

fn is_disturbed(seen: &Observation) -> bool {
    let live = || seen.pods.iter().filter(|pod| pod.phase != Phase::Ending);
    let leaves = |pod: &Pod| pod.marks.leaving.is_some() && !pod.marks.requested;
    let starts = |pod: &Pod| pod.phase == Phase::Pending || (!pod.ready && !pod.marks.requested);
    seen.rolling
        || seen.pods.iter().any(|pod| pod.phase == Phase::Ending)
        || live().any(|pod| leaves(pod) || (starts(pod) && !is_full(pod)))
}

/// A pod that is not ready since it has as many as it takes is a reason to move some, not to wait.
fn is_full(pod: &Pod) -> bool {
    pod.phase == Phase::Running
        && pod
            .load
            .is_some_and(|load| !load.draining && load.sessions > 0)
}

fn window(moves: &[Move], seen: &Observation, settings: &Settings) -> Duration {
    let moving = moves
        .iter()
        .map(|it| it.sessions)
        .fold(0, u64::saturating_add);
    let rest = Rest::of(seen.pods.iter());
    Pace::of(moving, &rest, settings, seen.growth).window
}

#[cfg(test)]
#[path = "rebalance_tests.rs"]
mod tests;
