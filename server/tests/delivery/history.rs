//! Looking things up: the inbox, the state of a notice, who is online.

use serde_json::json;

use crate::support::{Request, Server};

#[tokio::test]
async fn the_inbox_is_read_page_by_page_newest_first_with_what_was_read_in_it() {
    let server = Server::start();
    let token = server.token("u2").await;
    let ids = server.stage_many("u2", "message", 5).await;
    server.stage("u3", "another's").await;
    assert_eq!(server.ack(&token, &[&ids[1], &ids[3]]).await, 2);

    let page = server.inbox(&token, "?limit=2").await;
    assert_eq!(messages(&page), ["message 4", "message 3"]);
    assert_eq!(
        (&page[0].json["read"], &page[1].json["read"]),
        (&json!(false), &json!(true))
    );
    let page = server
        .inbox(&token, &format!("?limit=2&before={}", page[1].id))
        .await;
    assert_eq!(messages(&page), ["message 2", "message 1"]);
    let page = server
        .inbox(&token, &format!("?limit=2&before={}", page[1].id))
        .await;
    assert_eq!(messages(&page), ["message 0"]);
    let page = server
        .inbox(&token, &format!("?before={}", page[0].id))
        .await;
    assert_eq!(messages(&page), [""; 0]);

    let unread = server.inbox(&token, "?unread=true").await;
    assert_eq!(messages(&unread), ["message 4", "message 2", "message 0"]);
    let unread = server
        .inbox(&token, &format!("?unread=true&limit=1&before={}", ids[4]))
        .await;
    assert_eq!(messages(&unread), ["message 2"]);
}

fn messages(page: &[crate::support::Notice]) -> Vec<&str> {
    page.iter().map(|notice| notice.message.as_str()).collect()
}

#[tokio::test]
async fn the_state_of_a_notice_goes_from_staged_to_pushed_to_read_with_its_times() {
    let server = Server::start();
    let id = server.stage("u2", "hello").await;
    let staged = server.state(&id).await.expect(200).json();
    assert_eq!(staged["id"], id);
    assert_eq!(staged["state"], "staged");
    assert!(staged["stagedTime"].is_u64(), "{staged}");
    assert_eq!(
        (&staged["pushedTime"], &staged["readTime"]),
        (&json!(null), &json!(null))
    );

    let mut client = server.connect("u2").await;
    let notice = client.notice().await;
    assert_eq!(notice.json["createdTime"], staged["stagedTime"]);
    let pushed = server.reaches_state(&id, "pushed").await;
    assert_eq!(pushed["stagedTime"], staged["stagedTime"]);
    assert!(
        pushed["pushedTime"].as_u64() >= staged["stagedTime"].as_u64(),
        "{pushed}"
    );

    client.ack(&[&id]).await;
    let read = server.reaches_state(&id, "read").await;
    assert_eq!(read["pushedTime"], pushed["pushedTime"]);
    assert!(
        read["readTime"].as_u64() >= read["pushedTime"].as_u64(),
        "{read}"
    );
}

#[tokio::test]
async fn an_account_shows_whether_it_is_online_with_which_sessions_and_how_much_it_has_not_read() {
    let server = Server::start();
    let nobody = json!({"online": false, "unread": 0, "sessions": []});
    assert_eq!(server.account("u2").await, nobody);
    server.stage("u2", "hello").await;
    let client = server.connect("u2").await;
    let _legacy = server.connect_legacy("u2").await;
    let view = server.account("u2").await;
    assert_eq!(
        (&view["online"], &view["unread"]),
        (&json!(true), &json!(1))
    );
    let sessions = view["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 2);
    assert_ne!(sessions[0]["id"], sessions[1]["id"]);
    for session in sessions {
        assert_eq!(session["transport"], "websocket");
        assert_eq!(session["node"], "node-a");
        assert!(session["since"].is_u64());
    }
    client.close().await;
    server.reaches_sessions("u2", 1).await;
}

#[tokio::test]
async fn the_accounts_online_are_listed_page_by_page_in_the_order_of_their_ids() {
    let server = Server::start();
    let mut clients = Vec::new();
    for account in ["c", "a", "e", "b", "d", "b"] {
        clients.push(server.connect(account).await);
    }
    server.stage("off line", "hello").await;
    let page = async |query: &str| {
        let path = format!("/accounts?online=true{query}");
        server.service_get(&path).await.expect(200).json()
    };
    let first = page("&limit=2").await;
    assert_eq!(first, json!({"accounts": ["a", "b"], "next": "b"}));
    let second = page("&limit=2&after=b").await;
    assert_eq!(second, json!({"accounts": ["c", "d"], "next": "d"}));
    let last = page("&limit=2&after=d").await;
    assert_eq!(last, json!({"accounts": ["e"], "next": null}));
}

#[tokio::test]
async fn what_a_client_asks_is_not_kept_by_caches() {
    let server = Server::start();
    let token = server.token("u2").await;
    for path in ["/session", "/inbox"] {
        let answer = server.client_get(&token, path).await.expect(200);
        assert_eq!(
            answer.header("cache-control"),
            Some("no-store"),
            "{answer:?}"
        );
    }
    let refused = Request::get("/notice/inbox").send(server.public).await;
    let refused = refused.expect_problem(401, "UNAUTHENTICATED");
    assert_eq!(refused.header("cache-control"), Some("no-store"));
}
