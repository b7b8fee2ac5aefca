//! Optional kinds: watched only while their definition is there, so that a missing one disturbs nobody.
//!
//! Definitions are watched by name, metadata only. Where the operator may not read them, it asks the API server each minute
//! whether it serves the kind.

use std::time::Duration;

use hyper::Request;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::watch;

use super::kinds::Watching;
use super::{Blind, Followed, Sink, Target, follow};
use crate::apply::within;
use crate::observe::kinds::resource_path;
use crate::observe::{ChildKind, Served};

/// How often the API server is asked when definitions may not be read.
const ASK_EVERY: Duration = Duration::from_secs(60);
/// How often it is asked for a definition that has just come.
const CONFIRM_EVERY: Duration = Duration::from_secs(1);

/// What is known of a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Definition {
    Unknown,
    There,
    Absent,
    Denied,
}

struct DefinitionSink {
    tell: watch::Sender<Definition>,
    found: bool,
}

impl Sink for DefinitionSink {
    fn restart(&mut self) {
        self.found = false;
    }

    fn seen(&mut self, _: Value) {
        self.found = true;
        self.tell.send_replace(Definition::There);
    }

    fn gone(&mut self, _: Value) {
        self.tell.send_replace(Definition::Absent);
    }

    fn listed(&mut self) {
        if !self.found {
            self.tell.send_replace(Definition::Absent);
        }
    }

    fn blind(&mut self, why: &Blind) {
        if !matches!(why, Blind::Failing(_)) {
            self.tell.send_replace(Definition::Denied);
        }
    }
}

/// Follows one optional kind for ever: its definition, and while it is there its objects.
pub async fn follow_optional(watching: Watching, kind: ChildKind) {
    let Some(definition) = kind.definition() else {
        return;
    };
    let (tell, mut told) = watch::channel(Definition::Unknown);
    let target = Target {
        name: "customresourcedefinitions",
        path: resource_path("apiextensions.k8s.io/v1", "customresourcedefinitions", None),
        labels: String::new(),
        fields: format!("metadata.name={definition}"),
        metadata_only: true,
    };
    let sink = DefinitionSink { tell, found: false };
    let _watch = follow(&watching.clients, &watching.freshness, target, true, sink);
    let mut state = State {
        watching,
        kind,
        objects: Vec::new(),
    };
    loop {
        let definition = *told.borrow_and_update();
        let pause = state.turn(definition).await;
        tokio::select! {
            changed = told.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(pause.unwrap_or(ASK_EVERY)), if pause.is_some() => {}
        }
    }
}

struct State {
    watching: Watching,
    kind: ChildKind,
    objects: Vec<Followed>,
}

impl State {
    /// Acts on what is known of the definition; says when to look again without news.
    async fn turn(&mut self, definition: Definition) -> Option<Duration> {
        match definition {
            Definition::Unknown => None,
            Definition::Absent => {
                self.set(false);
                None
            }
            Definition::There => match self.served().await {
                Some(true) => {
                    self.set(true);
                    None
                }
                _ => Some(CONFIRM_EVERY),
            },
            Definition::Denied => {
                if let Some(served) = self.served().await {
                    self.set(served);
                }
                Some(ASK_EVERY)
            }
        }
    }

    fn set(&mut self, served: bool) {
        if served == self.objects.is_empty() {
            self.objects.clear();
            if served {
                let ranges = self.watching.ranges();
                self.objects = ranges.into_iter().map(|it| self.watching.children(self.kind, it)).collect();
            }
        }
        let state = if served { Served::Yes } else { Served::No };
        self.watching.feed.tell(|index| index.kind_served(self.kind, state));
    }

    /// Whether the API server serves the kind; `None` when it does not say.
    async fn served(&self) -> Option<bool> {
        let request = Request::get(format!("/apis/{}", self.kind.api_version())).body(Vec::new()).ok()?;
        match within(self.watching.clients.calls().request::<Resources>(request)).await {
            Ok(found) => Some(found.resources.iter().any(|it| it.name == self.kind.plural())),
            Err(kube::Error::Api(status)) if status.code == 404 => Some(false),
            Err(_) => None,
        }
    }
}

#[derive(Deserialize)]
struct Resources {
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    name: String,
}
