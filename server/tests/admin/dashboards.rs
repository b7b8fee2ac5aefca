//! What watches the server names only metrics that it has, and every alert and panel leads to a runbook that is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Scrape, Server};

/// The operator's own metrics are held against the operator.
const OPERATORS: &str = "notice_operator_";

/// Where the runbooks are published.
const RUNBOOKS: &str = "https://noticecluster.dev/runbooks/";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files of a folder of the chart.
fn files(folder: &str) -> Vec<PathBuf> {
    let folder = root().join("charts/notice-operator").join(folder);
    let entries =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn dashboards() -> Vec<(String, Value)> {
    let dashboard = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, serde_json::from_str(&read(path)).unwrap())
    };
    files("dashboards").iter().map(dashboard).collect()
}

/// The panels that show something.
fn panels(dashboard: &Value) -> Vec<&Value> {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    panels.filter(|panel| panel["type"] != "row").collect()
}

/// All PromQL there is: of panels, of variables, and the rules as they are.
fn queries() -> Vec<String> {
    let mut queries: Vec<String> = files("rules").iter().map(|path| read(path)).collect();
    for (_, dashboard) in dashboards() {
        for panel in panels(&dashboard) {
            for target in panel["targets"].as_array().unwrap() {
                queries.push(target["expr"].as_str().unwrap().to_owned());
            }
        }
        for variable in dashboard["templating"]["list"].as_array().unwrap() {
            queries.extend(variable["definition"].as_str().map(str::to_owned));
        }
    }
    queries
}

/// Names of metrics in a query, each with the matchers behind it.
fn metrics_of(query: &str) -> Vec<(String, String)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for prefix in ["notice_", "process_"] {
        for (at, _) in query.match_indices(prefix) {
            if query[..at].ends_with(is_name) {
                continue;
            }
            let rest = &query[at..];
            let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            let matchers = rest[end..].strip_prefix('{');
            let matchers = matchers.and_then(|rest| rest.split_once('}'));
            let matchers = matchers.map_or("", |(matchers, _)| matchers);
            found.push((rest[..end].to_owned(), matchers.to_owned()));
        }
    }
    found
}

fn family<'a>(scrape: &Scrape, name: &'a str) -> Option<&'a str> {
    let parts = ["_bucket", "_count", "_sum"].map(|part| name.strip_suffix(part));
    let histogram = parts.into_iter().flatten().next();
    let names = [Some(name), histogram].into_iter().flatten();
    names
        .into_iter()
        .find(|name| scrape.families.contains_key(*name))
}

/// The values that a matcher asks for, of a label of our own.
fn wanted(matchers: &str) -> Vec<(&str, &str)> {
    // Prometheus and the dashboards' variables set the others.
    const OF_THE_TARGET: [&str; 4] = ["namespace", "service", "job", "pod"];
    let mut wanted = Vec::new();
    for matcher in matchers.split("\",").filter(|matcher| !matcher.is_empty()) {
        let (label, values) = matcher.split_once('=').expect("a matcher");
        let label = label.trim();
        if OF_THE_TARGET.contains(&label) {
            continue;
        }
        let values = values.trim_start_matches('~').trim_matches('"');
        wanted.extend(values.split('|').map(|value| (label, value)));
    }
    wanted
}

#[tokio::test]
async fn dashboards_and_alerts_name_only_metrics_and_values_of_labels_that_there_are() {
    let scrape = Server::start().metrics().await;
    let mut named = BTreeSet::new();
    for query in queries() {
        for (name, matchers) in metrics_of(&query) {
            if name.starts_with(OPERATORS) {
                continue;
            }
            let family = family(&scrape, &name);
            let family = family.unwrap_or_else(|| panic!("there is no metric {name}: {query}"));
            let samples = scrape.samples(&name);
            for (label, value) in wanted(&matchers) {
                let sample = format!("{label}=\"{value}\"");
                assert!(
                    samples.iter().any(|(series, _)| series.contains(&sample)),
                    "{name} never has {sample}: {query}"
                );
            }
            named.insert(family.to_owned());
        }
    }
    // And what there is can be seen.
    let ours = scrape
        .families
        .keys()
        .filter(|name| name.starts_with("notice_"));
    let unseen: Vec<_> = ours.filter(|name| !named.contains(*name)).collect();
    assert!(unseen.is_empty(), "on no dashboard: {unseen:?}");
}

/// The headings of a runbook, as links name them.
fn anchors(page: &str) -> BTreeSet<String> {
    let text = read(&root().join(format!("docs/runbooks/{page}.md")));
    let headings = text.lines().filter_map(|line| line.strip_prefix("## "));
    headings.map(str::to_lowercase).collect()
}

fn leads_somewhere(url: &str, what: &str) {
    let target = url.strip_prefix(RUNBOOKS);
    let target = target.unwrap_or_else(|| panic!("{what} leads elsewhere: {url}"));
    match target.split_once('#') {
        Some((page, anchor)) => assert!(
            anchors(page).contains(anchor),
            "{what}: no heading {anchor} in {page}"
        ),
        None => drop(anchors(target)),
    }
}

#[test]
fn every_panel_says_what_it_shows_in_which_unit_and_leads_to_a_runbook_that_is_there() {
    for (name, dashboard) in dashboards() {
        for panel in panels(&dashboard) {
            let what = format!("{name}: {}", panel["title"]);
            assert!(
                panel["description"]
                    .as_str()
                    .is_some_and(|text| text.ends_with('.')),
                "{what}"
            );
            assert!(
                panel["fieldConfig"]["defaults"]["unit"].is_string(),
                "{what}"
            );
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{what}");
            for link in panel["links"].as_array().unwrap() {
                leads_somewhere(link["url"].as_str().unwrap(), &what);
            }
        }
        let ids: BTreeSet<_> = panels(&dashboard)
            .iter()
            .map(|panel| panel["id"].as_u64())
            .collect();
        assert_eq!(ids.len(), panels(&dashboard).len(), "{name}");
        for link in dashboard["links"].as_array().unwrap() {
            let url = link["url"].as_str().unwrap();
            if !url.starts_with("/d/") {
                leads_somewhere(url, &name);
            }
        }
    }
}

#[test]
fn every_alert_leads_to_its_own_part_of_a_runbook_and_has_a_test() {
    for path in files("rules") {
        let rules = read(&path);
        let page = path.file_stem().unwrap().to_string_lossy().into_owned();
        let tests = read(&root().join(format!("e2e/alerts/{page}.test.yaml")));
        let value = |line: &str, key: &str| {
            line.trim()
                .strip_prefix(key)
                .map(|text| text.trim().to_owned())
        };
        let alerts: Vec<_> = rules
            .lines()
            .filter_map(|line| value(line, "- alert:"))
            .collect();
        let links: Vec<_> = rules
            .lines()
            .filter_map(|line| value(line, "runbook_url:"))
            .collect();
        assert!(!alerts.is_empty() && alerts.len() == links.len(), "{page}");
        for (alert, link) in alerts.iter().zip(&links) {
            assert_eq!(link, &format!("{RUNBOOKS}{page}#{}", alert.to_lowercase()));
            leads_somewhere(link, alert);
            assert!(
                tests.contains(&format!("alertname: {alert}")),
                "{alert} is tested nowhere"
            );
        }
    }
}
