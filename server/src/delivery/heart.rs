//! The heart: one task that, once a second, looks at every session's pulse and token.
//!
//! No session has a timer of its own. A beat over 20,000 sessions costs about a millisecond; a timer in each
//! would cost memory in each.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::registry::Registry;
use super::session::{CloseReason, Session};
use crate::clock::{Clock, Millis};

/// How often sessions are pinged, and how long is waited.
#[derive(Debug, Clone, Copy)]
pub struct HeartPace {
    /// Seconds between two pings to one session.
    pub ping_seconds: u32,
    /// Seconds within which the pong must come.
    pub pong_timeout_seconds: u32,
    /// How long before its token ends a client is told.
    pub warning: Duration,
}

/// Beats for all sessions of a registry.
#[derive(Debug)]
pub struct Heart {
    registry: Arc<Registry>,
    pace: HeartPace,
    clock: Clock,
}

impl Heart {
    /// A heart that does not beat yet.
    #[must_use]
    pub fn new(registry: Arc<Registry>, pace: HeartPace, clock: Clock) -> Self {
        Self {
            registry,
            pace,
            clock,
        }
    }

    /// Beats once a second, for ever.
    pub async fn run(self) {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // Zero means "not set" in a pulse.
        let mut second: u32 = 1;
        loop {
            ticks.tick().await;
            self.beat(second);
            second = second.saturating_add(1);
        }
    }

    /// One beat, the `second`-th.
    pub fn beat(&self, second: u32) {
        let now = self.clock.now();
        self.registry.each_session(|session| {
            beat_pulse(session, second, self.pace);
            beat_token(session, now, self.pace.warning);
        });
    }
}

fn beat_pulse(session: &Session, second: u32, pace: HeartPace) {
    let pulse = &session.pulse;
    let pong_by = pulse.pong_by.load(Relaxed);
    if pong_by != 0 {
        if pulse.deaf.load(Relaxed) {
            pulse
                .pong_by
                .store(second + pace.pong_timeout_seconds, Relaxed);
        } else if second >= pong_by {
            session.close(CloseReason::PeerDead);
        }
        return;
    }
    let ping_at = pulse.ping_at.load(Relaxed);
    if ping_at == 0 {
        // Sessions that came in one storm are not pinged in one storm.
        let spread = u32::try_from(session.key().0 % u64::from(pace.ping_seconds)).unwrap_or(0);
        pulse.ping_at.store(second + 1 + spread, Relaxed);
    } else if second >= ping_at {
        pulse.ping_at.store(second + pace.ping_seconds, Relaxed);
        pulse
            .pong_by
            .store(second + pace.pong_timeout_seconds, Relaxed);
        session.ask_to_ping();
    }
}

fn beat_token(session: &Session, now: Millis, warning: Duration) {
    let Some(expires) = session.expires() else {
        return;
    };
    if expires <= now {
        session.ask_to_recheck_token();
    } else if u128::from(expires - now) <= warning.as_millis() {
        session.warn_of_expiry();
    }
}
