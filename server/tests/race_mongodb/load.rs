//! The load, which is the same for both.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How much, to how many, for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Notices a second.
    pub(crate) rate: u32,
    /// Accounts online.
    pub(crate) accounts: usize,
    pub(crate) seconds: u32,
    /// Stagers side by side.
    pub(crate) stagers: u32,
}

/// The rate and the accounts of the measurement that found the weakness.
pub(crate) const LOAD: Load = Load {
    rate: 500,
    accounts: 200,
    seconds: 8,
    stagers: 50,
};

impl Load {
    pub(crate) fn notices(&self) -> usize {
        (self.rate * self.seconds) as usize
    }

    pub(crate) fn account(&self, number: usize) -> String {
        format!("account-{}", number % self.accounts)
    }

    /// Lets every stager stage its share at its pace; `stage` gets each notice's number. How long it took.
    pub(crate) async fn run<S>(&self, stager: impl Fn(u32) -> Stager<S>) -> Duration
    where
        S: Future<Output = ()> + Send + 'static,
    {
        let begun = Instant::now();
        let share = self.notices() / self.stagers as usize;
        let pace = Duration::from_secs(1) * self.stagers / self.rate;
        let stagers = (0..self.stagers).map(|place| {
            let mut stage = stager(place);
            let first = place as usize * share;
            tokio::spawn(async move {
                let mut ticks = interval(pace);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
                for number in first..first + share {
                    ticks.tick().await;
                    stage(number).await;
                }
            })
        });
        for stager in join_all(stagers).await {
            stager.unwrap();
        }
        begun.elapsed()
    }
}

/// Stages notices by their number.
pub(crate) type Stager<S> = Box<dyn FnMut(usize) -> S + Send>;

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) accepted: usize,
    pub(crate) pushed: usize,
    pub(crate) took: Duration,
}

impl Outcome {
    pub(crate) fn lost(&self) -> usize {
        self.accepted - self.pushed
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} accepted in {:?}, {} pushed, {} lost",
            self.accepted,
            self.took,
            self.pushed,
            self.lost()
        )
    }
}
