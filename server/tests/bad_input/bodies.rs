//! Bodies of HTTP calls.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Witness;
use super::support::{Api, Connection, Folder, Program, Request, Server, eventually, in_time};

/// Every call that takes a body.
const CALLS: [&str; 5] = ["/notices", "/sessions", "/sessions/revoke", "/send", "/ack"];

/// A request that carries whichever credential the call wants.
async fn request(api: &Api, path: &str) -> Request {
    let request = Request::new("POST", format!("/notice{path}"));
    match path {
        "/send" | "/ack" => request.bearer(&api.token("u1").await),
        _ => request.bearer(&api.key),
    }
}

#[tokio::test]
async fn what_is_no_json_object_is_refused_by_every_call() {
    let server = Server::start();
    let witness = Witness::plant(&server).await;
    let bodies: [&[u8]; 14] = [
        b"",
        b"null",
        b"7",
        b"\"text\"",
        b"[",
        b"{",
        b"{}",
        b"{\"a\":}",
        b"{\"a\":1}}",
        b"\xff\xfe",
        b"{\"message\":\"\xc3\x28\",\"ids\":\"\xff\",\"token\":\"\xff\",\"accountId\":\"\xff\"}",
        b"{\"message\":\"\\ud800\",\"ids\":[\"\\ud800\"],\"token\":\"\\ud800\",\"accountId\":\"\\ud800\"}",
        b"{\"receiverId\":1,\"message\":[],\"ids\":{},\"token\":1,\"accountId\":false}",
        b"\0\0\0\0",
    ];
    for path in CALLS {
        let request = request(&server, path).await;
        for body in bodies {
            let answer = request.clone().body(Bytes::from_static(body));
            let answer = answer.send(server.public).await;
            answer.expect_problem(400, "INVALID_ARGUMENT");
        }
        let deep = [b"{\"data\":".as_slice(), &[b'['; 100_000]].concat();
        let answer = request.body(deep).send(server.public).await;
        answer.expect_problem(400, "INVALID_ARGUMENT");
    }
    witness.survives(&server).await;
}

