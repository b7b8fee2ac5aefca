//! Sentinels, a cluster, encryption, and a user who may do only what is needed.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::bus::bus;
use super::server::{Server, ask, free_port};
use super::tokens::{tokens, until_it_works};
use crate::clock::Clock;
use crate::cluster::bus::Channel;
use crate::cluster::bus::conformance::{Node, account, message};
use crate::config::Secret;
use crate::domain::AccountId;
use crate::redis::resp::Frame;
use crate::redis::{Endpoint, Kind, Login, Tls};
use crate::tokens::SessionTokens;

const START: u64 = 1_790_000_000_000;

/// Waits until a server answers a question as wanted.
async fn until_answer(server: &Server, words: &[&str], wanted: impl Fn(&str) -> bool) {
    let begun = Instant::now();
    loop {
        let answer = ask(&server.endpoint(), &server.address(), words).await;
        let text = format!("{answer:?}");
        if wanted(&text) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A sentinel that watches a master, and decides alone.
async fn sentinel(master: &Server) -> Server {
    let mut sentinel = Server::idle();
    let port = master.port;
    let settings = format!(
        "port {}\nsentinel monitor main 127.0.0.1 {port} 1\nsentinel down-after-milliseconds main 500\n\
         sentinel failover-timeout main 3000\n",
        sentinel.port
    );
    let file = sentinel.folder.path().join("sentinel.conf");
    std::fs::write(&file, settings).expect("written");
    let file = file.to_str().expect("a path").to_owned();
    sentinel.spawn("redis-server", &[&file, "--sentinel"]);
    sentinel.until_open(sentinel.port).await;
    sentinel
}

#[tokio::test]
async fn when_sentinels_promote_a_replica_it_follows() {
    let mut master = Server::start(&[]).await;
    let port = master.port.to_string();
    let replica = Server::start(&["--replicaof", "127.0.0.1", &port]).await;
    until_answer(&replica, &["INFO", "replication"], |text| {
        text.contains("link_status:up")
    })
    .await;
    let sentinel = sentinel(&master).await;
    until_answer(&sentinel, &["SENTINEL", "REPLICAS", "main"], |text| {
        text.contains("runid")
    })
    .await;
    let endpoint = Endpoint {
        kind: Kind::Sentinel {
            // The first is not there.
            nodes: vec![Server::idle().address(), sentinel.address()],
            master: "main".to_owned(),
            login: Login::default(),
        },
        ..Endpoint::single("", 0)
    };
    let node = Node::run(bus(&endpoint, "ns:")).await;
    let tokens = tokens(&endpoint, "session:", &Clock::manual(START));
    assert_eq!(tokens.resolve("t").await, Ok(None));
    node.listen(&[account("u1")]).await;
    master.kill();
    node.until("down", |told| told.downs == 1).await;
    node.until_listening(&[account("u1")]).await;
    assert_eq!(node.say(&account("u1"), "x").await, Ok(1));
    until_answer(&replica, &["ROLE"], |text| text.contains("master")).await;
    until_it_works(&tokens).await;
    tokens
        .issue(&AccountId::trusted("u1"), START + 1000)
        .await
        .expect("issued by the new master");
}

/// Three masters that have all slots.
async fn cluster() -> ([Server; 3], Endpoint) {
    let mut servers = [Server::idle(), Server::idle(), Server::idle()];
    for server in &mut servers {
        let bus_port = free_port().to_string();
        let settings = [
            "--cluster-enabled",
            "yes",
            "--cluster-port",
            &bus_port,
            "--cluster-node-timeout",
            "2000",
        ];
        server.restart(&settings).await;
    }
    let nodes: Vec<String> = servers
        .iter()
        .map(|server| server.address().to_string())
        .collect();
    let made = Command::new("redis-cli")
        .args(["--cluster", "create"])
        .args(&nodes)
        .args(["--cluster-yes"])
        .output()
        .expect("redis-cli");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stdout)
    );
    for server in &servers {
        until_answer(server, &["CLUSTER", "INFO"], |text| {
            text.contains("cluster_state:ok")
        })
        .await;
        until_answer(server, &["CLUSTER", "SLOTS"], |text| {
            servers
                .iter()
                .all(|server| text.contains(&server.port.to_string()))
        })
        .await;
    }
    let endpoint = Endpoint {
        kind: Kind::Cluster(servers.iter().map(Server::address).collect()),
        ..Endpoint::single("", 0)
    };
    (servers, endpoint)
}

