//! nginx in front: the location of the source design over two nodes without stickiness, and nginx as it comes.
//!
//! Needs nginx (`scripts/tool nginx`, or `NGINX_BIN`); the tests of two nodes need the services as well.

#![cfg(test)]

mod support;

use std::time::{Duration, Instant};

use serde_json::json;

use support::{Carrier, Cluster, Device, Handshake, Listen, Nginx, Request, Server, in_time};

/// The gateway of the source design; everything else as nginx does it by itself.
const GATEWAY: &str = r#"
  location = /notice/ws/socket {
    proxy_pass http://notice;
    proxy_connect_timeout 10s;
    proxy_read_timeout 7200s;
    proxy_send_timeout 10s;
    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection "upgrade";
    proxy_set_header Host $host;
    proxy_set_header X-Real-IP $remote_addr;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  }
  location / { proxy_pass http://notice; }
"#;

/// nginx's own defaults.
const DEFAULTS: &str = "location / { proxy_pass http://notice; }";

/// Far below what a buffer that waits to be full would take, far above what a busy machine does.
const AT_ONCE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_stream_through_nginx_as_it_comes_is_there_at_once_event_by_event() {
    let server = Server::start();
    let nginx = Nginx::start(&[server.public], DEFAULTS).await;
    let token = server.token("u2").await;
    let begun = Instant::now();
    let mut events = Listen::with(&token).open(nginx.address).await;
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    for number in 0..5 {
        let begun = Instant::now();
        let id = server.stage("u2", &number.to_string()).await;
        assert_eq!(events.notice().await.id, id);
        assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    }
    // nginx closes its side when the client is gone, and the server notices.
    drop(events);
    server.reaches_sessions("u2", 0).await;
}

#[tokio::test]
async fn a_long_poll_through_nginx_as_it_comes_is_answered_at_once() {
    let server = Server::start();
    let nginx = Nginx::start(&[server.public], DEFAULTS).await;
    let token = server.token("u2").await;
    let poll = Request::get("/notice/poll?wait=50").bearer(&token);
    let polling = tokio::spawn(async move { poll.send(nginx.address).await });
    server.reaches_sessions("u2", 1).await;
    let begun = Instant::now();
    let id = server.stage("u2", "hello").await;
    let answer = in_time("the answer", polling).await.unwrap().expect(200);
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    assert_eq!(answer.json()["notices"][0]["id"], json!(id));
}

#[tokio::test]
async fn the_page_through_nginx_signs_in_and_shows_its_notices() {
    let server = Server::start();
    let nginx = Nginx::start(&[server.public], DEFAULTS).await;
    let token = server.token("u2").await;
    server.stage("u2", "hello").await;
    let link = Request::get(format!("/notice/page?SESSION_TOKEN_KEY={token}"));
    let answer = link.send(nginx.address).await.expect(303);
    assert_eq!(answer.header("location"), Some("/notice/page"));
    let load = Request::get("/notice/page").header("cookie", format!("SESSION_TOKEN_KEY={token}"));
    let page = load.send(nginx.address).await.expect(200);
    assert!(page.text().contains("hello"));
}

macro_rules! over_two_nodes {
    ($($name:ident $carrier:ident)*) => {
        mod two_nodes_of_a_cluster {
            $(
                #[tokio::test]
                async fn $name() {
                    super::everything_arrives_over_two_nodes(super::Carrier::$carrier).await;
                }
            )*
        }
    };
}

over_two_nodes! {
    carry_v1 V1
    carry_the_source_designs_sockets Legacy
    carry_streams Stream
    carry_strict_streams StrictStream
    carry_long_polls LongPoll
    carry_short_polls ShortPoll
}

/// Every request may reach either node: staging, connecting, polling, acknowledging.
async fn everything_arrives_over_two_nodes(carrier: Carrier) {
    let cluster = Cluster::new();
    let [a, b] = cluster.two().await;
    let nginx = Nginx::start(&[a.public, b.public], GATEWAY).await;
    let token = a.token("u2").await;
    let stage = async |message: String| {
        let body = json!({"receiverId": "u2", "message": message});
        let request = Request::post("/notice/notices", &body).bearer(&a.key);
        let answer = request.send(nginx.address).await.expect(201).json();
        answer["id"].as_str().unwrap().to_owned()
    };
    let before = stage("before anybody was there".to_owned()).await;
    let mut device = Device::open(nginx.address, &token, carrier).await;
    let first = device.notice().await;
    assert_eq!(first.id, before);
    device.ack(&[&before]).await;
    for number in 0..30 {
        let id = stage(format!("message {number}")).await;
        let notice = device.notice().await;
        assert_eq!(notice.id, id, "{number}: {notice:?}");
        device.ack(&[&id]).await;
    }
    device.reads_all(&a, "u2").await;
    b.reaches_unread("u2", 0).await;
}

#[tokio::test]
async fn the_address_of_a_client_behind_nginx_in_a_cluster_is_that_of_nginx_unless_it_is_trusted() {
    let cluster = Cluster::new();
    let node = cluster
        .node_with("node-a", &[("NOTICE_LOG", "debug")])
        .await;
    let nginx = Nginx::start(&[node.public], GATEWAY).await;
    let token = node.token("u2").await;
    let socket = Handshake::legacy(&token)
        .header("x-forwarded-for", "192.0.2.7")
        .open(nginx.address)
        .await;
    node.reaches_sessions("u2", 1).await;
    drop(socket);
    assert!(!node.output().contains("192.0.2.7"));
}
