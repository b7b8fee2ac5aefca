//! One non-blocking connection with what could not be written yet and what was read only in part.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream as StdStream};
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt};

use super::meter::Meter;

/// A connection registered with the event loop.
#[derive(Debug)]
pub(crate) struct Peer {
    stream: TcpStream,
    unwritten: Vec<u8>,
    rest: Vec<u8>,
    meter: Rc<Meter>,
}

/// What a read found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadOutcome {
    /// This many bytes; with `drained`, nothing is left in the socket.
    Bytes { length: usize, drained: bool },
    /// Nothing for now.
    Nothing,
    /// The server closed.
    Closed,
}

impl Peer {
    /// Starts to connect from a loopback address, so that no address runs out of ports. Its bytes are counted by
    /// `meter`.
    pub(crate) fn connect(
        server: SocketAddr,
        source: Ipv4Addr,
        registry: &Registry,
        token: Token,
        meter: &Rc<Meter>,
    ) -> Result<Self> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)
            .context("could not make a socket: are too many files open? see ulimit -n")?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        bind(&socket, &SocketAddrV4::new(source, 0))
            .with_context(|| format!("no free port on {source}"))?;
        match connect(&socket, &server) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => bail!("could not connect from {source} to {server}: {error}"),
        }
        let mut stream = TcpStream::from_std(StdStream::from(socket));
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            stream,
            unwritten: Vec::new(),
            rest: Vec::new(),
            meter: Rc::clone(meter),
        })
    }

    /// Whether the connection is made; an error when it was refused.
    pub(crate) fn is_connected(&self) -> Result<bool> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error).context("could not connect");
        }
        match self.stream.peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes, and keeps what the socket does not take for [`Self::flush`].
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if !self.unwritten.is_empty() {
            self.unwritten.extend_from_slice(bytes);
            return self.flush();
        }
        let written = write_some(&mut self.stream, bytes)?;
        self.meter.sent(written);
        self.unwritten.extend_from_slice(&bytes[written..]);
        Ok(())
    }

    /// Writes what was kept.
    pub(crate) fn flush(&mut self) -> Result<()> {
        if !self.unwritten.is_empty() {
            let written = write_some(&mut self.stream, &self.unwritten)?;
            self.meter.sent(written);
            self.unwritten.drain(..written);
        }
        Ok(())
    }

    /// Reads once; the bytes are behind those that [`Self::keep`] kept, from the buffer's start.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<ReadOutcome> {
        let kept = self.rest.len();
        let Some(space) = buffer.get_mut(kept..).filter(|space| !space.is_empty()) else {
            bail!(
                "the server sent a message of more than {} bytes",
                buffer.len()
            );
        };
        let space_length = space.len();
        match self.stream.read(space) {
            Ok(0) => Ok(ReadOutcome::Closed),
            Ok(length) => {
                self.meter.received(length);
                buffer[..kept].copy_from_slice(&self.rest);
                self.rest.clear();
                // A stream socket that fills less than was asked for is empty.
                Ok(ReadOutcome::Bytes {
                    length: kept + length,
                    drained: length < space_length,
                })
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(ReadOutcome::Nothing),
            Err(error) if error.kind() == ErrorKind::Interrupted => self.read(buffer),
            Err(error) => Err(error).context("reading failed"),
        }
    }

    /// Whether a part of a message was read.
    pub(crate) fn has_kept(&self) -> bool {
        !self.rest.is_empty()
    }

    /// Keeps the part of a message that was read.
    pub(crate) fn keep(&mut self, part: &[u8]) {
        self.rest.extend_from_slice(part);
    }
}

fn write_some(stream: &mut TcpStream, bytes: &[u8]) -> Result<usize> {
    match stream.write(bytes) {
        Ok(written) => Ok(written),
        // An event tells when there is space again.
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        Err(error) if error.kind() == ErrorKind::Interrupted => write_some(stream, bytes),
        Err(error) => Err(error).context("writing failed"),
    }
}
