//! Who may drain a node: anyone on its machine, elsewhere only the holder of a key.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use notice_server::clock::Clock;
use serde_json::{Value, json};

use crate::support::{Folder, KEY, Request, Server, eventually};

/// The first test vector of RFC 8032, section 7.1: a key pair that everybody knows.
const SECRET: [u8; 32] = [
    0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4,
    0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
];
const PUBLIC: [u8; 32] = [
    0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a,
    0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
];
/// What PKCS #8 puts before the 32 bytes of an Ed25519 key.
const PKCS8_HEAD: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

fn signed(secret: [u8; 32], claims: &Value) -> String {
    let key = EncodingKey::from_ed_der(&[&PKCS8_HEAD[..], &secret].concat());
    encode(&Header::new(Algorithm::EdDSA), claims, &key).unwrap()
}

fn in_seconds(seconds: u64) -> u64 {
    Clock::System.now() / 1000 + seconds
}

/// An address of this machine that is not loopback. Nothing is sent: the system only says which way it would go.
fn outside_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("198.51.100.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

#[tokio::test]
async fn the_file_of_drain_keys_is_read_again_while_the_server_runs() {
    let Some(outside) = outside_address() else {
        eprintln!("this machine has loopback alone: from elsewhere nothing can be asked");
        return;
    };
    let folder = Folder::new();
    let file = folder.path().join("drain-keys");
    let another = STANDARD.encode([7; 32]);
    std::fs::write(&file, &another).unwrap();
    let server = Server::with(&[
        ("NOTICE_ADMIN_LISTEN", "0.0.0.0:0"),
        ("NOTICE_AUTH_DRAIN_KEYS_FILE", file.to_str().unwrap()),
    ]);
    let admin = SocketAddr::new(outside, server.admin.port());
    let proof = signed(SECRET, &json!({"aud": "node-a", "exp": in_seconds(300)}));
    let undrain = Request::delete("/drain").bearer(&proof);
    undrain.send(admin).await.expect(401);
    for (keys, status) in [
        (format!("{another}\n{}\n", STANDARD.encode(PUBLIC)), 204),
        (another.clone(), 401),
    ] {
        std::fs::write(&file, keys).unwrap();
        eventually("the new keys", async || {
            let answer = undrain.send(admin).await;
            if answer.status == status {
                Ok(())
            } else {
                Err(answer)
            }
        })
        .await;
    }
}

#[tokio::test]
async fn from_another_address_only_the_holder_of_a_drain_key_may_drain() {
    let Some(outside) = outside_address() else {
        // The rules of the proof are tested by themselves, beside them.
        eprintln!("this machine has loopback alone: from elsewhere nothing can be asked");
        return;
    };
    let server = Server::with(&[
        ("NOTICE_ADMIN_LISTEN", "0.0.0.0:0"),
        ("NOTICE_AUTH_DRAIN_KEYS", &STANDARD.encode(PUBLIC)),
    ]);
    let admin = SocketAddr::new(outside, server.admin.port());
    let good = signed(SECRET, &json!({"aud": "node-a", "exp": in_seconds(300)}));
    let wrong = [
        signed([7; 32], &json!({"aud": "node-a", "exp": in_seconds(300)})),
        signed(SECRET, &json!({"aud": "node-b", "exp": in_seconds(300)})),
        signed(SECRET, &json!({"aud": "node-a", "exp": in_seconds(3600)})),
        signed(SECRET, &json!({"aud": "node-a", "exp": in_seconds(0) - 60})),
        signed(SECRET, &json!({"aud": "node-a"})),
        signed(SECRET, &json!({"exp": in_seconds(300)})),
        KEY.to_owned(),
        String::new(),
    ];
    let drain = Request::post("/drain", &json!({"windowSeconds": 0}));
    drain
        .send(admin)
        .await
        .expect_problem(401, "UNAUTHENTICATED");
    for proof in &wrong {
        let answer = drain.clone().bearer(proof).send(admin).await;
        answer.expect_problem(401, "UNAUTHENTICATED");
    }
    assert_eq!(server.load().await["draining"], false);
    drain.clone().bearer(&good).send(admin).await.expect(200);
    assert_eq!(server.load().await["draining"], true);

    let undrain = Request::delete("/drain");
    undrain
        .send(admin)
        .await
        .expect_problem(401, "UNAUTHENTICATED");
    undrain.clone().bearer(&good).send(admin).await.expect(204);

    // So it is with rebalancing.
    let rebalance = Request::post("/rebalance", &json!({"sessions": 0}));
    let stop = Request::delete("/rebalance");
    for (verb, status) in [(rebalance, 200), (stop, 204)] {
        let without = verb.send(admin).await;
        without.expect_problem(401, "UNAUTHENTICATED");
        let wrong = verb.clone().bearer(&wrong[0]).send(admin).await;
        wrong.expect_problem(401, "UNAUTHENTICATED");
        verb.clone().bearer(&good).send(admin).await.expect(status);
    }
    // What only tells, and what comes from this machine, needs no proof.
    for path in ["/livez", "/readyz", "/metrics", "/load"] {
        Request::get(path).send(admin).await.expect(200);
    }
    server.drain(0).await.expect(200);
}
