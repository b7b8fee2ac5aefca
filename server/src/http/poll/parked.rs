//! A poll that waits: a hand-written future on the bare connection, without a timer and without a buffer, so that it
//! costs about what an idle socket costs.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;
use warp::http::StatusCode;
use warp::http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue,
};

use super::batch::Batch;
use super::pollers::Held;
use super::problem_of;
use crate::delivery::CloseReason;
use crate::http::claim::{Claimed, Kept};
use crate::http::problem::Problem;
use crate::http::socket::is_closed_by_peer;

/// For a client to take its answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Turns before another task gets its turn.
const TURNS: u32 = 32;

/// See the file's head. As a future it ends with what is to be answered.
pub(super) struct Parked {
    claimed: Claimed,
    held: Held,
    limit: usize,
}

/// How the waiting ended.
pub(super) enum Waited {
    /// There is something, or the time is over.
    Answer(Batch),
    /// The session is over.
    Closed(CloseReason),
    /// The client went away.
    Gone,
}

impl Parked {
    pub(super) fn new(claimed: Claimed, held: Held, limit: usize) -> Self {
        Self {
            claimed,
            held,
            limit,
        }
    }

    /// Waits and answers; the connection, when another request may come on it.
    pub(super) async fn run(mut self) -> Option<Kept> {
        let waited = (&mut self).await;
        // Boxed: while it waits it need not carry room for its end.
        Box::pin(self.answer(waited)).await
    }

    async fn answer(mut self, waited: Waited) -> Option<Kept> {
        let session = self.held.session();
        session.set_alarm(None);
        let (answer, reason) = match waited {
            Waited::Answer(batch) => (Ok(batch), None),
            Waited::Closed(reason) => {
                let problem = problem_of(reason);
                (
                    problem.map_or_else(|| Ok(Batch::default()), Err),
                    Some(reason),
                )
            }
            Waited::Gone => return None,
        };
        let kept = write(self.claimed, &answer, reason.is_none()).await;
        if let Some(reason) = reason {
            self.held.end(reason).await;
        } else if let (Ok(batch), true) = (&answer, kept.is_some()) {
            batch.count(self.held.courier_mut());
            self.held.courier_mut().has_written();
        }
        kept.flatten()
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Result<bool, Waited> {
        let signals = self.held.session().take_signals();
        if let Some(reason) = signals.close {
            return Err(Waited::Closed(reason));
        }
        let courier = self.held.courier_mut();
        let mut moved = signals.recheck_token && courier.recheck_token();
        moved |= courier.poll_jobs(cx).map_err(Waited::Closed)?;
        let mut batch = Batch::default();
        batch.fill(courier, self.limit);
        if signals.answer || !batch.is_empty() {
            return Err(Waited::Answer(batch));
        }
        Ok(moved)
    }
}

impl Future for Parked {
    type Output = Waited;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Waited> {
        let this = self.get_mut();
        this.held.session().register(cx.waker());
        if is_closed_by_peer(this.claimed.socket.stream(), cx) {
            return Poll::Ready(Waited::Gone);
        }
        for _ in 0..TURNS {
            match this.turn(cx) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(waited) => return Poll::Ready(waited),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Writes the answer; none when the client did not take it. Of a connection that shall end there is nothing kept.
async fn write(
    claimed: Claimed,
    answer: &Result<Batch, Problem>,
    may_keep: bool,
) -> Option<Option<Kept>> {
    let Claimed {
        mut socket,
        head,
        places,
    } = claimed;
    let place = if may_keep && head.manners.keeps {
        places.take_back()
    } else {
        None
    };
    let (status, mut headers, body) = parts(answer);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    if place.is_none() {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let mut bytes = head.bytes(Some(status), &headers);
    bytes.extend_from_slice(&body);
    let writing = async {
        socket.write_all(&bytes).await?;
        socket.flush().await?;
        if place.is_none() {
            socket.shutdown().await?;
        }
        std::io::Result::Ok(())
    };
    timeout(PATIENCE, writing).await.ok()?.ok()?;
    Some(place.map(|place| (socket, place)))
}

fn parts(answer: &Result<Batch, Problem>) -> (StatusCode, HeaderMap, Vec<u8>) {
    match answer {
        Ok(batch) => {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            (StatusCode::OK, headers, batch.to_json())
        }
        Err(problem) => problem.to_parts(),
    }
}
