//! Polls: parked and answered, again until acknowledged, pollers by their names, bounds, the end.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    Carrier, Connection, Device, Listen, Request, Response, Server, eventually, in_time,
};

fn poll(token: &str, query: &str) -> Request {
    Request::get(format!("/notice/poll?{query}")).bearer(token)
}

async fn answer(server: &Server, token: &str, query: &str) -> Value {
    let answer = poll(token, query).send(server.public).await.expect(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    answer.json()
}

fn ids(answer: &Value) -> Vec<&str> {
    let notices = answer["notices"].as_array().unwrap();
    notices
        .iter()
        .map(|it| it["id"].as_str().unwrap())
        .collect()
}

/// A poll that is parked: the server knows it, and has not answered.
async fn parked(server: &Server, token: &str, query: &str) -> Connection {
    let mut connection = Connection::open(server.public).await.unwrap();
    connection.write(&poll(token, query).bytes()).await.unwrap();
    connection
}

async fn read(connection: &mut Connection) -> Response {
    in_time("the answer of a poll", connection.read())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_short_poll_is_answered_at_once_and_a_long_one_by_the_first_notice() {
    let server = Server::start();
    let token = server.token("u2").await;
    assert_eq!(
        answer(&server, &token, "wait=0").await,
        json!({"notices": []})
    );
    let mut long = parked(&server, &token, "wait=60").await;
    server.reaches_sessions("u2", 1).await;
    let begun = Instant::now();
    let id = server.stage("u2", "hello").await;
    let came = read(&mut long).await.expect(200);
    assert_eq!(ids(&came.json()), [id.as_str()]);
    assert!(begun.elapsed() < Duration::from_secs(10));
    for header in ["date", "content-length"] {
        assert!(came.header(header).is_some(), "{came:?}");
    }
    server.reaches_state(&id, "pushed").await;
}

#[tokio::test]
async fn what_was_staged_between_two_polls_is_found_and_comes_again_until_it_is_acknowledged() {
    let server = Server::start();
    let token = server.token("u2").await;
    answer(&server, &token, "wait=0").await;
    let first = server.stage("u2", "first").await;
    let second = server.stage("u2", "second").await;
    for redelivered in [Value::Null, json!(true)] {
        let came = answer(&server, &token, "wait=30").await;
        assert_eq!(ids(&came), [&first, &second]);
        assert_eq!(came["notices"][1]["redelivered"], redelivered);
    }
    let came = answer(&server, &token, &format!("wait=30&ack={first}")).await;
    assert_eq!(ids(&came), [&second]);
    let came = answer(&server, &token, &format!("wait=0&ack={second},unknown")).await;
    assert_eq!(came, json!({"notices": []}));
    assert_eq!(server.unread("u2").await, 0);
}

#[tokio::test]
async fn the_limit_takes_the_oldest_first() {
    let server = Server::start();
    let token = server.token("u2").await;
    let staged = server.stage_many("u2", "message", 5).await;
    let came = answer(&server, &token, "wait=0&limit=2").await;
    assert_eq!(ids(&came), &staged[..2]);
    let acks = staged[..2].join(",");
    let came = answer(&server, &token, &format!("wait=0&limit=2&ack={acks}")).await;
    assert_eq!(ids(&came), &staged[2..4]);
    let came = answer(&server, &token, "wait=0&limit=100").await;
    assert_eq!(ids(&came), &staged[2..]);
}

#[tokio::test]
async fn a_poll_that_gets_nothing_is_answered_cleanly_when_its_time_is_over() {
    let server = Server::start();
    let token = server.token("u2").await;
    let begun = Instant::now();
    assert_eq!(
        answer(&server, &token, "wait=1").await,
        json!({"notices": []})
    );
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(1), "{took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test]
async fn one_kept_connection_carries_poll_after_poll_and_other_calls_between() {
    let server = Server::start();
    let token = server.token("u2").await;
    let mut connection = Connection::open(server.public).await.unwrap();
    let mut acks = String::new();
    for number in 0..5 {
        let query = format!("wait=30&ack={acks}");
        connection
            .write(&poll(&token, &query).bytes())
            .await
            .unwrap();
        if number % 2 == 0 {
            server.reaches_sessions("u2", 1).await;
        }
        let id = server.stage("u2", "hello").await;
        let came = read(&mut connection).await.expect(200);
        assert_eq!(came.header("connection"), None, "{came:?}");
        assert_eq!(ids(&came.json()), [id.as_str()]);
        acks = id;
        let session = Request::get("/notice/session").bearer(&token);
        connection.call(&session).await.unwrap().expect(200);
    }
    let closing = poll(&token, &format!("wait=1&ack={acks}")).header("connection", "close");
    let came = connection.call(&closing).await.unwrap().expect(200);
    assert_eq!(came.header("connection"), Some("close"));
    in_time("the end", connection.closed()).await;
}

#[tokio::test]
async fn what_a_client_wrote_ahead_of_its_answer_is_served_after_it() {
    let server = Server::start();
    let token = server.token("u2").await;
    let session = Request::get("/notice/session").bearer(&token);
    let both = [poll(&token, "wait=1").bytes(), session.bytes()].concat();
    let mut connection = Connection::open(server.public).await.unwrap();
    connection.write(&both).await.unwrap();
    assert_eq!(
        read(&mut connection).await.expect(200).json(),
        json!({"notices": []})
    );
    assert_eq!(
        read(&mut connection).await.expect(200).json()["accountId"],
        "u2"
    );
}

#[tokio::test]
async fn a_poller_is_its_token_and_its_name_and_one_of_its_polls_gives_way_to_the_next() {
    let server = Server::start();
    let token = server.token("u2").await;
    let mut first = parked(&server, &token, "wait=60").await;
    server.reaches_sessions("u2", 1).await;
    let mut named = parked(&server, &token, "wait=60&session=tab-2").await;
    server.reaches_sessions("u2", 2).await;
    let mut second = parked(&server, &token, "wait=60").await;
    assert_eq!(
        read(&mut first).await.expect(200).json(),
        json!({"notices": []})
    );
    assert_eq!(
        server.account("u2").await["sessions"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let id = server.stage("u2", "for both").await;
    for connection in [&mut second, &mut named] {
        assert_eq!(
            ids(&read(connection).await.expect(200).json()),
            [id.as_str()]
        );
    }
}

#[tokio::test]
async fn a_poller_is_online_while_it_is_parked_and_for_a_while_after() {
    let server = Server::start();
    let token = server.token("u2").await;
    let mut connection = parked(&server, &token, "wait=1").await;
    server.reaches_sessions("u2", 1).await;
    let session = server.account("u2").await["sessions"][0].clone();
    assert_eq!(session["transport"], "poll");
    read(&mut connection).await.expect(200);
    assert_eq!(server.account("u2").await["online"], true);
    answer(&server, &token, "wait=0").await;
    let again = server.account("u2").await["sessions"][0].clone();
    assert_eq!(again, session, "the same session goes on");
    server
        .reaches_metric("notice_online_sessions{transport=\"poll\"}", 1.0)
        .await;
    server
        .reaches_metric("notice_sessions_opened_total{transport=\"poll\"}", 1.0)
        .await;
}

#[tokio::test]
async fn a_client_that_goes_away_while_it_is_parked_is_noticed_and_loses_nothing() {
    let server = Server::start();
    let token = server.token("u2").await;
    let gone = parked(&server, &token, "wait=60").await;
    server.reaches_sessions("u2", 1).await;
    drop(gone);
    let id = server.stage("u2", "hello").await;
    let came = answer(&server, &token, "wait=0").await;
    assert_eq!(ids(&came), [id.as_str()]);
}

#[tokio::test]
async fn who_acknowledges_by_a_call_of_its_own_is_not_told_of_it_by_its_next_poll() {
    let server = Server::start();
    let token = server.token("u2").await;
    let id = server.stage("u2", "hello").await;
    answer(&server, &token, "wait=0").await;
    answer(&server, &token, "wait=0&session=other").await;
    assert_eq!(server.ack(&token, &[&id]).await, 1);
    assert_eq!(
        answer(&server, &token, "wait=0").await,
        json!({"notices": []})
    );
    let other = answer(&server, &token, "wait=0&session=other").await;
    assert_eq!(other, json!({"notices": [], "read": [id]}));
    let other = answer(&server, &token, "wait=0&session=other").await;
    assert_eq!(other, json!({"notices": []}));
}

#[tokio::test]
async fn a_parked_poll_is_answered_when_a_notice_is_taken_back() {
    let server = Server::start();
    let token = server.token("u2").await;
    let id = server.stage("u2", "a mistake").await;
    answer(&server, &token, "wait=0").await;
    server.recall(&id).await.expect(204);
    let came = answer(&server, &token, "wait=30").await;
    assert_eq!(came, json!({"notices": [], "recalled": [id]}));
}

#[tokio::test]
async fn what_an_automatic_read_took_from_the_inbox_still_comes_to_a_poller_that_was_online() {
    let server = Server::start();
    let token = server.token("u2").await;
    answer(&server, &token, "wait=0").await;
    let mut stream = Listen::with(&token).open(server.public).await;
    let id = server.stage("u2", "hello").await;
    assert_eq!(stream.notice().await.id, id);
    server.reaches_state(&id, "read").await;
    assert_eq!(ids(&answer(&server, &token, "wait=0").await), [id.as_str()]);
}

#[tokio::test]
async fn what_is_out_of_bounds_is_refused_and_says_what_the_bounds_are() {
    let server = Server::start();
    let token = server.token("u2").await;
    for query in [
        "wait=61",
        "wait=x",
        "wait=-1",
        "limit=0",
        "limit=x",
        "session=a%20b",
    ] {
        let refused = poll(&token, query).send(server.public).await;
        refused.expect_problem(400, "INVALID_ARGUMENT");
    }
    let many = vec!["x"; 1001].join(",");
    let refused = poll(&token, &format!("ack={many}"))
        .send(server.public)
        .await;
    refused.expect_problem(413, "TOO_LARGE");
    let bare = Request::get("/notice/poll").send(server.public).await;
    bare.expect_problem(401, "UNAUTHENTICATED");
    let unknown = poll("no-such-token", "").send(server.public).await;
    unknown.expect_problem(401, "UNAUTHENTICATED");
    server.reaches_sessions("u2", 0).await;
}

#[tokio::test]
async fn pollers_count_as_sessions() {
    let server = Server::with(&[("NOTICE_LIMITS_SESSIONS_PER_ACCOUNT", "2")]);
    let token = server.token("u2").await;
    answer(&server, &token, "wait=0&session=a").await;
    answer(&server, &token, "wait=0&session=b").await;
    let third = poll(&token, "wait=0&session=c").send(server.public).await;
    third.expect_problem(429, "TOO_MANY_SESSIONS");
    // Those that are in go on.
    answer(&server, &token, "wait=0&session=a").await;
    server
        .reaches_metric(
            "notice_sessions_refused_total{reason=\"account_full\"}",
            1.0,
        )
        .await;
}

#[tokio::test]
async fn a_drain_answers_parked_polls_at_once_and_takes_no_new_ones() {
    let server = Server::start();
    let token = server.token("u2").await;
    let mut connection = parked(&server, &token, "wait=60").await;
    answer(&server, &token, "wait=0&session=between").await;
    server.reaches_sessions("u2", 2).await;
    server.drain(600).await.expect(200);
    let came = read(&mut connection).await.expect(200);
    assert_eq!(came.json(), json!({"notices": []}));
    assert_eq!(came.header("connection"), Some("close"));
    let refused = poll(&token, "wait=0").send(server.public).await;
    refused.expect_problem(503, "DRAINING");
    eventually("no session left", async || {
        let load = server.load().await;
        if load["sessions"] == 0 {
            Ok(())
        } else {
            Err(load)
        }
    })
    .await;
}

#[tokio::test]
async fn a_parked_poll_ends_with_its_token_and_with_a_removal_each_in_its_own_way() {
    let server = Server::start();
    let revoked = server.token("u2").await;
    let expiring = server.token_for("u2", 2).await;
    let mut ends = [
        parked(&server, &revoked, "wait=60").await,
        parked(&server, &expiring, "wait=60").await,
    ];
    server.reaches_sessions("u2", 2).await;
    server.revoke(&revoked).await;
    for connection in &mut ends {
        read(connection)
            .await
            .expect_problem(401, "UNAUTHENTICATED");
    }
    let token = server.token("u2").await;
    let mut removed = parked(&server, &token, "wait=60").await;
    server.reaches_sessions("u2", 1).await;
    server
        .service_delete("/accounts/u2/sessions")
        .await
        .expect(204);
    read(&mut removed).await.expect_problem(403, "REMOVED");
    server.reaches_sessions("u2", 0).await;
}

#[tokio::test]
async fn where_an_account_may_have_one_session_a_newer_one_takes_a_parked_polls_place() {
    let server = Server::with(&[("NOTICE_SESSIONS_ONE_PER_ACCOUNT", "true")]);
    let token = server.token("u2").await;
    let mut connection = parked(&server, &token, "wait=60").await;
    server.reaches_sessions("u2", 1).await;
    let _newer = Device::connect(&server, "u2", Carrier::V1).await;
    read(&mut connection)
        .await
        .expect_problem(409, "SUPERSEDED");
}

#[tokio::test]
async fn a_poll_is_no_more_than_its_client_can_take_at_once() {
    let server = Server::start();
    let token = server.token("u2").await;
    let text = "x".repeat(60_000);
    for _ in 0..10 {
        server.stage("u2", &text).await;
    }
    let came = answer(&server, &token, "wait=0&limit=128").await;
    let count = ids(&came).len();
    assert!((4..10).contains(&count), "{count}");
}
