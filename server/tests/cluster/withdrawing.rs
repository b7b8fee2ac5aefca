//! An account's devices on several nodes: what one has read, and what is recalled or replaced, crosses over.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::support::{Api, Cluster, Program, Socket};

/// Longer than a wake-up is believed by itself.
const LATE: Duration = Duration::from_millis(1500);

async fn connect_everywhere(nodes: &[Program; 3], account: &str) -> Vec<Socket> {
    let mut devices = Vec::new();
    for node in nodes {
        devices.push(node.connect(account).await);
    }
    nodes[0].reaches_sessions(account, 3).await;
    devices
}

/// The next notice of a device that may be told of this one, which it never had, is a marker.
async fn never_shown(api: &Api, account: &str, device: &mut Socket, id: &str) {
    let marker = api.stage(account, "marker").await;
    loop {
        let frame = device.text().await;
        if frame["type"] == "notice" {
            assert_eq!(frame["notice"]["id"], marker);
            return;
        }
        assert_eq!(frame["ids"], json!([id]), "{frame}");
    }
}

/// The next frame of each device is this marker: nothing else was on its way.
async fn nothing_but_a_marker(api: &Api, account: &str, devices: &mut [Socket]) {
    let marker = api.stage(account, "marker").await;
    for device in devices {
        assert_eq!(device.notice().await.id, marker);
    }
}

#[tokio::test]
async fn each_device_gets_a_notice_once_and_the_ack_of_one_withdraws_it_from_the_others() {
    let cluster = Cluster::new();
    let nodes = cluster.three().await;
    let mut devices = connect_everywhere(&nodes, "u2").await;
    for acking in 0..3 {
        let id = nodes[acking].stage("u2", "hello").await;
        for device in &mut devices {
            assert_eq!(device.notice().await.id, id);
        }
        devices[acking].ack(&[&id]).await;
        for (place, device) in devices.iter_mut().enumerate() {
            if place != acking {
                assert_eq!(device.expect("read").await["ids"], json!([id]));
            }
        }
    }
    nothing_but_a_marker(&nodes[0], "u2", &mut devices).await;
}

#[tokio::test]
async fn an_ack_by_http_at_a_node_without_any_of_the_devices_reaches_all_of_them() {
    let cluster = Cluster::new();
    let [a, b, c] = cluster.three().await;
    let mut devices = [a.connect("u2").await, b.connect("u2").await];
    let token = c.token("u2").await;
    let id = c.stage("u2", "hello").await;
    for device in &mut devices {
        assert_eq!(device.notice().await.id, id);
    }
    assert_eq!(c.ack(&token, &[&id]).await, 1);
    assert_eq!(a.ack(&token, &[&id]).await, 0);
    for device in &mut devices {
        assert_eq!(device.expect("read").await["ids"], json!([id]));
    }
}

/// Guarantee 3.
#[tokio::test]
async fn an_automatic_read_takes_a_notice_from_no_device_of_another_node() {
    let cluster = Cluster::new().with("NOTICE_DELIVERY_WINDOW", "1");
    let [a, b] = cluster.two().await;
    let mut slow = b.connect("u2").await;
    a.reaches_sessions("u2", 1).await;
    let mut legacy = a.connect_legacy("u2").await;
    let first = a.stage("u2", "first").await;
    let second = a.stage("u2", "second").await;
    assert_eq!(slow.notice().await.id, first);
    // Its window is full: the second waits behind it, and the other device's pong reads both.
    let answering = async {
        loop {
            legacy.text_or_end().await.unwrap();
        }
    };
    tokio::select! {
        () = answering => {}
        _ = b.reaches_state(&second, "read") => {}
    }
    slow.ack(&[&first]).await;
    assert_eq!(slow.notice().await.id, second);
}

