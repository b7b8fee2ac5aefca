//! One object, followed by its name: what it is now.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::watch;

use super::{Blind, Followed, Freshness, Sink, Target, follow};
use crate::client::Clients;

/// What is known of the object.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Known {
    /// Nothing yet.
    #[default]
    Unknown,
    /// It does not exist.
    Absent,
    /// This is it.
    There(Arc<Value>),
}

/// An object that is followed until this is dropped.
#[derive(Debug)]
pub struct Latest {
    /// What it is now, and whether that has changed.
    pub known: watch::Receiver<Known>,
    _followed: Followed,
}

impl Latest {
    /// Follows the object `name` of the collection at `path`; `kind` is for logs and metrics. Readiness does not wait for it.
    #[must_use]
    pub fn follow(
        clients: &Clients,
        freshness: &Freshness,
        kind: &'static str,
        path: String,
        name: &str,
    ) -> Self {
        let target = Target {
            name: kind,
            path,
            labels: String::new(),
            fields: format!("metadata.name={name}"),
            metadata_only: false,
        };
        let (tell, known) = watch::channel(Known::Unknown);
        let sink = LatestSink { tell, found: false };
        Self {
            known,
            _followed: follow(clients, freshness, target, true, sink),
        }
    }
}

struct LatestSink {
    tell: watch::Sender<Known>,
    found: bool,
}

impl LatestSink {
    fn tell(&self, now: Known) {
        self.tell.send_if_modified(|known| {
            let changed = *known != now;
            *known = now;
            changed
        });
    }
}

impl Sink for LatestSink {
    fn restart(&mut self) {
        self.found = false;
    }

    fn seen(&mut self, object: Value) {
        self.found = true;
        self.tell(Known::There(Arc::new(object)));
    }

    fn gone(&mut self, _object: Value) {
        self.tell(Known::Absent);
    }

    fn listed(&mut self) {
        if !self.found {
            self.tell(Known::Absent);
        }
    }

    /// What was seen last stands: it is as good as anything.
    fn blind(&mut self, _why: &Blind) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_object_that_a_list_does_not_name_is_absent_and_one_that_cannot_be_seen_stays() {
        let (tell, known) = watch::channel(Known::Unknown);
        let mut sink = LatestSink { tell, found: false };
        sink.restart();
        sink.listed();
        assert_eq!(*known.borrow(), Known::Absent);
        sink.seen(json!({"a": 1}));
        sink.blind(&Blind::Denied);
        assert_eq!(*known.borrow(), Known::There(Arc::new(json!({"a": 1}))));
        sink.restart();
        sink.listed();
        assert_eq!(*known.borrow(), Known::Absent);
    }
}
