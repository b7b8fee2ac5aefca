//! The heart: one task that looks at every session's pulse, token and alarm once a second.
//!
//! No session has a timer of its own. A beat over 20,000 sessions costs about a millisecond; a timer in each
//! would cost memory in each.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::registry::{Registry, SHARDS};
use super::session::{Alarm, CloseReason, Pulse, Session};
use crate::clock::{Millis, Now};

/// Each session is looked at so often.
const BEAT: Duration = Duration::from_secs(1);

/// The parts that are looked at one after the other.
#[allow(clippy::cast_possible_truncation, reason = "64")]
const PARTS: u32 = SHARDS as u32;

/// A pong may be late by so many times its timeout while other frames come.
const PATIENCE: u32 = 6;

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
pub struct Heart {
    registry: Arc<Registry>,
    pace: HeartPace,
    clock: Now,
}

impl fmt::Debug for Heart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heart").finish_non_exhaustive()
    }
}

impl Heart {
    /// A heart that does not beat yet.
    #[must_use]
    pub fn new(registry: Arc<Registry>, pace: HeartPace, clock: Now) -> Self {
        Self {
            registry,
            pace,
            clock,
        }
    }

    /// Beats for every session once a second, for ever: a part of them at a time, so that pings and the work of a
    /// beat are spread over the second.
    pub async fn run(self) {
        let mut ticks = tokio::time::interval(BEAT / PARTS);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let begun = Instant::now();
        for part in (0..SHARDS).cycle() {
            ticks.tick().await;
            // Zero means "not set" in a pulse.
            let second = u32::try_from(begun.elapsed().as_secs() + 1).unwrap_or(u32::MAX);
            self.beat(second, part);
        }
    }

    /// A beat in the `second`-th second, for one part of the sessions.
    fn beat(&self, second: u32, part: usize) {
        let now = (self.clock)();
        let alarms = Alarm::count(Instant::now());
        self.registry.each_session_of_shard(part, |session| {
            beat_pulse(session, second, self.pace);
            beat_alarm(session, alarms);
            beat_token(session, now, self.pace.warning);
        });
    }
}

fn beat_alarm(session: &Session, now: u32) {
    let alarm = &session.pulse.alarm;
    let at = alarm.load(Relaxed);
    // Not if it was set anew meanwhile.
    if at != 0 && at <= now && alarm.compare_exchange(at, 0, Relaxed, Relaxed).is_ok() {
        session.ask_to_answer();
    }
}

