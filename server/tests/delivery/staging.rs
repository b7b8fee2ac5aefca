//! Taking notices: from services and from clients, once however often they are sent, up to the limits.

use serde_json::{Value, json};

use crate::support::{Request, Server};

#[tokio::test]
async fn a_repeated_call_with_an_idempotency_key_gives_the_first_id_and_stages_nothing() {
    let server = Server::start();
    let mut client = server.connect("u2").await;
    let body = json!({"receiverId": "u2", "message": "once", "idempotencyKey": "ride-1"});
    let id = server.stage_body(&body).await;
    let repeated = json!({"id": id, "duplicate": true});
    assert_eq!(server.try_stage(&body).await.expect(200).json(), repeated);
    assert_eq!(client.notice().await.id, id);
    // Whatever became of the notice.
    client.ack(&[&id]).await;
    server.reaches_state(&id, "read").await;
    assert_eq!(server.try_stage(&body).await.expect(200).json(), repeated);
    server.recall(&id).await.expect(204);
    assert_eq!(server.try_stage(&body).await.expect(200).json(), repeated);
    assert_eq!(client.expect("recall").await["ids"], json!([id]));
    server.stage("u2", "new").await;
    assert_eq!(client.notice().await.message, "new");
}

#[tokio::test]
async fn an_idempotency_key_is_remembered_over_a_restart() {
    let server = Server::start();
    let body = json!({"receiverId": "u2", "message": "once", "idempotencyKey": "ride-1"});
    let id = server.stage_body(&body).await;
    let server = server.restart();
    let again = server.try_stage(&body).await.expect(200).json();
    assert_eq!(again, json!({"id": id, "duplicate": true}));
}

#[tokio::test]
async fn an_idempotency_key_with_another_body_is_a_conflict() {
    let server = Server::start();
    let body = json!({"receiverId": "u2", "message": "once", "idempotencyKey": "ride-1"});
    server.stage_body(&body).await;
    let differing = [
        ("message", json!("another")),
        ("type", json!("chat")),
        ("data", json!({"a": 1})),
        ("senderId", json!("u1")),
        ("ttlSeconds", json!(60)),
        ("collapseKey", json!("k")),
    ];
    for (member, value) in differing {
        let mut other = body.clone();
        other[member] = value;
        let answer = server.try_stage(&other).await;
        answer.expect_problem(409, "IDEMPOTENCY_CONFLICT");
    }
    assert_eq!(server.unread("u2").await, 1);
}

#[tokio::test]
async fn an_idempotency_key_counts_for_one_receiver_and_one_producer() {
    let keys =
        "rides:first-secret-of-rides-0,rides:second-secret-of-rides,chat:first-secret-of-chat-00";
    let server = Server::with(&[("NOTICE_API_KEYS", keys)]);
    let stage = async |key: &str, receiver: &str| {
        let body = json!({"receiverId": receiver, "message": "x", "idempotencyKey": "k"});
        let request = Request::post("/notice/notices", &body).header("x-api-key", key);
        request.send(server.public).await.status
    };
    assert_eq!(stage("first-secret-of-rides-0", "u2").await, 201);
    assert_eq!(stage("first-secret-of-rides-0", "u3").await, 201);
    assert_eq!(stage("first-secret-of-chat-00", "u2").await, 201);
    // The name of the producer survives the change of its secret.
    assert_eq!(stage("second-secret-of-rides", "u2").await, 200);
}

#[tokio::test]
async fn an_idempotency_key_may_come_as_a_header_and_means_the_same() {
    let server = Server::start();
    let body = json!({"receiverId": "u2", "message": "once"});
    let request = Request::post("/notice/notices", &body)
        .bearer(&server.key)
        .header("idempotency-key", "ride-1");
    let first = request.send(server.public).await.expect(201).json();
    let again = request.send(server.public).await.expect(200).json();
    assert_eq!(again, json!({"id": first["id"], "duplicate": true}));
    let mut member = body;
    member["idempotencyKey"] = json!("ride-1");
    assert_eq!(server.try_stage(&member).await.expect(200).json(), again);

    member["idempotencyKey"] = json!("ride-2");
    let both = Request::post("/notice/notices", &member)
        .bearer(&server.key)
        .header("idempotency-key", "ride-1");
    both.send(server.public)
        .await
        .expect_problem(400, "INVALID_ARGUMENT");
}

