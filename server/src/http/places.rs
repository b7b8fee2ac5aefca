//! The places of plain HTTP connections on a listener. A connection that became a session has given its place back:
//! sessions have bounds of their own.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// While fewer than this part of the places is free, connections are closed after their answer: those kept open for
/// requests to come must not keep others out.
const SCARCE: usize = 4;

/// See the file's head.
#[derive(Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    all: usize,
}

impl Places {
    /// So many places, all free.
    pub(super) fn new(all: usize) -> Arc<Self> {
        Arc::new(Self {
            free: Arc::new(Semaphore::new(all)),
            all,
        })
    }

    /// Waits for a place.
    pub(super) async fn take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).acquire_owned().await.ok()
    }

    /// A place for a connection that comes back from a session; none while they are scarce.
    pub(super) fn take_back(&self) -> Option<OwnedSemaphorePermit> {
        if self.are_scarce() {
            return None;
        }
        Arc::clone(&self.free).try_acquire_owned().ok()
    }

    /// Whether connections should end with the answer they are given now.
    pub(super) fn are_scarce(&self) -> bool {
        self.free.available_permits() < self.all / SCARCE
    }

    /// Waits until all connections have ended.
    pub(super) async fn all_free(&self) {
        let all = u32::try_from(self.all).unwrap_or(u32::MAX);
        let _all_ended = self.free.acquire_many(all).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_quarter_of_the_places_is_not_for_those_who_come_back() {
        let places = Places::new(8);
        let mut taken = Vec::new();
        for _ in 0..6 {
            taken.push(places.take().await.unwrap());
        }
        assert!(!places.are_scarce());
        taken.push(places.take_back().unwrap());
        assert!(places.are_scarce());
        assert!(places.take_back().is_none());
        taken.push(places.take().await.unwrap());
        drop(taken);
        places.all_free().await;
    }
}
