//! Writing children: server-side apply with one field manager, and deletes. It knows kinds and JSON, not what they mean.
//!
//! A child is written only if what would be sent differs from what was sent last, or if the object has moved since: so
//! nothing is written at rest, and what a person edits in a field of ours comes back.

pub mod decide;

use std::collections::HashMap;
use std::time::Duration;

use kube::Client;
use kube::core::params::{DeleteParams, GetParams, Patch, PatchParams, Preconditions};
use kube::core::request::Request;
use parking_lot::Mutex;
use serde_json::Value;

use crate::failure::{chain, refusal};
use crate::leader::Leadership;
use crate::observe::{ChildId, ChildKind, ChildSeen, ClusterKey, Observed, SharedIndex};
use decide::{Decision, Sent, Us, decide, hash_of, may_delete};

/// The field manager of children.
pub const MANAGER: &str = "notice-operator";
/// How long one call may take.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// A child as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Its kind.
    pub kind: ChildKind,
    /// Its name.
    pub name: String,
    /// Only the fields that we mean to own.
    pub object: Value,
}

/// What became of one child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// Nothing had to be done.
    Left,
    /// It was made.
    Created,
    /// It was written.
    Written,
    /// It was deleted.
    Deleted,
    /// Not touched: somebody else's.
    NotOurs(String),
    /// Not touched yet: it is going away first.
    Waits(String),
    /// The API server refuses it, and would again.
    Rejected(String),
    /// The API server has no such kind.
    NotServed,
}

/// Why a pass over the children broke off; it is tried again soon.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Another operator acts.
    #[error("this operator does not hold the lease")]
    NotLeader,
    /// The API server can't be reached, is overloaded or failed.
    #[error("{what} failed: {why}")]
    Failed {
        /// Such as `applying Deployment rides`.
        what: String,
        /// The chain of causes.
        why: String,
    },
}

/// Writes children.
#[derive(Debug)]
pub struct Applier {
    client: ClientOf,
    leadership: Leadership,
    index: SharedIndex,
    sent: Mutex<HashMap<ChildId, Sent>>,
}

struct ClientOf(Client);

impl std::fmt::Debug for ClientOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

impl Applier {
    /// Writes by `client` while `leadership` holds, and tells `index` what the answers say.
    #[must_use]
    pub fn new(client: Client, leadership: Leadership, index: SharedIndex) -> Self {
        Self {
            client: ClientOf(client),
            leadership,
            index,
            sent: Mutex::default(),
        }
    }

    /// Makes `wanted` so.
    ///
    /// # Errors
    /// [`Broken`]: to be tried again.
    pub async fn apply(&self, observed: &Observed, wanted: &Wanted) -> Result<Done, Broken> {
        let body = serde_json::to_vec(&wanted.object).map_err(|error| failed("writing", wanted, error.to_string()))?;
        let hash = hash_of(&body);
        let us = us(observed);
        let id = id_of(&observed.key, wanted.kind, &wanted.name);
        let child = observed.child(wanted.kind, &wanted.name);
        let sent = self.sent.lock().get(&id).cloned();
        match decide(&us, hash, child.map(|it| &it.seen), sent.as_ref()) {
            Decision::Look => self.look_and_apply(&us, &id, wanted, hash).await,
            decision => self.act(decision, &id, wanted, hash).await,
        }
    }

    async fn look_and_apply(&self, us: &Us<'_>, id: &ChildId, wanted: &Wanted, hash: u64) -> Result<Done, Broken> {
        match self.get(id, wanted).await? {
            Looked::NotServed => Ok(Done::NotServed),
            Looked::Nothing => self.send(id, wanted, hash, None).await,
            Looked::Found(object) => {
                // Not told to the index: what lacks our label is not watched, and would stay in it for ever.
                let decision = decide(us, hash, Some(&ChildSeen::of(&object)), None);
                self.act(decision, id, wanted, hash).await
            }
        }
    }

    async fn act(&self, decision: Decision, id: &ChildId, wanted: &Wanted, hash: u64) -> Result<Done, Broken> {
        match decision {
            Decision::Leave => Ok(Done::Left),
            Decision::Apply(uid) => self.send(id, wanted, hash, Some(uid)).await,
            Decision::NotOurs(who) => Ok(Done::NotOurs(who)),
            Decision::Wait(why) => Ok(Done::Waits(why)),
            // Only said of what was not looked at.
            Decision::Look => Err(failed("finding", wanted, "it was not found".into())),
        }
    }

    async fn send(&self, id: &ChildId, wanted: &Wanted, hash: u64, over: Option<String>) -> Result<Done, Broken> {
        let created = over.is_none();
        let mut body = wanted.object.clone();
        if let Some(uid) = over {
            // The API server refuses the write if another object has taken the name meanwhile.
            body["metadata"]["uid"] = Value::String(uid);
        }
        let params = PatchParams::apply(MANAGER).force();
        let request = Request::new(id.kind.path(Some(&id.namespace)))
            .patch(&wanted.name, &params, &Patch::Apply(&body))
            .map_err(|error| failed("writing", wanted, error.to_string()))?;
        match self.write::<Value>(request, "applying", wanted).await {
            Ok(object) => {
                self.note(id, hash, &object);
                Ok(if created { Done::Created } else { Done::Written })
            }
            Err(Refused::Lasting(done)) => Ok(done),
            Err(Refused::Passing(broken)) => Err(broken),
        }
    }

