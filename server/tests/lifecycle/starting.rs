//! The first start, and starts that must not be.

use serde_json::json;

use crate::support::{Folder, Handshake, KEY, Program, Request};

#[tokio::test]
async fn started_with_nothing_it_prints_links_and_a_key_that_work_also_after_a_restart() {
    let folder = Folder::new();
    let server = Program::start_bare(&folder, &[]).await;
    let greeting = Greeting::of(&server).await;
    greeting.works(&server).await;
    server.terminate();
    assert_eq!(server.exit().await.status.code(), Some(0));

    let server = Program::start_bare(&folder, &[]).await;
    let again = Greeting::of(&server).await;
    assert_eq!(again, greeting);
    again.works(&server).await;
}

/// What the greeting gives to try.
#[derive(Debug, PartialEq)]
struct Greeting {
    /// Two accounts, each with its token.
    sessions: Vec<(String, String)>,
    key: String,
}

impl Greeting {
    async fn of(server: &Program) -> Self {
        let base = format!("http://{}/notice", server.public);
        let text = crate::support::eventually("a greeting", async || {
            let text = server.output();
            if text.contains("curl ") {
                Ok(text)
            } else {
                Err(text)
            }
        })
        .await;
        let sessions = text
            .lines()
            .filter_map(|line| {
                let (account, link) = line.trim().split_once(' ')?;
                let fragment = link.trim().strip_prefix(&format!("{base}/#token="))?;
                let (token, _peer) = fragment.split_once('&')?;
                Some((account.to_owned(), token.to_owned()))
            })
            .collect();
        assert!(text.contains(&format!("curl {base}/notices")), "{text}");
        let key = text.split("Authorization: Bearer ").nth(1);
        let key = key.and_then(|rest| rest.split('\'').next());
        Self {
            sessions,
            key: key.unwrap_or_else(|| panic!("no key in {text}")).to_owned(),
        }
    }

    async fn works(&self, server: &Program) {
        assert_eq!(self.sessions.len(), 2, "{self:?}");
        let page = Request::get("/notice/")
            .send(server.public)
            .await
            .expect(200);
        assert!(page.text().contains("<html"), "{page:?}");
        for (account, token) in &self.sessions {
            let session = server
                .client_get(token, "/session")
                .await
                .expect(200)
                .json();
            assert_eq!(session["accountId"], *account);
            let mut client = Handshake::v1(token).open(server.public).await;
            let body = json!({"receiverId": account, "message": "Your driver accepted"});
            let stage = Request::post("/notice/notices", &body).bearer(&self.key);
            let id = stage.send(server.public).await.expect(201).json()["id"].clone();
            let notice = client.notice().await;
            assert_eq!(notice.json["id"], id);
            client.ack(&[notice.id]).await;
            client.close().await;
        }
    }
}

#[tokio::test]
async fn with_a_key_of_ones_own_nothing_is_printed_to_try_and_no_demo_is_left_behind() {
    let folder = Folder::new();
    let server = Program::start(&folder, &[]).await;
    server.token("u2").await;
    server.terminate();
    let exit = server.exit().await;
    assert!(!exit.output.contains("token="), "{}", exit.output);
    assert!(!exit.output.contains(KEY), "{}", exit.output);
    assert!(!folder.data().join("demo.json").exists());
}

#[tokio::test]
async fn a_public_address_without_a_key_is_refused_with_exit_code_2_and_what_to_do() {
    let folder = Folder::new();
    let exit = Program::run(&folder, &[("NOTICE_LISTEN", "0.0.0.0:0")]).await;
    assert_eq!(exit.status.code(), Some(2), "{}", exit.output);
    for part in ["NOTICE_LISTEN", "API key", "NOTICE_API_KEYS"] {
        assert!(
            exit.output.contains(part),
            "{part} is not in:\n{}",
            exit.output
        );
    }
    assert!(!folder.path().join("notice-data").exists());
}

#[tokio::test]
async fn every_mistake_in_the_configuration_is_named_at_once_with_exit_code_2() {
    let folder = Folder::new();
    let settings = [
        ("NOTICE_DELIVERY_WINDOW", "0"),
        ("NOTICE_LISTEN", "nowhere"),
        ("NOTICE_API_KEYS", KEY),
    ];
    let exit = Program::run(&folder, &settings).await;
    assert_eq!(exit.status.code(), Some(2), "{}", exit.output);
    for part in ["NOTICE_DELIVERY_WINDOW", "NOTICE_LISTEN"] {
        assert!(
            exit.output.contains(part),
            "{part} is not in:\n{}",
            exit.output
        );
    }
    assert!(!exit.output.contains(KEY), "{}", exit.output);
}

#[tokio::test]
async fn a_second_server_on_the_same_folder_is_refused_with_a_clear_text_and_harms_nothing() {
    let folder = Folder::new();
    let server = Program::start(&folder, &[]).await;
    let data = folder.data().display().to_string();
    let settings = [("NOTICE_API_KEYS", KEY), ("NOTICE_DATA_DIR", &data)];
    let exit = Program::run(&folder, &settings).await;
    assert_eq!(exit.status.code(), Some(1), "{}", exit.output);
    for part in [&data, "in use by another server"] {
        assert!(
            exit.output.contains(part),
            "{part} is not in:\n{}",
            exit.output
        );
    }
    server.stage("u2", "hello").await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_refused_with_the_name_of_the_setting() {
    let folder = Folder::new();
    let server = Program::start(&folder, &[]).await;
    let taken = server.public.to_string();
    let settings = [("NOTICE_API_KEYS", KEY), ("NOTICE_LISTEN", &taken)];
    let exit = Program::run(&Folder::new(), &settings).await;
    assert_eq!(exit.status.code(), Some(1), "{}", exit.output);
    for part in [taken.as_str(), "listen"] {
        assert!(
            exit.output.contains(part),
            "{part} is not in:\n{}",
            exit.output
        );
    }
}

#[tokio::test]
async fn an_unknown_variable_of_ours_is_a_warning_since_kubernetes_makes_some() {
    let folder = Folder::new();
    let settings = [("NOTICE_PORT_8080_TCP", "tcp://10.0.0.1:8080")];
    let server = Program::start(&folder, &settings).await;
    let output = server.output();
    assert!(output.contains("NOTICE_PORT_8080_TCP"), "{output}");
}
