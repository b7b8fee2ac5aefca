//! The task of one WebSocket connection, as a hand-written future: it is all the memory that an idle session has
//! besides its slot in the account, so nothing rare is kept inside it.
//!
//! What it does, in this order, until nothing moves: obey signals, finish jobs, take from the mailbox, write, read.
//! It reads nothing while a client's call is being answered or while the client does not take the answers.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::net::TcpStream;
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error as WsError, Message};

use super::frames::{
    ClientFrame, FrameError, LegacyFailure, ServerFrame, notice_frame, parse_client_frame,
    ping_frame, text_frame,
};
use super::jobs::{self, OpDone};
use super::protocol::Pings;
use super::wire::Wire;
use crate::delivery::{AckMode, CloseReason, Outgoing, Session};
use crate::http::courier::{Courier, finished};
use crate::http::intake::largest_notice;
use crate::http::jobs::Job;
use crate::http::outbound::Outbound;
use crate::http::problem::Problem;
use crate::http::services::Services;

/// Read at once from a socket, and kept as a buffer for it. Acknowledgements and short messages fit.
const READ_BUFFER: usize = 512;

/// Taken from the mailbox at once.
const TAKE: usize = 16;

/// Frames that are no frames, before the connection ends.
const STRIKES: u8 = 3;

/// Turns before another task gets its turn.
const TURNS: u32 = 32;

/// The bounds of what is read from a client whose notices may have `message_bytes`.
pub(crate) fn wire_config(message_bytes: usize) -> WebSocketConfig {
    let max = largest_notice(message_bytes);
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(max)
        .max_frame_size(Some(max))
        .max_message_size(Some(max))
}

/// One connection. As a future it ends with the reason for which the session is over; what is still to be written,
/// and acknowledgements still to be stored, are the business of `upgrade::finish`.
pub(super) struct Connection {
    io: TcpStream,
    /// What the client had sent behind its handshake.
    early: Bytes,
    ws: WebSocketContext,
    out: Outbound,
    courier: Courier,
    pings: Pings,
    op: Option<Job<OpDone>>,
    strikes: u8,
    deaf: bool,
}

impl Connection {
    pub(super) fn new((io, early): (TcpStream, Bytes), answer: Vec<u8>, courier: Courier) -> Self {
        let config = wire_config(courier.services.config.limits.message_bytes);
        let mut out = Outbound::default();
        out.push(answer.into());
        let mut connection = Self {
            io,
            early,
            ws: WebSocketContext::new(Role::Server, Some(config)),
            out,
            courier,
            pings: Pings::default(),
            op: None,
            strikes: 0,
            deaf: false,
        };
        connection.welcome();
        connection
    }

    fn session(&self) -> &Arc<Session> {
        self.courier.session()
    }

    fn services(&self) -> &Arc<Services> {
        &self.courier.services
    }

    pub(super) fn into_parts(self) -> (TcpStream, Outbound, Courier) {
        (self.io, self.out, self.courier)
    }

    fn v1(&self) -> bool {
        self.session().spec().control_frames
    }

    fn welcome(&mut self) {
        if !self.v1() {
            return;
        }
        let session = self.session();
        let frame = text_frame(&ServerFrame::Welcome {
            session: &self.services().registry.session_id(session.key()),
            account: session.account().as_str(),
            node: &self.services().config.node_name,
            ping_seconds: self.services().config.delivery.ping.as_secs(),
            window: session.spec().window,
        });
        self.out.push(frame);
    }

    fn obey_signals(&mut self) -> Result<bool, CloseReason> {
        let signals = self.session().take_signals();
        if let Some(reason) = signals.close {
            return Err(reason);
        }
        if signals.ping {
            self.send_ping();
        }
        if signals.unstored {
            self.courier.pass_on_again();
        }
        if signals.expiring && self.v1() {
            self.tell_expiry();
        }
        if let Some(asked) = signals.move_asked {
            self.out.push(text_frame(&ServerFrame::Move {
                after_ms: asked.after_ms,
                reason: asked.reason.name(),
            }));
        }
        Ok(signals.recheck_token && self.courier.recheck_token())
    }

    fn send_ping(&mut self) {
        if let Some(number) = self.pings.ping() {
            self.out.push(ping_frame(number));
        }
    }

    fn tell_expiry(&mut self) {
        if let Some(expires) = self.session().expires() {
            let in_seconds = expires.saturating_sub(self.services().inbox.now()) / 1000;
            self.out
                .push(text_frame(&ServerFrame::Expiring { in_seconds }));
        }
    }

    fn poll_jobs(&mut self, cx: &mut Context<'_>) -> Result<bool, CloseReason> {
        let mut moved = self.courier.poll_jobs(cx)?;
        if let Some(done) = finished(&mut self.op, cx) {
            self.answer(done);
            moved = true;
        }
        Ok(moved)
    }

    fn answer(&mut self, done: OpDone) {
        match done {
            OpDone::Sent {
                reference,
                result: Ok(staged),
            } if self.v1() => {
                let reference = reference.as_deref();
                self.out.push(text_frame(&ServerFrame::Sent {
                    reference,
                    id: staged.id,
                    duplicate: staged.duplicate,
                }));
            }
            OpDone::Sent { result: Ok(_), .. } => {}
            OpDone::Sent {
                reference,
                result: Err(problem),
            } => {
                self.services().count_refused(&problem);
                self.tell_problem(reference.as_deref(), &problem);
            }
            OpDone::Refreshed(Ok(expire_time)) => self
                .out
                .push(text_frame(&ServerFrame::Refreshed { expire_time })),
            OpDone::Refreshed(Err(problem)) => self.tell_problem(None, &problem),
        }
    }

