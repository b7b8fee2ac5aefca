//! Rebalancing: this node asks some of its sessions to move, at an even pace, and goes on taking new ones. Where they
//! land is the load balancer's choice.
//!
//! It asks and does not insist: a client that stays is not closed. Those that can't be asked are left alone, unless the
//! caller says that they may be closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::drain::{DrainPace, TICK, spread};
use super::registry::Registry;
use super::session::{CloseReason, MoveReason, Session, Transport};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RebalanceAsk {
    /// How many sessions are to move; fewer when there are no more that may be asked.
    pub sessions: usize,
    /// Over how long.
    pub pace: DrainPace,
    /// WebSockets that know no `move` may be closed with 1012.
    pub legacy: bool,
}

/// Starts, stops and watches the rebalancing of this node.
#[derive(Debug)]
pub struct RebalanceControl {
    registry: Arc<Registry>,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    task: JoinHandle<()>,
    /// Sessions that are still to be asked.
    left: Arc<AtomicUsize>,
}

impl RebalanceControl {
    /// Nothing moves yet.
    #[must_use]
    pub fn new(registry: Arc<Registry>) -> Self {
        Self {
            registry,
            running: Mutex::new(None),
        }
    }

    /// Begins to ask; in place of what runs, since whoever asks again has looked again.
    pub fn start(&self, ask: RebalanceAsk) {
        let mut running = self.running.lock();
        if let Some(earlier) = running.take() {
            earlier.task.abort();
        }
        let chosen = choose(&self.registry, ask);
        tracing::info!(sessions = chosen.len(), window = ?ask.pace.window, "rebalancing");
        let left = Arc::new(AtomicUsize::new(chosen.len()));
        let task = rebalance(
            Arc::clone(&self.registry),
            ask.pace,
            chosen,
            Arc::clone(&left),
        );
        *running = Some(Running {
            task: tokio::spawn(task),
            left,
        });
    }

    /// Asks nobody else.
    pub fn stop(&self) {
        if let Some(running) = self.running.lock().take() {
            running.task.abort();
            let left = running.left.load(Ordering::Relaxed);
            tracing::info!(left, "rebalancing stopped");
        }
    }

    /// How many sessions are still to be asked.
    #[must_use]
    pub fn left(&self) -> usize {
        if self.registry.is_draining() {
            // All of them are asked to go.
            return 0;
        }
        let running = self.running.lock();
        let left = running.as_ref().map(|it| it.left.load(Ordering::Relaxed));
        left.unwrap_or(0)
    }
}

/// Those who have been here for longest: whoever moved lately is asked last, so that nobody is moved twice while
/// others are not moved at all, and who is about to leave by itself is mostly among the young.
fn choose(registry: &Registry, ask: RebalanceAsk) -> Vec<Arc<Session>> {
    let mut sessions = Vec::new();
    registry.each_session(|session| {
        if may_be_asked(session, ask.legacy) {
            sessions.push(Arc::clone(session));
        }
    });
    // Keys are given in the order of joining.
    let key = |session: &Arc<Session>| session.key().0;
    if sessions.len() > ask.sessions {
        if ask.sessions > 0 {
            sessions.select_nth_unstable_by_key(ask.sessions - 1, key);
        }
        sessions.truncate(ask.sessions);
    }
    // The oldest is taken first, from the end.
    sessions.sort_unstable_by_key(|session| std::cmp::Reverse(key(session)));
    sessions
}

fn may_be_asked(session: &Session, legacy: bool) -> bool {
    let spec = session.spec();
    if spec.control_frames {
        !session.is_asked_to_move()
    } else {
        legacy && spec.transport == Transport::WebSocket
    }
}

/// Ends when all were asked, or the node drains: then they are asked for another reason.
async fn rebalance(
    registry: Arc<Registry>,
    pace: DrainPace,
    mut waiting: Vec<Arc<Session>>,
    left: Arc<AtomicUsize>,
) {
    let (begun, total) = (Instant::now(), waiting.len());
    let mut ticks = tokio::time::interval(TICK);
    while !waiting.is_empty() {
        ticks.tick().await;
        if registry.is_draining() {
            break;
        }
        let due = pace.due(begun.elapsed(), total);
        while total - waiting.len() < due
            && let Some(session) = waiting.pop()
        {
            ask(&registry, &session);
        }
        left.store(waiting.len(), Ordering::Relaxed);
    }
    left.store(0, Ordering::Relaxed);
}

/// A session that has ended meanwhile hears nothing, and counts: it left.
fn ask(registry: &Registry, session: &Session) {
    if session.spec().control_frames {
        registry.ask_to_move(session, spread(session, MoveReason::Rebalance));
    } else {
        session.close(CloseReason::Rebalanced);
    }
}
