//! From what is observed to what the decisions look at. Pure.

use crate::autoscaling::{self, Standing};
use crate::drains::{self, Phase};
use crate::observe::{DeploymentSeen, Observed, PodSeen};
use crate::sessions::figures::{Figures, Load};

/// What the size is decided from, where `wanted` pods are wanted now.
pub(super) fn loads(
    observed: &Observed,
    figures: &Figures,
    wanted: u32,
) -> autoscaling::Observation {
    let pods = observed.pods.iter().map(|pod| autoscaling::Pod {
        name: pod.name.clone(),
        standing: standing(pod, load(figures, pod)),
    });
    autoscaling::Observation {
        size: wanted,
        pods: pods.collect(),
    }
}

fn standing(pod: &PodSeen, load: Option<Load>) -> Standing {
    let sessions = load.and_then(|load| u64::try_from(load.sessions).ok());
    let marks = &pod.life.marks;
    let drains = load.is_some_and(|load| load.draining);
    if pod.ended {
        Standing::Gone
    } else if pod.deleting || drains || marks.requested || marks.leaving.is_some() {
        Standing::Leaving(sessions)
    } else if pod.life.pending {
        Standing::Pending
    } else {
        Standing::Serving(sessions)
    }
}

/// What drains and rebalancing look at.
pub(super) fn pods(
    observed: &Observed,
    figures: &Figures,
    deployment: &DeploymentSeen,
    wanted: u32,
    growth: u64,
) -> drains::Observation {
    let newest = observed.pods.iter().max_by_key(|pod| pod.life.created);
    let revision = newest
        .map(|pod| pod.life.revision.clone())
        .unwrap_or_default();
    let pods = observed.pods.iter().filter(|pod| !pod.ended);
    drains::Observation {
        replicas: u32::try_from(deployment.desired).unwrap_or(0),
        wanted,
        rolling: deployment.updated != deployment.replicas,
        rolled_out: deployment.rolled_out,
        growth,
        pods: pods
            .map(|pod| pod_of(pod, load(figures, pod), &revision))
            .collect(),
    }
}

fn pod_of(pod: &PodSeen, load: Option<Load>, revision: &str) -> drains::Pod {
    drains::Pod {
        name: pod.name.clone(),
        phase: match (pod.deleting, pod.life.pending) {
            (true, _) => Phase::Ending,
            (false, true) => Phase::Pending,
            (false, false) => Phase::Running,
        },
        ready: pod.ready,
        load: load.map(|load| drains::Load {
            sessions: u64::try_from(load.sessions).unwrap_or(0),
            draining: load.draining,
        }),
        marks: pod.life.marks,
        // Nodes are not watched: whoever drains one ends its pods, which drain by themselves.
        cordoned: false,
        outdated: pod.life.revision != revision,
        created: pod.life.created,
    }
}

fn load(figures: &Figures, pod: &PodSeen) -> Option<Load> {
    figures.pods.get(&pod.name).copied().flatten()
}
