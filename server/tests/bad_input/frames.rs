//! WebSocket frames, byte by byte: those against RFC 6455, those against our protocol, and odd ones that are right.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::Witness;
use super::support::{
    Folder, Frame, Handshake, Program, Server, Socket, eventually, in_time, masked,
};

const FINAL: u8 = 0x80;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;

fn send_frame(message: &str) -> String {
    json!({"type": "send", "ref": message, "receiverId": "u2", "message": message}).to_string()
}

/// A frame that only says how long it would be.
fn declared(head: u8, length: u64) -> Vec<u8> {
    [
        &[head, 0x80 | 127][..],
        &length.to_be_bytes(),
        &[1, 2, 3, 4],
    ]
    .concat()
}

#[tokio::test]
async fn frames_against_the_rules_end_their_connection_and_no_other() {
    let server = Server::start();
    let witness = Witness::plant(&server).await;
    let mut neighbour = server.connect("neighbour").await;
    let text = send_frame("never");
    let half = |head: u8| masked(head, &text.as_bytes()[..20]);
    let abuses: [(&str, Vec<u8>, &[u16]); 18] = [
        (
            "not masked",
            [&[FINAL | TEXT, 2][..], b"{}"].concat(),
            &[1008],
        ),
        (
            "first reserved bit",
            masked(FINAL | 0x40 | TEXT, b"{}"),
            &[1008],
        ),
        (
            "second reserved bit",
            masked(FINAL | 0x20 | TEXT, b"{}"),
            &[1008],
        ),
        (
            "third reserved bit",
            masked(FINAL | 0x10 | TEXT, b"{}"),
            &[1008],
        ),
        ("data opcode 3", masked(FINAL | 3, b"{}"), &[1008]),
        ("control opcode 11", masked(FINAL | 11, b""), &[1008]),
        ("ping in parts", masked(PING, b"x"), &[1008]),
        ("long ping", masked(FINAL | PING, &[0; 126]), &[1008]),
        ("close in parts", masked(CLOSE, b""), &[1008]),
        (
            "continuation of nothing",
            masked(FINAL | CONTINUATION, b"{}"),
            &[1008],
        ),
        (
            "text within a text",
            [half(TEXT), masked(FINAL | TEXT, b"{}")].concat(),
            &[1008],
        ),
        (
            "no UTF-8",
            masked(FINAL | TEXT, b"{\"type\":\"\xff\"}"),
            &[1008],
        ),
        (
            "half a character",
            masked(FINAL | TEXT, b"{\"type\":\"\xe2\x82"),
            &[1008],
        ),
        (
            "no UTF-8 in the second part",
            [
                masked(TEXT, b"{\"a\":\""),
                masked(FINAL | CONTINUATION, b"\xff\"}"),
            ]
            .concat(),
            &[1008],
        ),
        (
            "longest length",
            declared(FINAL | TEXT, (1 << 63) - 1),
            &[1009],
        ),
        (
            "a length past the longest",
            declared(FINAL | TEXT, u64::MAX),
            &[1008, 1009],
        ),
        ("too long a frame", declared(FINAL | TEXT, 1 << 20), &[1009]),
        (
            "too long in parts",
            [
                masked(TEXT, &[b' '; 250_000]),
                masked(CONTINUATION, &[b' '; 250_000]),
            ]
            .concat(),
            &[1009],
        ),
    ];
    for (what, bytes, codes) in abuses {
        for v1 in [false, true] {
            let mut socket = if v1 {
                server.connect("u1").await
            } else {
                server.connect_legacy("u1").await
            };
            socket.send_bytes(&bytes).await.unwrap();
            let code = socket.closed().await;
            assert!(
                code.is_some_and(|code| codes.contains(&code)),
                "{what}: {code:?}"
            );
        }
    }
    server.reaches_sessions("u1", 0).await;
    assert_eq!(server.unread("u2").await, 0);
    let id = server.stage("neighbour", "still here").await;
    assert_eq!(neighbour.notice().await.id, id);
    witness.survives(&server).await;
}

#[tokio::test]
async fn close_frames_of_any_kind_end_the_session_in_good_order() {
    let server = Server::start();
    let witness = Witness::plant(&server).await;
    let with_reason = |code: u16, reason: &[u8]| [&code.to_be_bytes()[..], reason].concat();
    let mut payloads = vec![
        vec![],
        vec![3],
        with_reason(1000, b"bye"),
        with_reason(1000, b"\xff\xfe"),
    ];
    for code in [
        0, 999, 1001, 1004, 1005, 1006, 1015, 2999, 3000, 4999, 5000, 65_535,
    ] {
        payloads.push(with_reason(code, b""));
    }
    for payload in payloads {
        let mut socket = server.connect("u1").await;
        socket.send_frame(CLOSE, &payload).await.unwrap();
        socket.closed().await;
    }
    server.reaches_sessions("u1", 0).await;
    witness.survives(&server).await;
}