#[tokio::test]
async fn a_list_is_not_taken_for_an_object_with_its_members_in_order() {
    let server = Server::start();
    for path in ["/sessions", "/sessions/revoke", "/send", "/ack"] {
        let request = request(&server, path).await;
        let answer = request
            .body(r#"["u1", 60, null]"#)
            .send(server.public)
            .await;
        answer.expect_problem(400, "INVALID_ARGUMENT");
    }
}

#[tokio::test]
async fn a_notice_with_one_wrong_member_is_refused_and_its_neighbours_are_staged() {
    let server = Server::start();
    let witness = Witness::plant(&server).await;
    let long = "x".repeat(65_537);
    let wrong = [
        (
            json!({"receiverId": "", "message": "m"}),
            "INVALID_ARGUMENT",
        ),
        (
            json!({"receiverId": "a\u{0}b", "message": "m"}),
            "INVALID_ARGUMENT",
        ),
        (
            json!({"receiverId": "x".repeat(129), "message": "m"}),
            "INVALID_ARGUMENT",
        ),
        (
            json!({"receiverId": "x".repeat(1_000_000), "message": "m"}),
            "INVALID_ARGUMENT",
        ),
        (json!({"receiverId": "u1", "message": long}), "TOO_LARGE"),
        (
            json!({"receiverId": "u1", "message": "m", "ttlSeconds": -1}),
            "INVALID_ARGUMENT",
        ),
    ];
    for (body, code) in &wrong {
        let status = if *code == "TOO_LARGE" { 413 } else { 400 };
        server.try_stage(body).await.expect_problem(status, code);
        let good = json!({"receiverId": "u1", "message": "fine"});
        let answer = server
            .try_stage(&json!([good, body, good]))
            .await
            .expect(200)
            .json();
        let results = answer["results"].as_array().unwrap();
        assert_eq!(results.len(), 3, "{answer}");
        assert_eq!(results[1]["code"], *code, "{answer}");
        assert!(
            results[0]["id"].is_string() && results[2]["id"].is_string(),
            "{answer}"
        );
    }
    assert_eq!(server.unread("u1").await, 2 * wrong.len() as u64);
    witness.survives(&server).await;
}

#[tokio::test]
async fn more_notices_or_ids_than_a_call_may_have_are_refused_whole() {
    let server = Server::start();
    let witness = Witness::plant(&server).await;
    let one = json!({"receiverId": "u1", "message": "m"});
    let answer = server.try_stage(&json!(vec![one; 1001])).await;
    answer.expect_problem(413, "TOO_LARGE");
    let answer = server
        .try_stage(&json!({"receiverIds": vec!["u1"; 1001], "message": "m"}))
        .await;
    answer.expect_problem(413, "TOO_LARGE");
    assert_eq!(server.unread("u1").await, 0);
    let token = server.token("witness").await;
    let mut ids = witness.ids.clone();
    ids.resize(1_000_000, "x".to_owned());
    let answer = server
        .client_post(&token, "/ack", &json!({"ids": ids}))
        .await;
    answer.expect_problem(413, "TOO_LARGE");
    witness.survives(&server).await;
}

#[tokio::test]
async fn ids_of_others_and_ids_of_nothing_are_neither_counted_nor_touched() {
    let server = Server::start();
    let witness = Witness::plant(&server).await;
    let token = server.token("stranger").await;
    let mut ids = witness.ids.clone();
    ids.extend(["", "nonsense", "01M86919JY000EJTVM4HYC4695", "\u{0}"].map(str::to_owned));
    assert_eq!(server.ack(&token, &ids).await, 0);
    assert_eq!(server.unread("witness").await, 3);
    assert_eq!(server.state_name(&witness.ids[0]).await, "staged");
    witness.survives(&server).await;
}

/// Writes `total` bytes behind `head`, and answers with what came back, however the connection ended.
async fn pour(api: &Api, head: &str, block: &[u8], total: usize) -> String {
    let stream = TcpStream::connect(api.public).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let (head, block) = (head.to_owned(), block.to_vec());
    let writing = tokio::spawn(async move {
        write.write_all(head.as_bytes()).await?;
        for _ in 0..total / block.len() {
            write.write_all(&block).await?;
        }
        Ok::<_, std::io::Error>(write)
    });
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    // The server answers and closes while bytes are still on their way, so the end may be a reset.
    while let Ok(count @ 1..) = in_time("an answer", read.read(&mut part)).await {
        answer.extend_from_slice(&part[..count]);
    }
    let _broken_pipe = writing.await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn bodies_without_end_are_refused_and_take_no_memory() {
    const MIB: usize = 1 << 20;
    let folder = Folder::new();
    let server = Program::start(&folder, &[("NOTICE_LIMITS_BODY_BYTES", "131072")]).await;
    let witness = Witness::plant(&server).await;
    let head = format!(
        "POST /notice/notices HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {}\r\n",
        server.key
    );
    let announced = format!("{head}content-length: 10000000000\r\n\r\n");
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n");
    let plain = vec![b' '; 16_384];
    let chunk = [b"4000\r\n".as_slice(), &plain, b"\r\n"].concat();
    // What a busy server takes anyway must not pass for growth.
    pour(&server, &announced, &plain, MIB).await;
    let before = server.resident_bytes();
    let mut pouring = Vec::new();
    for _ in 0..8 {
        pouring.push(pour(&server, &announced, &plain, 16 * MIB));
        pouring.push(pour(&server, &chunked, &chunk, 16 * MIB));
    }
    for answer in futures_util::future::join_all(pouring).await {
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(answer.contains("\"TOO_LARGE\""), "{answer}");
    }
    let grown = server.resident_bytes().saturating_sub(before) / MIB as u64;
    assert!(
        grown < 32,
        "256 MiB were poured in, and the server grew by {grown} MiB"
    );
    witness.survives(&server).await;
}

#[tokio::test]
async fn a_client_that_writes_its_whole_body_first_reads_that_it_is_too_large() {
    let server = Server::with(&[("NOTICE_LIMITS_BODY_BYTES", "131072")]);
    let witness = Witness::plant(&server).await;
    let request = request(&server, "/notices").await.body(vec![b' '; 4 << 20]);
    let answer = request.send(server.public).await;
    answer.expect_problem(413, "TOO_LARGE");
    witness.survives(&server).await;
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_cut_off() {
    let server = Server::with(&[("NOTICE_LIMITS_BODY_TIMEOUT_SECONDS", "1")]);
    let witness = Witness::plant(&server).await;
    for path in CALLS {
        let mut whole = request(&server, path).await.body(vec![b' '; 1000]).bytes();
        whole.truncate(whole.len() - 990);
        let mut connection = Connection::open(server.public).await.unwrap();
        connection.write(&whole).await.unwrap();
        let answer = in_time("the answer", async {
            loop {
                tokio::select! {
                    answer = connection.read() => return answer.unwrap(),
                    () = tokio::time::sleep(Duration::from_millis(100)) => {}
                }
                // A byte now and then does not prolong it.
                connection.write(b" ").await.unwrap();
            }
        })
        .await;
        answer.expect_problem(408, "REQUEST_TIMEOUT");
        in_time("the end", connection.closed()).await;
    }
    witness.survives(&server).await;
}

#[tokio::test]
async fn a_body_that_breaks_off_stages_nothing() {
    let server = Server::start();
    let witness = Witness::plant(&server).await;
    let body = json!({"receiverId": "u1", "message": "half"}).to_string();
    let whole = request(&server, "/notices").await.body(body).bytes();
    for length in (whole.len() - 40)..whole.len() {
        let mut connection = Connection::open(server.public).await.unwrap();
        connection.write(&whole[..length]).await.unwrap();
        drop(connection);
    }
    let chunked = format!(
        "POST /notice/notices HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {}\r\n\
         transfer-encoding: chunked\r\n\r\nzz\r\n",
        server.key
    );
    let mut connection = Connection::open(server.public).await.unwrap();
    connection.write(chunked.as_bytes()).await.unwrap();
    connection.read().await.unwrap().expect(400);
    eventually("all those connections to be over", async || {
        let unread = server.unread("u1").await;
        if unread == 0 { Ok(()) } else { Err(unread) }
    })
    .await;
    witness.survives(&server).await;
}
