//! Heads of HTTP requests: targets, methods, headers, and connections that dawdle.

use std::time::Duration;

use serde_json::{Value, json};

use super::Witness;
use super::support::{Connection, KEY, Request, Response, Server, in_time};

async fn raw(server: &Server, bytes: impl AsRef<[u8]>) -> std::io::Result<Response> {
    let mut connection = Connection::open(server.public).await?;
    connection.write(bytes.as_ref()).await?;
    in_time("an answer", connection.read()).await
}

#[tokio::test]
async fn an_unknown_path_is_not_found_whatever_the_method() {
    let server = Server::start();
    let witness = Witness::plant(&server).await;
    let paths = [
        "/",
        "/notice/nothing",
        "/notice/notices/a/b",
        "/notice/accounts/a/b",
        "/notice/accounts//sessions",
        "/notice/sessions/revoke/x",
        "/notice/ws",
        "/notice/ws/socket/x",
        "/notice//session",
        "/notices",
        "/notice/../notice/session",
        "/ws",
        "/livez",
        "/metrics",
        "/drain",
    ];
    for path in paths {
        for method in ["GET", "POST", "DELETE", "PUT"] {
            let answer = Request::new(method, path)
                .bearer(KEY)
                .send(server.public)
                .await;
            answer.expect_problem(404, "NOT_FOUND");
        }
    }
    Request::get("/nothing")
        .send(server.admin)
        .await
        .expect_problem(404, "NOT_FOUND");
    witness.survives(&server).await;
}

#[tokio::test]
async fn a_method_that_a_path_does_not_have_is_told_apart_from_an_unknown_path() {
    let server = Server::start();
    let witness = Witness::plant(&server).await;
    let paths = [
        ("/notice/", &["GET"][..]),
        ("/notice/client.js", &["GET"]),
        ("/notice/openapi.json", &["GET"]),
        ("/notice/session", &["GET"]),
        ("/notice/inbox", &["GET"]),
        ("/notice/ws/socket", &["GET"]),
        ("/ws/socket", &["GET"]),
        ("/notice/send", &["POST"]),
        ("/notice/ack", &["POST"]),
        ("/notice/notices", &["POST"]),
        ("/notice/notices/x", &["GET", "DELETE"]),
        ("/notice/accounts", &["GET"]),
        ("/notice/accounts/x", &["GET"]),
        ("/notice/accounts/x/sessions", &["DELETE"]),
        ("/notice/sessions", &["POST"]),
        ("/notice/sessions/revoke", &["POST"]),
    ];
    for (path, methods) in paths {
        if raw(
            &server,
            format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n"),
        )
        .await
        .unwrap()
        .status
            == 404
        {
            continue;
        }
        for method in [
            "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW",
        ] {
            if !methods.contains(&method) {
                let answer = Request::new(method, path)
                    .bearer(KEY)
                    .send(server.public)
                    .await;
                answer.expect_problem(405, "METHOD_NOT_ALLOWED");
            }
        }
    }
    Request::new("PUT", "/drain")
        .send(server.admin)
        .await
        .expect_problem(405, "METHOD_NOT_ALLOWED");
    witness.survives(&server).await;
}

#[tokio::test]
async fn an_account_in_a_path_is_percent_decoded_and_checked() {
    let server = Server::start();
    let witness = Witness::plant(&server).await;
    for account in ["a/b", "a b", "ä€😀", "..", "%", "a?b#c", "+"] {
        server.stage(account, "for an odd name").await;
        let encoded: String = account.bytes().map(|byte| format!("%{byte:02x}")).collect();
        assert_eq!(server.unread(&encoded).await, 1, "{account}");
        server
            .service_delete(&format!("/accounts/{encoded}/sessions"))
            .await
            .expect(204);
    }
    assert_eq!(server.unread("+").await, 1);
    for bad in [
        "%00",
        "a%0ab",
        "%7f",
        "%c2%85",
        &"x".repeat(129),
        &"x".repeat(9000),
    ] {
        let answer = server.service_get(&format!("/accounts/{bad}")).await;
        answer.expect_problem(400, "INVALID_ARGUMENT");
        let answer = server
            .service_delete(&format!("/accounts/{bad}/sessions"))
            .await;
        answer.expect_problem(400, "INVALID_ARGUMENT");
    }
    for unreadable in ["%ff", "%c3%28", "%ed%a0%80"] {
        let answer = server.service_get(&format!("/accounts/{unreadable}")).await;
        answer.expect_problem(404, "NOT_FOUND");
    }
    // A lone percent sign stands for itself.
    assert_eq!(server.unread("%").await, 1);
    witness.survives(&server).await;
}

