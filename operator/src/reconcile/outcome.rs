//! What a reconcile found and did: what status and events are made of.

use crate::api::AutoscalingStatus;
use crate::apply::Done;
use crate::build::edge::Note;
use crate::drains::Blocked;
use crate::observe::ChildKind;
use crate::secrets::Needs;
use crate::sessions::figures::Figures;
use crate::validate::{Finding, SecretUse, Validated};

/// One pass over one cluster.
#[derive(Debug)]
pub struct Outcome {
    /// The spec with its defaults, or what is wrong with it.
    pub spec: Result<Box<Validated>, Vec<Finding>>,
    /// The values of Secrets that it uses.
    pub secrets: Vec<SecretUse>,
    /// What of them is missing.
    pub needs: Needs,
    /// What became of each child.
    pub children: Vec<(ChildKind, String, Done)>,
    /// What the edge can't say by itself.
    pub notes: Vec<Note>,
    /// What the pods say; `None` before they were asked.
    pub figures: Option<Figures>,
    /// What was decided about the number of pods.
    pub sizing: Sizing,
}

/// What was decided about the number of pods.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sizing {
    /// The decision, where the operator decides.
    pub decision: Option<AutoscalingStatus>,
    /// Whether it had no load to go by; `None` before the first decision.
    pub blind: Option<bool>,
    /// Why pods that are too many are not emptied.
    pub blocked: Option<Blocked>,
}

impl Outcome {
    /// Of a spec that makes no sense: nothing was done.
    #[must_use]
    pub fn invalid(findings: Vec<Finding>) -> Self {
        Self {
            spec: Err(findings),
            secrets: Vec::new(),
            needs: Needs::default(),
            children: Vec::new(),
            notes: Vec::new(),
            figures: None,
            sizing: Sizing::default(),
        }
    }

    /// The first child of which this is true.
    pub fn find<T>(&self, what: impl Fn(&Done) -> Option<T>) -> Option<(ChildKind, &str, T)> {
        self.children
            .iter()
            .find_map(|(kind, name, done)| what(done).map(|it| (*kind, name.as_str(), it)))
    }

    /// Optional kinds that are wanted and not served.
    pub fn not_served(&self) -> impl Iterator<Item = ChildKind> {
        let missing = |done: &Done| *done == Done::NotServed;
        self.children
            .iter()
            .filter(move |(_, _, done)| missing(done))
            .map(|(kind, _, _)| *kind)
    }

    /// Whether something is to be looked at again by itself, since no watch will tell.
    #[must_use]
    pub fn to_be_looked_at_again(&self) -> bool {
        self.children.iter().any(|(_, _, done)| {
            matches!(done, Done::NotOurs(_) | Done::Rejected(_) | Done::Waits(_))
        })
    }
}