    fn tell_problem(&mut self, reference: Option<&str>, problem: &Problem) {
        let message = problem.detail.as_str();
        let frame = if self.v1() {
            text_frame(&ServerFrame::Error {
                reference,
                code: problem.code.name(),
                message,
            })
        } else {
            text_frame(&LegacyFailure::new(message))
        };
        self.out.push(frame);
    }

    fn take_from_mailbox(&mut self) -> bool {
        if self.out.is_high() {
            return false;
        }
        let items = self.courier.take(TAKE);
        let moved = !items.is_empty();
        items.into_iter().for_each(|item| self.put(item));
        if self.pings.owes_a_ping() {
            self.send_ping();
        }
        moved
    }

    fn put(&mut self, item: Outgoing) {
        match item {
            Outgoing::Notice(push) => {
                self.out.push(notice_frame(&push, self.v1()));
                self.courier.writes(&push);
                if push.is_stored() && self.session().spec().ack == AckMode::Automatic {
                    self.pings.wrote(push.id());
                }
            }
            Outgoing::Read(ids) => self.out.push(text_frame(&ServerFrame::Read { ids: &ids })),
            Outgoing::Recall(ids) => self
                .out
                .push(text_frame(&ServerFrame::Recall { ids: &ids })),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<bool, CloseReason> {
        if self.out.is_empty() {
            return Ok(false);
        }
        match self.out.poll_flush(&mut self.io, cx) {
            Poll::Ready(Ok(())) => {
                self.courier.has_written();
                Ok(true)
            }
            Poll::Ready(Err(_)) => Err(CloseReason::ClientGone),
            Poll::Pending => Ok(false),
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<bool, CloseReason> {
        let deaf = self.op.is_some() || self.courier.is_full_of_acks();
        if deaf != self.deaf {
            self.deaf = deaf;
            self.session().set_deaf(deaf);
        }
        if deaf || self.out.is_high() {
            return Ok(false);
        }
        let mut wire = Wire {
            io: &mut self.io,
            early: &mut self.early,
            out: &mut self.out,
            cx,
        };
        let read = self.ws.read(&mut wire);
        if read.is_ok() {
            self.courier.session().heard_frame();
        }
        match read {
            Ok(Message::Text(text)) => self.hear(&text)?,
            Ok(Message::Binary(_)) => {
                self.strike(
                    None,
                    &Problem::invalid("a binary frame: only text frames are understood"),
                )?;
            }
            Ok(Message::Pong(payload)) => self.hear_pong(&payload),
            // The reply that tungstenite queued goes out with what else there is.
            Ok(Message::Ping(_)) => drop(self.ws.flush(&mut wire)),
            Ok(Message::Close(_)) => {
                drop(self.ws.flush(&mut wire));
                return Err(CloseReason::ClientGone);
            }
            Ok(Message::Frame(_)) => {}
            Err(WsError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return Ok(false);
            }
            Err(error) => return Err(reason_of(&error)),
        }
        Ok(true)
    }

    fn hear_pong(&mut self, payload: &[u8]) {
        let Some(read) = self.pings.pong(payload) else {
            return;
        };
        self.session().heard_pong();
        self.courier.acknowledge(read);
    }

    fn hear(&mut self, text: &str) -> Result<(), CloseReason> {
        match parse_client_frame(text, self.v1()) {
            Ok(ClientFrame::Ack { ids }) if self.session().spec().ack == AckMode::Explicit => {
                match self.services().intake.ack_ids(ids) {
                    Ok(ids) => self.courier.acknowledge(ids),
                    Err(problem) => self.strike(None, &problem)?,
                }
            }
            Ok(ClientFrame::Ack { .. }) => {
                self.tell_problem(
                    None,
                    &Problem::invalid(
                        "this connection acknowledges by pongs: open it with ?ack=client",
                    ),
                );
            }
            Ok(ClientFrame::Send { reference, input }) => {
                let reference = reference.map(std::borrow::Cow::into_owned);
                let intake = &self.services().intake;
                match intake.client_draft(&input, self.session().account()) {
                    Ok(draft) => {
                        self.op = Some(jobs::send(Arc::clone(self.services()), draft, reference))
                    }
                    Err(problem) => {
                        self.services().count_refused(&problem);
                        self.tell_problem(reference.as_deref(), &problem);
                    }
                }
            }
            Ok(ClientFrame::Refresh { token }) => {
                self.op = Some(jobs::refresh(
                    Arc::clone(self.services()),
                    Arc::clone(self.session()),
                    token.into_owned(),
                ));
            }
            Err(FrameError {
                broken: true,
                problem,
                ..
            }) => self.strike(None, &problem)?,
            Err(FrameError {
                reference, problem, ..
            }) => self.tell_problem(reference.as_deref(), &problem),
        }
        Ok(())
    }

    fn strike(&mut self, reference: Option<&str>, problem: &Problem) -> Result<(), CloseReason> {
        self.tell_problem(reference, problem);
        self.strikes += 1;
        if self.strikes > STRIKES {
            Err(CloseReason::Misuse)
        } else {
            Ok(())
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Result<bool, CloseReason> {
        let mut moved = self.obey_signals()?;
        moved |= self.poll_jobs(cx)?;
        moved |= self.take_from_mailbox();
        moved |= self.poll_write(cx)?;
        moved |= self.poll_read(cx)?;
        Ok(moved)
    }
}

impl Future for Connection {
    type Output = CloseReason;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let this = self.get_mut();
        this.session().register(cx.waker());
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

fn reason_of(error: &WsError) -> CloseReason {
    match error {
        WsError::Capacity(_) => CloseReason::TooLarge,
        WsError::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => {
            CloseReason::ClientGone
        }
        WsError::Protocol(_) | WsError::Utf8(_) => CloseReason::Misuse,
        _ => CloseReason::ClientGone,
    }
}
