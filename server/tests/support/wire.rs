//! A TCP connection with what was read and not yet used.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::http::Response;

/// Bytes of a head that no answer of ours has.
const LONGEST_HEAD: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Wire {
    pub(super) stream: TcpStream,
    pub(super) buffer: BytesMut,
}

impl Wire {
    /// Connects. A small `receive_buffer` makes a client that does not read felt soon.
    pub(super) async fn connect(
        address: SocketAddr,
        receive_buffer: Option<u32>,
    ) -> io::Result<Self> {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: BytesMut::new(),
        })
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Reads more; false at the end. Nothing is lost when it is dropped half-way.
    pub(super) async fn read_more(&mut self) -> io::Result<bool> {
        Ok(self.stream.read_buf(&mut self.buffer).await? > 0)
    }

    async fn read_exactly(&mut self, length: usize) -> io::Result<Bytes> {
        while self.buffer.len() < length {
            if !self.read_more().await? {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.buffer.split_to(length).freeze())
    }

    pub(super) async fn read_head(&mut self) -> io::Result<String> {
        const END: &[u8] = b"\r\n\r\n";
        loop {
            if let Some(end) = self.buffer.windows(END.len()).position(|at| at == END) {
                let head = self.buffer.split_to(end);
                self.buffer.advance(END.len());
                return Ok(String::from_utf8(head.to_vec()).expect("a head is plain text"));
            }
            assert!(self.buffer.len() < LONGEST_HEAD, "a head without an end");
            if !self.read_more().await? {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads the head of an answer.
    pub(super) async fn read_answer_head(&mut self) -> io::Result<Response> {
        let head = self.read_head().await?;
        let mut lines = head.split("\r\n");
        let status_line = lines.next().unwrap_or_default();
        let status = status_line
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or_else(|| panic!("no status in {status_line:?}"));
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Ok(Response {
            status,
            headers,
            body: Bytes::new(),
        })
    }

    /// Reads one HTTP answer with its body; what follows a 101 is left in the buffer.
    pub(super) async fn read_response(&mut self) -> io::Result<Response> {
        let head = self.read_answer_head().await?;
        self.read_body(head).await
    }

    /// Reads the body that goes with a head.
    pub(super) async fn read_body(&mut self, head: Response) -> io::Result<Response> {
        let length = head.header("content-length");
        let length = length.map(|length| length.parse().expect("a length is a number"));
        let body = match (head.status, length) {
            (101 | 204 | 304, _) => Bytes::new(),
            (_, Some(length)) => self.read_exactly(length).await?,
            (_, None) => {
                while self.read_more().await? {}
                self.buffer.split().freeze()
            }
        };
        Ok(Response { body, ..head })
    }
}
