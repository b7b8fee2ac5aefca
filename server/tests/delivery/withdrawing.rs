//! Notices that leave the inbox unread: recalled, replaced, expired; and those that were never in it.

use serde_json::json;

use crate::support::{Server, eventually};

const WINDOW_OF_ONE: &[(&str, &str)] = &[("NOTICE_DELIVERY_WINDOW", "1")];

#[tokio::test]
async fn a_recalled_notice_is_taken_from_who_had_it_and_offered_to_nobody_any_more() {
    let server = Server::start();
    let mut had_it = server.connect("u2").await;
    let mut legacy = server.connect_legacy("u2").await;
    let id = server.stage("u2", "a mistake").await;
    assert_eq!(had_it.notice().await.id, id);
    assert_eq!(legacy.notice().await.id, id);
    server.recall(&id).await.expect(204);
    assert_eq!(had_it.expect("recall").await["ids"], json!([id]));
    assert_eq!(server.state_name(&id).await, "recalled");

    let mut later = server.connect("u2").await;
    server.stage("u2", "correct").await;
    // A legacy client knows no recall frame, and is sent none.
    for client in [&mut had_it, &mut legacy, &mut later] {
        assert_eq!(client.notice().await.message, "correct");
    }
    let token = server.token("u2").await;
    let messages: Vec<_> = server.inbox(&token, "").await;
    assert_eq!(messages.len(), 1, "{messages:?}");
}

#[tokio::test]
async fn a_notice_that_is_recalled_before_it_was_written_is_never_written() {
    let server = Server::with(WINDOW_OF_ONE);
    let mut client = server.connect("u2").await;
    let ids = server.stage_many("u2", "message", 3).await;
    assert_eq!(client.notice().await.id, ids[0]);
    server.recall(&ids[1]).await.expect(204);
    client.ack(&ids[..1]).await;
    client.expect("recall").await;
    assert_eq!(client.notice().await.id, ids[2]);
}

#[tokio::test]
async fn a_recall_frees_the_place_in_the_window() {
    let server = Server::with(WINDOW_OF_ONE);
    let mut client = server.connect("u2").await;
    let ids = server.stage_many("u2", "message", 2).await;
    assert_eq!(client.notice().await.id, ids[0]);
    server.recall(&ids[0]).await.expect(204);
    client.expect("recall").await;
    assert_eq!(client.notice().await.id, ids[1]);
}

#[tokio::test]
async fn a_notice_can_be_recalled_after_it_was_read_and_its_devices_are_told() {
    let server = Server::start();
    let mut client = server.connect("u2").await;
    let id = server.stage("u2", "a mistake").await;
    client.notice().await;
    client.ack(&[&id]).await;
    server.reaches_state(&id, "read").await;
    server.recall(&id).await.expect(204);
    assert_eq!(client.expect("recall").await["ids"], json!([id]));
    assert_eq!(server.state_name(&id).await, "recalled");
    let token = server.token("u2").await;
    assert_eq!(server.inbox(&token, "").await, []);
}

#[tokio::test]
async fn recalling_twice_is_no_error_and_recalling_the_unknown_is_404() {
    let server = Server::start();
    let id = server.stage("u2", "a mistake").await;
    server.recall(&id).await.expect(204);
    server.recall(&id).await.expect(204);
    for unknown in ["0".repeat(26), "not-an-id".to_owned()] {
        server
            .recall(&unknown)
            .await
            .expect_problem(404, "NOT_FOUND");
        server
            .state(&unknown)
            .await
            .expect_problem(404, "NOT_FOUND");
    }
}

