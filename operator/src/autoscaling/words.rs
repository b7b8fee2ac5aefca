//! A decision in words, for `status.autoscaling.reason` and events.

use std::fmt::Write as _;

use super::decision::{Decision, Limit, Observation, Reason, Rules, Standing};

/// One sentence: what was found, what that speaks for, and what keeps it.
pub(super) fn explain(decision: &Decision, observation: &Observation, rules: &Rules) -> String {
    let mut text = found(decision, observation, rules);
    if let Some(limit) = decision.limit {
        let _to_a_string = write!(text, "; {}", kept(limit, decision, rules));
    }
    text
}

fn found(decision: &Decision, observation: &Observation, rules: &Rules) -> String {
    let Decision {
        sessions,
        recommended,
        growth,
        ..
    } = decision;
    let serving = observation.pods.iter();
    let serving = serving.filter(|pod| matches!(pod.standing, Standing::Serving(_)));
    let pods = counted(u64::try_from(serving.count()).unwrap_or(u64::MAX));
    let (target, capacity) = (rules.target, rules.capacity);
    match decision.reason {
        Reason::WithinTolerance => format!(
            "{sessions} sessions on {pods} are within the tolerance of the target of {target} a pod"
        ),
        Reason::AboveTarget | Reason::BelowTarget => format!(
            "{sessions} sessions on {pods} speak for {recommended}, at a target of {target} a pod"
        ),
        Reason::ConnectingFast => format!(
            "{sessions} sessions on {pods}, and {growth} more a second, speak for {recommended}: \
             at {capacity} a pod they would be full within {} s",
            rules.ahead.as_secs()
        ),
        Reason::NeededBySessions => {
            format!("{sessions} sessions need {recommended} at the capacity of {capacity} a pod")
        }
        Reason::LoadUnknown => {
            "no pod's load could be read: the number of pods stays as it is".to_owned()
        }
    }
}

fn kept(limit: Limit, decision: &Decision, rules: &Rules) -> String {
    let desired = decision.desired;
    match limit {
        Limit::WaitsToGrow => format!(
            "{desired} until as many were wanted for {} s",
            rules.windows.up.as_secs()
        ),
        Limit::WaitsToShrink => format!(
            "{desired} until no more were wanted for {} s",
            rules.windows.down.as_secs()
        ),
        Limit::Pace => {
            format!("{desired} for now: at most four pods or twice as many come in 15 s")
        }
        Limit::Maximum => format!("maxReplicas is {desired}"),
        Limit::Minimum => format!("minReplicas is {desired}"),
    }
}

fn counted(pods: u64) -> String {
    if pods == 1 {
        "1 pod".to_owned()
    } else {
        format!("{pods} pods")
    }
}
