//! The page without scripts: what it shows, when that is read, its form, and what it is safe against.

use serde_json::json;

use crate::support::{Request, Response, Server};

/// A browser that keeps the page's cookies.
struct Browser<'a> {
    server: &'a Server,
    cookies: Vec<(String, String)>,
}

impl<'a> Browser<'a> {
    /// Opens the page by a link with the token in it.
    async fn sign_in(server: &'a Server, token: &str) -> Self {
        let mut browser = Self {
            server,
            cookies: Vec::new(),
        };
        let link = format!("/notice/page?SESSION_TOKEN_KEY={token}");
        let answer = browser.send(Request::get(link)).await.expect(303);
        assert_eq!(answer.header("location"), Some("/notice/page"));
        assert!(!answer.text().contains(token));
        browser
    }

    async fn send(&mut self, request: Request) -> Response {
        let cookies: Vec<_> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mut request = request;
        if !cookies.is_empty() {
            request = request.header("cookie", cookies.join("; "));
        }
        let answer = request.send(self.server.public).await;
        for (_, set) in answer
            .headers
            .iter()
            .filter(|(name, _)| name == "set-cookie")
        {
            for attribute in ["Path=/notice/page", "HttpOnly", "SameSite="] {
                assert!(set.contains(attribute), "{set}");
            }
            let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.retain(|(own, _)| own != name);
            self.cookies.push((name.to_owned(), value.to_owned()));
        }
        answer
    }

    async fn load(&mut self) -> Response {
        self.send(Request::get("/notice/page")).await
    }

    /// Fills the form of a page in and sends it.
    async fn submit(&mut self, page: &Response, receiver: &str, message: &str) -> Response {
        let body = form(page, receiver, message);
        self.send(post(body)).await
    }
}

fn post(body: String) -> Request {
    Request::new("POST", "/notice/page")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body)
}

fn hidden(page: &Response, name: &str) -> String {
    let start = format!("name={name} value=\"");
    let at = page.text().find(&start).expect("a hidden field") + start.len();
    page.text()[at..].split('"').next().unwrap().to_owned()
}

fn form(page: &Response, receiver: &str, message: &str) -> String {
    form_urlencoded::Serializer::new(String::new())
        .append_pair("formToken", &hidden(page, "formToken"))
        .append_pair("key", &hidden(page, "key"))
        .append_pair("receiverId", receiver)
        .append_pair("message", message)
        .finish()
}

#[tokio::test]
async fn the_page_loads_itself_again_without_a_script_and_is_kept_nowhere() {
    let server = Server::start();
    let token = server.token("u2").await;
    let mut browser = Browser::sign_in(&server, &token).await;
    let page = browser.load().await.expect(200);
    assert!(
        page.text()
            .contains("<meta http-equiv=\"refresh\" content=\"12\">")
    );
    assert!(!page.text().contains("<script"));
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        policy.contains("default-src 'none'") && !policy.contains("script-src"),
        "{policy}"
    );
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    let style = Request::get("/notice/assets/page.css")
        .send(server.public)
        .await
        .expect(200);
    assert_eq!(
        style.header("content-type"),
        Some("text/css; charset=utf-8")
    );
    let still = browser.send(Request::get("/notice/page?refresh=off")).await;
    assert!(!still.text().contains("http-equiv"));
}

#[tokio::test]
async fn how_often_it_loads_itself_is_a_setting() {
    let server = Server::with(&[("NOTICE_PAGE_REFRESH_SECONDS", "5")]);
    let token = server.token("u2").await;
    let page = Browser::sign_in(&server, &token)
        .await
        .load()
        .await
        .expect(200);
    assert!(page.text().contains("content=\"5\""));
}

#[tokio::test]
async fn what_the_page_showed_is_read_at_its_next_load_and_stays_in_sight() {
    let server = Server::start();
    let token = server.token("u2").await;
    let mut browser = Browser::sign_in(&server, &token).await;
    browser.load().await.expect(200);
    let first = server.stage("u2", "the first").await;
    let page = browser.load().await;
    assert!(page.text().contains("the first") && page.text().contains("class=new"));
    assert_eq!(server.state_name(&first).await, "pushed");
    let second = server.stage("u2", "the second").await;
    let page = browser.load().await;
    assert_eq!(server.state_name(&first).await, "read");
    assert_eq!(server.state_name(&second).await, "pushed");
    let (newer, older) = (
        page.text().find("the second"),
        page.text().find("the first"),
    );
    assert!(newer < older, "newest first");
    browser.load().await;
    assert_eq!(server.unread("u2").await, 0);
    let session = server.account("u2").await["sessions"][0].clone();
    assert_eq!(session["transport"], "page");
}

#[tokio::test]
async fn a_client_that_keeps_no_second_cookie_is_known_by_the_node() {
    let server = Server::start();
    let token = server.token("u2").await;
    let id = server.stage("u2", "hello").await;
    let load = Request::get("/notice/page").header("cookie", format!("SESSION_TOKEN_KEY={token}"));
    load.send(server.public).await.expect(200);
    assert_eq!(server.state_name(&id).await, "pushed");
    load.send(server.public).await.expect(200);
    assert_eq!(server.state_name(&id).await, "read");
}

#[tokio::test]
async fn only_the_newest_fifty_are_shown_and_only_what_was_shown_is_read() {
    let server = Server::start();
    let token = server.token("u2").await;
    let ids = server.stage_many("u2", "message", 60).await;
    let mut browser = Browser::sign_in(&server, &token).await;
    let page = browser.load().await;
    assert_eq!(page.text().matches("<li ").count(), 50);
    browser.load().await;
    assert_eq!(server.unread("u2").await, 10);
    assert_eq!(server.state_name(&ids[9]).await, "pushed");
    assert_eq!(server.state_name(&ids[10]).await, "read");
}

