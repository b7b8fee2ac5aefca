//! A blocking HTTP client over one kept connection, for what is not measured: readiness, tokens.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::http;

const TIMEOUT: Duration = Duration::from_secs(30);

/// An open connection to a server.
pub(crate) struct HttpClient {
    stream: TcpStream,
    address: SocketAddr,
}

impl HttpClient {
    /// Connects.
    pub(crate) fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, TIMEOUT)
            .with_context(|| format!("could not connect to {address}"))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, address })
    }

    /// Asks for a path and gives the status and the body.
    pub(crate) fn get(&mut self, path: &str) -> Result<(u16, Vec<u8>)> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
        self.send(request.as_bytes())
            .with_context(|| format!("GET {path} on {} failed", self.address))
    }

    /// Posts JSON with an API key and gives the status and the body.
    pub(crate) fn post(&mut self, path: &str, key: &str, json: &str) -> Result<(u16, Vec<u8>)> {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nX-API-Key: {key}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{json}",
            self.address,
            json.len()
        );
        self.send(request.as_bytes())
            .with_context(|| format!("POST {path} on {} failed", self.address))
    }

    fn send(&mut self, request: &[u8]) -> Result<(u16, Vec<u8>)> {
        self.stream.write_all(request)?;
        let (mut buffer, mut part) = (Vec::new(), [0; 16 * 1024]);
        loop {
            let length = self.stream.read(&mut part)?;
            if length == 0 {
                bail!("the server closed the connection without an answer");
            }
            buffer.extend_from_slice(&part[..length]);
            if let Some(response) = http::read(&buffer)? {
                return Ok((response.status, response.body()));
            }
        }
    }
}