#[tokio::test]
async fn a_newer_notice_of_a_collapse_key_replaces_the_unread_older_one_and_takes_its_place() {
    let server = Server::with(WINDOW_OF_ONE);
    let position = |message: &str| json!({"receiverId": "u2", "senderId": "u1", "message": message, "collapseKey": "position"});
    let mut client = server.connect("u2").await;
    let older = server.stage_body(&position("3 km")).await;
    assert_eq!(client.notice().await.id, older);
    let newer = server.stage_body(&position("2 km")).await;
    assert_eq!(client.expect("recall").await["ids"], json!([older]));
    let notice = client.notice().await;
    assert_eq!(notice.id, newer);
    assert_eq!(notice.json["collapseKey"], "position");
    assert_eq!(server.state_name(&older).await, "replaced");
    assert_eq!(server.unread("u2").await, 1);

    let mut later = server.connect("u2").await;
    assert_eq!(later.notice().await.id, newer);
    assert!(newer > older);
}

#[tokio::test]
async fn a_collapse_key_replaces_nothing_outside_its_receiver_sender_and_producer() {
    let keys = "rides:first-secret-of-rides-0,chat:first-secret-of-chat-00";
    let server = Server::with(&[("NOTICE_API_KEYS", keys)]);
    let stage = async |key: &str, receiver: &str, sender: &str| {
        let body = json!({
            "receiverId": receiver, "senderId": sender, "message": "x", "collapseKey": "k"
        });
        let request = crate::support::Request::post("/notice/notices", &body).bearer(key);
        request.send(server.public).await.expect(201);
    };
    let (rides, chat) = ("first-secret-of-rides-0", "first-secret-of-chat-00");
    stage(rides, "u2", "u1").await;
    stage(rides, "u3", "u1").await;
    stage(rides, "u2", "u4").await;
    stage(chat, "u2", "u1").await;
    let view = crate::support::Request::get("/notice/accounts/u2").bearer(rides);
    let view = view.send(server.public).await.expect(200).json();
    assert_eq!(view["unread"], 3);
    stage(rides, "u2", "u1").await;
    let view = crate::support::Request::get("/notice/accounts/u2").bearer(chat);
    assert_eq!(view.send(server.public).await.json()["unread"], 3);
}

#[tokio::test]
async fn a_read_notice_is_not_replaced_and_a_client_cannot_replace() {
    let server = Server::start();
    let token = server.token("u2").await;
    let body = json!({"receiverId": "u2", "message": "x", "collapseKey": "k"});
    let read = server.stage_body(&body).await;
    server.ack(&token, &[&read]).await;
    let unread = server.stage_body(&body).await;
    assert_eq!(server.state_name(&read).await, "read");

    for _ in 0..2 {
        server.client_post(&token, "/send", &body).await.expect(201);
    }
    assert_eq!(server.state_name(&unread).await, "staged");
    assert_eq!(server.unread("u2").await, 3);
}

#[tokio::test]
async fn of_racing_notices_of_a_collapse_key_exactly_the_one_with_the_highest_id_stays() {
    let server = Server::start();
    let mut client = server.connect("u2").await;
    let body = json!({"receiverId": "u2", "message": "x", "collapseKey": "k"});
    let racing = (0..40).map(|_| server.stage_body(&body));
    let ids = futures_util::future::join_all(racing).await;
    let highest = ids.iter().max().unwrap();
    for id in &ids {
        let state = server.state_name(id).await;
        let expected = if id == highest {
            &["staged", "pushed"][..]
        } else {
            &["replaced"]
        };
        assert!(expected.contains(&state.as_str()), "{id} is {state}");
    }
    let token = server.token("u2").await;
    let inbox = server.inbox(&token, "").await;
    assert_eq!(inbox.len(), 1, "{inbox:?}");
    assert_eq!(inbox[0].id, *highest);
    // Whatever the client was shown of the others was taken back.
    let mut shown = Vec::new();
    while !shown.contains(highest) {
        let frame = client.text().await;
        match frame["type"].as_str() {
            Some("notice") => shown.push(frame["notice"]["id"].as_str().unwrap().to_owned()),
            Some("recall") => shown.retain(|id| frame["ids"][0] != json!(id)),
            _ => panic!("{frame}"),
        }
    }
    assert_eq!(shown, std::slice::from_ref(highest));
}

