//! Every metric, and what moves it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::support::{Handshake, Scrape, Server, eventually};

/// A label and the values that it takes.
type Label = (&'static str, Vec<&'static str>);

/// Every metric of our own, with its type and the closed set of each label.
fn expected_metrics() -> BTreeMap<&'static str, (&'static str, Vec<Label>)> {
    let transport = || ("transport", vec!["page", "poll", "sse", "websocket"]);
    let path = || ("path", vec!["live", "replay", "sweep"]);
    let operation = || {
        let operations = vec![
            "commit",
            "fetch",
            "history",
            "housekeeping",
            "mark_read",
            "recall",
            "resume",
            "stage",
            "state",
            "token_issue",
            "token_resolve",
            "token_revoke",
            "unread",
        ];
        ("operation", operations)
    };
    let file = || ("file", vec!["api_keys", "drain_keys", "jwt_key"]);
    let closed = vec![
        "client_gone",
        "drained",
        "kicked",
        "misuse",
        "peer_dead",
        "rebalanced",
        "shutdown",
        "superseded",
        "token_ended",
        "too_large",
        "too_slow",
    ];
    let refused = vec![
        "account_full",
        "connect_rate",
        "draining",
        "handshake",
        "node_full",
        "origin",
        "store_unavailable",
        "unauthenticated",
    ];
    let codes = vec![
        "FORM_NOT_OURS",
        "IDEMPOTENCY_CONFLICT",
        "INBOX_FULL",
        "INTERNAL",
        "INVALID_ARGUMENT",
        "ORIGIN_NOT_ALLOWED",
        "RATE_LIMITED",
        "REQUEST_TIMEOUT",
        "STORE_FULL",
        "STORE_UNAVAILABLE",
        "TOO_LARGE",
        "UNAUTHENTICATED",
    ];
    BTreeMap::from([
        ("notice_online_sessions", ("gauge", vec![transport()])),
        ("notice_online_accounts", ("gauge", vec![])),
        ("notice_push_lag_seconds", ("histogram", vec![path()])),
        ("notice_read_lag_seconds", ("histogram", vec![])),
        (
            "notice_staged_total",
            ("counter", vec![("source", vec!["client", "service"])]),
        ),
        (
            "notice_pushed_total",
            ("counter", vec![path(), transport()]),
        ),
        ("notice_read_total", ("counter", vec![])),
        ("notice_expired_total", ("counter", vec![])),
        ("notice_recalled_total", ("counter", vec![])),
        ("notice_replaced_total", ("counter", vec![])),
        ("notice_duplicate_total", ("counter", vec![])),
        (
            "notice_stage_errors_total",
            ("counter", vec![("code", codes)]),
        ),
        ("notice_oldest_unpushed_seconds", ("gauge", vec![])),
        (
            "notice_sessions_opened_total",
            ("counter", vec![transport()]),
        ),
        (
            "notice_sessions_closed_total",
            ("counter", vec![("reason", closed)]),
        ),
        (
            "notice_sessions_refused_total",
            ("counter", vec![("reason", refused)]),
        ),
        ("notice_capacity_sessions", ("gauge", vec![])),
        ("notice_draining", ("gauge", vec![])),
        ("notice_rebalancing", ("gauge", vec![])),
        (
            "notice_moves_asked_total",
            ("counter", vec![("reason", vec!["drain", "rebalance"])]),
        ),
        ("notice_bus_up", ("gauge", vec![])),
        ("notice_bus_published_total", ("counter", vec![])),
        ("notice_bus_received_total", ("counter", vec![])),
        (
            "notice_credential_reloads_total",
            (
                "counter",
                vec![file(), ("result", vec!["applied", "refused"])],
            ),
        ),
        ("notice_credential_file_refused", ("gauge", vec![file()])),
        (
            "notice_store_operation_seconds",
            ("histogram", vec![operation()]),
        ),
        ("notice_store_errors_total", ("counter", vec![operation()])),
        (
            "notice_build_info",
            ("gauge", vec![("version", vec![env!("CARGO_PKG_VERSION")])]),
        ),
    ])
}

/// The series of a metric: one for each combination of its labels' values, as the text has them.
fn series(name: &str, labels: &[Label]) -> BTreeSet<String> {
    let mut combinations = vec![String::new()];
    for (label, values) in labels {
        combinations = combinations
            .iter()
            .flat_map(|before| {
                let comma = if before.is_empty() { "" } else { "," };
                values
                    .iter()
                    .map(move |value| format!("{before}{comma}{label}=\"{value}\""))
            })
            .collect();
    }
    combinations
        .iter()
        .map(|labels| {
            if labels.is_empty() {
                name.to_owned()
            } else {
                format!("{name}{{{labels}}}")
            }
        })
        .collect()
}

