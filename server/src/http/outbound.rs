//! Bytes on their way to one socket: whole frames, in order, shared where they can be.
//!
//! Notices are framed once for all the connections that get them; a frame is never copied into a connection's own
//! buffer. Empty, the queue holds no memory.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

/// Frames written by one system call, at most.
const SLICES: usize = 16;

/// Once this much waits, nothing more is taken from the mailbox, and nothing is read from a client whose frames
/// would be answered.
const HIGH_WATER: usize = 16 * 1024;

/// The frames that wait to be written.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    frames: VecDeque<Bytes>,
    bytes: usize,
}

impl Outbound {
    /// Appends bytes that are one or more whole frames, or a part of one that the next call goes on with.
    pub(super) fn push(&mut self, bytes: Bytes) {
        self.bytes += bytes.len();
        self.frames.push_back(bytes);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// How many bytes wait.
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_high(&self) -> bool {
        self.bytes >= HIGH_WATER
    }

    /// Writes until all is written or the socket takes no more.
    pub(super) fn poll_flush<W: AsyncWrite + Unpin>(
        &mut self,
        io: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let written = if let [only] = self.frames.make_contiguous() {
                ready!(Pin::new(&mut *io).poll_write(cx, only))?
            } else {
                let mut slices = [IoSlice::new(&[]); SLICES];
                let mut used = 0;
                for (slice, frame) in slices.iter_mut().zip(&self.frames) {
                    *slice = IoSlice::new(frame);
                    used += 1;
                }
                ready!(Pin::new(&mut *io).poll_write_vectored(cx, &slices[..used]))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        if self.frames.capacity() > 4 {
            self.frames = VecDeque::new();
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        while let Some(frame) = self.frames.front_mut() {
            if written < frame.len() {
                frame.advance(written);
                return;
            }
            written -= frame.len();
            self.frames.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::task::noop_waker;
    use proptest::prelude::*;

    /// Takes a few bytes at a time, and now and then none.
    struct Trickle {
        taken: Vec<u8>,
        steps: Vec<usize>,
    }

    impl AsyncWrite for Trickle {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let step = self.steps.pop().unwrap_or(usize::MAX).min(bytes.len());
            if step == 0 {
                return Poll::Pending;
            }
            self.taken.extend_from_slice(&bytes[..step]);
            Poll::Ready(Ok(step))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    proptest! {
        #[test]
        fn what_is_written_in_pieces_arrives_whole_and_in_order(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..40),
            steps in prop::collection::vec(0_usize..60, 0..200),
        ) {
            let mut io = Trickle { taken: Vec::new(), steps };
            let mut outbound = Outbound::default();
            frames.iter().for_each(|frame| outbound.push(Bytes::copy_from_slice(frame)));
            let waker = noop_waker();
            let mut cx = Context::from_waker(&waker);
            while outbound.poll_flush(&mut io, &mut cx).is_pending() {}
            prop_assert_eq!(io.taken, frames.concat());
            prop_assert!(outbound.is_empty());
        }
    }
}
