//! The task of one event stream, as a hand-written future: it is all the memory that an idle stream has besides its
//! slot in the account.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::poll_fn;
use socket2::SockRef;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use warp::http::header::{CONNECTION, HeaderMap, HeaderValue, TRANSFER_ENCODING};

use super::events::{self, Ids, Move};
use super::resume::{Next, Resume};
use crate::delivery::{AckMode, CloseReason, Outgoing, Push, Session};
use crate::domain::NoticeId;
use crate::http::claim::Claimed;
use crate::http::courier::Courier;
use crate::http::outbound::Outbound;
use crate::http::socket::is_closed_by_peer;

/// Taken from the mailbox at once.
const TAKE: usize = 16;

/// Turns before another task gets its turn.
const TURNS: u32 = 32;

/// For the last bytes to a client.
const FAREWELL: Duration = Duration::from_secs(2);

/// After how long browsers come back: from the least on, over the spread, so that those of a node that died do not
/// come in one moment.
const RETRY_MS: u64 = 1000;
const RETRY_SPREAD_MS: u64 = 2000;

/// One stream. As a future it ends with the reason for which the session is over.
pub(super) struct EventStream {
    io: TcpStream,
    out: Outbound,
    courier: Courier,
    resume: Option<Box<Resume>>,
    /// Written into `out`, and read once the connection has taken it.
    unread: Vec<NoticeId>,
    chunks: bool,
    /// Nothing was taken by the connection since the last ping, though something waits.
    stuck: bool,
}

impl EventStream {
    pub(super) fn new(claimed: Claimed, courier: Courier, resume: Option<Box<Resume>>) -> Self {
        let chunks = claimed.head.manners.chunks;
        let (io, _what_else_came) = claimed.socket.into_parts();
        give_up_on_dead_peers(&io, &courier);
        let mut out = Outbound::default();
        out.push(claimed.head.bytes(None, &framing(chunks)).into());
        let spread = courier
            .session()
            .key()
            .0
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            >> 32;
        let mut stream = Self {
            io,
            out,
            courier,
            resume,
            unread: Vec::new(),
            chunks,
            stuck: false,
        };
        stream.write(events::retry(RETRY_MS + spread % RETRY_SPREAD_MS));
        stream
    }

    /// The life of a stream.
    pub(super) async fn run(mut self) {
        let reason = (&mut self).await;
        // Boxed: an idle stream need not carry room for its end.
        Box::pin(self.finish(reason)).await;
    }

    async fn finish(mut self, reason: CloseReason) {
        self.courier.end(reason).await;
        let Self {
            io,
            mut out,
            courier,
            chunks,
            ..
        } = self;
        drop(courier);
        if chunks {
            out.push(events::LAST_CHUNK);
        }
        if !matches!(reason, CloseReason::PeerDead | CloseReason::ClientGone) {
            let _in_time = timeout(FAREWELL, say_goodbye(io, out)).await;
        }
    }

    fn session(&self) -> &Arc<Session> {
        self.courier.session()
    }

    fn write(&mut self, event: Bytes) {
        if self.chunks {
            self.out.push(events::chunk_start(event.len()));
            self.out.push(event);
            self.out.push(events::CHUNK_END);
        } else {
            self.out.push(event);
        }
    }

    fn obey_signals(&mut self) -> Result<bool, CloseReason> {
        let signals = self.session().take_signals();
        if let Some(reason) = signals.close {
            return Err(reason);
        }
        if signals.ping {
            self.ping()?;
        }
        if signals.unstored {
            self.courier.pass_on_again();
        }
        if let Some(asked) = signals.move_asked {
            let after_ms = asked.after_ms;
            let reason = asked.reason.name();
            self.write(events::control("move", &Move { after_ms, reason }));
        }
        Ok(signals.recheck_token && self.courier.recheck_token())
    }

