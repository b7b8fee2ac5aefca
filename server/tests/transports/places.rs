//! Connections between sessions: parked polls and streams are no plain connections, and the last places are not kept
//! open for who may ask again.

use serde_json::json;

use crate::support::{Connection, Listen, Request, Server, in_time};

/// The admin listener has 64 places; the public one 256 at least.
const ADMIN_PLACES: usize = 64;

#[tokio::test]
async fn while_places_are_scarce_a_connection_ends_with_its_answer() {
    let server = Server::start();
    let probe = Request::get("/livez");
    let mut kept = Vec::new();
    let mut last = loop {
        let mut connection = Connection::open(server.admin).await.unwrap();
        let answer = connection.call(&probe).await.unwrap().expect(200);
        match answer.header("connection") {
            None => kept.push(connection),
            Some(value) => {
                assert_eq!(value, "close");
                break connection;
            }
        }
        assert!(kept.len() < ADMIN_PLACES, "none was told to go");
    };
    assert!(kept.len() > ADMIN_PLACES / 2, "{} are many", kept.len());
    in_time("the end", last.closed()).await;
    // It has made room: those who stay may ask again.
    let answer = kept[0].call(&probe).await.unwrap().expect(200);
    assert_eq!(answer.header("connection"), None);
}

#[tokio::test]
async fn parked_polls_and_streams_take_no_places_of_plain_connections() {
    let server = Server::with(&[("NOTICE_LIMITS_SESSIONS_PER_ACCOUNT", "1000")]);
    let token = server.token("u2").await;
    let mut parked = Vec::new();
    for number in 0..200 {
        let mut connection = Connection::open(server.public).await.unwrap();
        let request =
            Request::get(format!("/notice/poll?wait=60&session=n{number}")).bearer(&token);
        connection.write(&request.bytes()).await.unwrap();
        parked.push(connection);
    }
    let mut streams = Vec::new();
    for _ in 0..200 {
        streams.push(Listen::with(&token).open(server.public).await);
    }
    server.reaches_sessions("u2", 400).await;
    let mut plain = Connection::open(server.public).await.unwrap();
    let session = Request::get("/notice/session").bearer(&token);
    for _ in 0..2 {
        let answer = plain.call(&session).await.unwrap().expect(200);
        assert_eq!(answer.header("connection"), None, "{answer:?}");
    }
    let id = server.stage("u2", "for all").await;
    for connection in &mut parked {
        let answer = in_time("an answer", connection.read()).await.unwrap();
        assert_eq!(answer.json()["notices"][0]["id"], json!(id));
    }
    for events in &mut streams {
        assert_eq!(events.notice().await.id, id);
    }
}
