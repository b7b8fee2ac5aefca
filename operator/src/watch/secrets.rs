//! Watches of Secrets, each by its name, started and stopped as specs refer to them: so the operator needs no right to list
//! the Secrets of a namespace.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use super::kinds::Watching;
use super::sinks::SecretSink;
use super::{Followed, Target, follow};
use crate::observe::kinds::resource_path;
use crate::secrets::Digester;

/// The watches, by namespace and name.
#[derive(Debug)]
pub struct SecretWatches {
    watching: Watching,
    digester: Digester,
    running: Mutex<HashMap<(Arc<str>, String), Followed>>,
}

impl SecretWatches {
    /// None yet.
    #[must_use]
    pub fn new(watching: Watching, digester: Digester) -> Self {
        Self {
            watching,
            digester,
            running: Mutex::default(),
        }
    }

    /// From now on these are watched, and no others.
    pub fn set(&self, wanted: &BTreeSet<(Arc<str>, String)>) {
        let mut running = self.running.lock();
        running.retain(|at, _| {
            let kept = wanted.contains(at);
            if !kept {
                self.watching.feed.index.lock().secret_forgotten(&at.0, &at.1);
            }
            kept
        });
        for at in wanted {
            if !running.contains_key(at) {
                running.insert(at.clone(), self.start(&at.0, &at.1));
            }
        }
    }

    fn start(&self, namespace: &str, name: &str) -> Followed {
        let target = Target {
            name: "secrets",
            path: resource_path("v1", "secrets", Some(namespace)),
            labels: String::new(),
            fields: format!("metadata.name={name}"),
            metadata_only: false,
        };
        let sink = SecretSink::new(
            self.watching.feed.clone(),
            self.digester.clone(),
            namespace.to_owned(),
            name.to_owned(),
        );
        follow(&self.watching.clients, &self.watching.freshness, target, true, sink)
    }
}
