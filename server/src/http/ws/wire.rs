//! The socket as tungstenite sees it.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

use crate::http::outbound::Outbound;

/// Reads come from it, writes go into our own queue, so that frames are never
/// mixed and no second buffer grows.
pub(super) struct Wire<'a, 'c> {
    pub(super) io: &'a mut TcpStream,
    pub(super) early: &'a mut Bytes,
    pub(super) out: &'a mut Outbound,
    pub(super) cx: &'a mut Context<'c>,
}

impl Read for Wire<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if !self.early.is_empty() {
            let count = into.len().min(self.early.len());
            self.early.copy_to_slice(&mut into[..count]);
            if self.early.is_empty() {
                // It holds the whole buffer of the handshake.
                *self.early = Bytes::new();
            }
            return Ok(count);
        }
        let mut buffer = ReadBuf::new(into);
        match Pin::new(&mut *self.io).poll_read(self.cx, &mut buffer) {
            Poll::Ready(Ok(())) => Ok(buffer.filled().len()),
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Wire<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.push(Bytes::copy_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
