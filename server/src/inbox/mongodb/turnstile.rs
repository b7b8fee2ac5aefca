//! The order in which changes are told.
//!
//! Whoever begins a change takes a turn, and tells it when every turn that was taken before has been told or given
//! up. A notice can only be read or withdrawn by a change that begins after the one that stages it began, so it is
//! never told as read before it is told as staged; and ids, which are made as turns are taken, are told in order.

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Resolves when a turn is over. A turn that was given up hands over the one before it.
type Before = oneshot::Receiver<Option<Earlier>>;
struct Earlier(Before);

/// Hands out turns.
#[derive(Default)]
pub(super) struct Turnstile {
    last: Mutex<Option<Before>>,
}

/// A place in the order.
pub(super) struct Turn {
    before: Option<Before>,
    over: Option<oneshot::Sender<Option<Earlier>>>,
}

impl Turnstile {
    /// The next turn, taken while `begin` runs: what it does is in the order of the turns.
    pub(super) fn take_with<T>(&self, begin: impl FnOnce() -> T) -> (Turn, T) {
        let (over, next) = oneshot::channel();
        let mut last = self.last.lock();
        let before = last.replace(next);
        let begun = begin();
        drop(last);
        let turn = Turn {
            before,
            over: Some(over),
        };
        (turn, begun)
    }

    /// The next turn.
    pub(super) fn take(&self) -> Turn {
        self.take_with(|| ()).0
    }
}

impl Turn {
    /// Runs `tell` when all earlier turns are over, then lets the next one go on.
    pub(super) async fn tell<T>(mut self, tell: impl FnOnce() -> T) -> T {
        while let Some(before) = &mut self.before {
            self.before = match before.await {
                Ok(Some(Earlier(earlier))) => Some(earlier),
                Ok(None) | Err(_) => None,
            };
        }
        // Dropped behind it, also when it panics.
        tell()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(over) = self.over.take() else {
            return;
        };
        // Turns that are over are left out, lest many that are given up make a chain of them.
        let mut before = self.before.take();
        while let Some(earlier) = &mut before {
            match earlier.try_recv() {
                Ok(Some(Earlier(even_earlier))) => before = Some(even_earlier),
                Ok(None) | Err(oneshot::error::TryRecvError::Closed) => before = None,
                Err(oneshot::error::TryRecvError::Empty) => break,
            }
        }
        // Nobody may be waiting.
        let _ = over.send(before.map(Earlier));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn turns_are_told_in_the_order_in_which_they_were_taken() {
        let turnstile = Turnstile::default();
        let told = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = tokio::task::JoinSet::new();
        let turns: Vec<_> = (0..20).map(|_| turnstile.take()).collect();
        for (number, turn) in turns.into_iter().enumerate().rev() {
            let told = Arc::clone(&told);
            tasks.spawn(async move { turn.tell(|| told.lock().push(number)).await });
        }
        tasks.join_all().await;
        assert!(told.lock().iter().copied().eq(0..20), "{told:?}");
    }

    #[tokio::test]
    async fn a_million_turns_that_are_given_up_leave_nothing_behind() {
        let turnstile = Turnstile::default();
        let first = turnstile.take();
        (0..1_000_000).for_each(|_| drop(turnstile.take()));
        drop(first);
        drop(turnstile.take());
        drop(turnstile);
    }

    #[tokio::test]
    async fn a_turn_that_is_given_up_lets_nobody_overtake_the_one_before_it() {
        let turnstile = Turnstile::default();
        let (first, second, third) = (turnstile.take(), turnstile.take(), turnstile.take());
        drop(second);
        let told = Mutex::new(Vec::new());
        let early = third.tell(|| told.lock().push(3));
        let late = async {
            tokio::task::yield_now().await;
            first.tell(|| told.lock().push(1)).await;
        };
        futures_util::future::join(early, late).await;
        assert_eq!(*told.lock(), [1, 3]);
    }
}