#[tokio::test]
async fn in_a_cluster_channels_and_tokens_lie_in_all_parts_and_a_moved_slot_is_followed() {
    let (servers, endpoint) = cluster().await;
    let (one, other) = (
        Node::run(bus(&endpoint, "ns:")).await,
        Node::run(bus(&endpoint, "ns:")).await,
    );
    let channels: Vec<Channel> = (0..300)
        .map(|n| account(&format!("u{n}")))
        .chain([
            account("{x}"),
            account("a{b}c"),
            account("{}"),
            Channel::Nodes,
        ])
        .collect();
    other.listen(&channels).await;
    let messages = || {
        channels
            .iter()
            .map(|channel| message(channel, "x"))
            .collect()
    };
    let counts = one.bus.publish(messages()).confirmed().await;
    assert_eq!(counts, Ok(vec![1; channels.len()]));
    other
        .until("heard", |told| told.heard.len() == channels.len())
        .await;
    for server in &servers {
        let answer = ask(&endpoint, &server.address(), &["PUBSUB", "SHARDCHANNELS"]).await;
        let Frame::Array(there) = answer else {
            panic!("{answer:?}")
        };
        assert!(there.len() > 50, "each has its part: {}", there.len());
    }
    let tokens = tokens(&endpoint, "session:", &Clock::manual(START));
    let mut held = Vec::new();
    for _ in 0..20 {
        let issued = tokens
            .issue(&AccountId::trusted("u1"), START + 60_000)
            .await
            .expect("issued");
        held.push(tokens.hold(&issued.token));
    }
    let valid = tokens.recheck(&held).await.expect("read");
    assert!(valid.iter().all(Option::is_some));
    move_slot(&servers, "ns:a:u1").await;
    other.until("down", |told| told.downs == 1).await;
    other.until_listening(&channels).await;
    one.until("down or unaware", |told| told.ups >= 1).await;
    let begun = Instant::now();
    while one.say(&account("u1"), "moved").await != Ok(1) {
        assert!(begun.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokens.revoke(&held).await.expect("revoked");
    let valid = tokens.recheck(&held).await.expect("read");
    assert!(valid.iter().all(Option::is_none));
}

/// Gives the slot of a name to another master.
async fn move_slot(servers: &[Server; 3], name: &str) {
    let endpoint = servers[0].endpoint();
    let Frame::Integer(slot) = ask(
        &endpoint,
        &servers[0].address(),
        &["CLUSTER", "KEYSLOT", name],
    )
    .await
    else {
        panic!("no slot")
    };
    let slot = slot.to_string();
    let mut ids = Vec::new();
    for server in servers {
        let answer = ask(&endpoint, &server.address(), &["CLUSTER", "MYID"]).await;
        let id = answer.text().expect("an id").clone();
        ids.push(String::from_utf8(id.to_vec()).expect("text"));
    }
    // Whoever has it answers the question for the number of its keys without a redirection; SETSLOT NODE needs the
    // new owner first, so that it is the one that says so to the others.
    let mut owner = 0;
    for (n, server) in servers.iter().enumerate() {
        let answer = ask(&endpoint, &server.address(), &["SPUBLISH", name, "?"]).await;
        if matches!(answer, Frame::Integer(_)) {
            owner = n;
        }
    }
    let to = (owner + 1) % 3;
    for server in [&servers[to], &servers[owner], &servers[(owner + 2) % 3]] {
        let set = ["CLUSTER", "SETSLOT", &slot, "NODE", &ids[to]];
        let answer = ask(&endpoint, &server.address(), &set).await;
        assert!(answer.text().is_some(), "{answer:?}");
    }
}

/// An authority of the test's own, and certificates of it for the server and for us.
fn make_certificates(folder: &Path) {
    let run = |arguments: &str| {
        let made = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(folder)
            .output()
            .expect("openssl");
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    run(&format!(
        "req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=test-ca -days 2"
    ));
    std::fs::write(
        folder.join("names"),
        "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n",
    )
    .expect("written");
    for name in ["server", "client"] {
        run(&format!(
            "req {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"
        ));
        run(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.pem -days 2 -extfile names"
        ));
    }
}

#[tokio::test]
async fn over_tls_both_sides_show_certificates_and_a_stranger_is_refused() {
    let mut server = Server::idle();
    let folder = server.folder.path().to_owned();
    make_certificates(&folder);
    let port = server.port.to_string();
    server.spawn(
        "redis-server",
        &[
            "--port",
            "0",
            "--tls-port",
            &port,
            "--save",
            "",
            "--tls-cert-file",
            "server.pem",
            "--tls-key-file",
            "server.key",
            "--tls-ca-cert-file",
            "ca.pem",
            "--tls-auth-clients",
            "yes",
        ],
    );
    server.until_open(server.port).await;
    let with = |tls: Tls| Endpoint {
        tls: Some(tls),
        ..Endpoint::single("localhost", server.port)
    };
    let ours = with(Tls {
        ca_file: Some(folder.join("ca.pem")),
        client_cert_file: Some(folder.join("client.pem")),
        client_key_file: Some(folder.join("client.key")),
    });
    let node = Node::run(bus(&ours, "ns:")).await;
    node.listen(&[account("u1")]).await;
    assert_eq!(node.say(&account("u1"), &"x".repeat(200_000)).await, Ok(1));
    node.until("heard", |told| told.heard.len() == 1).await;
    let clock = Clock::manual(START);
    assert_eq!(
        tokens(&ours, "session:", &clock).resolve("t").await,
        Ok(None)
    );
    // Neither the well-known authorities nor a client without a certificate will do.
    let without_ca = with(Tls::default());
    let without_certificate = with(Tls {
        ca_file: Some(folder.join("ca.pem")),
        ..Tls::default()
    });
    for endpoint in [without_ca, without_certificate] {
        tokens(&endpoint, "session:", &clock)
            .resolve("t")
            .await
            .expect_err("refused");
    }
}

#[tokio::test]
async fn a_user_who_may_do_only_what_is_documented_can_do_all_of_it() {
    let server = Server::start(&[]).await;
    // The line of the module's head.
    let line = include_str!("../mod.rs")
        .lines()
        .find_map(|line| line.strip_prefix("//! ACL SETUSER"))
        .expect("the line");
    let words: Vec<&str> = ["ACL", "SETUSER"]
        .into_iter()
        .chain(line.split_whitespace())
        .collect();
    let answer = ask(&server.endpoint(), &server.address(), &words).await;
    assert!(answer.text().is_some(), "{answer:?}");
    let off = ask(
        &server.endpoint(),
        &server.address(),
        &["ACL", "SETUSER", "default", "off"],
    )
    .await;
    assert!(off.text().is_some(), "{off:?}");
    let endpoint = Endpoint {
        login: Login {
            username: Some("notice".to_owned()),
            password: Some(Secret::new("password")),
        },
        ..server.endpoint()
    };
    let node = Node::run(bus(&endpoint, "notice:db:")).await;
    node.listen(&[account("u1"), Channel::Nodes]).await;
    assert_eq!(node.say(&account("u1"), "x").await, Ok(1));
    let clock = Clock::manual(START);
    let tokens = tokens(&endpoint, "session:", &clock);
    let issued = tokens
        .issue(&AccountId::trusted("u1"), START + 1000)
        .await
        .expect("issued");
    assert!(tokens.resolve(&issued.token).await.expect("read").is_some());
    tokens
        .revoke(&[tokens.hold(&issued.token)])
        .await
        .expect("revoked");
    // And nothing beside it.
    for words in [
        ["SUBSCRIBE", "elsewhere:x"],
        ["GET", "elsewhere:x"],
        ["KEYS", "*"],
    ] {
        let answer = ask(&endpoint, &server.address(), &words).await;
        assert!(
            matches!(&answer, Frame::Error(error) if error.starts_with(b"NOPERM")),
            "{answer:?}"
        );
    }
}
