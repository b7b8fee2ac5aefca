//! The calls of a server's surroundings: what a service, a client and an operator ask of it.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::http::{Request, Response};
use super::metrics::Scrape;
use super::notice::Notice;
use super::socket::{Handshake, Socket};
use super::wait::eventually;

/// The API key of the tests' service.
pub const KEY: &str = "only-for-tests-0123456789abcdef";

/// Where a server is, and the key to it.
#[derive(Debug, Clone)]
pub struct Api {
    /// The public listener.
    pub public: SocketAddr,
    /// The admin listener.
    pub admin: SocketAddr,
    /// An API key that it knows.
    pub key: String,
}

/// Services.
impl Api {
    /// Itself, for another task.
    pub fn api(&self) -> Self {
        self.clone()
    }

    /// A service call with a body, below the base path.
    pub async fn service_post(&self, path: &str, body: &Value) -> Response {
        let request = Request::post(format!("/notice{path}"), body);
        request.bearer(&self.key).send(self.public).await
    }

    /// A service call that only asks.
    pub async fn service_get(&self, path: &str) -> Response {
        let request = Request::get(format!("/notice{path}"));
        request.bearer(&self.key).send(self.public).await
    }

    /// A service call that takes something away.
    pub async fn service_delete(&self, path: &str) -> Response {
        let request = Request::delete(format!("/notice{path}"));
        request.bearer(&self.key).send(self.public).await
    }

    /// Stages what this body says, whatever the answer.
    pub async fn try_stage(&self, body: &Value) -> Response {
        self.service_post("/notices", body).await
    }

    /// Stages one notice, which must be new, and answers with its id.
    pub async fn stage_body(&self, body: &Value) -> String {
        let answer = self.try_stage(body).await.expect(201).json();
        assert_eq!(answer["duplicate"], false, "{answer}");
        answer["id"].as_str().unwrap().to_owned()
    }

    /// Stages a message.
    pub async fn stage(&self, receiver: &str, message: &str) -> String {
        self.stage_body(&json!({"receiverId": receiver, "message": message}))
            .await
    }

    /// Stages `count` messages "PREFIX 0", "PREFIX 1", ... in calls of a thousand, and answers with their ids.
    pub async fn stage_many(&self, receiver: &str, prefix: &str, count: usize) -> Vec<String> {
        let mut ids = Vec::with_capacity(count);
        while ids.len() < count {
            let end = count.min(ids.len() + 1000);
            let batch: Vec<_> = (ids.len()..end)
                .map(
                    |place| json!({"receiverId": receiver, "message": format!("{prefix} {place}")}),
                )
                .collect();
            let answer = self.try_stage(&json!(batch)).await.expect(200).json();
            for result in answer["results"].as_array().unwrap() {
                let id = result["id"].as_str();
                ids.push(id.unwrap_or_else(|| panic!("{result}")).to_owned());
            }
        }
        ids
    }

    /// `GET /notices/{id}`.
    pub async fn state(&self, id: &str) -> Response {
        self.service_get(&format!("/notices/{id}")).await
    }

    /// The state's name, of a notice that is known.
    pub async fn state_name(&self, id: &str) -> String {
        let state = self.state(id).await.expect(200).json();
        state["state"].as_str().unwrap().to_owned()
    }

    /// Waits until a notice has this state.
    pub async fn reaches_state(&self, id: &str, state: &str) -> Value {
        eventually(&format!("state {state} of {id}"), async || {
            let answer = self.state(id).await;
            let json = answer.json();
            if json["state"] == state {
                Ok(json)
            } else {
                Err(answer)
            }
        })
        .await
    }

    /// `DELETE /notices/{id}`.
    pub async fn recall(&self, id: &str) -> Response {
        self.service_delete(&format!("/notices/{id}")).await
    }

    /// `GET /accounts/{id}`.
    pub async fn account(&self, account: &str) -> Value {
        self.service_get(&format!("/accounts/{account}"))
            .await
            .expect(200)
            .json()
    }

    /// How many unread notices an account has.
    pub async fn unread(&self, account: &str) -> u64 {
        self.account(account).await["unread"].as_u64().unwrap()
    }

