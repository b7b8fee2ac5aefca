//! One connection to one server of Redis, as the bus uses it: frames in, bytes out, nothing in between.
//!
//! The client library keeps what comes in for its caller in queues without a bound, and counts confirmations of
//! subscriptions; here nothing is read from the socket before it is wanted, and each confirmation says of which
//! channel it is. So a slow node costs Redis's own, bounded output buffer, and then its link.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::endpoint::{Address, Login};
use super::resp::{self, Frame};

/// How long a connection may take to be made, encryption and login included.
const OPENING: Duration = Duration::from_secs(2);
/// How long the server may take nothing of what we write. Beyond it, it is stopped or gone.
const WRITING: Duration = Duration::from_secs(1);
/// How much is read at once, and so how much is decoded between two looks at anything else.
const READ: usize = 64 * 1024;

/// Why a connection could not be made, or ended. Never contains a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct LinkError(pub(super) String);

impl LinkError {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }

    /// What the server answered, in its words, cut short, and without what it repeats of the command.
    pub(super) fn answered(what: &str, error: &[u8]) -> Self {
        let text = String::from_utf8_lossy(error);
        let own = text.split(", with args").next().unwrap_or_default();
        let text: String = own.chars().take(160).collect();
        Self(format!("{what}: {text}"))
    }
}

trait Socket: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Socket for S {}

/// An open connection that was let in.
pub(super) struct Wire {
    socket: Box<dyn Socket>,
    came: BytesMut,
}

impl Wire {
    /// Connects and logs in.
    ///
    /// # Errors
    /// When the server can't be reached, is not who it should be, or does not let us in.
    pub(super) async fn open(
        address: &Address,
        tls: Option<&Arc<ClientConfig>>,
        login: &Login,
    ) -> Result<Self, LinkError> {
        let opened = timeout(OPENING, async {
            let socket = connect(address, tls).await?;
            let came = BytesMut::new();
            let mut wire = Self { socket, came };
            wire.log_in(login).await?;
            Ok(wire)
        });
        match opened.await {
            Ok(Ok(wire)) => Ok(wire),
            Ok(Err(LinkError(reason))) => Err(LinkError(format!("{address}: {reason}"))),
            Err(_) => Err(LinkError(format!("{address}: no answer within 2 s"))),
        }
    }

    async fn log_in(&mut self, login: &Login) -> Result<(), LinkError> {
        let Some(password) = &login.password else {
            return Ok(());
        };
        let password = password.reveal().as_bytes();
        let answer = match &login.username {
            Some(name) => self.call(&[b"AUTH", name.as_bytes(), password]).await,
            None => self.call(&[b"AUTH", password]).await,
        };
        match answer? {
            Frame::Error(error) => Err(LinkError::new(refusal(&error))),
            _ => Ok(()),
        }
    }

    /// Sends one command and waits for its answer: for connections that are not busy yet.
    ///
    /// # Errors
    /// When the connection breaks, or no answer comes in time. What the server refuses is [`Frame::Error`].
    pub(super) async fn call(&mut self, words: &[&[u8]]) -> Result<Frame, LinkError> {
        let mut command = Vec::new();
        resp::encode(&mut command, words);
        self.send(&command).await?;
        let answered = async {
            let mut frames = Vec::new();
            while frames.is_empty() {
                self.read(&mut frames).await?;
            }
            Ok(frames.swap_remove(0))
        };
        timeout(OPENING, answered)
            .await
            .unwrap_or_else(|_| Err(LinkError::new("no answer within 2 s")))
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// When the connection breaks, or the server takes nothing more.
    pub(super) async fn send(&mut self, mut bytes: &[u8]) -> Result<(), LinkError> {
        while !bytes.is_empty() {
            let written = timeout(WRITING, self.socket.write(bytes)).await;
            match written {
                Ok(Ok(taken @ 1..)) => bytes = &bytes[taken..],
                Ok(Ok(_)) => return Err(LinkError::new("the connection was closed")),
                Ok(Err(error)) => return Err(broken(&error)),
                Err(_) => return Err(LinkError::new("nothing was taken for 1 s")),
            }
        }
        let flushed = timeout(WRITING, self.socket.flush()).await;
        flushed
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
            .map_err(|error| broken(&error))
    }

    /// Waits until something comes, and adds every frame that is complete then. Nothing is lost when it is dropped
    /// before its end.
    ///
    /// # Errors
    /// When the connection ends, or what comes is no frame.
    pub(super) async fn read(&mut self, frames: &mut Vec<Frame>) -> Result<(), LinkError> {
        if self.came.is_empty() && self.came.capacity() > 2 * READ {
            self.came = BytesMut::new();
        }
        self.came.reserve(READ);
        match self.socket.read_buf(&mut self.came).await {
            Ok(0) => return Err(LinkError::new("the server closed the connection")),
            Ok(_) => {}
            Err(error) => return Err(broken(&error)),
        }
        while let Some(frame) =
            resp::decode(&mut self.came).map_err(|error| LinkError(error.to_string()))?
        {
            frames.push(frame);
        }
        Ok(())
    }
}

async fn connect(
    address: &Address,
    tls: Option<&Arc<ClientConfig>>,
) -> Result<Box<dyn Socket>, LinkError> {
    let socket = TcpStream::connect((address.host.as_str(), address.port)).await;
    let socket = socket.map_err(|error| broken(&error))?;
    socket.set_nodelay(true).map_err(|error| broken(&error))?;
    let Some(config) = tls else {
        return Ok(Box::new(socket));
    };
    let name = ServerName::try_from(address.host.clone())
        .map_err(|_| LinkError::new("a name that no certificate can have"))?;
    let connector = tokio_rustls::TlsConnector::from(Arc::clone(config));
    let encrypted = connector.connect(name, socket).await;
    Ok(Box::new(encrypted.map_err(|error| broken(&error))?))
}

fn broken(error: &std::io::Error) -> LinkError {
    LinkError(error.to_string())
}

/// Why a login was refused, in our words: an old server repeats what it was sent.
fn refusal(error: &[u8]) -> &'static str {
    if error.starts_with(b"WRONGPASS") || error.starts_with(b"ERR invalid password") {
        return "the user name or the password is wrong";
    }
    if error.starts_with(b"ERR AUTH") || error.starts_with(b"ERR Client sent AUTH") {
        return "a password is configured here, and the server has none";
    }
    "the login was refused"
}
