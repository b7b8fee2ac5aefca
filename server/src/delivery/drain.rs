//! Draining: sessions leave this node at a steady pace, and nothing is lost, since the inbox keeps what they
//! did not acknowledge.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::registry::Registry;
use super::session::{CloseReason, MoveAsked, MoveReason, Session};

/// How often the next few sessions are asked to go.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// How long a client that was asked to move may take before it is closed with 1012.
const PATIENCE: Duration = Duration::from_secs(5);

/// Clients asked in one tick open their next connection within so many ms, not all in the same one.
const SPREAD_MS: u64 = 200;

/// Over how long a drain is spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainPace {
    /// From the first session to the last.
    pub window: Duration,
}

impl DrainPace {
    /// How many of `total` sessions must have been asked to go when `elapsed` has passed.
    #[must_use]
    pub fn due(self, elapsed: Duration, total: usize) -> usize {
        if elapsed >= self.window {
            return total;
        }
        let (elapsed, window) = (elapsed.as_millis(), self.window.as_millis().max(1));
        usize::try_from((total as u128 * elapsed).div_ceil(window))
            .unwrap_or(total)
            .min(total)
    }
}

/// A drain under way.
#[derive(Debug)]
struct Running {
    task: JoinHandle<()>,
    /// When the last session is asked to go.
    until: Instant,
}

/// Starts, stops and watches the drain of this node.
#[derive(Debug)]
pub struct DrainControl {
    registry: Arc<Registry>,
    running: Mutex<Option<Running>>,
    ending: AtomicBool,
}

impl DrainControl {
    /// Nothing drains yet.
    #[must_use]
    pub fn new(registry: Arc<Registry>) -> Self {
        Self {
            registry,
            running: Mutex::new(None),
            ending: AtomicBool::new(false),
        }
    }

    /// Whether the node drains, or is drained.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.registry.is_draining()
    }

    /// Begins to drain; goes on with a drain that is under way, sooner if this one ends sooner.
    pub fn start(&self, pace: DrainPace) {
        let mut running = self.running.lock();
        let until = Instant::now() + pace.window;
        if let Some(earlier) = running.as_ref() {
            if earlier.until <= until {
                return;
            }
            earlier.task.abort();
        }
        self.registry.set_draining(true);
        tracing::info!(sessions = self.registry.sessions(), window = ?pace.window, "draining");
        let task = tokio::spawn(drain(Arc::clone(&self.registry), pace));
        *running = Some(Running { task, until });
    }

    /// Takes the drain back: sessions that are still here stay, and new ones are let in. False when the server is
    /// ending, which can't be taken back.
    pub fn stop(&self) -> bool {
        let mut running = self.running.lock();
        // Under the lock: the end may begin meanwhile, and goes on with what runs.
        if self.ending.load(Ordering::Acquire) {
            return false;
        }
        if let Some(running) = running.take() {
            running.task.abort();
        }
        self.registry.set_draining(false);
        drop(running);
        self.registry.each_session(|session| session.forget_move());
        tracing::info!(sessions = self.registry.sessions(), "drain taken back");
        true
    }

    /// Drains for good, before the server ends; goes on with a drain that is under way.
    pub fn start_for_good(&self, pace: DrainPace) {
        self.ending.store(true, Ordering::Release);
        self.start(pace);
    }

    /// Closes every session that is left, for the server's end.
    pub fn close_all(&self) {
        self.registry
            .each_session(|session| session.close(CloseReason::Shutdown));
    }
}

async fn drain(registry: Arc<Registry>, pace: DrainPace) {
    let mut waiting = Vec::new();
    registry.each_session(|session| {
        if session.spec().transport.is_asked_for() {
            // Its client asks again in any case, and another node will answer.
            session.close(CloseReason::Drained);
        } else {
            waiting.push(Arc::clone(session));
        }
    });
    let (begun, total) = (Instant::now(), waiting.len());
    let mut asked = Vec::new();
    let mut ticks = tokio::time::interval(TICK);
    loop {
        ticks.tick().await;
        let due = pace.due(begun.elapsed(), total);
        while total - waiting.len() < due
            && let Some(session) = waiting.pop()
        {
            ask_to_go(&registry, &session);
            asked.push((Instant::now() + PATIENCE, session));
        }
        close_the_impatient(&mut asked);
        if waiting.is_empty() && asked.is_empty() {
            // Who joined while the drain began, or does not end.
            registry.each_session(|session| session.close(CloseReason::Drained));
        }
    }
}

fn ask_to_go(registry: &Registry, session: &Session) {
    if session.spec().control_frames {
        registry.ask_to_move(session, spread(session, MoveReason::Drain));
    } else {
        session.close(CloseReason::Drained);
    }
}

/// A move after a while that differs from session to session.
pub(super) fn spread(session: &Session, reason: MoveReason) -> MoveAsked {
    let after_ms = u32::try_from(session.key().0 % SPREAD_MS).unwrap_or(0);
    MoveAsked { after_ms, reason }
}

/// Closes those whose time is over; forgets them, whether they went by themselves or not.
fn close_the_impatient(asked: &mut Vec<(Instant, Arc<Session>)>) {
    let now = Instant::now();
    asked.retain(|(until, session)| {
        let over = *until <= now;
        if over {
            session.close(CloseReason::Drained);
        }
        // Only the drain still holds it: its task has ended.
        !over && Arc::strong_count(session) > 1
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_drain_asks_evenly_and_everyone_by_the_end(total in 0_usize..30_000, window in 0_u64..300_000, at in 0_u64..400_000) {
            let pace = DrainPace { window: Duration::from_millis(window) };
            let due = pace.due(Duration::from_millis(at), total);
            prop_assert!(due <= total);
            prop_assert!(pace.due(Duration::from_millis(at + 1), total) >= due);
            if at >= window {
                prop_assert_eq!(due, total);
            } else {
                let even = total as f64 * at as f64 / window as f64;
                prop_assert!((due as f64 - even).abs() <= 1.0);
            }
        }
    }
}