#[tokio::test]
async fn a_recall_takes_a_notice_from_the_devices_of_every_node_and_from_those_to_come() {
    let cluster = Cluster::new();
    let nodes = cluster.three().await;
    let mut devices = connect_everywhere(&nodes, "u2").await;
    let id = nodes[0].stage("u2", "a mistake").await;
    for device in &mut devices {
        assert_eq!(device.notice().await.id, id);
    }
    nodes[1].recall(&id).await.expect(204);
    for device in &mut devices {
        assert_eq!(device.expect("recall").await["ids"], json!([id]));
    }
    devices.push(nodes[2].connect("u2").await);
    nothing_but_a_marker(&nodes[2], "u2", &mut devices).await;
    for node in &nodes {
        assert_eq!(node.state_name(&id).await, "recalled");
    }
}

#[tokio::test]
async fn a_notice_recalled_while_its_wake_up_is_on_the_way_is_never_shown() {
    let cluster = Cluster::new();
    let [a, b, c] = cluster.three().await;
    let mut device = b.connect("u2").await;
    a.reaches_sessions("u2", 1).await;
    b.freeze();
    let id = a.stage("u2", "a mistake").await;
    c.recall(&id).await.expect(204);
    sleep(LATE).await;
    b.thaw();
    never_shown(&a, "u2", &mut device, &id).await;
}

#[tokio::test]
async fn a_notice_read_elsewhere_while_its_wake_up_is_on_the_way_is_not_shown() {
    let cluster = Cluster::new();
    let [a, b] = cluster.two().await;
    let mut late = b.connect("u2").await;
    let mut quick = a.connect("u2").await;
    a.reaches_sessions("u2", 2).await;
    b.freeze();
    let id = a.stage("u2", "hello").await;
    assert_eq!(quick.notice().await.id, id);
    quick.ack(&[&id]).await;
    a.reaches_state(&id, "read").await;
    sleep(LATE).await;
    b.thaw();
    never_shown(&a, "u2", &mut late, &id).await;
}

#[tokio::test]
async fn a_notice_whose_wake_up_came_late_is_shown_all_the_same() {
    let cluster = Cluster::new();
    let [a, b] = cluster.two().await;
    let mut device = b.connect("u2").await;
    a.reaches_sessions("u2", 1).await;
    b.freeze();
    let first = a.stage("u2", "first").await;
    let second = a.stage("u2", "second").await;
    sleep(LATE).await;
    b.thaw();
    assert_eq!(device.notice().await.id, first);
    assert_eq!(device.notice().await.id, second);
    nothing_but_a_marker(&a, "u2", std::slice::from_mut(&mut device)).await;
}

#[tokio::test]
async fn a_collapse_key_replaces_what_was_staged_on_another_node() {
    let cluster = Cluster::new();
    let nodes = cluster.three().await;
    let body = |text: &str| json!({"receiverId": "u2", "senderId": "u1", "message": text, "collapseKey": "position"});
    let mut device = nodes[2].connect("u2").await;
    let mut older: Option<String> = None;
    for (number, node) in (0..9).zip(nodes.iter().cycle()) {
        let id = node.stage_body(&body(&number.to_string())).await;
        let (mut notice, mut recalled) = (None, None);
        while notice.is_none() || (older.is_some() && recalled.is_none()) {
            let frame = device.text().await;
            match frame["type"].as_str() {
                Some("notice") => notice = Some(frame["notice"]["id"].clone()),
                Some("recall") => recalled = Some(frame["ids"].clone()),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(notice, Some(json!(id)));
        assert_eq!(recalled, older.as_ref().map(|older| json!([older])));
        older = Some(id);
    }
    assert_eq!(nodes[0].unread("u2").await, 1);
    let mut later = nodes[0].connect("u2").await;
    assert_eq!(Some(later.notice().await.id), older);
}

#[tokio::test]
async fn of_two_that_race_for_a_collapse_key_the_one_with_the_higher_id_stays() {
    let cluster = Cluster::new();
    let [a, b] = cluster.two().await;
    for round in 0..10 {
        let account = format!("u-{round}");
        let body = json!({"receiverId": account, "message": "x", "collapseKey": "k"});
        let (one, other) = tokio::join!(a.stage_body(&body), b.stage_body(&body));
        a.reaches_unread(&account, 1).await;
        let (older, newer) = (one.clone().min(other.clone()), one.max(other));
        assert_eq!(b.state_name(&older).await, "replaced");
        assert_eq!(a.state_name(&newer).await, "staged");
    }
}