fn beat_pulse(session: &Session, second: u32, pace: HeartPace) {
    if !session.spec().transport.is_pinged() {
        return;
    }
    let pulse = &session.pulse;
    let pong_by = pulse.pong_by.load(Relaxed);
    if pong_by != 0 {
        let heard = pulse.heard.swap(false, Relaxed) && second < patience_ends(pulse, pace);
        if heard || pulse.deaf.load(Relaxed) {
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
        if session.spec().transport.answers_pings() {
            pulse
                .pong_by
                .store(second + pace.pong_timeout_seconds, Relaxed);
        }
        session.ask_to_ping();
    }
}

/// Up to when other frames count for a pong that is late: then even a slow client has read as far as the ping.
fn patience_ends(pulse: &Pulse, pace: HeartPace) -> u32 {
    let pinged = pulse
        .ping_at
        .load(Relaxed)
        .saturating_sub(pace.ping_seconds);
    pinged + PATIENCE * pace.pong_timeout_seconds
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::delivery::{AckMode, Attachment, RegistryLimits, SessionSpec, Signals, Transport};
    use crate::domain::AccountId;
    use crate::metrics::Metrics;
    use crate::tokens::{HeldToken, TokenDigest};

    const PING: u32 = 5;
    const TIMEOUT: u32 = 2;

    fn heart(clock: &Clock) -> Heart {
        let limits = RegistryLimits {
            sessions: 100,
            sessions_per_account: 100,
            one_per_account: false,
        };
        let metrics = Arc::new(Metrics::new(&[], &[]).expect("names are unique"));
        let pace = HeartPace {
            ping_seconds: PING,
            pong_timeout_seconds: TIMEOUT,
            warning: Duration::from_secs(60),
        };
        let clock = clock.clone();
        Heart::new(
            Registry::new(limits, metrics),
            pace,
            Arc::new(move || clock.now()),
        )
    }

    fn join(heart: &Heart, expires: Option<Millis>) -> Attachment {
        join_by(heart, Transport::WebSocket, expires)
    }

    fn join_by(heart: &Heart, transport: Transport, expires: Option<Millis>) -> Attachment {
        let spec = SessionSpec {
            transport,
            ack: AckMode::Explicit,
            control_frames: true,
            window: 1,
            token: HeldToken::Digest(TokenDigest([0; 32])),
            losses: 0,
            expires,
            since: 0,
        };
        heart
            .registry
            .join(&AccountId::trusted("u"), spec)
            .expect("there is room")
    }

    fn beat_all(heart: &Heart, second: u32) {
        (0..SHARDS).for_each(|part| heart.beat(second, part));
    }

    /// Beats until the session is to be pinged.
    fn until_ping(heart: &Heart, device: &Attachment) -> u32 {
        let pinged = (1..=2 * PING + 2).find(|second| {
            beat_all(heart, *second);
            device.session().take_signals().ping
        });
        pinged.expect("a ping within two periods")
    }

    #[test]
    fn who_does_not_answer_a_ping_in_time_is_dead_and_who_answers_lives() {
        let heart = heart(&Clock::manual(0));
        let (quiet, lively) = (join(&heart, None), join(&heart, None));
        let mut closed = None;
        for second in 1..=3 * (PING + TIMEOUT) {
            beat_all(&heart, second);
            if lively.session().take_signals().ping {
                lively.session().heard_pong();
            }
            closed = closed.or(quiet.session().take_signals().close);
        }
        assert_eq!(closed, Some(CloseReason::PeerDead));
        assert_eq!(lively.session().take_signals().close, None);
    }

    #[test]
    fn a_slow_client_whose_pong_is_late_lives_for_a_while_as_long_as_anything_comes_from_it() {
        let heart = heart(&Clock::manual(0));
        let device = join(&heart, None);
        let pinged = until_ping(&heart, &device);
        let mut closed = None;
        for second in pinged + 1..pinged + 2 * PATIENCE * TIMEOUT {
            device.session().heard_frame();
            beat_all(&heart, second);
            closed = device
                .session()
                .take_signals()
                .close
                .map(|_| second)
                .or(closed);
            if second < pinged + PATIENCE * TIMEOUT {
                assert_eq!(closed, None, "{second}");
            }
        }
        assert!(
            closed.is_some(),
            "who never answers a ping is dead in the end"
        );
    }

    #[test]
    fn a_session_that_the_server_does_not_read_is_not_dead() {
        let heart = heart(&Clock::manual(0));
        let device = join(&heart, None);
        let pinged = until_ping(&heart, &device);
        device.session().set_deaf(true);
        (pinged + 1..pinged + 10 * TIMEOUT).for_each(|second| beat_all(&heart, second));
        assert_eq!(device.session().take_signals().close, None);
        device.session().set_deaf(false);
        (pinged + 10 * TIMEOUT..pinged + 12 * TIMEOUT).for_each(|second| beat_all(&heart, second));
        assert_eq!(
            device.session().take_signals().close,
            Some(CloseReason::PeerDead)
        );
    }

    #[test]
    fn a_stream_is_pinged_and_owes_no_pong_and_a_poll_is_not_pinged_at_all() {
        let heart = heart(&Clock::manual(0));
        let (stream, poll) = (
            join_by(&heart, Transport::Sse, None),
            join_by(&heart, Transport::Poll, None),
        );
        let mut pings = 0;
        for second in 1..=4 * PING {
            beat_all(&heart, second);
            let signals = stream.session().take_signals();
            pings += u32::from(signals.ping);
            assert_eq!(signals.close, None, "{second}");
            assert_eq!(poll.session().take_signals(), Signals::default());
        }
        assert!((3..=4).contains(&pings), "{pings}");
    }

    #[test]
    fn an_alarm_asks_once_for_an_answer_when_its_time_has_come_and_not_when_it_is_taken_back() {
        let heart = heart(&Clock::manual(0));
        let (due, later, never) = (
            join_by(&heart, Transport::Poll, None),
            join_by(&heart, Transport::Poll, None),
            join_by(&heart, Transport::Poll, None),
        );
        due.session().set_alarm(Some(Instant::now()));
        later
            .session()
            .set_alarm(Some(Instant::now() + Duration::from_secs(3600)));
        never.session().set_alarm(Some(Instant::now()));
        beat_all(&heart, 1);
        never.session().set_alarm(None);
        assert!(due.session().take_signals().answer);
        assert!(!later.session().take_signals().answer);
        assert!(!never.session().take_signals().answer);
        beat_all(&heart, 2);
        assert!(!due.session().take_signals().answer, "asked once");
    }

    #[test]
    fn a_client_is_told_once_that_its_token_ends_and_the_token_is_looked_up_when_it_has() {
        let clock = Clock::manual(1_000_000);
        let heart = heart(&clock);
        let device = join(&heart, Some(1_000_000 + 90_000));
        beat_all(&heart, 1);
        assert!(!device.session().take_signals().expiring);
        clock.advance(40_000);
        beat_all(&heart, 2);
        assert!(device.session().take_signals().expiring);
        beat_all(&heart, 3);
        assert!(!device.session().take_signals().expiring, "told once");
        clock.advance(50_000);
        beat_all(&heart, 4);
        assert!(device.session().take_signals().recheck_token);
    }
}