#[tokio::test]
async fn every_metric_is_there_from_the_start_at_zero_with_all_values_of_its_labels_and_no_other() {
    let server = Server::start();
    let metrics = server.metrics().await;
    let expected = expected_metrics();
    let found: BTreeMap<_, _> = metrics
        .families
        .iter()
        .filter(|(name, _)| !name.starts_with("process_"))
        .map(|(name, kind)| (name.as_str(), kind.as_str()))
        .collect();
    let named: BTreeMap<_, _> = expected
        .iter()
        .map(|(name, (kind, _))| (*name, *kind))
        .collect();
    assert_eq!(found, named);
    for (name, (kind, labels)) in &expected {
        let sampled = if *kind == "histogram" {
            format!("{name}_count")
        } else {
            (*name).to_owned()
        };
        let samples = metrics.samples(&sampled);
        let names: BTreeSet<_> = samples.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(names, series(&sampled, labels));
        // The store works by itself, for its own upkeep.
        let moves = [
            "notice_build_info",
            "notice_capacity_sessions",
            "notice_store_operation_seconds",
        ];
        if !moves.contains(name) {
            let moved: Vec<_> = samples.iter().filter(|(_, value)| *value != 0.0).collect();
            assert!(moved.is_empty(), "{moved:?}");
        }
    }
    assert!((metrics.value("notice_capacity_sessions") - 20_000.0).abs() < 20_000.0);
    for name in [
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_cpu_seconds_total",
    ] {
        assert!(metrics.families.contains_key(name), "{name} is missing");
    }
}

#[tokio::test]
async fn the_counters_tell_a_small_story_and_no_label_takes_a_value_of_its_own() {
    let server = Server::start();
    let before = series_names(&server.metrics().await);
    let token = server.token("u2").await;
    let mut client = Handshake::v1(&token).open(server.public).await;
    let keyed =
        json!({"receiverId": "u2", "message": "x", "idempotencyKey": "k", "collapseKey": "c"});
    let first = server.stage_body(&keyed).await;
    server.try_stage(&keyed).await.expect(200);
    let second = server
        .stage_body(&json!({"receiverId": "u2", "message": "y", "collapseKey": "c"}))
        .await;
    let third = server.stage("u2", "z").await;
    let mut conflict = keyed.clone();
    conflict["message"] = json!("another");
    server.try_stage(&conflict).await.expect(409);
    server
        .try_stage(&json!({"receiverId": "u2"}))
        .await
        .expect(400);
    server
        .try_stage(&json!([{"receiverId": "u2"}, {"message": "x"}]))
        .await
        .expect(200);
    let send = json!({"receiverId": "off line", "message": "from a client"});
    server.client_post(&token, "/send", &send).await.expect(201);
    let ids: Vec<_> = {
        let mut ids = Vec::new();
        while ids.len() < 3 {
            if let Some(notice) = client.text().await.get("notice") {
                ids.push(notice["id"].as_str().unwrap().to_owned());
            }
        }
        ids
    };
    assert_eq!(ids, [first, second.clone(), third.clone()]);
    client.ack(&[&second]).await;
    server.reaches_state(&second, "read").await;
    server.recall(&third).await.expect(204);
    server.recall(&third).await.expect(204);
    client.close().await;
    server.reaches_sessions("u2", 0).await;
    // Without a session: what is staged waits, and that is no fault of this node.
    server.stage("u2", "waits").await;
    Handshake::legacy("bad").refused(server.public).await;

    let sample = "notice_sessions_closed_total{reason=\"client_gone\"}";
    server.reaches_metric(sample, 1.0).await;
    let metrics = server.metrics().await;
    let expected = [
        ("notice_staged_total{source=\"service\"}", 4.0),
        ("notice_staged_total{source=\"client\"}", 1.0),
        ("notice_duplicate_total", 1.0),
        ("notice_replaced_total", 1.0),
        ("notice_read_total", 1.0),
        ("notice_read_lag_seconds_count", 1.0),
        ("notice_recalled_total", 1.0),
        ("notice_expired_total", 0.0),
        (
            "notice_stage_errors_total{code=\"IDEMPOTENCY_CONFLICT\"}",
            1.0,
        ),
        ("notice_stage_errors_total{code=\"INVALID_ARGUMENT\"}", 3.0),
        ("notice_sessions_opened_total{transport=\"websocket\"}", 1.0),
        (
            "notice_sessions_refused_total{reason=\"unauthenticated\"}",
            1.0,
        ),
        ("notice_online_sessions{transport=\"websocket\"}", 0.0),
        ("notice_online_accounts", 0.0),
        ("notice_oldest_unpushed_seconds", 0.0),
    ];
    for (sample, value) in expected {
        let found = metrics.value(sample);
        assert!(
            (found - value).abs() < 1e-9,
            "{sample} is {found}, not {value}"
        );
    }
    assert!((metrics.sum("notice_pushed_total") - 3.0).abs() < 1e-9);
    assert!((metrics.sum("notice_push_lag_seconds_count") - 3.0).abs() < 1e-9);
    assert!(metrics.sum("notice_store_errors_total").abs() < 1e-9);
    assert_eq!(series_names(&metrics), before);
}

fn series_names(metrics: &Scrape) -> BTreeSet<String> {
    let families = metrics.families.keys();
    families
        .flat_map(|family| metrics.samples(family))
        .map(|(name, _)| name.to_owned())
        .collect()
}

#[tokio::test]
async fn a_notice_that_a_client_does_not_take_is_seen_to_grow_old_until_it_does() {
    let server = Server::with(&[("NOTICE_DELIVERY_WINDOW", "1")]);
    let mut client = server.connect("u2").await;
    let ids = server.stage_many("u2", "message", 2).await;
    assert_eq!(client.notice().await.id, ids[0]);
    eventually("a notice that grows old", async || {
        let age = server
            .metrics()
            .await
            .value("notice_oldest_unpushed_seconds");
        if age > 0.05 { Ok(()) } else { Err(age) }
    })
    .await;
    client.ack(&ids[..1]).await;
    assert_eq!(client.notice().await.id, ids[1]);
    server
        .reaches_metric("notice_oldest_unpushed_seconds", 0.0)
        .await;
}