#[tokio::test]
async fn an_acknowledgement_right_before_a_close_or_a_broken_frame_counts() {
    let server = Server::start();
    for last in [
        masked(FINAL | CLOSE, &1000_u16.to_be_bytes()),
        masked(FINAL | 3, b""),
    ] {
        let id = server.stage("u1", "quick").await;
        let mut socket = server.connect("u1").await;
        assert_eq!(socket.notice().await.id, id);
        let ack = json!({"type": "ack", "ids": [id]}).to_string();
        let packet = [masked(FINAL | TEXT, ack.as_bytes()), last].concat();
        socket.send_bytes(&packet).await.unwrap();
        drop(socket);
        server.reaches_state(&id, "read").await;
    }
}

#[tokio::test]
async fn a_text_in_parts_with_pings_between_is_one_text() {
    let server = Server::start();
    let witness = Witness::plant(&server).await;
    let mut receiver = server.connect("u2").await;
    let mut socket = server.connect("u1").await;
    let text = send_frame("ä€😀 in parts");
    let bytes = text.as_bytes();
    // One byte each: characters are torn too.
    let mut packet = masked(TEXT, &bytes[..1]);
    for byte in &bytes[1..] {
        packet.extend(masked(CONTINUATION, &[*byte]));
        packet.extend(masked(FINAL | PING, &[*byte]));
    }
    packet.extend(masked(FINAL | CONTINUATION, b""));
    socket.send_bytes(&packet).await.unwrap();
    let mut pongs = Vec::new();
    let sent = in_time("the answer", async {
        loop {
            match socket.frame().await.unwrap() {
                Some(Frame::Pong(payload)) => pongs.extend(payload),
                Some(Frame::Text(json)) => return json,
                Some(Frame::Ping(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    })
    .await;
    assert_eq!(sent["type"], "sent", "{sent}");
    // Of pings that came together the last one may stand for all (RFC 6455, 5.5.3).
    let last = bytes[bytes.len() - 1];
    if pongs.last() != Some(&last) {
        in_time("the last pong", async {
            while socket.frame().await.unwrap() != Some(Frame::Pong(vec![last])) {}
        })
        .await;
    }
    assert_eq!(receiver.notice().await.message, "ä€😀 in parts");
    witness.survives(&server).await;
}

#[tokio::test]
async fn a_frame_that_comes_byte_by_byte_is_a_frame() {
    let server = Server::start();
    let mut socket = server.connect("u1").await;
    for byte in masked(FINAL | TEXT, send_frame("slowly").as_bytes()) {
        socket.send_bytes(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(socket.expect("sent").await["ref"], "slowly");
}

#[tokio::test]
async fn a_text_that_is_no_frame_of_ours_is_answered_and_ends_the_connection_when_repeated() {
    let server = Server::start();
    let witness = Witness::plant(&server).await;
    for v1 in [false, true] {
        let mut socket = if v1 {
            server.connect("u1").await
        } else {
            server.connect_legacy("u1").await
        };
        for text in ["{", "[]", "null", "\0"] {
            socket.send_text(text).await.unwrap();
        }
        for _ in 0..3 {
            let answer = socket.text().await;
            if v1 {
                assert_eq!(
                    (&answer["type"], &answer["code"]),
                    (&json!("error"), &json!("INVALID_ARGUMENT"))
                );
            } else {
                assert_eq!(
                    (&answer["success"], &answer["code"]),
                    (&json!(false), &json!("WS_SEND_FAILED"))
                );
            }
        }
        assert_eq!(socket.closed().await, Some(1008));
    }
    let mut socket = server.connect("u1").await;
    socket.send_binary(b"{}").await.unwrap();
    socket.expect("error").await;
    // An unknown type is no misuse, however often it comes.
    for _ in 0..20 {
        socket.send(&json!({"type": "later", "ref": "r"})).await;
        assert_eq!(socket.expect("error").await["ref"], "r");
    }
    socket.send_text(&send_frame("still in")).await.unwrap();
    socket.expect("sent").await;
    witness.survives(&server).await;
}

#[tokio::test]
async fn too_many_ids_in_an_acknowledgement_are_refused() {
    let server = Server::start();
    let witness = Witness::plant(&server).await;
    let mut socket = server.connect("witness").await;
    let mut ids: Vec<_> = witness.ids.clone();
    ids.resize(1001, "x".to_owned());
    socket.ack(&ids).await;
    assert_eq!(socket.find("error").await["code"], "TOO_LARGE");
    ids.truncate(1000);
    ids[..3].clone_from_slice(&["x", "", "y"].map(str::to_owned));
    socket.ack(&ids).await;
    // A million are past what a frame may have.
    ids.resize(1_000_000, "x".to_owned());
    let text = json!({"type": "ack", "ids": ids}).to_string();
    let _broken_pipe = socket.send_text(&text).await;
    assert!(matches!(socket.closed().await, Some(1009) | None));
    assert_eq!(server.unread("witness").await, 3);
    witness.survives(&server).await;
}

#[tokio::test]
async fn ids_of_others_in_a_frame_are_not_touched() {
    let server = Server::start();
    let witness = Witness::plant(&server).await;
    let mut stranger = server.connect("stranger").await;
    stranger.ack(&witness.ids).await;
    // Frames are taken in order: with the answer to this one the acknowledgement is behind it.
    stranger.send_text(&send_frame("behind")).await.unwrap();
    stranger.expect("sent").await;
    stranger.close().await;
    assert_eq!(server.unread("witness").await, 3);
    witness.survives(&server).await;
}

#[tokio::test]
async fn a_client_that_sends_for_another_or_breaks_a_limit_gets_an_error_with_its_reference() {
    let server = Server::start();
    let mut socket = server.connect("u1").await;
    let mut refused = async |mut frame: Value, code: &str| {
        frame["type"] = json!("send");
        frame["ref"] = json!(code);
        socket.send(&frame).await;
        let error = socket.expect("error").await;
        assert_eq!(
            (&error["ref"], &error["code"]),
            (&json!(code), &json!(code)),
            "{error}"
        );
    };
    refused(json!({"message": "m"}), "INVALID_ARGUMENT").await;
    refused(
        json!({"receiverId": "", "message": "m"}),
        "INVALID_ARGUMENT",
    )
    .await;
    refused(
        json!({"receiverId": "u\u{0}", "message": "m"}),
        "INVALID_ARGUMENT",
    )
    .await;
    refused(
        json!({"receiverId": "u2", "message": "m".repeat(65_537)}),
        "TOO_LARGE",
    )
    .await;
    refused(
        json!({"receiverId": "u2", "message": "m", "idempotencyKey": ""}),
        "INVALID_ARGUMENT",
    )
    .await;
    let forged = json!({"type": "send", "receiverId": "u2", "message": "m", "senderId": "boss", "collapseKey": "c"});
    socket.send(&forged).await;
    socket.expect("sent").await;
    let mut receiver = server.connect("u2").await;
    let notice = receiver.notice().await;
    assert_eq!(
        (notice.sender.as_deref(), notice.json.get("collapseKey")),
        (Some("u1"), None)
    );
}

/// Sends pings for a while and reads nothing; how many bytes the server took.
async fn flood(mut socket: Socket, end: Instant) -> usize {
    let block = masked(FINAL | PING, &[7; 125]).repeat(100);
    let mut taken = 0;
    while Instant::now() < end {
        match timeout(Duration::from_millis(100), socket.send_bytes(&block)).await {
            Ok(Ok(())) => taken += block.len(),
            Ok(Err(_)) => break,
            Err(_) => {}
        }
    }
    taken
}

#[tokio::test]
async fn a_flood_of_pings_from_clients_that_do_not_read_costs_bounded_memory_and_hurts_nobody() {
    let folder = Folder::new();
    let server = Program::start(&folder, &[]).await;
    let witness = Witness::plant(&server).await;
    let token = server.token("flood").await;
    let mut others = server.connect("others").await;
    let mut sockets = Vec::new();
    for _ in 0..20 {
        let handshake = Handshake::v1(&token).receive_buffer(4096);
        sockets.push(handshake.open(server.public).await);
    }
    let before = server.resident_bytes();
    let end = Instant::now() + Duration::from_secs(2);
    let floods: Vec<_> = sockets
        .into_iter()
        .map(|socket| tokio::spawn(flood(socket, end)))
        .collect();
    for number in 0..20 {
        let id = server.stage("others", &number.to_string()).await;
        assert_eq!(others.notice().await.id, id);
    }
    let mut taken = 0;
    for flood in floods {
        taken += flood.await.unwrap();
    }
    let grown = server.resident_bytes().saturating_sub(before) >> 20;
    assert!(grown < 24, "grown by {grown} MiB at {taken} bytes of pings");
    server.reaches_sessions("flood", 0).await;
    witness.survives(&server).await;
}

#[tokio::test]
async fn a_flood_of_frames_that_are_answered_costs_bounded_memory() {
    let folder = Folder::new();
    let server = Program::start(&folder, &[]).await;
    let witness = Witness::plant(&server).await;
    let token = server.token("flood").await;
    let mut socket = Handshake::v1(&token)
        .receive_buffer(4096)
        .open(server.public)
        .await;
    let before = server.resident_bytes();
    let block = masked(FINAL | TEXT, br#"{"type":"unknown"}"#).repeat(1000);
    let end = Instant::now() + Duration::from_secs(2);
    while Instant::now() < end {
        let _full = timeout(Duration::from_millis(100), socket.send_bytes(&block)).await;
    }
    let grown = server.resident_bytes().saturating_sub(before) >> 20;
    assert!(grown < 16, "grown by {grown} MiB");
    drop(socket);
    eventually("the end of the session", async || {
        let view = server.account("flood").await;
        if view["online"] == false {
            Ok(())
        } else {
            Err(view)
        }
    })
    .await;
    witness.survives(&server).await;
}
