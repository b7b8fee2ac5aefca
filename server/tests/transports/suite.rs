//! The same tests over every transport: order, at least once, no doubles, reading elsewhere, recalls, expiry, a slow
//! reader.

use serde_json::json;

use crate::support::{Carrier, Device, Server, eventually};

/// Runs each test of the suite over each transport, as a test of its own.
macro_rules! over_every_transport {
    ($($test:ident)*) => {
        over_every_transport! { @over v1 V1 $($test)* }
        over_every_transport! { @over legacy Legacy $($test)* }
        over_every_transport! { @over stream Stream $($test)* }
        over_every_transport! { @over strict_stream StrictStream $($test)* }
        over_every_transport! { @over long_poll LongPoll $($test)* }
        over_every_transport! { @over short_poll ShortPoll $($test)* }
    };
    (@over $module:ident $carrier:ident $($test:ident)*) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test(super::Carrier::$carrier).await;
                }
            )*
        }
    };
}

over_every_transport! {
    notices_staged_one_after_the_other_arrive_in_that_order
    what_was_staged_while_nobody_was_there_comes_oldest_first
    of_many_none_is_lost_and_none_comes_twice
    what_was_not_acknowledged_comes_again_to_the_next_session
    what_another_device_read_is_not_offered_any_more
    a_recall_is_told_and_what_was_not_written_yet_never_is
    what_expired_is_not_offered
    who_reads_slowly_holds_nobody_up_and_gets_everything_in_the_end
    a_notice_that_is_never_stored_is_offered_once_to_who_is_there
}

async fn notices_staged_one_after_the_other_arrive_in_that_order(carrier: Carrier) {
    let server = Server::start();
    let mut device = Device::connect(&server, "u2", carrier).await;
    let mut expected = Vec::new();
    for number in 0..20 {
        let message = format!("message {number}");
        server.stage("u2", &message).await;
        expected.push(message);
    }
    assert_eq!(device.messages(20).await, expected);
    device.reads_all(&server, "u2").await;
}

async fn what_was_staged_while_nobody_was_there_comes_oldest_first(carrier: Carrier) {
    let server = Server::start();
    let ids = server.stage_many("u2", "message", 200).await;
    let mut device = Device::connect(&server, "u2", carrier).await;
    for id in &ids {
        let notice = device.notice().await;
        assert_eq!((&notice.id, notice.redelivered), (id, false));
        device.ack(&[id]).await;
    }
    device.reads_all(&server, "u2").await;
}

async fn of_many_none_is_lost_and_none_comes_twice(carrier: Carrier) {
    const COUNT: usize = 1000;
    let server = Server::start();
    let mut device = Device::connect(&server, "u2", carrier).await;
    let api = server.api();
    let staging = tokio::spawn(async move {
        let mut ids = Vec::new();
        for part in 0..COUNT / 100 {
            ids.extend(api.stage_many("u2", &format!("part {part}"), 100).await);
        }
        ids
    });
    let mut came = Vec::new();
    while came.len() < COUNT {
        let notice = device.notice().await;
        device.ack(&[&notice.id]).await;
        came.push(notice.id);
    }
    device.reads_all(&server, "u2").await;
    assert_eq!(came, staging.await.unwrap());
    let marker = server.stage("u2", "nothing comes between").await;
    assert_eq!(device.notice().await.id, marker);
}

async fn what_was_not_acknowledged_comes_again_to_the_next_session(carrier: Carrier) {
    if !carrier.is_explicit() {
        return what_was_read_automatically_does_not_come_again(carrier).await;
    }
    let server = Server::start();
    let mut first = Device::connect(&server, "u2", carrier).await;
    let id = server.stage("u2", "hello").await;
    assert!(!first.notice().await.redelivered);
    server.reaches_state(&id, "pushed").await;
    drop(first);
    let mut second = Device::connect(&server, "u2", carrier).await;
    let again = second.notice().await;
    assert_eq!((&again.id, again.redelivered), (&id, true));
    second.ack(&[&id]).await;
    second.reads_all(&server, "u2").await;
    server.reaches_state(&id, "read").await;
}

async fn what_was_read_automatically_does_not_come_again(carrier: Carrier) {
    let server = Server::start();
    let mut first = Device::connect(&server, "u2", carrier).await;
    let id = server.stage("u2", "hello").await;
    assert_eq!(first.notice().await.id, id);
    // A legacy client answers pings when it reads on.
    let reading = tokio::spawn(async move { first.notice().await });
    server.reaches_state(&id, "read").await;
    let mut second = Device::connect(&server, "u2", carrier).await;
    let new = server.stage("u2", "new").await;
    assert_eq!(second.notice().await.id, new);
    assert_eq!(reading.await.unwrap().id, new);
}