    /// Waits until an account has so many unread notices.
    pub async fn reaches_unread(&self, account: &str, count: u64) {
        eventually(&format!("{count} unread of {account}"), async || {
            let unread = self.unread(account).await;
            if unread == count { Ok(()) } else { Err(unread) }
        })
        .await;
    }

    /// Waits until an account has so many sessions.
    pub async fn reaches_sessions(&self, account: &str, count: usize) {
        eventually(&format!("{count} sessions of {account}"), async || {
            let view = self.account(account).await;
            if view["sessions"].as_array().unwrap().len() == count {
                Ok(())
            } else {
                Err(view)
            }
        })
        .await;
    }

    /// A session token of an account.
    pub async fn token(&self, account: &str) -> String {
        self.token_for(account, 3600).await
    }

    /// A session token that lives so many seconds.
    pub async fn token_for(&self, account: &str, seconds: u64) -> String {
        let body = json!({"accountId": account, "ttlSeconds": seconds});
        let answer = self
            .service_post("/sessions", &body)
            .await
            .expect(201)
            .json();
        assert!(answer["expireTime"].is_u64(), "{answer}");
        answer["token"].as_str().unwrap().to_owned()
    }

    /// Ends a session token.
    pub async fn revoke(&self, token: &str) {
        let answer = self
            .service_post("/sessions/revoke", &json!({"token": token}))
            .await;
        answer.expect(204);
    }
}

/// Clients.
impl Api {
    /// A client call with a body, below the base path.
    pub async fn client_post(&self, token: &str, path: &str, body: &Value) -> Response {
        let request = Request::post(format!("/notice{path}"), body);
        request.bearer(token).send(self.public).await
    }

    /// A client call that only asks.
    pub async fn client_get(&self, token: &str, path: &str) -> Response {
        let request = Request::get(format!("/notice{path}"));
        request.bearer(token).send(self.public).await
    }

    /// Acknowledges by `POST /ack` and answers with how many that read.
    pub async fn ack(&self, token: &str, ids: &[impl AsRef<str>]) -> u64 {
        let ids: Vec<_> = ids.iter().map(AsRef::as_ref).collect();
        let answer = self.client_post(token, "/ack", &json!({"ids": ids})).await;
        answer.expect(200).json()["read"].as_u64().unwrap()
    }

    /// A page of the history, `query` with its question mark.
    pub async fn inbox(&self, token: &str, query: &str) -> Vec<Notice> {
        let page = self
            .client_get(token, &format!("/inbox{query}"))
            .await
            .expect(200)
            .json();
        let notices = page["notices"].as_array().unwrap();
        notices.iter().map(Notice::read).collect()
    }

    /// A new session of an account, in `notice.v1`.
    pub async fn connect(&self, account: &str) -> Socket {
        let token = self.token(account).await;
        Handshake::v1(&token).open(self.public).await
    }

    /// A new session as the source design's clients open it.
    pub async fn connect_legacy(&self, account: &str) -> Socket {
        let token = self.token(account).await;
        Handshake::legacy(&token).open(self.public).await
    }
}

/// Operators.
impl Api {
    /// A call of the admin listener that only asks.
    pub async fn admin_get(&self, path: &str) -> Response {
        Request::get(path).send(self.admin).await
    }

    /// The metrics now.
    pub async fn metrics(&self) -> Scrape {
        Scrape::read(self.admin_get("/metrics").await.expect(200).text())
    }

    /// Waits until a metric has this value.
    pub async fn reaches_metric(&self, sample: &str, value: f64) {
        eventually(&format!("{sample} at {value}"), async || {
            let now = self.metrics().await.value(sample);
            if (now - value).abs() < 1e-9 {
                Ok(())
            } else {
                Err(now)
            }
        })
        .await;
    }

    /// Begins a drain over so many seconds.
    pub async fn drain(&self, window_seconds: u64) -> Response {
        let body = json!({"windowSeconds": window_seconds});
        Request::post("/drain", &body).send(self.admin).await
    }

    /// Takes a drain back.
    pub async fn undrain(&self) -> Response {
        Request::delete("/drain").send(self.admin).await
    }

    /// `GET /load`.
    pub async fn load(&self) -> Value {
        self.admin_get("/load").await.expect(200).json()
    }
}