    fn note(&self, id: &ChildId, hash: u64, object: &Value) {
        let seen = ChildSeen::of(object);
        let sent = Sent {
            uid: seen.uid,
            hash,
            fingerprint: seen.fingerprint,
        };
        self.sent.lock().insert(id.clone(), sent);
        self.index.lock().child_seen(id.kind, object, 0);
    }

    /// Deletes a child that should not be, if it is ours.
    ///
    /// # Errors
    /// [`Broken`]: to be tried again.
    pub async fn delete(&self, observed: &Observed, kind: ChildKind, name: &str) -> Result<Done, Broken> {
        let Some(child) = observed.child(kind, name) else {
            return Ok(Done::Left);
        };
        if !may_delete(&us(observed), &child.seen) {
            return Ok(Done::Left);
        }
        let wanted = Wanted {
            kind,
            name: name.to_owned(),
            object: Value::Null,
        };
        let params = DeleteParams::background().preconditions(Preconditions {
            uid: Some(child.seen.uid.clone()),
            resource_version: None,
        });
        let request = Request::new(kind.path(Some(&observed.key.namespace)))
            .delete(name, &params)
            .map_err(|error| failed("deleting", &wanted, error.to_string()))?;
        match self.write::<Value>(request, "deleting", &wanted).await {
            Ok(_) => {}
            Err(Refused::Lasting(Done::NotServed)) => {}
            Err(Refused::Lasting(done)) => return Ok(done),
            Err(Refused::Passing(broken)) => return Err(broken),
        }
        self.sent.lock().remove(&id_of(&observed.key, kind, name));
        Ok(Done::Deleted)
    }

    /// A cluster is gone: what was sent for it is of no interest any more.
    pub fn forget(&self, key: &ClusterKey) {
        let belongs = |id: &ChildId| {
            id.namespace == key.namespace && (id.name == key.name || id.name.starts_with(&format!("{}-", key.name)))
        };
        self.sent.lock().retain(|id, _| !belongs(id));
    }

    async fn get(&self, id: &ChildId, wanted: &Wanted) -> Result<Looked, Broken> {
        let request = Request::new(id.kind.path(Some(&id.namespace)))
            .get(&wanted.name, &GetParams::default())
            .map_err(|error| failed("reading", wanted, error.to_string()))?;
        match within(self.client.0.request::<Value>(request)).await {
            Ok(object) => Ok(Looked::Found(object)),
            Err(kube::Error::Api(status)) if status.code == 404 && unknown_kind(&status) => Ok(Looked::NotServed),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(Looked::Nothing),
            Err(error) => Err(failed("reading", wanted, chain(&error))),
        }
    }

    async fn write<T: serde::de::DeserializeOwned>(
        &self,
        request: hyper::Request<Vec<u8>>,
        doing: &str,
        wanted: &Wanted,
    ) -> Result<T, Refused> {
        if !self.leadership.holds() {
            return Err(Refused::Passing(Broken::NotLeader));
        }
        within(self.client.0.request::<T>(request))
            .await
            .map_err(|error| sort(&error, doing, wanted))
    }
}

enum Looked {
    Found(Value),
    Nothing,
    NotServed,
}

enum Refused {
    Lasting(Done),
    Passing(Broken),
}

/// Whether a refusal will stand (the request itself is wrong, or not allowed), or passes.
fn sort(error: &kube::Error, doing: &str, wanted: &Wanted) -> Refused {
    match error {
        kube::Error::Api(status) => match status.code {
            404 if unknown_kind(status) => Refused::Lasting(Done::NotServed),
            400 | 403 | 405 | 413 | 415 | 422 => Refused::Lasting(Done::Rejected(refusal(error))),
            _ => Refused::Passing(failed(doing, wanted, chain(error))),
        },
        other => Refused::Passing(failed(doing, wanted, chain(other))),
    }
}

/// A 404 about the path itself names no object.
fn unknown_kind(status: &kube::core::Status) -> bool {
    let details = status.details.as_ref();
    details.is_none_or(|it| it.name.is_empty() && it.kind.is_empty())
}

fn failed(doing: &str, wanted: &Wanted, why: String) -> Broken {
    Broken::Failed {
        what: format!("{doing} {} {}", wanted.kind, wanted.name),
        why,
    }
}

fn us(observed: &Observed) -> Us<'_> {
    Us {
        name: &observed.key.name,
        uid: &observed.cluster.uid,
    }
}

fn id_of(key: &ClusterKey, kind: ChildKind, name: &str) -> ChildId {
    ChildId {
        namespace: key.namespace.clone(),
        kind,
        name: name.into(),
    }
}

/// A call, for so long at most.
///
/// # Errors
/// That of the call, or that there was no answer.
pub async fn within<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, kube::Error> {
    match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(result) => result,
        Err(_) => Err(kube::Error::Service("no answer in time".into())),
    }
}