#[tokio::test]
async fn what_is_no_notice_id_is_an_unknown_notice() {
    let server = Server::start();
    let witness = Witness::plant(&server).await;
    let id = witness.ids[0].clone();
    let long = "0".repeat(10_000);
    for text in [
        "x",
        "%00",
        "%ff",
        "..",
        &id.to_lowercase(),
        &format!("{id}%20"),
        &id[1..],
        &long,
    ] {
        server.state(text).await.expect_problem(404, "NOT_FOUND");
        server.recall(text).await.expect_problem(404, "NOT_FOUND");
    }
    let token = server.token("witness").await;
    for before in ["x", "", &long] {
        let answer = server
            .client_get(&token, &format!("/inbox?before={before}"))
            .await;
        answer.expect_problem(400, "INVALID_ARGUMENT");
    }
    witness.survives(&server).await;
}

#[tokio::test]
async fn query_parameters_out_of_their_range_are_refused() {
    let server = Server::start();
    let token = server.token("u1").await;
    for query in [
        "limit=0",
        "limit=-1",
        "limit=x",
        "limit=99999999999999999999",
        "limit=",
        "unread=maybe",
    ] {
        let answer = server.client_get(&token, &format!("/inbox?{query}")).await;
        answer.expect_problem(400, "INVALID_ARGUMENT");
    }
    for query in ["limit=0", "online=false", "online=x", "after=", "after=%00"] {
        let answer = server.service_get(&format!("/accounts?{query}")).await;
        answer.expect_problem(400, "INVALID_ARGUMENT");
    }
    // More than a page ever has is a page.
    server
        .client_get(&token, "/inbox?limit=1000000&limit=0&%ff=%ff&=&&")
        .await
        .expect(200);
}