    /// A client that took nothing between two pings, though something waited for it, is gone.
    fn ping(&mut self) -> Result<(), CloseReason> {
        if self.out.is_empty() {
            self.write(events::COMMENT);
        } else if self.stuck {
            return Err(CloseReason::PeerDead);
        }
        self.stuck = true;
        Ok(())
    }

    fn take_from_mailbox(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(mut resume) = self.resume.take() else {
            return self.take_all();
        };
        let mut moved = resume.poll_page(&self.courier, cx);
        while !self.out.is_high() {
            let courier = &mut self.courier;
            let mut items = Vec::new();
            let mut one = || {
                courier.attachment.take(1, &mut items);
                items.pop()
            };
            match resume.next(&courier.attachment, &mut one) {
                Next::Item(item) => self.put(item),
                Next::Missed(push) => self.put_missed(&push),
                Next::NotYet => break,
                Next::Done => return true,
            }
            moved = true;
        }
        self.resume = Some(resume);
        moved
    }

    fn take_all(&mut self) -> bool {
        if self.out.is_high() {
            return false;
        }
        let items = self.courier.take(TAKE);
        let moved = !items.is_empty();
        items.into_iter().for_each(|item| self.put(item));
        moved
    }

    fn put(&mut self, item: Outgoing) {
        match item {
            Outgoing::Notice(push) => {
                self.write(events::notice(&push));
                self.courier.writes(&push);
                if push.is_stored() && self.session().spec().ack == AckMode::Automatic {
                    self.unread.push(push.id());
                }
            }
            Outgoing::Read(ids) => self.write(events::control("read", &Ids { ids: &ids })),
            Outgoing::Recall(ids) => self.write(events::control("recall", &Ids { ids: &ids })),
        }
    }

    /// It counts as read already.
    fn put_missed(&mut self, push: &Push) {
        self.write(events::notice(push));
        self.courier.writes(push);
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<bool, CloseReason> {
        if self.out.is_empty() {
            return Ok(false);
        }
        let before = self.out.len();
        let flushed = self.out.poll_flush(&mut self.io, cx);
        if self.out.len() < before {
            self.stuck = false;
        }
        match flushed {
            Poll::Ready(Ok(())) => {
                self.courier.has_written();
                self.courier.acknowledge(std::mem::take(&mut self.unread));
                Ok(true)
            }
            Poll::Ready(Err(_)) => Err(CloseReason::ClientGone),
            Poll::Pending => Ok(false),
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Result<bool, CloseReason> {
        let mut moved = self.obey_signals()?;
        moved |= self.courier.poll_jobs(cx)?;
        if !self.courier.is_full_of_acks() {
            moved |= self.take_from_mailbox(cx);
        }
        moved |= self.poll_write(cx)?;
        Ok(moved)
    }
}

impl Future for EventStream {
    type Output = CloseReason;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let this = self.get_mut();
        this.session().register(cx.waker());
        if is_closed_by_peer(&this.io, cx) {
            return Poll::Ready(CloseReason::ClientGone);
        }
        for _ in 0..TURNS {
            match this.turn(cx) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(reason) => return Poll::Ready(reason),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// How the stream's end is told: HTTP/1.0 has no chunks, there it ends with the connection.
fn framing(chunks: bool) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    if chunks {
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    headers
}

/// Nothing comes from the client, so only the kernel can tell that what is sent to it is not acknowledged.
fn give_up_on_dead_peers(io: &TcpStream, courier: &Courier) {
    let delivery = &courier.services.config.delivery;
    let patience = delivery.ping + delivery.pong_timeout;
    let _best_effort = SockRef::from(io).set_tcp_user_timeout(Some(patience));
}

/// Writes what is left, and waits for the client to close: a connection that is dropped with unread bytes in it would
/// be reset, and the last events could be lost.
async fn say_goodbye(mut io: TcpStream, mut out: Outbound) -> std::io::Result<()> {
    poll_fn(|cx| out.poll_flush(&mut io, cx)).await?;
    io.shutdown().await?;
    let mut rest = [0; 256];
    while io.read(&mut rest).await? > 0 {}
    Ok(())
}
