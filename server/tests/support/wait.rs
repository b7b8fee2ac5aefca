//! Waiting: for a condition, with a deadline, and with the last state in the message when it passes.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// Far more than anything here takes on a busy machine: who waits longer waits for something that will not come.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Looks until `look` gives something, and gives that. `look` answers with the state it saw while it has nothing.
pub async fn eventually<T, S: Debug>(what: &str, look: impl AsyncFnMut() -> Result<T, S>) -> T {
    eventually_within(PATIENCE, what, look).await
}

/// The same with a deadline of its own.
pub async fn eventually_within<T, S: Debug>(
    patience: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Result<T, S>,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(state) if Instant::now() > deadline => {
                panic!("waited {patience:?} in vain for: {what}\nthe last state was: {state:#?}")
            }
            Err(_) => sleep(LOOK).await,
        }
    }
}

/// Waits for `future`, which must not take for ever.
pub async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("waited {PATIENCE:?} in vain for: {what}"))
}