async fn what_another_device_read_is_not_offered_any_more(carrier: Carrier) {
    let server = Server::with(&[("NOTICE_DELIVERY_WINDOW", "1")]);
    let ids = server.stage_many("u2", "message", 3).await;
    // Its window is full with the first: the others wait.
    let mut device = Device::connect(&server, "u2", carrier).await;
    assert_eq!(device.notice().await.id, ids[0]);
    if carrier == Carrier::Stream {
        // Read by being taken: nothing waits for its client.
        assert_eq!(device.notice().await.id, ids[1]);
        assert_eq!(device.notice().await.id, ids[2]);
    } else {
        let mut other = Device::connect(&server, "u2", Carrier::V1).await;
        assert_eq!(other.notice().await.id, ids[0]);
        let all: Vec<_> = ids.iter().map(String::as_str).collect();
        other.ack(&all).await;
        for id in &ids {
            server.reaches_state(id, "read").await;
        }
    }
    if carrier.is_told() && carrier != Carrier::Stream {
        let told = device.told().await;
        assert_eq!(told.what, "read");
        assert!(told.ids.contains(&ids[0]), "{told:?}");
    }
    let marker = server.stage("u2", "nothing comes between").await;
    assert_eq!(device.notice().await.id, marker);
}

async fn a_recall_is_told_and_what_was_not_written_yet_never_is(carrier: Carrier) {
    let server = Server::start();
    let mut device = Device::connect(&server, "u2", carrier).await;
    let id = server.stage("u2", "a mistake").await;
    assert_eq!(device.notice().await.id, id);
    server.recall(&id).await.expect(204);
    if carrier.is_told() {
        let told = device.told().await;
        assert_eq!((told.what, told.ids), ("recall", vec![id.clone()]));
    }
    let marker = server.stage("u2", "nothing comes between").await;
    assert_eq!(device.notice().await.id, marker);

    let gone = server
        .stage("u3", "recalled before anybody was there")
        .await;
    server.recall(&gone).await.expect(204);
    let kept = server.stage("u3", "kept").await;
    let mut device = Device::connect(&server, "u3", carrier).await;
    assert_eq!(device.notice().await.id, kept);
}

async fn what_expired_is_not_offered(carrier: Carrier) {
    let server = Server::start();
    let body = json!({"receiverId": "u2", "message": "soon over", "ttlSeconds": 1});
    let over = server.stage_body(&body).await;
    server.reaches_state(&over, "expired").await;
    let kept = server.stage("u2", "kept").await;
    let mut device = Device::connect(&server, "u2", carrier).await;
    assert_eq!(device.notice().await.id, kept);
}

async fn who_reads_slowly_holds_nobody_up_and_gets_everything_in_the_end(carrier: Carrier) {
    const COUNT: usize = 300;
    let server = Server::with(&[("NOTICE_DELIVERY_WINDOW", "4096")]);
    let token = server.token("u2").await;
    let mut slow = slow(&server, &token, carrier).await;
    let mut quick = Device::connect(&server, "u2", Carrier::V1).await;
    // 9 MB: more than all buffers between the server and a client that does not read.
    let text = "x".repeat(30_000);
    let mut ids = Vec::new();
    for _ in 0..COUNT / 50 {
        let batch: Vec<_> = (0..50)
            .map(|_| json!({"receiverId": "u2", "message": text}))
            .collect();
        let answer = server.try_stage(&json!(batch)).await.expect(200).json();
        let results = answer["results"].as_array().unwrap();
        ids.extend(
            results
                .iter()
                .map(|it| it["id"].as_str().unwrap().to_owned()),
        );
    }
    for id in &ids {
        assert_eq!(&quick.notice().await.id, id);
    }
    let mut came = Vec::new();
    while came.len() < COUNT {
        let notice = slow.notice().await;
        slow.ack(&[&notice.id]).await;
        came.push(notice.id);
    }
    assert_eq!(came, ids);
}

/// A client whose kernel takes little ahead.
async fn slow(server: &Server, token: &str, carrier: Carrier) -> Device {
    match carrier {
        Carrier::Stream | Carrier::StrictStream => {
            Device::slow_stream(server.public, token, carrier, 4096).await
        }
        _ => Device::open(server.public, token, carrier).await,
    }
}

async fn a_notice_that_is_never_stored_is_offered_once_to_who_is_there(carrier: Carrier) {
    let server = Server::start();
    let mut device = Device::connect(&server, "u2", carrier).await;
    let body = json!({"receiverId": "u2", "message": "typing", "ttlSeconds": 0});
    let id = server.stage_body(&body).await;
    assert_eq!(device.notice().await.id, id);
    let marker = server.stage("u2", "nothing comes between").await;
    assert_eq!(device.notice().await.id, marker);
    let mut later = Device::connect(&server, "u2", Carrier::V1).await;
    if carrier.is_explicit() {
        assert_eq!(later.notice().await.id, marker);
    }
    eventually("nothing of it stored", async || {
        let answer = server.state(&id).await;
        if answer.status == 404 {
            Ok(())
        } else {
            Err(answer)
        }
    })
    .await;
}
