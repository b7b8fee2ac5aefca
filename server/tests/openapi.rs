//! Three descriptions of the wire and the server itself say the same: `openapi.json`, `docs/PROTOCOL.md`, the codes.

#![cfg(test)]

mod support;

#[path = "openapi/schema.rs"]
mod schema;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use notice_server::http::Code;
use schema::Schemas;
use serde_json::{Value, json};
use support::{
    Carrier, Connection, Device, Handshake, KEY, Listen, Request, Response, Server, eventually,
    in_time,
};

const METHODS: [&str; 6] = ["get", "post", "put", "patch", "delete", "options"];

/// The document as the server serves it.
async fn served(server: &Server) -> Value {
    let answer = Request::get("/notice/openapi.json")
        .send(server.public)
        .await;
    answer.expect(200).json()
}

fn protocol() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/PROTOCOL.md");
    std::fs::read_to_string(path).unwrap()
}

/// Method and path of every operation, with the operation.
fn operations(document: &Value) -> BTreeMap<(String, String), &Value> {
    let paths = document["paths"].as_object().unwrap();
    let of_path = |(path, item): (&String, &'_ Value)| {
        let operations = item.as_object().unwrap().iter();
        let path = path.clone();
        operations
            .filter(|(method, _)| METHODS.contains(&method.as_str()))
            .map(move |(method, _)| (method.to_uppercase(), path.clone()))
            .collect::<Vec<_>>()
    };
    paths
        .iter()
        .flat_map(of_path)
        .map(|(method, path)| {
            let operation = &document["paths"][&path][method.to_lowercase()];
            ((method, path), operation)
        })
        .collect()
}

/// Calls the server and holds each answer against the document.
struct Walk<'a> {
    server: &'a Server,
    document: &'a Value,
    seen: BTreeSet<(String, String, String)>,
}

impl Walk<'_> {
    /// One call of an operation, `path` as the document has it below the base path; the answer must have this status.
    async fn call(
        &mut self,
        method: &str,
        path: &str,
        target: &str,
        how: impl Fn(Request) -> Request,
        status: u16,
    ) -> Response {
        let request = how(Request::new(method, format!("/notice{target}")));
        let mut connection = Connection::open(self.server.public).await.unwrap();
        let answer = in_time(target, connection.call(&request)).await.unwrap();
        let answer = answer.expect(status);
        self.check(method, path, &answer);
        answer
    }

    fn check(&mut self, method: &str, path: &str, answer: &Response) {
        let schemas = Schemas(self.document);
        let path = format!("/notice{path}");
        let what = format!("{method} {path} {}", answer.status);
        let status = answer.status.to_string();
        let documented =
            &self.document["paths"][&path][method.to_lowercase()]["responses"][&status];
        assert!(
            documented.is_object(),
            "{what} is not documented: {answer:?}"
        );
        let documented = schemas.resolve(documented);
        self.seen.insert((method.to_owned(), path, status));
        check_headers(schemas, &what, documented, answer);
        match documented["content"].as_object() {
            Some(content) => {
                let kind = answer.header("content-type").unwrap_or_default();
                let media = content
                    .get(kind)
                    .unwrap_or_else(|| panic!("{what} has the type {kind}"));
                if kind.contains("json") {
                    schemas.check(&what, &media["schema"], &answer.json());
                }
            }
            None => assert!(answer.body.is_empty(), "{what} has a body: {answer:?}"),
        }
    }
}

fn check_headers(schemas: Schemas<'_>, what: &str, documented: &Value, answer: &Response) {
    for (name, header) in documented["headers"].as_object().into_iter().flatten() {
        let header = schemas.resolve(header);
        let Some(text) = answer.header(&name.to_ascii_lowercase()) else {
            assert!(
                header["required"] != true && name != "Cache-Control",
                "{what} lacks {name}"
            );
            continue;
        };
        let value = match header["schema"]["type"].as_str() {
            Some("integer") => json!(text.parse::<u64>().unwrap()),
            _ => json!(text),
        };
        schemas.check(&format!("{what}, header {name}"), &header["schema"], &value);
    }
}

