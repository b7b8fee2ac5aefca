//! Forms groups of the calls that wait, and carries several of them out at a time.
//!
//! While groups are under way others gather, so the busier it is, the larger they are; nobody is made to wait for
//! company. One task takes all calls, so that the order of the groups is that of the calls.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::acks::AckCall;
use super::core::Core;
use super::group::StageCall;

/// Groups of staging under way. More make them smaller, and the engine no faster.
const STAGING: usize = 4;

/// Groups of acknowledgements under way.
const ACKNOWLEDGING: usize = 2;

/// A group of staging: so many notices, and so many bytes of them.
const NOTICES: usize = 1000;
const BYTES: usize = 4 << 20;

/// A group of acknowledgements: so many ids, of so many calls.
const IDS: usize = 1000;
const CALLS: usize = 512;

/// Calls that wait, of one kind; the first of them was perhaps taken out already.
struct Waiting<T> {
    queue: mpsc::Receiver<T>,
    first: Option<T>,
    under_way: Arc<Semaphore>,
}

impl<T> Waiting<T> {
    fn new(queue: mpsc::Receiver<T>, under_way: usize) -> Self {
        Self {
            queue,
            first: None,
            under_way: Arc::new(Semaphore::new(under_way)),
        }
    }

    /// Waits until there is a call, and a group may begin; none when no calls come any more.
    async fn ready(&mut self) -> Option<OwnedSemaphorePermit> {
        if self.first.is_none() {
            self.first = Some(self.queue.recv().await?);
        }
        Arc::clone(&self.under_way).acquire_owned().await.ok()
    }

    /// Takes calls as long as `fits` says so; at least one.
    fn take(&mut self, mut fits: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut taken: Vec<T> = Vec::new();
        while let Some(call) = self.first.take().or_else(|| self.queue.try_recv().ok()) {
            if !fits(&call) && !taken.is_empty() {
                self.first = Some(call);
                break;
            }
            taken.push(call);
        }
        taken
    }
}

fn stage_calls(waiting: &mut Waiting<StageCall>) -> Vec<StageCall> {
    let (mut notices, mut bytes) = (0, 0);
    waiting.take(|call| {
        notices += call.drafts.len();
        bytes += call.bytes;
        notices <= NOTICES && bytes <= BYTES
    })
}

/// No id twice in a group: its updates have no order.
fn ack_calls(waiting: &mut Waiting<AckCall>) -> Vec<AckCall> {
    let (mut ids, mut calls) = (HashSet::new(), 0);
    waiting.take(|call| {
        calls += 1;
        let own: HashSet<_> = call.request.ids.iter().copied().collect();
        let fresh = ids.is_disjoint(&own);
        ids.extend(own);
        fresh && ids.len() <= IDS && calls <= CALLS
    })
}

/// Runs until no calls come any more and every group has ended.
pub(super) async fn run(
    core: Arc<Core>,
    staging: mpsc::Receiver<StageCall>,
    acks: mpsc::Receiver<AckCall>,
) {
    let mut staging = Waiting::new(staging, STAGING);
    let mut acks = Waiting::new(acks, ACKNOWLEDGING);
    // Bounded by the room that calls keep until they are answered.
    let mut groups = JoinSet::new();
    loop {
        while groups.try_join_next().is_some() {}
        tokio::select! {
            biased;
            Some(place) = staging.ready() => {
                let group = core.form_group(stage_calls(&mut staging)).await;
                let core = Arc::clone(&core);
                groups.spawn(async move { core.stage_group(group, place).await });
            }
            Some(place) = acks.ready() => {
                let group = core.form_ack_group(ack_calls(&mut acks));
                let core = Arc::clone(&core);
                groups.spawn(async move { core.ack_group(group, place).await });
            }
            else => break,
        }
    }
    while groups.join_next().await.is_some() {}
}
