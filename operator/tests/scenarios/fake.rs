//! An API server in memory: objects, lists, watches, server-side apply without field ownership, and faults on demand.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::broadcast;

/// How long a condition is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// An object's place: API version, plural, namespace, name.
type Place = (String, String, String, String);

/// A request that was answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub method: Method,
    pub path: String,
    pub status: u16,
    pub watch: bool,
}

/// Requests that are refused.
#[derive(Clone, Debug)]
pub struct Fault {
    pub method: Method,
    /// What the path (with its query) holds.
    pub holds: &'static str,
    pub code: u16,
    pub message: &'static str,
    /// How often; `usize::MAX` for always.
    pub times: usize,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<Place, Value>,
    version: u64,
    seen: Vec<Seen>,
    faults: Vec<Fault>,
}

/// The server.
#[derive(Clone)]
pub struct Fake {
    state: Arc<Mutex<State>>,
    events: broadcast::Sender<Told>,
    pub url: String,
}

/// What watches are told.
#[derive(Clone)]
enum Told {
    Event(Place, String, Value),
    /// All watches get this as an error, and end.
    Gone,
    /// All watches end without a word.
    Cut,
}

struct Asked {
    place: Place,
    subresource: Option<String>,
    query: BTreeMap<String, String>,
}

type Body = StreamBody<BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;

impl Fake {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (events, _) = broadcast::channel(1000);
        let fake = Self {
            state: Arc::default(),
            events,
            url,
        };
        let server = fake.clone();
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let server = server.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let server = server.clone();
                        async move { Ok::<_, Infallible>(server.answer(request).await) }
                    });
                    let http = hyper::server::conn::http1::Builder::new();
                    let _client_gone = http.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        fake
    }

    pub fn fail(&self, fault: Fault) {
        self.state.lock().faults.push(fault);
    }

    pub fn heal(&self) {
        self.state.lock().faults.clear();
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state.lock().seen.clone()
    }

    /// All watches are told that their version is too old.
    pub fn expire_watches(&self) {
        let _nobody_watches = self.events.send(Told::Gone);
    }

    /// All watches end.
    pub fn cut_watches(&self) {
        let _nobody_watches = self.events.send(Told::Cut);
    }

    pub fn object(&self, path: &str) -> Option<Value> {
        self.state.lock().objects.get(&asked(path, "").place).cloned()
    }

    /// Makes or changes an object behind the operator's back.
    pub fn put(&self, path: &str, object: Value) {
        let place = asked(path, "").place;
        self.store(&place, object);
    }

    /// Changes an object without telling any watch, as if the event was lost with a connection.
    pub fn remove_in_silence(&self, path: &str) {
        self.state.lock().objects.remove(&asked(path, "").place);
    }

    pub async fn wait<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(started.elapsed() < PATIENCE, "not so: {what}\n{:#?}", self.seen());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn store(&self, place: &Place, mut object: Value) -> Value {
        let mut state = self.state.lock();
        state.version += 1;
        let version = state.version;
        let before = state.objects.get(place);
        let kind = if before.is_some() { "MODIFIED" } else { "ADDED" };
        let meta = &mut object["metadata"];
        meta["namespace"] = json!(place.2);
        meta["name"] = json!(place.3);
        meta["uid"] = before.map_or_else(|| json!(format!("uid-{version}")), |it| it["metadata"]["uid"].clone());
        let spec_moved = before.is_none_or(|it| it["spec"] != object["spec"]);
        let generation = before.map_or(0, |it| it["metadata"]["generation"].as_i64().unwrap_or(0));
        object["metadata"]["generation"] = json!(generation + i64::from(spec_moved));
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        state.objects.insert(place.clone(), object.clone());
        drop(state);
        let _nobody_watches = self.events.send(Told::Event(place.clone(), kind.to_owned(), object.clone()));
        object
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let query = parts.uri.query().unwrap_or_default();
        let asked = asked(parts.uri.path(), query);
        let (code, answer) = match self.fault(&parts.method, &parts.uri.to_string()) {
            Some(fault) => (fault.code, Some(status(fault.code, fault.message, &asked.place))),
            None => self.act(&parts.method, &asked, &body),
        };
        let watch = answer.is_none();
        self.state.lock().seen.push(Seen {
            method: parts.method,
            path: parts.uri.path().to_owned(),
            status: code,
            watch,
        });
        let stream: BoxStream<'static, _> = match answer {
            Some(answer) => {
                let bytes = Bytes::from(answer.to_string());
                futures_util::stream::once(async move { Ok(Frame::data(bytes)) }).boxed()
            }
            None => self.watch(asked),
        };
        let mut response = Response::new(StreamBody::new(stream));
        *response.status_mut() = StatusCode::from_u16(code).unwrap();
        response.headers_mut().insert("content-type", "application/json".parse().unwrap());
        response
    }

    fn fault(&self, method: &Method, uri: &str) -> Option<Fault> {
        let mut state = self.state.lock();
        let fault = state.faults.iter_mut().find(|it| it.method == *method && uri.contains(it.holds) && it.times > 0)?;
        fault.times = fault.times.saturating_sub(usize::from(fault.times != usize::MAX));
        Some(fault.clone())
    }

    /// The answer; none for a watch.
    fn act(&self, method: &Method, asked: &Asked, body: &[u8]) -> (u16, Option<Value>) {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let found = self.state.lock().objects.get(&asked.place).cloned();
        let missing = || (404, Some(status(404, "not found", &asked.place)));
        match (method.as_str(), found) {
            ("GET", _) if asked.place.3.is_empty() && asked.query.contains_key("watch") => (200, None),
            ("GET", _) if asked.place.3.is_empty() => (200, Some(self.list(asked))),
            ("GET" | "DELETE" | "PUT", None) => missing(),
            ("GET", Some(object)) => (200, Some(object)),
            ("DELETE", Some(object)) => {
                self.state.lock().objects.remove(&asked.place);
                let told = Told::Event(asked.place.clone(), "DELETED".to_owned(), object.clone());
                let _nobody_watches = self.events.send(told);
                (200, Some(object))
            }
            ("PATCH", None) if asked.subresource.is_some() => missing(),
            ("PATCH", Some(mut object)) if asked.subresource.is_some() => {
                object["status"] = body["status"].clone();
                (200, Some(self.store(&asked.place, object)))
            }
            ("POST", _) => {
                let mut place = asked.place.clone();
                place.3 = body["metadata"]["name"].as_str().unwrap_or("generated").to_owned();
                (201, Some(self.store(&place, body)))
            }
            (_, found) => {
                let mut object = body;
                if let Some(found) = found {
                    object["status"] = found["status"].clone();
                }
                (200, Some(self.store(&asked.place, object)))
            }
        }
    }

    fn list(&self, asked: &Asked) -> Value {
        let state = self.state.lock();
        let items: Vec<_> = state
            .objects
            .iter()
            .filter(|(place, object)| wanted(asked, place, object))
            .map(|(_, object)| object.clone())
            .collect();
        json!({"metadata": {"resourceVersion": state.version.to_string()}, "items": items, "resources": []})
    }

    fn watch(&self, asked: Asked) -> BoxStream<'static, Result<Frame<Bytes>, Infallible>> {
        let from: u64 = asked.query.get("resourceVersion").and_then(|it| it.parse().ok()).unwrap_or(0);
        // What happened between the list and the watch.
        let missed: Vec<_> = {
            let state = self.state.lock();
            let newer = |object: &Value| object["metadata"]["resourceVersion"].as_str().and_then(|it| it.parse::<u64>().ok()) > Some(from);
            let all = state.objects.iter().filter(|(place, object)| wanted(&asked, place, object) && newer(object));
            all.map(|(_, object)| line("MODIFIED", object)).collect()
        };
        let events = futures_util::stream::unfold(self.events.subscribe(), |mut events| async move {
            match events.recv().await {
                Ok(Told::Cut) | Err(_) => None,
                Ok(told) => Some((told, events)),
            }
        });
        let told = events.filter_map(move |told| {
            let text = match told {
                Told::Event(place, kind, object) if wanted(&asked, &place, &object) => Some(line(&kind, &object)),
                Told::Gone => Some(line("ERROR", &json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}))),
                _ => None,
            };
            async move { text }
        });
        futures_util::stream::iter(missed).chain(told).map(|text| Ok(Frame::data(Bytes::from(text)))).boxed()
    }
}

