//! An even pace of less than a millisecond, by a timer file descriptor in the event loop.

use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// Tells how many of a row of evenly spaced actions are due.
#[derive(Debug)]
pub(crate) struct Pacer {
    timer: OwnedFd,
    start: Instant,
    interval: Duration,
    total: u64,
    done: u64,
}

impl Pacer {
    /// `total` actions at `per_second` from now on; `token` wakes the loop for them.
    pub(crate) fn start(
        registry: &Registry,
        token: Token,
        per_second: f64,
        total: u64,
    ) -> Result<Self> {
        ensure!(per_second > 0.0, "a rate must be more than zero a second");
        let interval = Duration::from_secs_f64(1.0 / per_second);
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, flags).context("could not make a timer")?;
        let tick = Timespec {
            tv_sec: i64::try_from(interval.as_secs())?,
            tv_nsec: i64::from(interval.subsec_nanos().max(1)),
        };
        let setting = Itimerspec {
            it_interval: tick,
            it_value: tick,
        };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &setting)
            .context("could not start a timer")?;
        registry.register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self {
            timer,
            start: Instant::now(),
            interval,
            total,
            done: 0,
        })
    }

    /// Makes the timer ready to wake the loop again.
    pub(crate) fn rearm(&self) {
        // Only that it was read matters; how often it fired follows from the clock.
        let _ = rustix::io::read(&self.timer, &mut [0_u8; 8]);
    }

    /// The intended time of the next action that is due, if one is.
    pub(crate) fn next_due(&mut self) -> Option<Instant> {
        let intended = self.start + self.interval.mul_f64(self.done as f64);
        let is_due = self.done < self.total && intended <= Instant::now();
        self.done += u64::from(is_due);
        is_due.then_some(intended)
    }

    /// Whether all actions were due and taken.
    pub(crate) fn is_finished(&self) -> bool {
        self.done >= self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll};

    #[test]
    fn actions_come_at_their_time_and_end() -> Result<()> {
        let mut poll = Poll::new()?;
        let mut events = Events::with_capacity(4);
        let mut pacer = Pacer::start(poll.registry(), Token(1), 1000.0, 20)?;
        let (start, mut intended) = (Instant::now(), Vec::new());
        while !pacer.is_finished() {
            poll.poll(&mut events, Some(Duration::from_secs(5)))?;
            pacer.rearm();
            while let Some(time) = pacer.next_due() {
                assert!(time <= Instant::now());
                intended.push(time);
            }
        }
        assert!(start.elapsed() >= Duration::from_millis(18));
        assert!(intended.is_sorted());
        assert_eq!(intended.len(), 20);
        Ok(())
    }

    #[test]
    fn a_rate_of_zero_is_refused() -> Result<()> {
        let poll = Poll::new()?;
        assert!(Pacer::start(poll.registry(), Token(1), 0.0, 1).is_err());
        Ok(())
    }
}
