//! One watch: list in pages, then follow changes from there, for ever.
//!
//! Own code instead of the library's watcher, for three reasons: bookmarks show that a silent watch lives (the library
//! hides them), pages are handed on and dropped one by one, and a refusal is told apart from a failure.
//!
//! There is a watch for each Secret that is used, and nearly all rest nearly always. So what a watch needs to list and to
//! begin is in boxes of its own, and at rest there is no buffer.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::io::{AsyncBufRead, AsyncBufReadExt};
use futures_util::stream::BoxStream;
use hyper::header::ACCEPT_ENCODING;
use kube::Client;
use kube::core::params::{ListParams, WatchParams};
use kube::core::request::Request;
use kube::core::{Status, WatchEvent};
use serde::Deserialize;
use serde_json::Value;
use tokio::task::AbortHandle;

use super::freshness::Place;
use super::{Blind, Freshness, Sink, Target};
use crate::chance::chance;
use crate::client::Clients;

/// Objects in a page of a list: what is in memory at once.
const PAGE: u32 = 50;
/// The API server ends a watch after so many seconds (and up to a fifth less, so that they don't end together).
const WATCH_SECONDS: u32 = 290;
/// A watch says something at least so often (bookmarks come each minute); else the connection is dead.
const SILENCE: Duration = Duration::from_secs(150);
/// How long a page of a list may take.
const LIST_TIMEOUT: Duration = Duration::from_secs(60);
/// Pauses after failures.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The pause after a refusal: rights and definitions come by a person's hand.
const REFUSED_PAUSE: Duration = Duration::from_secs(15);

/// A watch that runs; dropping it ends it.
#[derive(Debug)]
pub struct Followed(AbortHandle);

impl Drop for Followed {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Follows `target` until the handle is dropped. Readiness does not wait for an `optional` one.
pub fn follow(
    clients: &Clients,
    freshness: &Freshness,
    target: Target,
    optional: bool,
    sink: impl Sink,
) -> Followed {
    let watch = Watch {
        clients: clients.clone(),
        place: freshness.enter(target.name, optional),
        target,
        sink,
        told: None,
    };
    Followed(tokio::spawn(watch.run()).abort_handle())
}

struct Watch<S> {
    clients: Clients,
    place: Place,
    target: Target,
    sink: S,
    told: Option<Blind>,
}

/// Why following ended.
enum End {
    /// The watch's time is over: go on from this version.
    From(String),
    /// The version is too old, or unknown: list again.
    Stale,
}

#[derive(Deserialize)]
struct Page {
    metadata: PageMeta,
    /// An API server writes an empty list of metadata as `null`.
    #[serde(default)]
    items: Option<Vec<Value>>,
}

#[derive(Deserialize)]
struct PageMeta {
    #[serde(rename = "resourceVersion", default)]
    version: String,
    #[serde(rename = "continue", default)]
    more: String,
}

impl<S: Sink> Watch<S> {
    async fn run(mut self) {
        let mut failures = 0;
        let mut from = None;
        loop {
            match self.turn(from.take(), &mut failures).await {
                Ok(End::From(version)) => from = Some(version),
                Ok(End::Stale) => {}
                Err(error) => Box::pin(self.wait_after(&error, &mut failures)).await,
            }
        }
    }

    async fn turn(&mut self, from: Option<String>, failures: &mut u32) -> Result<End, kube::Error> {
        // Held for the turn, so that idle connections of long pauses can be given up.
        let client = self.clients.for_watch()?;
        let version = match from {
            Some(version) => version,
            None => Box::pin(self.list(&client)).await?,
        };
        *failures = 0;
        self.told = None;
        self.follow_from(&client, version).await
    }

    async fn list(&mut self, client: &Client) -> Result<String, kube::Error> {
        self.sink.restart();
        let mut params = ListParams::default().limit(PAGE);
        params.label_selector = some(&self.target.labels);
        params.field_selector = some(&self.target.fields);
        loop {
            self.place.moves();
            let page = self.page(client, &params).await?;
            let items = page.items.unwrap_or_default();
            items.into_iter().for_each(|it| self.sink.seen(it));
            if page.metadata.more.is_empty() {
                self.sink.listed();
                self.place.listed();
                return Ok(page.metadata.version);
            }
            params.continue_token = Some(page.metadata.more);
        }
    }

    async fn page(&self, client: &Client, params: &ListParams) -> Result<Page, kube::Error> {
        let request = Request::new(self.target.path.clone());
        let request = if self.target.metadata_only {
            request.list_metadata(params)
        } else {
            request.list(params)
        }
        .map_err(kube::Error::BuildRequest)?;
        within(LIST_TIMEOUT, client.request(request)).await
    }

    async fn follow_from(&mut self, client: &Client, version: String) -> Result<End, kube::Error> {
        let mut events = Box::pin(self.open(client, &version)).await?;
        let mut version = version;
        loop {
            let next = tokio::time::timeout(SILENCE, events.next());
            let Ok(next) = next.await else {
                return Ok(End::From(version));
            };
            self.place.heard();
            match next {
                None => return Ok(End::From(version)),
                Some(Err(error)) if is_stale(&error) => return Ok(End::Stale),
                Some(Err(error)) => return Err(error),
                Some(Ok(WatchEvent::Error(status))) if status.code == 410 => return Ok(End::Stale),
                Some(Ok(WatchEvent::Error(status))) => return Err(kube::Error::Api(status)),
                Some(Ok(event)) => self.take(event, &mut version),
            }
        }
    }

