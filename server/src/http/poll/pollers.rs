//! The pollers that are online here. Between two requests a poller's session waits here, and what is staged meanwhile
//! is handed to it; a while after the last answer it leaves.
//!
//! Nothing here must be found again: on another node, or after that while, a poller's next request makes a new session,
//! which finds in the inbox what the last one did not acknowledge.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Mutex as Place, OwnedMutexGuard};
use tokio::time::timeout;

use super::LINGER;
use crate::delivery::{AckMode, CloseReason, Session, Transport};
use crate::domain::NoticeId;
use crate::http::admission::{Manner, Refused};
use crate::http::courier::Courier;
use crate::http::problem::{Code, Problem};
use crate::http::services::{Client, Services};
use crate::tokens::TokenDigest;

/// How long a poll waits for the one before it to be answered.
const GIVE_WAY: Duration = Duration::from_secs(2);

/// How often those who have left are forgotten.
const ROUND: Duration = Duration::from_secs(1);

/// What polls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::http) enum Kind {
    /// `GET /poll`.
    Poll,
    /// `GET /page`.
    Page,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct PollerKey {
    token: TokenDigest,
    kind: Kind,
    name: Box<str>,
}

struct Poller {
    session: Arc<Session>,
    place: Arc<Place<Courier>>,
    /// When its last request ended.
    left: Mutex<Instant>,
    /// What the page showed last.
    shown: Mutex<Vec<NoticeId>>,
}

/// See the file's head.
#[derive(Default)]
pub(in crate::http) struct Pollers(Mutex<HashMap<PollerKey, Arc<Poller>>>);

impl fmt::Debug for Pollers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pollers")
            .field(&self.0.lock().len())
            .finish()
    }
}

impl Pollers {
    /// The session of a poller that is online here.
    pub(in crate::http) fn session(&self, client: &Client, name: &str) -> Option<Arc<Session>> {
        let key = key_of(client, Kind::Poll, name);
        let pollers = self.0.lock();
        pollers.get(&key).map(|poller| Arc::clone(&poller.session))
    }

    /// Forgets this poller, if it still has that name.
    fn forget(&self, key: &PollerKey, poller: &Arc<Poller>) {
        let mut pollers = self.0.lock();
        if pollers.get(key).is_some_and(|it| Arc::ptr_eq(it, poller)) {
            pollers.remove(key);
        }
    }

    /// Those whose while is over, or whose session is to end, and whom nobody holds.
    fn take_leaving(&self, now: Instant) -> Vec<Arc<Poller>> {
        let mut leaving = Vec::new();
        self.0.lock().retain(|_, poller| {
            let is_over = poller.session.closing().is_some()
                || now.saturating_duration_since(*poller.left.lock()) >= LINGER;
            // Whoever holds it, or is about to, has got it from here.
            let leaves = is_over && Arc::strong_count(poller) == 1;
            if leaves {
                leaving.push(Arc::clone(poller));
            }
            !leaves
        });
        leaving
    }

    /// Lets all of them go, at the server's end.
    pub(in crate::http) fn clear(&self) {
        drop(std::mem::take(&mut *self.0.lock()));
    }
}

fn key_of(client: &Client, kind: Kind, name: &str) -> PollerKey {
    PollerKey {
        token: client.token.digest(),
        kind,
        name: name.into(),
    }
}

/// A poller in the hands of one request. Dropped, it waits for the next one.
pub(in crate::http) struct Held {
    key: PollerKey,
    poller: Arc<Poller>,
    courier: OwnedMutexGuard<Courier>,
}

impl Held {
    pub(in crate::http) fn session(&self) -> &Arc<Session> {
        &self.poller.session
    }

    pub(in crate::http) fn courier(&self) -> &Courier {
        &self.courier
    }

    pub(in crate::http) fn courier_mut(&mut self) -> &mut Courier {
        &mut self.courier
    }

    /// What the page showed last, and what it shows now.
    pub(in crate::http) fn replace_shown(&self, shown: Vec<NoticeId>) -> Vec<NoticeId> {
        std::mem::replace(&mut *self.poller.shown.lock(), shown)
    }

    /// Ends the session.
    pub(super) async fn end(mut self, reason: CloseReason) {
        let services = Arc::clone(&self.courier.services);
        self.courier.end(reason).await;
        services.pollers.forget(&self.key, &self.poller);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // What is being read for it would be handed to nobody before it is asked for again.
        self.courier.drop_supply();
        *self.poller.left.lock() = Instant::now();
    }
}

/// Takes the poller of this name, or lets it in. A request of its that is still parked is answered, and gives way.
pub(in crate::http) async fn hold(
    services: &Arc<Services>,
    client: &Client,
    kind: Kind,
    name: &str,
) -> Result<Held, Refused> {
    let key = key_of(client, kind, name);
    loop {
        let poller = find_or_admit(services, client, &key).await?;
        poller.session.ask_to_answer();
        let place = Arc::clone(&poller.place).lock_owned();
        let Ok(courier) = timeout(GIVE_WAY, place).await else {
            return Err(Problem::new(
                Code::Overloaded,
                "this poller's last request is still being answered: give each its own session=",
            )
            .into());
        };
        if poller.session.closing().is_some() {
            services.pollers.forget(&key, &poller);
            continue;
        }
        poller.session.set_alarm(None);
        // It was just asked for.
        poller
            .session
            .refresh(client.token.clone(), client.grant.expires);
        poller.session.confirm(services.tokens.losses());
        return Ok(Held {
            key,
            poller,
            courier,
        });
    }
}

async fn find_or_admit(
    services: &Arc<Services>,
    client: &Client,
    key: &PollerKey,
) -> Result<Arc<Poller>, Refused> {
    if let Some(poller) = services.pollers.0.lock().get(key) {
        return Ok(Arc::clone(poller));
    }
    services.admits()?;
    let manner = Manner {
        transport: match key.kind {
            Kind::Poll => Transport::Poll,
            Kind::Page => Transport::Page,
        },
        ack: AckMode::Explicit,
        control_frames: key.kind == Kind::Poll,
    };
    let attachment = services.admit(client, manner).await?;
    let session = Arc::clone(attachment.session());
    let courier = Courier::new(attachment, Arc::clone(services));
    let poller = Arc::new(Poller {
        session,
        place: Arc::new(Place::new(courier)),
        left: Mutex::new(Instant::now()),
        shown: Mutex::default(),
    });
    // Another request of the same poller may have been quicker: then this session leaves again.
    let mut pollers = services.pollers.0.lock();
    let known = pollers.entry(key.clone()).or_insert(poller);
    Ok(Arc::clone(known))
}

/// Lets pollers leave whose while is over, for ever.
pub(in crate::http) async fn tidy(services: Arc<Services>) {
    let mut rounds = tokio::time::interval(ROUND);
    loop {
        rounds.tick().await;
        for poller in services.pollers.take_leaving(Instant::now()) {
            if let Ok(mut courier) = Arc::clone(&poller.place).try_lock_owned() {
                let reason = poller.session.closing().unwrap_or(CloseReason::ClientGone);
                courier.end(reason).await;
            }
        }
    }
}