#[tokio::test]
async fn of_racing_calls_with_one_idempotency_key_one_stages_and_all_give_its_id() {
    let server = Server::start();
    let body = json!({"receiverId": "u2", "message": "once", "idempotencyKey": "ride-1"});
    let answers = futures_util::future::join_all((0..40).map(|_| server.try_stage(&body))).await;
    let created = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(created, 1);
    let ids: std::collections::BTreeSet<_> = answers
        .iter()
        .map(|answer| answer.json()["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(server.unread("u2").await, 1);
}

#[tokio::test]
async fn all_that_a_service_says_of_a_notice_reaches_the_receiver() {
    let server = Server::start();
    let mut client = server.connect("u2").await;
    let body = json!({
        "receiverId": "u2", "senderId": "ride/7 ü", "message": "Your driver accepted", "type": "ride.accepted",
        "data": {"ride": 7, "eta": 3.5, "none": null, "list": [true, "\u{1F697}"]}, "ttlSeconds": 60
    });
    let id = server.stage_body(&body).await;
    let mut notice = client.notice().await.json;
    assert_eq!(notice["id"], id);
    for member in ["receiverId", "senderId", "message", "type", "data"] {
        assert_eq!(notice[member].take(), body[member], "{member}");
    }
}

#[tokio::test]
async fn each_notice_of_a_batch_has_its_own_result_in_its_place() {
    let server = Server::start();
    let batch = json!([
        {"receiverId": "u2", "message": "first"},
        {"receiverId": "u3"},
        {"receiverId": "u4", "message": "third"},
    ]);
    let results = server.try_stage(&batch).await.expect(200).json();
    let results = results["results"].as_array().unwrap();
    assert_eq!(results.len(), 3);
    for (place, receiver) in [(0, "u2"), (2, "u4")] {
        assert_eq!(results[place]["duplicate"], false);
        let mut client = server.connect(receiver).await;
        assert_eq!(client.notice().await.json["id"], results[place]["id"]);
    }
    assert_eq!(results[1]["code"], "INVALID_ARGUMENT");
    assert!(results[1]["detail"].as_str().unwrap().contains("message"));
    assert_eq!(results[1]["id"], Value::Null);
    assert_eq!(server.unread("u3").await, 0);
}

#[tokio::test]
async fn one_notice_can_go_to_many_receivers_each_with_its_own_result() {
    let server = Server::start();
    let body = json!({
        "receiverIds": ["u2", "", "u3"], "message": "The office is closed today", "idempotencyKey": "k"
    });
    let first = server.try_stage(&body).await.expect(200).json();
    assert_eq!(first["results"][1]["code"], "INVALID_ARGUMENT", "{first}");
    for (place, receiver) in [(0, "u2"), (2, "u3")] {
        let mut client = server.connect(receiver).await;
        let notice = client.notice().await;
        assert_eq!(notice.receiver, receiver);
        assert_eq!(first["results"][place]["id"], notice.json["id"]);
    }
    let again = server.try_stage(&body).await.expect(200).json();
    assert_eq!(again["results"][0]["id"], first["results"][0]["id"]);
    assert_eq!(again["results"][0]["duplicate"], true);
}

#[tokio::test]
async fn a_full_inbox_refuses_and_drops_nothing() {
    let server = Server::with(&[("NOTICE_LIMITS_UNREAD_PER_ACCOUNT", "3")]);
    let ids = server.stage_many("u2", "message", 3).await;
    let more = json!({"receiverId": "u2", "message": "too much"});
    server
        .try_stage(&more)
        .await
        .expect_problem(429, "INBOX_FULL");
    let batch = json!([more, {"receiverId": "u3", "message": "has room"}]);
    let results = server.try_stage(&batch).await.expect(200).json();
    assert_eq!(results["results"][0]["code"], "INBOX_FULL", "{results}");
    assert!(results["results"][1]["id"].is_string(), "{results}");

    let mut sender = server.connect("u1").await;
    sender
        .send(&json!({"type": "send", "ref": "r", "receiverId": "u2", "message": "too much"}))
        .await;
    assert_eq!(sender.expect("error").await["code"], "INBOX_FULL");

    let mut client = server.connect("u2").await;
    for id in &ids {
        assert_eq!(client.notice().await.id, *id);
    }
    client.ack(&ids[..1]).await;
    server.reaches_unread("u2", 2).await;
    server.stage("u2", "has room again").await;
    assert_eq!(client.notice().await.message, "has room again");
}

#[tokio::test]
async fn a_full_inbox_still_answers_a_repeated_call_and_lets_a_collapse_key_replace() {
    let server = Server::with(&[("NOTICE_LIMITS_UNREAD_PER_ACCOUNT", "1")]);
    let body =
        json!({"receiverId": "u2", "message": "x", "idempotencyKey": "k", "collapseKey": "c"});
    server.stage_body(&body).await;
    server.try_stage(&body).await.expect(200);
    server
        .stage_body(&json!({"receiverId": "u2", "message": "y", "collapseKey": "c"}))
        .await;
    assert_eq!(server.unread("u2").await, 1);
}

#[tokio::test]
async fn a_v1_client_sends_by_a_frame_and_the_sender_is_its_own_account() {
    let server = Server::start();
    let mut sender = server.connect("u1").await;
    let mut receiver = server.connect("u2").await;
    let frame = json!({
        "type": "send", "ref": "r1", "receiverId": "u2", "message": "hello", "senderId": "somebody else",
        "noticeType": "chat", "data": {"x": 1}, "idempotencyKey": "k"
    });
    sender.send(&frame).await;
    let sent = sender.expect("sent").await;
    assert_eq!(
        (&sent["ref"], &sent["duplicate"]),
        (&json!("r1"), &json!(false))
    );
    let notice = receiver.notice().await;
    assert_eq!(notice.json["id"], sent["id"]);
    assert_eq!(notice.sender.as_deref(), Some("u1"));
    assert_eq!(
        (&notice.json["type"], &notice.json["data"]),
        (&json!("chat"), &json!({"x": 1}))
    );

    sender.send(&frame).await;
    let again = sender.expect("sent").await;
    assert_eq!(
        (&again["id"], &again["duplicate"]),
        (&sent["id"], &json!(true))
    );
}

#[tokio::test]
async fn a_v1_client_whose_frame_cannot_be_staged_is_told_which_one_and_why() {
    let server = Server::start();
    let mut sender = server.connect("u1").await;
    sender
        .send(&json!({"type": "send", "ref": "r7", "receiverId": "u2"}))
        .await;
    let error = sender.expect("error").await;
    assert_eq!(
        (&error["ref"], &error["code"]),
        (&json!("r7"), &json!("INVALID_ARGUMENT"))
    );
    assert!(
        error["message"].as_str().unwrap().contains("message"),
        "{error}"
    );
}

#[tokio::test]
async fn a_legacy_client_sends_by_a_frame_and_is_answered_only_when_that_fails() {
    let server = Server::start();
    let mut sender = server.connect_legacy("u1").await;
    let mut receiver = server.connect_legacy("u2").await;
    let frame = json!({
        "receiverId": "u2", "message": "hello", "senderId": "somebody else", "type": "chat",
        "data": [1], "idempotencyKey": "k"
    });
    sender.send(&frame).await;
    let notice = receiver.notice().await;
    assert_eq!(notice.sender.as_deref(), Some("u1"));
    assert_eq!(
        (&notice.json["type"], &notice.json["data"]),
        (&json!("chat"), &json!([1]))
    );
    // The first one was not answered, so this is the first answer.
    sender.send(&json!({"message": "to nobody"})).await;
    let mut failure = sender.text().await;
    assert!(!failure["message"].take().as_str().unwrap().is_empty());
    assert_eq!(
        failure,
        json!({"success": false, "code": "WS_SEND_FAILED", "message": null})
    );
    // And the repetition staged nothing.
    sender.send(&frame).await;
    sender
        .send(&json!({"receiverId": "u2", "message": "new"}))
        .await;
    assert_eq!(receiver.notice().await.message, "new");
}

#[tokio::test]
async fn a_client_sends_by_a_call_and_the_sender_is_its_own_account() {
    let server = Server::start();
    let token = server.token("u1").await;
    let mut receiver = server.connect("u2").await;
    let body = json!({
        "receiverId": "u2", "message": "hello", "senderId": "somebody else", "idempotencyKey": "k"
    });
    let sent = server
        .client_post(&token, "/send", &body)
        .await
        .expect(201)
        .json();
    let notice = receiver.notice().await;
    assert_eq!(notice.json["id"], sent["id"]);
    assert_eq!(notice.sender.as_deref(), Some("u1"));
    let again = server.client_post(&token, "/send", &body).await.json();
    assert_eq!(again, json!({"id": sent["id"], "duplicate": true}));
    // A client's key counts for its account, whoever the receiver is.
    let mut other = body;
    other["receiverId"] = json!("u3");
    let conflict = server.client_post(&token, "/send", &other).await;
    conflict.expect_problem(409, "IDEMPOTENCY_CONFLICT");
    let another = server.token("u4").await;
    server
        .client_post(&another, "/send", &other)
        .await
        .expect(201);
}
