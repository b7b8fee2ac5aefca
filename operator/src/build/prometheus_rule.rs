//! The PrometheusRule: the alerts of the operator's chart, on this cluster's series alone.

use std::sync::LazyLock;

use super::meta::{Component, named};
use crate::api::foreign::{PrometheusRule, PrometheusRuleSpec};
use crate::validate::Validated;

/// The alerts on the servers of any cluster; unit-tested with `promtool` (`e2e/alerts`).
const ALERTS: &str = include_str!("../../../charts/notice-operator/rules/notice-cluster.yaml");

/// What the names of the servers' series begin with.
const SERIES: [&str; 2] = ["notice_", "process_"];

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

/// Namespace and metrics Service say which cluster a series is of.
fn bound(mut spec: PrometheusRuleSpec, cluster: &Validated) -> PrometheusRuleSpec {
    let owner = &cluster.owner;
    let selector = format!(
        r#"namespace="{}",service="{}-metrics""#,
        owner.namespace, owner.name
    );
    for rule in spec.groups.iter_mut().flat_map(|group| &mut group.rules) {
        rule.expr = selected(&rule.expr, &selector);
        let name = ("noticecluster".to_owned(), owner.name.clone());
        rule.labels.extend([name]);
    }
    spec
}

/// The expression with a selector at each series of the servers. No label is named as a series is.
fn selected(expr: &str, selector: &str) -> String {
    let is_part = |it: char| it.is_ascii_alphanumeric() || it == '_';
    let mut bound = String::with_capacity(expr.len() + selector.len());
    let mut rest = expr;
    while let Some(next) = rest.chars().next() {
        let word = rest.find(|it| !is_part(it)).unwrap_or(rest.len());
        if word == 0 {
            bound.push(next);
            rest = &rest[next.len_utf8()..];
            continue;
        }
        let (name, after) = rest.split_at(word);
        bound.push_str(name);
        rest = after;
        if SERIES.iter().any(|begin| name.starts_with(begin)) {
            let inner = after.strip_prefix('{');
            rest = inner.unwrap_or(after);
            bound.push('{');
            bound.push_str(selector);
            bound.push(if inner.is_some() { ',' } else { '}' });
        }
    }
    bound
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alerts_parse_and_each_says_what_it_is_about_and_where_to_read_on() {
        let spec: PrometheusRuleSpec = serde_yaml_ng::from_str(ALERTS).unwrap();
        let rules: Vec<_> = spec.groups.iter().flat_map(|group| &group.rules).collect();
        assert!(rules.len() >= 8);
        for rule in rules {
            for annotation in ["summary", "description", "runbook_url"] {
                let there = rule.annotations.contains_key(annotation);
                assert!(there, "{} has no {annotation}", rule.alert);
            }
            assert!(rule.labels.contains_key("severity"), "{}", rule.alert);
        }
    }

    #[test]
    fn every_series_is_selected_and_nothing_else_changes() {
        let bind = |expr| selected(expr, r#"namespace="n""#);
        assert_eq!(
            bind("max by (pod) (notice_bus_up) == 0"),
            r#"max by (pod) (notice_bus_up{namespace="n"}) == 0"#
        );
        assert_eq!(
            bind(r#"rate(notice_pushed_total{path="sweep"}[5m]) and on (namespace) up"#),
            r#"rate(notice_pushed_total{namespace="n",path="sweep"}[5m]) and on (namespace) up"#
        );
        assert_eq!(
            bind("process_open_fds / process_max_fds"),
            r#"process_open_fds{namespace="n"} / process_max_fds{namespace="n"}"#
        );
    }
}
