//! Emptying pods before they go, and moving sessions to pods that have too few: scale-in that loses nobody.
//!
//! `step` is a pure function from what was remembered and what is seen to what is remembered and what to do. Nearly
//! everything that it must know stands in the cluster itself (`mark` says how), so an operator that takes over in the
//! middle goes on. `plan` chooses who goes, `pace` how fast, so that those who stay can take it; `rebalance` fills
//! pods that are new.
//!
//! Nothing here reads or writes a cluster. Who executes an [`Action`] takes the answer of a drain verb for the pod's
//! load from then on.

mod mark;
mod pace;
mod plan;
mod rebalance;
mod step;

pub use mark::{
    Cause, DELETION_COST, DRAIN_REQUEST, LEAVING, LEAVING_COST, Leaving, Marks, is_request,
};
pub use pace::{Pace, Rest};
pub use rebalance::{Balance, Move, Rebalance, Verdict};
pub use step::step;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What a person has asked for, of one cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Sessions that a pod takes at most.
    pub capacity: u64,
    /// New connections a second that a pod takes.
    pub connect_rate: u64,
    /// Over so long a drain is spread at least.
    pub window: Duration,
    /// A drain may take so much longer than it was meant to.
    pub margin: Duration,
}

/// How far a pod's life has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It does not run yet.
    Pending,
    /// It runs.
    Running,
    /// It is being deleted.
    Ending,
}

/// What a pod last said of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Its sessions.
    pub sessions: u64,
    /// It takes no new ones and asks those it has to go.
    pub draining: bool,
}

/// One pod as it was last seen. Failed and ended ones are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// How far its life has got.
    pub phase: Phase,
    /// Clients are sent to it.
    pub ready: bool,
    /// None when it could not be read.
    pub load: Option<Load>,
    /// Our annotations on it, and a person's.
    pub marks: Marks,
    /// Its node takes no new pods: it is being drained, or is about to.
    pub cordoned: bool,
    /// It is of an older revision than others.
    pub outdated: bool,
    /// When it was made, in seconds since 1970.
    pub created: u64,
}

/// What is seen of a cluster at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// The Deployment's replicas.
    pub replicas: u32,
    /// Pods that should serve, those held apart for a person not counted.
    pub wanted: u32,
    /// A rollout is under way.
    pub rolling: bool,
    /// When the newest rollout was through, in seconds since 1970.
    pub rolled_out: Option<u64>,
    /// New sessions a second, over all pods.
    pub growth: u64,
    /// Every pod that exists.
    pub pods: Vec<Pod>,
}

/// What is to be done next, in this order; of a pod for which one could not be done, the later ones are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Annotates the pod: it leaves. Always before its drain.
    Mark(String, Leaving),
    /// `POST /drain`.
    Drain(String, Duration),
    /// Sets the deletion cost, so that of all pods this one goes.
    Prefer(String),
    /// Takes the deletion cost back.
    Unprefer(String),
    /// `DELETE /drain`.
    Undrain(String),
    /// Takes our annotations back: it stays.
    Unmark(String),
    /// Sets the Deployment's replicas.
    Resize(u32),
    /// Tells a person, once.
    Tell(String, News),
}

impl Action {
    /// The pod that it is about, if it is about one.
    #[must_use]
    pub fn pod(&self) -> Option<&str> {
        match self {
            Self::Mark(pod, _)
            | Self::Drain(pod, _)
            | Self::Prefer(pod)
            | Self::Unprefer(pod)
            | Self::Undrain(pod)
            | Self::Unmark(pod)
            | Self::Tell(pod, _) => Some(pod),
            Self::Resize(_) => None,
        }
    }
}

/// What a person wants to know of a pod that leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum News {
    /// It is being emptied.
    Started,
    /// It is empty.
    Emptied,
    /// It was not empty in time: its own end moves who is left.
    DeadlinePassed,
    /// It went.
    Went,
    /// Another pod went in its place: it serves again.
    AnotherWent,
    /// It is needed after all, and serves again.
    Stopped,
    /// The others can't take its sessions now: it serves on.
    NoRoom,
}

/// Why nothing is drained although there are more pods than wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocked {
    /// The others have no room for the sessions.
    NoRoom,
    /// A rollout is under way: it ends first.
    Rolling,
    /// No pod that could go says how many sessions it has.
    LoadUnknown,
}

/// What must be remembered from one step to the next. Lost, it costs a repeated event, and nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drains {
    /// Marked, and the mark is not seen yet.
    marked: BTreeMap<String, Leaving>,
    /// The size was lowered for them, to this.
    removing: BTreeMap<String, u32>,
    told: BTreeMap<String, BTreeSet<News>>,
    blocked: Option<Blocked>,
}

impl Drains {
    /// Why nothing is drained, if anything should be.
    #[must_use]
    pub fn blocked(&self) -> Option<Blocked> {
        self.blocked
    }
}

#[cfg(test)]
mod model;