fn line(kind: &str, object: &Value) -> String {
    format!("{}\n", json!({"type": kind, "object": object}))
}

fn status(code: u16, message: &str, place: &Place) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message,
           "reason": "Test", "details": {"name": place.3, "kind": place.1}})
}

fn wanted(asked: &Asked, place: &Place, object: &Value) -> bool {
    let (version, plural, namespace, _) = &asked.place;
    let named = asked.query.get("fieldSelector").and_then(|it| it.strip_prefix("metadata.name="));
    let label = asked.query.get("labelSelector").and_then(|it| it.split_once('='));
    *version == place.0
        && *plural == place.1
        && (namespace.is_empty() || *namespace == place.2)
        && named.is_none_or(|it| it == place.3)
        && label.is_none_or(|(key, value)| object["metadata"]["labels"][key] == value)
}

fn asked(path: &str, query: &str) -> Asked {
    let parts: Vec<_> = path.trim_matches('/').split('/').collect();
    let (version, rest) = if parts[0] == "api" {
        (parts[1].to_owned(), &parts[2..])
    } else {
        (parts[1..parts.len().min(3)].join("/"), parts.get(3..).unwrap_or_default())
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => ((*namespace).to_owned(), rest),
        rest => (String::new(), rest),
    };
    let part = |at: usize| rest.get(at).copied().unwrap_or_default().to_owned();
    let query = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    Asked {
        place: (version, part(0), namespace, part(1)),
        subresource: rest.get(2).map(|it| (*it).to_owned()),
        query,
    }
}