fn service(request: Request) -> Request {
    request.bearer(KEY)
}

fn with(credential: &str, body: Value) -> impl Fn(Request) -> Request {
    move |request| request.bearer(credential).body(body.to_string())
}

fn handshake(token: &str) -> impl Fn(Request) -> Request {
    move |request| {
        request
            .bearer(token)
            .header("upgrade", "websocket")
            .header("connection", "upgrade")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("sec-websocket-protocol", "notice.v1")
    }
}

#[tokio::test]
async fn every_documented_success_is_what_the_server_answers() {
    let server = Server::start();
    let document = served(&server).await;
    let mut walk = Walk {
        server: &server,
        document: &document,
        seen: BTreeSet::new(),
    };
    let token = server.token("bob").await;
    let client = |request: Request| request.bearer(&token);
    let anyone = |request: Request| request;

    let notice = json!({
        "receiverId": "bob", "senderId": "alice", "message": "hi", "type": "t", "data": {"a": [1]}, "ttlSeconds": 600,
        "collapseKey": "c", "idempotencyKey": "k",
    });
    let staged = walk
        .call(
            "POST",
            "/notices",
            "/notices",
            with(KEY, notice.clone()),
            201,
        )
        .await
        .json();
    walk.call(
        "POST",
        "/notices",
        "/notices",
        with(KEY, notice.clone()),
        200,
    )
    .await;
    let several =
        json!([{"receiverId": "bob", "message": "1"}, {"receiverId": "", "message": "2"}]);
    walk.call("POST", "/notices", "/notices", with(KEY, several), 200)
        .await;
    let fan_out = json!({"receiverIds": ["bob", "carol"], "message": "3"});
    walk.call("POST", "/notices", "/notices", with(KEY, fan_out), 200)
        .await;

    let id = staged["id"].as_str().unwrap();
    let one = format!("/notices/{id}");
    walk.call("GET", "/notices/{id}", &one, service, 200).await;
    walk.call("GET", "/session", "/session", client, 200).await;
    walk.call("GET", "/inbox", "/inbox", client, 200).await;
    walk.call("GET", "/inbox", "/inbox?limit=1&unread=true", client, 200)
        .await;
    let send = json!({"receiverId": "carol", "message": "hi", "type": "t", "data": 1, "idempotencyKey": "k"});
    walk.call("POST", "/send", "/send", with(&token, send.clone()), 201)
        .await;
    walk.call("POST", "/send", "/send", with(&token, send), 201)
        .await;
    walk.call(
        "POST",
        "/ack",
        "/ack",
        with(&token, json!({"ids": [id]})),
        200,
    )
    .await;
    let state = walk
        .call("GET", "/notices/{id}", &one, service, 200)
        .await
        .json();
    assert_eq!(state["state"], "read");
    walk.call("DELETE", "/notices/{id}", &one, service, 204)
        .await;

    walk.call("GET", "/ws/socket", "/ws/socket", handshake(&token), 101)
        .await;
    let stream = Listen::with(&token).open(server.public).await;
    walk.check("GET", "/sse", &stream.head);
    let over = |request: Request| request.bearer("over");
    walk.call("GET", "/sse", "/sse", over, 204).await;
    let left = json!({"receiverId": "bob", "message": "still unread"});
    walk.call("POST", "/notices", "/notices", with(KEY, left), 201)
        .await;
    walk.call("GET", "/poll", "/poll?wait=0&session=a", client, 200)
        .await;
    walk.call(
        "GET",
        "/poll",
        "/poll?wait=1&session=b&limit=1",
        client,
        200,
    )
    .await;
    let link = format!("/page?SESSION_TOKEN_KEY={token}");
    walk.call("GET", "/page", &link, anyone, 303).await;
    let page = walk.call("GET", "/page", "/page", client, 200).await;
    let form = page_form(&page, "carol", "by the page");
    let submit = |request: Request| request.bearer(&token).body(form.clone());
    walk.call("POST", "/page", "/page", submit, 303).await;
    let _online = [server.connect("alice").await, server.connect("bob").await];
    walk.call("GET", "/accounts", "/accounts", service, 200)
        .await;
    walk.call(
        "GET",
        "/accounts",
        "/accounts?online=true&limit=1&after=a",
        service,
        200,
    )
    .await;
    walk.call("GET", "/accounts/{id}", "/accounts/bob", service, 200)
        .await;
    walk.call("GET", "/accounts/{id}", "/accounts/nobody", service, 200)
        .await;
    walk.call(
        "DELETE",
        "/accounts/{id}/sessions",
        "/accounts/bob/sessions?revoke=true",
        service,
        204,
    )
    .await;
    let issue = json!({"accountId": "bob", "ttlSeconds": 60});
    let issued = walk
        .call("POST", "/sessions", "/sessions", with(KEY, issue), 201)
        .await
        .json();
    let revoke = json!({"token": issued["token"]});
    walk.call(
        "POST",
        "/sessions/revoke",
        "/sessions/revoke",
        with(KEY, revoke),
        204,
    )
    .await;
    walk.call("GET", "/openapi.json", "/openapi.json", anyone, 200)
        .await;
    walk.call("GET", "/", "", anyone, 308).await;
    for path in ["/", "/client.js"] {
        let file = walk.call("GET", path, path, anyone, 200).await;
        let tag = file.header("etag").unwrap().to_owned();
        let known = move |request: Request| request.header("if-none-match", tag.clone());
        walk.call("GET", path, path, known, 304).await;
    }

    let missing: Vec<_> = statuses(&document)
        .into_iter()
        .filter(|(_, _, status)| status.as_str() < "400")
        .filter(|documented| !walk.seen.contains(documented))
        .collect();
    assert!(
        missing.is_empty(),
        "documented, and not seen here: {missing:?}"
    );
}

