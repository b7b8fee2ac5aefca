//! A client's connection, which goes from hyper to a transport and back: what was read too early comes first again,
//! and it is known whether all that was written is out.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// See the file's head.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    early: Bytes,
    /// Written to since the last flush: what the kernel has not taken may still be in its writer's buffer.
    unflushed: bool,
}

impl Socket {
    /// A connection that nothing was read from.
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            early: Bytes::new(),
            unflushed: false,
        }
    }

    /// Puts back what was read and not used. It comes before what is still early.
    pub(super) fn put_back(&mut self, bytes: Bytes) {
        if self.early.is_empty() {
            self.early = bytes;
        } else if !bytes.is_empty() {
            self.early = [bytes, std::mem::take(&mut self.early)].concat().into();
        }
    }

    /// Whether everything that was written has been taken by the kernel.
    pub(super) fn is_flushed(&self) -> bool {
        !self.unflushed
    }

    /// The connection itself.
    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// The connection, and what was read from it too early. Empty, that holds no memory.
    pub(super) fn into_parts(self) -> (TcpStream, Bytes) {
        let early = if self.early.is_empty() {
            Bytes::new()
        } else {
            self.early
        };
        (self.stream, early)
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, into);
        }
        let count = into.remaining().min(self.early.len());
        into.put_slice(&self.early[..count]);
        self.early.advance(count);
        if self.early.is_empty() {
            self.early = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.unflushed = true;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.unflushed = true;
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A writer flushes when its own buffer is empty.
        self.unflushed = false;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Whether the client has closed its side. What it sends meanwhile stays where it is; with that in the way, this can't
/// tell any more.
pub(super) fn is_closed_by_peer(stream: &TcpStream, cx: &mut Context<'_>) -> bool {
    let mut byte = [0];
    let mut into = ReadBuf::new(&mut byte);
    match stream.poll_peek(cx, &mut into) {
        Poll::Ready(Ok(bytes)) => bytes == 0,
        Poll::Ready(Err(_)) => true,
        Poll::Pending => false,
    }
}