#[tokio::test]
async fn the_form_sends_a_notice_once_however_often_it_is_sent() {
    let server = Server::start();
    let token = server.token("u1").await;
    let mut receiver = server.connect("u2").await;
    let mut browser = Browser::sign_in(&server, &token).await;
    let page = browser.load().await;
    for _ in 0..2 {
        let answer = browser
            .submit(&page, "u2", "two\r\nlines")
            .await
            .expect(303);
        assert_eq!(answer.header("location"), Some("/notice/page"));
    }
    let page = browser.load().await;
    browser.submit(&page, "u2", "another").await.expect(303);
    let notice = receiver.notice().await;
    assert_eq!(
        (notice.message.as_str(), notice.sender.as_deref()),
        ("two\nlines", Some("u1"))
    );
    assert_eq!(receiver.notice().await.message, "another");
}

#[tokio::test]
async fn a_form_that_this_page_did_not_give_out_sends_nothing() {
    let server = Server::start();
    let token = server.token("u1").await;
    let mut browser = Browser::sign_in(&server, &token).await;
    let stranger = server.token("u3").await;
    let foreign = Browser::sign_in(&server, &stranger).await.load().await;
    for body in [
        form(&foreign, "u2", "forged"),
        "receiverId=u2&message=forged".to_owned(),
        "receiverId=u2&message=forged&formToken=".to_owned(),
    ] {
        browser.send(post(body)).await.expect(403);
    }
    let page = browser.load().await;
    let cross = post(form(&page, "u2", "forged")).header("origin", "https://evil.example.com");
    browser.send(cross).await.expect(403);
    let bare = post(form(&page, "u2", "forged")).send(server.public).await;
    bare.expect(401);
    assert_eq!(server.unread("u2").await, 0);
    server
        .reaches_metric("notice_stage_errors_total{code=\"FORM_NOT_OURS\"}", 3.0)
        .await;
}

#[tokio::test]
async fn a_form_that_is_not_valid_comes_back_with_what_was_written_and_why() {
    let server = Server::start();
    let token = server.token("u1").await;
    let mut browser = Browser::sign_in(&server, &token).await;
    let page = browser.load().await;
    let answer = browser
        .submit(&page, "", "my <long> text")
        .await
        .expect(400);
    assert!(answer.text().contains("my &lt;long&gt; text"), "{answer:?}");
    assert!(answer.text().contains("receiverId"));
    assert!(
        !answer.text().contains("http-equiv=\"refresh\""),
        "it would be lost"
    );
    let sent = browser.submit(&answer, "u2", "my <long> text").await;
    sent.expect(303);
    assert_eq!(server.unread("u2").await, 1);
}

#[tokio::test]
async fn nothing_that_anyone_writes_becomes_markup() {
    let server = Server::start();
    let evil = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'></textarea>";
    let token = server.token(evil).await;
    let body = json!({"receiverId": evil, "senderId": evil, "message": evil, "type": evil});
    server.stage_body(&body).await;
    let mut browser = Browser::sign_in(&server, &token).await;
    let page = browser.load().await;
    let failed = browser
        .submit(&page, evil, &"x".repeat(70_000))
        .await
        .expect(413);
    for page in [page, failed] {
        for tag in ["<script", "<img", "<textarea", "</textarea"] {
            let expected = usize::from(tag.contains("textarea"));
            assert_eq!(page.text().matches(tag).count(), expected, "{tag}");
        }
        assert!(page.text().contains("&lt;script&gt;"));
    }
}

#[tokio::test]
async fn who_is_not_signed_in_sees_a_page_that_says_so_and_a_bad_token_becomes_no_cookie() {
    let server = Server::start();
    let nobody = Request::get("/notice/page")
        .send(server.public)
        .await
        .expect(401);
    assert!(nobody.text().contains("not signed in"));
    assert!(!nobody.text().contains("http-equiv=\"refresh\""));
    let bad = Request::get("/notice/page?SESSION_TOKEN_KEY=no-such-token");
    let bad = bad.send(server.public).await.expect(401);
    assert_eq!(bad.header("set-cookie"), None);
    let token = server.token("u2").await;
    let mut browser = Browser::sign_in(&server, &token).await;
    server.revoke(&token).await;
    browser.load().await.expect(401);
}

#[tokio::test]
async fn a_cookie_lives_as_long_as_its_token_and_behind_tls_is_for_tls_only() {
    let server = Server::start();
    let token = server.token_for("u2", 100).await;
    let link = Request::get(format!("/notice/page?SESSION_TOKEN_KEY={token}"));
    let answer = link.clone().send(server.public).await.expect(303);
    let cookie = answer.header("set-cookie").unwrap();
    let seconds: u64 = cookie.split("Max-Age=").nth(1).unwrap().parse().unwrap();
    assert!((90..=100).contains(&seconds), "{cookie}");
    assert!(!cookie.contains("Secure"));
    let answer = link
        .header("x-forwarded-proto", "https")
        .send(server.public)
        .await;
    assert!(answer.header("set-cookie").unwrap().contains("; Secure"));
}

#[tokio::test]
async fn while_its_node_drains_the_page_says_so_and_looks_again_by_itself() {
    let server = Server::start();
    let token = server.token("u2").await;
    let mut browser = Browser::sign_in(&server, &token).await;
    browser.load().await.expect(200);
    server.drain(0).await.expect(200);
    let page = browser.load().await.expect(503);
    assert!(page.text().contains("http-equiv=\"refresh\""));
    assert!(page.header("retry-after").is_some());
    server.undrain().await.expect(204);
    browser.load().await.expect(200);
}
