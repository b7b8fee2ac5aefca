//! The PrometheusRule: alerts, taken from `assets/alerts.yaml` and bound to this cluster's series.

use std::sync::LazyLock;

use super::meta::{Component, named};
use crate::api::foreign::{PrometheusRule, PrometheusRuleSpec};
use crate::validate::Validated;

/// The alerts, with `$selector` where a series is selected.
pub const ALERTS: &str = include_str!("../../assets/alerts.yaml");

/// Where a series is selected.
const PLACEHOLDER: &str = "$selector";

/// A file of ours that a test reads: it always parses.
static PARSED: LazyLock<PrometheusRuleSpec> =
    LazyLock::new(|| serde_yaml_ng::from_str(ALERTS).unwrap_or_default());

pub(super) fn build(cluster: &Validated) -> Option<PrometheusRule> {
    let wish = cluster.prometheus_rule.as_ref()?;
    let mut metadata = named(cluster, cluster.owner.name.clone(), Component::Metrics);
    let labels = metadata.labels.get_or_insert_default();
    for (key, value) in wish {
        labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    Some(PrometheusRule {
        metadata,
        spec: bound(PARSED.clone(), cluster),
    })
}

/// The metrics Service's name is the job of the series, and namespaces part clusters of one name.
fn bound(mut spec: PrometheusRuleSpec, cluster: &Validated) -> PrometheusRuleSpec {
    let owner = &cluster.owner;
    let selector = format!(
        r#"namespace="{}",job="{}-metrics""#,
        owner.namespace, owner.name
    );
    for rule in spec.groups.iter_mut().flat_map(|group| &mut group.rules) {
        rule.expr = rule.expr.replace(PLACEHOLDER, &selector);
        let name = ("noticecluster".to_owned(), owner.name.clone());
        rule.labels.extend([name]);
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alerts_parse_and_each_has_a_summary_and_selects_its_series() {
        let spec: PrometheusRuleSpec = serde_yaml_ng::from_str(ALERTS).unwrap();
        let rules: Vec<_> = spec.groups.iter().flat_map(|group| &group.rules).collect();
        assert!(rules.len() >= 8);
        for rule in rules {
            assert!(rule.expr.contains(PLACEHOLDER), "{}", rule.alert);
            assert!(rule.annotations.contains_key("summary"), "{}", rule.alert);
            assert!(
                rule.annotations.contains_key("description"),
                "{}",
                rule.alert
            );
            assert!(rule.labels.contains_key("severity"), "{}", rule.alert);
        }
    }
}