#[tokio::test]
async fn an_expired_notice_is_delivered_no_more() {
    let server = Server::start();
    let body = json!({"receiverId": "u2", "message": "for a second", "ttlSeconds": 1});
    let id = server.stage_body(&body).await;
    let staged = server.state(&id).await.json();
    assert_eq!(staged["state"], "staged");
    server.reaches_state(&id, "expired").await;
    let mut client = server.connect("u2").await;
    server.stage("u2", "new").await;
    assert_eq!(client.notice().await.message, "new");
    let token = server.token("u2").await;
    assert_eq!(server.inbox(&token, "").await.len(), 1);
    server.reaches_unread("u2", 1).await;
    server.reaches_metric("notice_expired_total", 1.0).await;
}

#[tokio::test]
async fn a_notice_says_when_it_expires_and_one_that_waits_behind_the_window_is_dropped_then() {
    let server = Server::with(WINDOW_OF_ONE);
    let mut client = server.connect("u2").await;
    let first = server.stage("u2", "first").await;
    assert_eq!(client.notice().await.id, first);
    let short = json!({"receiverId": "u2", "message": "for a second", "ttlSeconds": 1});
    let short = server.stage_body(&short).await;
    let long = json!({"receiverId": "u2", "message": "for an hour", "ttlSeconds": 3600});
    server.stage_body(&long).await;
    server.reaches_state(&short, "expired").await;
    client.ack(&[&first]).await;
    let notice = client.notice().await;
    assert_eq!(notice.message, "for an hour");
    let time = |member: &str| notice.json[member].as_u64().unwrap();
    assert_eq!(time("expireTime"), time("createdTime") + 3_600_000);
}

#[tokio::test]
async fn a_notice_with_ttl_0_goes_once_to_the_sessions_online_now_and_leaves_nothing_behind() {
    let server = Server::start();
    let mut v1 = server.connect("u2").await;
    let mut legacy = server.connect_legacy("u2").await;
    let body = json!({"receiverId": "u2", "message": "is typing", "ttlSeconds": 0});
    let id = server.stage_body(&body).await;
    assert_eq!(v1.notice().await.id, id);
    assert_eq!(legacy.notice().await.id, id);
    server.state(&id).await.expect_problem(404, "NOT_FOUND");
    assert_eq!(server.unread("u2").await, 0);
    let token = server.token("u2").await;
    assert_eq!(server.inbox(&token, "").await, []);
    assert_eq!(server.ack(&token, &[&id]).await, 0);

    let mut later = server.connect("u2").await;
    server.stage("u2", "new").await;
    for client in [&mut v1, &mut legacy, &mut later] {
        assert_eq!(client.notice().await.message, "new");
    }
}

#[tokio::test]
async fn a_repeated_call_with_ttl_0_gives_the_first_id_and_offers_nothing_again() {
    let server = Server::start();
    let mut client = server.connect("u2").await;
    let body = json!({
        "receiverId": "u2", "message": "is typing", "ttlSeconds": 0, "idempotencyKey": "k"
    });
    let id = server.stage_body(&body).await;
    let again = server.try_stage(&body).await.expect(200).json();
    assert_eq!(again, json!({"id": id, "duplicate": true}));
    server.stage("u2", "new").await;
    assert_eq!(client.messages(2).await, ["is typing", "new"]);
}

#[tokio::test]
async fn a_notice_with_ttl_0_for_nobody_online_is_accepted_and_gone() {
    let server = Server::start();
    let body = json!({"receiverId": "u2", "message": "is typing", "ttlSeconds": 0});
    server.stage_body(&body).await;
    let mut client = server.connect("u2").await;
    server.stage("u2", "new").await;
    assert_eq!(client.notice().await.message, "new");
    eventually("nothing unpushed", async || {
        let age = server
            .metrics()
            .await
            .value("notice_oldest_unpushed_seconds");
        if age == 0.0 { Ok(()) } else { Err(age) }
    })
    .await;
}