#[tokio::test]
async fn a_head_that_comes_too_slowly_or_not_at_all_is_cut_off() {
    let server = Server::with(&[("NOTICE_LIMITS_HEADER_TIMEOUT_SECONDS", "1")]);
    let witness = Witness::plant(&server).await;
    let mut silent = Connection::open(server.public).await.unwrap();
    let mut dribbling = Connection::open(server.public).await.unwrap();
    let dribble = async {
        loop {
            if dribbling.write(b"G").await.is_err() {
                return;
            }
            tokio::select! {
                _ = dribbling.closed() => return,
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
        }
    };
    in_time("the end of a head in single bytes", dribble).await;
    in_time("the end of a silent connection", silent.closed()).await;
    // The next request on a kept connection has the same time.
    let mut kept = Connection::open(server.public).await.unwrap();
    let request = Request::get("/notice/openapi.json");
    kept.call(&request).await.unwrap().expect(200);
    in_time("the end of an idle connection", kept.closed()).await;
    witness.survives(&server).await;
}

#[tokio::test]
async fn a_head_larger_than_any_of_ours_is_refused() {
    let server = Server::start();
    let witness = Witness::plant(&server).await;
    let start = "GET /notice/session HTTP/1.1\r\nhost: test\r\n";
    let long_value = format!("{start}x: {}\r\n\r\n", "y".repeat(1 << 20));
    let many = format!("{start}{}\r\n", "x: y\r\n".repeat(50_000));
    let long_name = format!("{start}{}: y\r\n\r\n", "x".repeat(1 << 20));
    let long_target = format!(
        "GET /{} HTTP/1.1\r\nhost: test\r\n\r\n",
        "x".repeat(1 << 20)
    );
    let cookies = format!(
        "{start}{}\r\n",
        "cookie: SESSION_TOKEN_KEY=x\r\n".repeat(5_000)
    );
    for bomb in [long_value, many, long_name, long_target, cookies] {
        let mut connection = Connection::open(server.public).await.unwrap();
        // It may be refused before all of it is written.
        let _broken_pipe = connection.write(bomb.as_bytes()).await;
        if let Ok(answer) = in_time("an answer", connection.read()).await {
            assert!((400..500).contains(&answer.status), "{answer:?}");
        }
        in_time("the end", connection.closed()).await;
    }
    witness.survives(&server).await;
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    let server = Server::start();
    let witness = Witness::plant(&server).await;
    let heads: [&[u8]; 12] = [
        b"\r\n\r\n\r\n\r\n",
        b"hello\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /notice/session\r\n\r\n",
        b"GET /notice/session HTTP/9.9\r\n\r\n",
        b"GET /notice/session HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /notice/session HTTP/1.1\r\nx: a\0b\r\n\r\n",
        b"GET /notice/session HTTP/1.1\r\n x: folded\r\n\r\n",
        b"GET /notice/ses\x01sion HTTP/1.1\r\nhost: test\r\n\r\n",
        b"POST /notice/ack HTTP/1.1\r\nhost: test\r\ncontent-length: -1\r\n\r\n",
        b"POST /notice/ack HTTP/1.1\r\nhost: test\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello goes to the plain port\r\n\r\n",
    ];
    for head in heads {
        let mut connection = Connection::open(server.public).await.unwrap();
        connection.write(head).await.unwrap();
        connection.finish().await.unwrap();
        if let Ok(answer) = in_time("an answer", connection.read()).await {
            assert!(answer.status >= 400, "{head:?}: {answer:?}");
        }
        in_time("the end", connection.closed()).await;
    }
    // HTTP/2 with prior knowledge is not spoken.
    let mut connection = Connection::open(server.public).await.unwrap();
    connection
        .write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    in_time("the end", connection.closed()).await;
    witness.survives(&server).await;
}

#[tokio::test]
async fn requests_in_one_packet_are_answered_in_their_order() {
    let server = Server::start();
    let witness = Witness::plant(&server).await;
    let mut packet = Vec::new();
    for number in 0..50 {
        let body = json!({"receiverId": "u1", "message": number.to_string()});
        packet.extend(Request::post("/notice/notices", &body).bearer(KEY).bytes());
    }
    packet.extend(Request::get("/notice/nothing").bytes());
    packet.extend(Request::get("/notice/accounts/u1").bearer(KEY).bytes());
    let mut connection = Connection::open(server.public).await.unwrap();
    connection.write(&packet).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..50 {
        let answer = in_time("an answer", connection.read())
            .await
            .unwrap()
            .expect(201);
        ids.push(answer.json()["id"].as_str().unwrap().to_owned());
    }
    connection
        .read()
        .await
        .unwrap()
        .expect_problem(404, "NOT_FOUND");
    assert_eq!(
        connection.read().await.unwrap().expect(200).json()["unread"],
        50
    );
    let mut socket = server.connect("u1").await;
    let pushed = socket.notices(50).await;
    let pushed: Vec<_> = pushed.into_iter().map(|notice| notice.id).collect();
    assert_eq!(pushed, ids);
    witness.survives(&server).await;
}

#[tokio::test]
async fn a_body_never_passes_for_the_next_request() {
    let server = Server::start();
    let witness = Witness::plant(&server).await;
    let smuggled = Request::post(
        "/notice/notices",
        &json!({"receiverId": "victim", "message": "smuggled"}),
    );
    let smuggled = String::from_utf8(smuggled.bearer(KEY).bytes()).unwrap();
    let heads = [
        format!(
            "content-length: {}\r\ntransfer-encoding: chunked",
            smuggled.len() + 5
        ),
        format!(
            "transfer-encoding: chunked\r\ncontent-length: {}",
            smuggled.len() + 5
        ),
        "content-length: 5, 5".to_owned(),
        "content-length: +5".to_owned(),
        "transfer-encoding: chunked, identity".to_owned(),
        "transfer-encoding: xchunked".to_owned(),
        "transfer-encoding: \x0bchunked".to_owned(),
        format!("content-length : {}", smuggled.len()),
    ];
    for head in heads {
        // With a credential, so that the body is read and the connection could be kept.
        let packet = format!(
            "POST /notice/notices HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {KEY}\r\n{head}\r\n\r\n\
             0\r\n\r\n{smuggled}"
        );
        let mut connection = Connection::open(server.public).await.unwrap();
        connection.write(packet.as_bytes()).await.unwrap();
        connection.finish().await.unwrap();
        let answer = in_time("an answer", connection.read()).await;
        assert!(answer.is_ok_and(|answer| answer.status >= 400), "{head}");
        in_time("the end", connection.closed()).await;
    }
    assert_eq!(server.unread("victim").await, 0);
    witness.survives(&server).await;
}

#[tokio::test]
async fn of_a_header_given_twice_the_first_decides() {
    let server = Server::start();
    let get = || Request::get("/notice/accounts/u1");
    get()
        .bearer(KEY)
        .bearer("wrong")
        .send(server.public)
        .await
        .expect(200);
    get()
        .bearer("wrong")
        .bearer(KEY)
        .send(server.public)
        .await
        .expect_problem(401, "UNAUTHENTICATED");
    get()
        .header("x-api-key", "wrong")
        .bearer(KEY)
        .send(server.public)
        .await
        .expect(200);
    get()
        .header("x-api-key", KEY)
        .send(server.public)
        .await
        .expect(200);
    get()
        .header("authorization", "Basic x")
        .header("x-api-key", KEY)
        .send(server.public)
        .await
        .expect(200);
    get()
        .header("authorization", "\u{e9}")
        .send(server.public)
        .await
        .expect_problem(401, "UNAUTHENTICATED");
}

#[tokio::test]
async fn older_and_odder_ways_to_ask_are_answered() {
    let server = Server::start();
    let witness = Witness::plant(&server).await;
    let credential = format!("authorization: Bearer {KEY}\r\n");
    let account =
        |answer: std::io::Result<Response>| -> Value { answer.unwrap().expect(200).json() };
    let old = raw(
        &server,
        format!("GET /notice/accounts/witness HTTP/1.0\r\n{credential}\r\n"),
    )
    .await;
    assert_eq!(account(old)["unread"], 3);
    let absolute = format!(
        "GET http://elsewhere.example/notice/accounts/witness?x=1 HTTP/1.1\r\nhost: test\r\n{credential}\r\n"
    );
    assert_eq!(account(raw(&server, absolute).await)["unread"], 3);
    let no_host = raw(
        &server,
        format!("GET /notice/accounts/witness HTTP/1.1\r\n{credential}\r\n"),
    )
    .await;
    assert!(matches!(no_host.unwrap().status, 200 | 400));
    for odd in [
        "OPTIONS * HTTP/1.1",
        "CONNECT test:80 HTTP/1.1",
        "TRACE /notice/ HTTP/1.1",
    ] {
        let answer = raw(&server, format!("{odd}\r\nhost: test\r\n\r\n"))
            .await
            .unwrap();
        assert!((400..500).contains(&answer.status), "{odd}: {answer:?}");
    }
    let mut expecting = Connection::open(server.public).await.unwrap();
    let head = format!(
        "POST /notice/notices HTTP/1.1\r\nhost: test\r\n{credential}expect: 100-continue\r\ncontent-length: 2\r\n\r\n"
    );
    expecting.write(head.as_bytes()).await.unwrap();
    let go_on = in_time("leave to go on", expecting.read_head())
        .await
        .unwrap();
    assert!(go_on.starts_with("HTTP/1.1 100 "), "{go_on}");
    expecting.write(b"{}").await.unwrap();
    expecting
        .read()
        .await
        .unwrap()
        .expect_problem(400, "INVALID_ARGUMENT");
    witness.survives(&server).await;
}