    async fn open(
        &self,
        client: &Client,
        version: &str,
    ) -> Result<BoxStream<'static, Result<WatchEvent<Value>, kube::Error>>, kube::Error> {
        let params = WatchParams {
            label_selector: some(&self.target.labels),
            field_selector: some(&self.target.fields),
            timeout: Some(watch_seconds(chance())),
            bookmarks: true,
            send_initial_events: false,
        };
        let request = Request::new(self.target.path.clone());
        let mut request = if self.target.metadata_only {
            request.watch_metadata(&params, version)
        } else {
            request.watch(&params, version)
        }
        .map_err(kube::Error::BuildRequest)?;
        // From 1.37 on each event is compressed by itself, and nothing here takes that apart.
        let plain = hyper::header::HeaderValue::from_static("identity");
        request.headers_mut().insert(ACCEPT_ENCODING, plain);
        let lines = within(LIST_TIMEOUT, client.request_stream(request)).await?;
        Ok(events(lines))
    }

    fn take(&mut self, event: WatchEvent<Value>, version: &mut String) {
        let mut note = |object: &Value| {
            if let Some(new) = object["metadata"]["resourceVersion"].as_str() {
                new.clone_into(version);
            }
        };
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                note(&object);
                self.sink.seen(object);
            }
            WatchEvent::Deleted(object) => {
                note(&object);
                self.sink.gone(object);
            }
            WatchEvent::Bookmark(bookmark) => *version = bookmark.metadata.resource_version,
            WatchEvent::Error(_) => {}
        }
    }

    async fn wait_after(&mut self, error: &kube::Error, failures: &mut u32) {
        let why = reason(error);
        self.place.blind(!matches!(why, Blind::Failing(_)));
        if self.told.as_ref() != Some(&why) {
            tracing::warn!(
                watch = self.target.name,
                path = self.target.path,
                "a watch sees nothing for now: {}",
                told(&why)
            );
            self.sink.blind(&why);
            self.told = Some(why.clone());
        }
        tokio::time::sleep(pause(&why, *failures, chance())).await;
        *failures = failures.saturating_add(1);
    }
}

/// A line is an event. The library's own stream of them has a buffer of 8 KiB for each watch from the start.
fn events(
    lines: impl AsyncBufRead + Send + 'static,
) -> BoxStream<'static, Result<WatchEvent<Value>, kube::Error>> {
    let lines = Box::pin(lines).lines();
    let read = lines.filter_map(|line| std::future::ready(event(line)));
    read.boxed()
}

/// None for what a connection that broke has left of an event.
fn event(line: std::io::Result<String>) -> Option<Result<WatchEvent<Value>, kube::Error>> {
    let line = match line {
        Ok(line) => line,
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return None,
        Err(error) => return Some(Err(kube::Error::ReadEvents(error))),
    };
    match serde_json::from_str(&line) {
        Ok(event) => Some(Ok(event)),
        Err(error) if error.is_eof() => None,
        Err(error) => Some(Err(match serde_json::from_str::<Status>(&line) {
            Ok(status) => kube::Error::Api(status.boxed()),
            Err(_) => kube::Error::SerdeError(error),
        })),
    }
}

fn told(why: &Blind) -> String {
    match why {
        Blind::Denied => "the operator's account may not read it".to_owned(),
        Blind::NotServed => "the API server has no such kind".to_owned(),
        Blind::Failing(error) => error.clone(),
    }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn is_stale(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 410)
}

fn reason(error: &kube::Error) -> Blind {
    match error {
        kube::Error::Api(status) if status.code == 403 || status.code == 401 => Blind::Denied,
        kube::Error::Api(status) if status.code == 404 => Blind::NotServed,
        other => Blind::Failing(crate::failure::chain(other)),
    }
}

/// A pause after failures: doubling, half of it by chance; after a refusal it does not start short.
fn pause(why: &Blind, failures: u32, chance: f64) -> Duration {
    let whole = match why {
        Blind::Failing(_) => FIRST_PAUSE
            .saturating_mul(1 << failures.min(10))
            .min(LONGEST_PAUSE),
        Blind::Denied | Blind::NotServed => REFUSED_PAUSE,
    };
    whole.mul_f64(0.5 + chance / 2.0)
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a part of WATCH_SECONDS"
)]
fn watch_seconds(chance: f64) -> u32 {
    WATCH_SECONDS - (f64::from(WATCH_SECONDS) * 0.2 * chance) as u32
}

/// `call`, for so long at most.
async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, kube::Error> {
    match tokio::time::timeout(limit, call).await {
        Ok(result) => result,
        Err(_) => Err(kube::Error::Service("no answer in time".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_is_an_event_and_a_refusal_is_told() {
        let text = concat!(
            r#"{"type":"ADDED","object":{"metadata":{"resourceVersion":"1"}}}"#,
            "\n",
            r#"{"kind":"Status","code":403,"message":"no","status":"Failure","reason":"Forbidden","metadata":{}}"#,
            "\n",
            r#"{"type":"ADDED","obj"#,
        );
        let seen: Vec<_> = events(text.as_bytes()).collect().await;
        assert!(matches!(&seen[0], Ok(WatchEvent::Added(_))));
        assert!(matches!(&seen[1], Err(kube::Error::Api(status)) if status.code == 403));
        assert_eq!(seen.len(), 2, "half of an event is none");
    }

    #[test]
    fn an_empty_list_of_metadata_is_a_page_without_items() {
        let text = r#"{"kind":"PartialObjectMetadataList","metadata":{"resourceVersion":"4081"},"items":null}"#;
        let page: Page = serde_json::from_str(text).unwrap();
        assert_eq!((page.metadata.version.as_str(), page.items), ("4081", None));
    }
}
