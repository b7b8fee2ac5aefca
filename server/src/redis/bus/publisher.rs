//! The half of a link that publishes to one server: everything that waits in one write, answers in their order.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use super::life::{Life, Server};
use super::outbox::Unanswered;
use crate::redis::resp::{self, Frame};
use crate::redis::wire::{LinkError, Wire};

/// How long a publication may be unanswered before the link counts as broken.
const ANSWERED: Duration = Duration::from_secs(1);
/// How often that is looked at.
const TICK: Duration = Duration::from_millis(250);
/// How many of those lie between two beats of the pulse.
const TICKS_A_BEAT: u32 = 4;

/// Answers that say that this server is not the one to speak to: the link has to be made anew.
const ELSEWHERE: [&[u8]; 7] = [
    b"MOVED",
    b"ASK",
    b"CLUSTERDOWN",
    b"READONLY",
    b"LOADING",
    b"MASTERDOWN",
    b"NOAUTH",
];

enum Expected {
    Message(Unanswered),
    /// Of the pulse.
    Beat,
    /// Of a write, which only a master takes.
    Probe,
}

/// One connection that publishes.
pub(super) struct Publisher<'a> {
    wire: Wire,
    life: &'a Life,
    server: &'a Server,
    /// As many as the outbox has room for, and two for each beat of the last second.
    expected: VecDeque<(Instant, Expected)>,
    refused: bool,
}

impl<'a> Publisher<'a> {
    pub(super) fn new(wire: Wire, life: &'a Life, server: &'a Server) -> Self {
        Self {
            wire,
            life,
            server,
            expected: VecDeque::new(),
            refused: false,
        }
    }

    /// Publishes until the link breaks.
    pub(super) async fn run(mut self) -> Result<Infallible, LinkError> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut frames, mut count, mut beating) = (Vec::new(), 0, false);
        loop {
            tokio::select! {
                read = self.wire.read(&mut frames) => {
                    read?;
                    frames.drain(..).try_for_each(|frame| self.answered(frame))?;
                }
                () = self.server.lane.wake.notified() => self.publish().await?,
                () = self.server.beat.notified() => {
                    beating = true;
                    self.beat().await?;
                }
                _ = ticks.tick() => {
                    self.check()?;
                    count += 1;
                    if beating && count % TICKS_A_BEAT == 0 {
                        self.beat().await?;
                    }
                }
            }
        }
    }

    async fn publish(&mut self) -> Result<(), LinkError> {
        let waiting = self.server.lane.take();
        let now = Instant::now();
        let unanswered = waiting.unanswered.into_iter();
        self.expected
            .extend(unanswered.map(|message| (now, Expected::Message(message))));
        self.wire.send(&waiting.commands).await
    }

    /// Says something to itself, and tries a write that changes nothing: a server that became a replica still takes
    /// messages, which nobody at the new master would hear.
    async fn beat(&mut self) -> Result<(), LinkError> {
        let Some(pulse) = &self.server.pulse else {
            return Ok(());
        };
        let mut commands = Vec::new();
        resp::encode(
            &mut commands,
            &[self.life.verbs.publish, pulse.as_bytes(), b""],
        );
        resp::encode(&mut commands, &[b"DEL", pulse.as_bytes()]);
        let now = Instant::now();
        self.expected.push_back((now, Expected::Beat));
        self.expected.push_back((now, Expected::Probe));
        self.wire.send(&commands).await
    }

    fn check(&self) -> Result<(), LinkError> {
        match self.expected.front() {
            Some((since, _)) if since.elapsed() > ANSWERED => {
                Err(LinkError::new("a message was not confirmed within 1 s"))
            }
            _ => Ok(()),
        }
    }

    fn answered(&mut self, frame: Frame) -> Result<(), LinkError> {
        let Some((_, expected)) = self.expected.pop_front() else {
            return Err(match frame {
                Frame::Error(error) => LinkError::answered("the server ended it", &error),
                _ => LinkError::new("an answer that nobody asked for"),
            });
        };
        match (expected, frame) {
            (Expected::Message(message), Frame::Integer(listeners)) => {
                message.confirm(u64::try_from(listeners).unwrap_or(0));
                Ok(())
            }
            (expected, Frame::Error(error)) => self.failed(&expected, &error),
            _ => Ok(()),
        }
    }

    /// A message that was refused fails its receipt by being dropped.
    fn failed(&mut self, expected: &Expected, error: &[u8]) -> Result<(), LinkError> {
        let elsewhere = ELSEWHERE.iter().any(|code| error.starts_with(code));
        if elsewhere || matches!(expected, Expected::Beat) {
            return Err(LinkError::answered("the server answered", error));
        }
        if !std::mem::replace(&mut self.refused, true) {
            let LinkError(reason) = LinkError::answered("Redis refuses a command", error);
            tracing::warn!("{reason}; more of these on this link are not reported");
        }
        Ok(())
    }
}