/// The form of the page, filled in.
fn page_form(page: &Response, receiver: &str, message: &str) -> String {
    let start = "name=formToken value=\"";
    let at = page.text().find(start).expect("a form token") + start.len();
    let token = page.text()[at..].split('"').next().unwrap();
    form_urlencoded::Serializer::new(String::new())
        .append_pair("formToken", token)
        .append_pair("receiverId", receiver)
        .append_pair("message", message)
        .finish()
}

/// Method, path and status of every documented answer.
fn statuses(document: &Value) -> Vec<(String, String, String)> {
    let mut all = Vec::new();
    for ((method, path), operation) in operations(document) {
        for status in operation["responses"].as_object().unwrap().keys() {
            all.push((method.clone(), path.clone(), status.clone()));
        }
    }
    all
}

#[tokio::test]
async fn every_documented_refusal_that_a_caller_can_bring_about_is_what_the_server_answers() {
    let server = Server::with(&[
        ("NOTICE_LIMITS_BODY_TIMEOUT_SECONDS", "1"),
        ("NOTICE_LIMITS_BODY_BYTES", "131072"),
        ("NOTICE_LIMITS_UNREAD_PER_ACCOUNT", "1"),
        ("NOTICE_LIMITS_SESSIONS_PER_ACCOUNT", "1"),
    ]);
    let document = served(&server).await;
    let mut walk = Walk {
        server: &server,
        document: &document,
        seen: BTreeSet::new(),
    };
    let token = server.token("bob").await;
    let unknown = "01M86919JY000EJTVM4HYC4695";
    let foreign = format!("SESSION_TOKEN_KEY={token}");
    let cookie = |request: Request| {
        request
            .header("cookie", &*foreign)
            .header("origin", "http://evil.example")
    };

    for ((method, path), operation) in operations(&document) {
        let responses = &operation["responses"];
        let path = path.strip_prefix("/notice").unwrap().to_owned();
        if ["/sse", "/poll", "/page"].contains(&path.as_str()) {
            continue;
        }
        let target = path.replace("{id}", "x");
        let documented = |status: &str| responses[status].is_object();
        let credential =
            if path == "/send" || path == "/ack" || path == "/session" || path == "/inbox" {
                &token
            } else {
                KEY
            };
        if documented("401") {
            let how = |request| {
                if path == "/ws/socket" {
                    handshake("wrong")(request)
                } else {
                    with("wrong", json!({}))(request)
                }
            };
            walk.call(&method, &path, &target, how, 401).await;
        }
        if documented("403") {
            let how = |request| {
                if path == "/ws/socket" {
                    cookie(handshake("")(Request::clone(&request)))
                } else {
                    cookie(request)
                }
            };
            // A bearer header, even an empty one, would decide before the cookie.
            if path != "/ws/socket" {
                walk.call(&method, &path, &target, how, 403).await;
            }
        }
        if documented("408") {
            let half = |request: Request| {
                request
                    .bearer(credential)
                    .header("content-length", "9")
                    .body("{")
            };
            walk.call(&method, &path, &target, half, 408).await;
        }
        if documented("413") {
            let large = |request: Request| request.bearer(credential).body(vec![b' '; 500_000]);
            walk.call(&method, &path, &target, large, 413).await;
        }
        if documented("400") && method == "POST" {
            walk.call(
                &method,
                &path,
                &target,
                with(credential, json!([7, "x"])),
                if path == "/notices" { 200 } else { 400 },
            )
            .await;
            walk.call(&method, &path, &target, with(credential, json!({})), 400)
                .await;
        }
    }
    walk.call(
        "GET",
        "/inbox",
        "/inbox?limit=x",
        |request| request.bearer(&token),
        400,
    )
    .await;
    walk.call("GET", "/accounts", "/accounts?limit=x", service, 400)
        .await;
    walk.call("GET", "/accounts/{id}", "/accounts/%00", service, 400)
        .await;
    walk.call(
        "DELETE",
        "/accounts/{id}/sessions",
        "/accounts/x/sessions?revoke=x",
        service,
        400,
    )
    .await;
    for method in ["GET", "DELETE"] {
        walk.call(
            method,
            "/notices/{id}",
            &format!("/notices/{unknown}"),
            service,
            404,
        )
        .await;
    }
    let notice =
        |message: &str| json!({"receiverId": "bob", "message": message, "idempotencyKey": "k"});
    walk.call("POST", "/notices", "/notices", with(KEY, notice("1")), 201)
        .await;
    walk.call("POST", "/notices", "/notices", with(KEY, notice("2")), 409)
        .await;
    let full = json!({"receiverId": "bob", "message": "full"});
    walk.call("POST", "/notices", "/notices", with(KEY, full.clone()), 429)
        .await;
    walk.call("POST", "/send", "/send", with(&token, full), 429)
        .await;
    let send =
        |message: &str| json!({"receiverId": "carol", "message": message, "idempotencyKey": "k"});
    walk.call("POST", "/send", "/send", with(&token, send("1")), 201)
        .await;
    walk.call("POST", "/send", "/send", with(&token, send("2")), 409)
        .await;
    let bare = |request: Request| request.bearer(&token);
    walk.call("GET", "/ws/socket", "/ws/socket", bare, 426)
        .await;
    let keyless = |request: Request| {
        let request = request
            .bearer(&token)
            .header("upgrade", "websocket")
            .header("connection", "upgrade");
        request.header("sec-websocket-version", "13")
    };
    walk.call("GET", "/ws/socket", "/ws/socket", keyless, 400)
        .await;
    let from_a_page = |request: Request| {
        let request = request
            .header("upgrade", "websocket")
            .header("connection", "upgrade");
        let request = request.header("sec-websocket-version", "13");
        cookie(request.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="))
    };
    walk.call("GET", "/ws/socket", "/ws/socket", from_a_page, 403)
        .await;
    let dora = server.token("dora").await;
    refused_transports(&mut walk, &token, &dora, cookie).await;
    let _first = server.connect("bob").await;
    walk.call("GET", "/ws/socket", "/ws/socket", handshake(&token), 429)
        .await;
    for path in ["/sse", "/poll", "/page"] {
        walk.call("GET", path, path, bare, 429).await;
    }
    server.drain(3600).await.expect(200);
    walk.call("GET", "/ws/socket", "/ws/socket", handshake(&token), 503)
        .await;

    // What is left takes a server that fails.
    let missing: Vec<_> = statuses(&document)
        .into_iter()
        .filter(|(_, _, status)| status.starts_with('4'))
        .filter(|documented| !walk.seen.contains(documented))
        .collect();
    assert!(
        missing.is_empty(),
        "documented, and not seen here: {missing:?}"
    );
}

/// The refusals of the transports that are no WebSocket. Bob's inbox is full.
async fn refused_transports(
    walk: &mut Walk<'_>,
    bob: &str,
    dora: &str,
    cookie: impl Fn(Request) -> Request,
) {
    let nobody = |request: Request| request;
    let wrong = |request: Request| request.bearer("wrong");
    let bob = |request: Request| request.bearer(bob);
    let dora = |request: Request| request.bearer(dora);
    for path in ["/sse", "/poll", "/page"] {
        walk.call("GET", path, path, nobody, 401).await;
        walk.call("GET", path, path, &cookie, 403).await;
    }
    walk.call("GET", "/poll", "/poll", wrong, 401).await;
    let with_body = |request: Request| dora(request).body("x");
    walk.call("GET", "/sse", "/sse", with_body, 400).await;
    walk.call("GET", "/poll", "/poll?wait=61", bob, 400).await;
    let acks = format!("/poll?ack={}", vec!["x"; 1001].join(","));
    walk.call("GET", "/poll", &acks, bob, 413).await;

    walk.call("POST", "/page", "/page", nobody, 401).await;
    walk.call("POST", "/page", "/page", dora, 403).await;
    let half = |request: Request| dora(request).header("content-length", "9").body("x");
    walk.call("POST", "/page", "/page", half, 408).await;
    let page = walk.call("GET", "/page", "/page", dora, 200).await;
    for (receiver, message, status) in [
        ("", "to nobody", 400),
        ("carol", &*"x".repeat(70_000), 413),
        ("bob", "to a full inbox", 429),
    ] {
        let form = page_form(&page, receiver, message);
        let submit = |request: Request| dora(request).body(form.clone());
        walk.call("POST", "/page", "/page", submit, status).await;
    }

    let single = Server::with(&[("NOTICE_SESSIONS_ONE_PER_ACCOUNT", "true")]);
    let token = single.token("erik").await;
    let mut poll = Connection::open(single.public).await.unwrap();
    let request = Request::get("/notice/poll?wait=60").bearer(&token);
    poll.write(&request.bytes()).await.unwrap();
    single.reaches_sessions("erik", 1).await;
    let _newer = Device::connect(&single, "erik", Carrier::V1).await;
    let answer = in_time("the answer", poll.read())
        .await
        .unwrap()
        .expect(409);
    walk.check("GET", "/poll", &answer);
}

#[tokio::test]
async fn a_method_that_is_not_documented_is_not_there() {
    let server = Server::start();
    let document = served(&server).await;
    for (path, item) in document["paths"].as_object().unwrap() {
        let target = path.replace("{id}", "x");
        for method in METHODS
            .into_iter()
            .filter(|method| item.get(method).is_none())
        {
            let request = Request::new(&method.to_uppercase(), target.clone()).bearer(KEY);
            request
                .send(server.public)
                .await
                .expect_problem(405, "METHOD_NOT_ALLOWED");
        }
    }
}

#[tokio::test]
async fn every_frame_of_the_server_is_as_documented() {
    let server = Server::start();
    let document = served(&server).await;
    let schemas = Schemas(&document);
    let mut seen = BTreeSet::new();
    let mut check = |name: &str, frame: &Value| {
        schemas.check(name, schemas.named(name), frame);
        if name == "ServerFrame" {
            seen.insert(frame["type"].as_str().unwrap().to_owned());
        }
    };
    // A token that ends soon, so that the server says so.
    let token = server.token_for("bob", 30).await;
    let mut bob = match Handshake::v1(&token).try_open(server.public).await {
        Ok(socket) => socket,
        Err(answer) => panic!("{answer:?}"),
    };
    check("ServerFrame", &bob.expect("welcome").await);
    check("ServerFrame", &bob.find("expiring").await);
    let mut other = server.connect("bob").await;
    let id = server
        .stage_body(&json!({"receiverId": "bob", "message": "hi", "data": [], "collapseKey": "c"}))
        .await;
    check("ServerFrame", &bob.find("notice").await);
    let mut say = async |frame: Value, answer: &str, check: &mut dyn FnMut(&str, &Value)| {
        if answer != "error" {
            check("ClientFrame", &frame);
        }
        bob.send(&frame).await;
        check("ServerFrame", &bob.find(answer).await);
    };
    say(json!({"type": "send", "ref": "r", "receiverId": "carol", "message": "hi", "noticeType": "t"}), "sent", &mut check).await;
    say(
        json!({"type": "send", "receiverId": ""}),
        "error",
        &mut check,
    )
    .await;
    say(
        json!({"type": "refresh", "token": server.token("bob").await}),
        "refreshed",
        &mut check,
    )
    .await;
    let ack = json!({"type": "ack", "ids": [id]});
    check("ClientFrame", &ack);
    other.find("notice").await;
    other.send(&ack).await;
    check("ServerFrame", &bob.find("read").await);
    server.recall(&id).await.expect(204);
    check("ServerFrame", &bob.find("recall").await);

    let mut plain = server.connect_legacy("bob").await;
    let send = json!({"receiverId": "bob", "message": "to myself"});
    check("PlainSend", &send);
    plain.send(&send).await;
    check("Notice", &plain.text().await);
    plain.send(&json!({"receiverId": "", "message": "m"})).await;
    check("PlainFailure", &plain.text().await);

    server.drain(0).await.expect(200);
    check("ServerFrame", &bob.find("move").await);
    let documented: BTreeSet<_> = document["components"]["schemas"]["ServerFrame"]["oneOf"]
        .as_array()
        .unwrap()
        .iter()
        .map(|frame| {
            schemas.resolve(frame)["properties"]["type"]["const"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(seen, documented);
}

#[tokio::test]
async fn every_example_in_the_document_is_as_its_own_schema_says() {
    let server = Server::start();
    let document = served(&server).await;
    let mut count = 0;
    check_examples(Schemas(&document), &document, "document", &mut count);
    assert!(count > 50, "only {count} examples were found");
}

fn check_examples(schemas: Schemas<'_>, node: &Value, place: &str, count: &mut usize) {
    if let Some(schema) = node.get("schema") {
        let several = node["examples"].as_object().into_iter().flatten();
        let several = several.map(|(_, example)| &schemas.resolve(example)["value"]);
        for example in node.get("example").into_iter().chain(several) {
            schemas.check(place, schema, example);
            *count += 1;
        }
    } else if let Some(examples) = node.get("examples").and_then(Value::as_array) {
        for example in examples {
            schemas.check(place, node, example);
            *count += 1;
        }
    }
    match node {
        Value::Object(members) => {
            for (name, value) in members
                .iter()
                .filter(|(name, _)| !name.starts_with("example"))
            {
                check_examples(schemas, value, &format!("{place}/{name}"), count);
            }
        }
        Value::Array(items) => {
            items
                .iter()
                .for_each(|item| check_examples(schemas, item, place, count));
        }
        _ => {}
    }
}

#[tokio::test]
async fn the_protocols_text_names_every_operation_and_no_other() {
    let server = Server::start();
    let document = served(&server).await;
    let documented: BTreeSet<_> = operations(&document).into_keys().collect();
    let text = protocol();
    let mut named = BTreeSet::new();
    for method in ["GET", "POST", "DELETE", "PUT", "PATCH"] {
        for (at, _) in text.match_indices(&format!("{method} /")) {
            let path = text[at + method.len() + 1..]
                .split(|end: char| end.is_whitespace() || "`)?,|]".contains(end));
            let path = path.clone().next().unwrap();
            let path = path
                .strip_prefix("/notice/")
                .map_or_else(|| path.to_owned(), |below| format!("/{below}"));
            named.insert((method.to_owned(), format!("/notice{path}")));
        }
    }
    assert_eq!(named, documented);
}

/// Every code. The match makes the compiler ask for a new one here.
fn codes() -> Vec<Code> {
    let all = [
        Code::InvalidArgument,
        Code::Unauthenticated,
        Code::OriginNotAllowed,
        Code::NotFound,
        Code::MethodNotAllowed,
        Code::TooLarge,
        Code::UpgradeRequired,
        Code::InboxFull,
        Code::IdempotencyConflict,
        Code::RateLimited,
        Code::TooManySessions,
        Code::FormNotOurs,
        Code::Removed,
        Code::Superseded,
        Code::RequestTimeout,
        Code::Overloaded,
        Code::Draining,
        Code::StoreFull,
        Code::StoreUnavailable,
        Code::Internal,
    ];
    for code in all {
        match code {
            Code::InvalidArgument
            | Code::Unauthenticated
            | Code::OriginNotAllowed
            | Code::NotFound
            | Code::MethodNotAllowed
            | Code::TooLarge
            | Code::UpgradeRequired
            | Code::InboxFull
            | Code::IdempotencyConflict
            | Code::RateLimited
            | Code::TooManySessions
            | Code::FormNotOurs
            | Code::Removed
            | Code::Superseded
            | Code::RequestTimeout
            | Code::Overloaded
            | Code::Draining
            | Code::StoreFull
            | Code::StoreUnavailable
            | Code::Internal => {}
        }
    }
    all.to_vec()
}

#[tokio::test]
async fn the_codes_are_the_same_in_the_server_the_document_and_the_text() {
    let server = Server::start();
    let document = served(&server).await;
    let ours: BTreeMap<_, _> = codes()
        .into_iter()
        .map(|code| (code.name().to_owned(), code.status().as_u16()))
        .collect();
    for code in codes() {
        assert_eq!(json!(code), code.name(), "one code, two names");
    }
    let listed = document["components"]["schemas"]["ErrorCode"]["enum"]
        .as_array()
        .unwrap();
    let listed: BTreeSet<_> = listed.iter().map(|code| code.as_str().unwrap()).collect();
    assert_eq!(listed, ours.keys().map(String::as_str).collect());
    let text = protocol();
    let rows = text.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let code = cells.next()?.strip_suffix('`')?;
        Some((code.to_owned(), cells.next()?.parse::<u16>().ok()?))
    });
    let rows: BTreeMap<_, _> = rows
        .filter(|(code, _)| code.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
        .collect();
    assert_eq!(rows, ours);
}

#[tokio::test]
async fn the_document_follows_the_configured_base_path() {
    for (base, expected) in [("/", "/notices"), ("/a/b", "/a/b/notices")] {
        let server = Server::with(&[("NOTICE_BASE_PATH", base)]);
        let at = expected.replace("/notices", "/openapi.json");
        let document = Request::get(at)
            .send(server.public)
            .await
            .expect(200)
            .json();
        assert!(
            document["paths"][expected].is_object(),
            "{base}: {document}"
        );
        let notice = json!({"receiverId": "u1", "message": "m"});
        Request::post(expected, &notice)
            .bearer(KEY)
            .send(server.public)
            .await
            .expect(201);
        eventually("the health of a server at another base path", async || {
            let answer = server.admin_get("/readyz").await;
            if answer.status == 200 {
                Ok(())
            } else {
                Err(answer)
            }
        })
        .await;
    }
}
