//! HTTP/1.1 as plain as it gets: a request is what the test wrote, an answer is what came.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use super::wait::in_time;
use super::wire::Wire;

/// A request that may be sent more than once.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Request {
    /// A request of any method; `target` is the full path with its query.
    pub fn new(method: &str, target: impl Into<String>) -> Self {
        Self {
            method: method.to_owned(),
            target: target.into(),
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// A `GET`.
    pub fn get(target: impl Into<String>) -> Self {
        Self::new("GET", target)
    }

    /// A `POST` of JSON.
    pub fn post(target: impl Into<String>, body: &Value) -> Self {
        Self::new("POST", target).body(body.to_string())
    }

    /// A `DELETE`.
    pub fn delete(target: impl Into<String>) -> Self {
        Self::new("DELETE", target)
    }

    /// With one more header.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// With `Authorization: Bearer`.
    pub fn bearer(self, credential: &str) -> Self {
        self.header("authorization", format!("Bearer {credential}"))
    }

    /// With these bytes as its body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Its bytes on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        let own = |name: &str| {
            self.headers
                .iter()
                .any(|(own, _)| own.eq_ignore_ascii_case(name))
        };
        if !own("host") {
            text.push_str("host: test\r\n");
        }
        let bare = self.body.is_empty() && self.method == "GET";
        if !bare && !own("content-length") {
            text.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Sends it over a connection of its own.
    pub async fn send(&self, address: SocketAddr) -> Response {
        let answer = in_time(&self.target, self.try_send(address)).await;
        answer.unwrap_or_else(|error| panic!("{} {}: {error}", self.method, self.target))
    }

    /// The same, for a server that may be gone.
    pub async fn try_send(&self, address: SocketAddr) -> io::Result<Response> {
        Connection::open(address).await?.call(self).await
    }
}

/// A kept connection: one call after the other.
#[derive(Debug)]
pub struct Connection(Wire);

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        Wire::connect(address, None).await.map(Self)
    }

    /// Sends a request and reads the answer.
    pub async fn call(&mut self, request: &Request) -> io::Result<Response> {
        self.write(&request.bytes()).await?;
        self.read().await
    }

    /// Writes any bytes.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write(bytes).await
    }

    /// Reads one answer.
    pub async fn read(&mut self) -> io::Result<Response> {
        self.0.read_response().await
    }

    /// Reads an interim answer, which is a head only.
    pub async fn read_head(&mut self) -> io::Result<String> {
        self.0.read_head().await
    }

    /// Says that nothing more will be written; reading goes on.
    pub async fn finish(&mut self) -> io::Result<()> {
        self.0.stream.shutdown().await
    }

    /// Waits until the server has ended the connection, in whichever way, and passes over what still comes.
    pub async fn closed(&mut self) {
        while let Ok(true) = self.0.read_more().await {
            self.0.buffer.clear();
        }
    }
}

/// An answer.
#[derive(Clone)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Bytes,
}

impl Response {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter();
        all.find(|(own, _)| own == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body is UTF-8")
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// Itself, if it has this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Checks that it is a problem with this status and code, in the shape that all of them have.
    #[track_caller]
    pub fn expect_problem(self, status: u16, code: &str) -> Self {
        let answer = self.expect(status);
        let kind = answer.header("content-type");
        assert_eq!(kind, Some("application/problem+json"), "{answer:?}");
        let body = answer.json();
        assert_eq!(body["code"], code, "{answer:?}");
        assert_eq!(body["status"], status, "{answer:?}");
        for member in ["type", "title", "detail"] {
            let text = body[member].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{member} is missing: {answer:?}");
        }
        if status == 429 || status == 503 {
            let after = answer
                .header("retry-after")
                .and_then(|after| after.parse().ok());
            assert!(after.is_some_and(|after: u64| after > 0), "{answer:?}");
        }
        answer
    }
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .field("body", &String::from_utf8_lossy(&self.body))
            .finish()
    }
}
