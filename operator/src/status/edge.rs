//! `EdgeReady`: whether clients find their way in. Pure.

use super::conditions::Draft;
use super::dependencies::about_the_edge;
use crate::observe::summary::{IngressSeen, ParentSeen, RouteSeen};
use crate::observe::{ChildKind, Classes, Detail, Observed};
use crate::reconcile::outcome::Outcome;
use crate::validate::Validated;

const KIND: &str = "EdgeReady";

/// The condition; none when the spec has no edge.
#[must_use]
pub fn edge(observed: &Observed, outcome: &Outcome, spec: &Validated) -> Option<Draft> {
    if spec.ingress.is_none() && spec.gateway.is_none() {
        return None;
    }
    let mut draft = conflict(observed)
        .or_else(|| no_routes(outcome))
        .or_else(|| no_class(observed, spec))
        .unwrap_or_else(|| ways(observed, spec));
    for note in notes(outcome, spec) {
        if !draft.message.is_empty() {
            draft.message.push_str(". ");
        }
        draft.message.push_str(&note);
    }
    Some(draft)
}

/// What is to be known about the edge, whatever its state.
fn notes(outcome: &Outcome, spec: &Validated) -> Vec<String> {
    let told = spec.told.iter().filter(|it| about_the_edge(it)).map(ToString::to_string);
    outcome.notes.iter().map(|it| it.message.clone()).chain(told).collect()
}

fn conflict(observed: &Observed) -> Option<Draft> {
    let (other, address) = observed.host_conflict.as_ref()?;
    Some(Draft::new(
        KIND,
        "False",
        "HostConflict",
        format!("NoticeCluster {other} had {address} before: give one of them another host or path"),
    ))
}

fn no_routes(outcome: &Outcome) -> Option<Draft> {
    outcome.not_served().any(|kind| kind == ChildKind::HttpRoute).then(|| {
        Draft::new(
            KIND,
            "False",
            "KindNotServed",
            "the cluster has no HTTPRoute: install the Gateway API's CustomResourceDefinitions, or remove spec.gateway",
        )
    })
}

fn no_class(observed: &Observed, spec: &Validated) -> Option<Draft> {
    let ingress = spec.ingress.as_ref()?;
    let Classes::Known(classes) = &observed.classes else {
        return None;
    };
    let message = match &ingress.class_name {
        Some(name) if classes.contains_key(name) => return None,
        Some(name) => {
            let names: Vec<_> = classes.keys().map(String::as_str).collect();
            let there = if names.is_empty() { "there are none".to_owned() } else { format!("there are {}", names.join(", ")) };
            format!("there is no IngressClass {name}: {there}")
        }
        None if classes.values().any(|(_, default)| *default) => return None,
        None => "no IngressClass is the default one: set spec.ingress.className".to_owned(),
    };
    Some(Draft::new(KIND, "False", "IngressClassNotFound", message))
}

/// The worst of the ways in.
fn ways(observed: &Observed, spec: &Validated) -> Draft {
    let name = &observed.key.name;
    let detail = |kind| observed.child(kind, name).and_then(|it| it.detail.as_deref());
    let mut drafts = Vec::new();
    if spec.ingress.is_some() {
        drafts.push(match detail(ChildKind::Ingress) {
            Some(Detail::Ingress(seen)) => ingress(seen),
            _ => Draft::new(KIND, "Unknown", "Creating", "the Ingress is not there yet"),
        });
    }
    if let Some(gateway) = &spec.gateway {
        let parents: Vec<_> = gateway.parent_refs.iter().map(|it| it.name.as_str()).collect();
        drafts.push(match detail(ChildKind::HttpRoute) {
            Some(Detail::Route(seen)) => route(seen, &parents),
            _ => Draft::new(KIND, "Unknown", "Creating", "the HTTPRoute is not there yet"),
        });
    }
    let rank = |draft: &Draft| ["False", "Unknown", "True"].iter().position(|it| *it == draft.status);
    let worst = drafts.into_iter().min_by_key(rank);
    worst.unwrap_or_else(|| Draft::new(KIND, "Unknown", "NoEdge", ""))
}

fn ingress(seen: &IngressSeen) -> Draft {
    if seen.has_address {
        Draft::new(KIND, "True", "AddressAssigned", "the Ingress has an address")
    } else {
        Draft::new(
            KIND,
            "Unknown",
            "AddressPending",
            "no controller has given the Ingress an address yet (some never tell one)",
        )
    }
}

fn route(seen: &RouteSeen, wanted: &[&str]) -> Draft {
    if seen.parents.is_empty() {
        let message = format!("no Gateway has answered yet: {}", wanted.join(", "));
        return Draft::new(KIND, "Unknown", "RoutePending", message);
    }
    let refusal = |parent: &ParentSeen| {
        let refused = [&parent.accepted, &parent.resolved].into_iter().find(|it| it.status == "False")?;
        Some((parent.name.clone(), refused.reason.clone(), refused.message.clone()))
    };
    if let Some((name, reason, message)) = seen.parents.iter().find_map(refusal) {
        let text = format!("Gateway {name} does not take the HTTPRoute ({reason}): {message}");
        return Draft::new(KIND, "False", "RouteNotAccepted", text);
    }
    let names: Vec<_> = seen.parents.iter().map(|it| it.name.as_str()).collect();
    Draft::new(KIND, "True", "RouteAccepted", format!("taken by Gateway {}", names.join(", ")))
}
