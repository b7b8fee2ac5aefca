//! Accepts connections and serves HTTP/1.1 on them, within bounds: connections at a time, time for a head, bytes of a
//! head. A connection that becomes a WebSocket leaves these bounds; sessions have their own.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use warp::reply::Response;

/// Connections that wait to be accepted; the kernel's own limit may be lower.
const BACKLOG: u32 = 4096;

/// The kernel's buffer of what a client has not taken: enough for any network, and a bound to what one that stopped
/// reading costs.
const SEND_BUFFER: u32 = 128 * 1024;

/// A request's head may have so many bytes, and hyper's buffer for it.
const HEAD_BYTES: usize = 16 * 1024;

/// After a failed accept (no free file descriptor, mostly) others get time to end.
const BREATH: Duration = Duration::from_millis(50);

/// The address a connection comes from: a proxy's, behind one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub IpAddr);

/// The bounds of a listener.
#[derive(Debug, Clone, Copy)]
pub struct ListenerOptions {
    /// Plain HTTP connections at a time; more wait in the kernel.
    pub connections: RawConnections,
    /// For a request's head to arrive, and for the next one on a kept connection.
    pub header_timeout: Duration,
}

/// A number of plain HTTP connections.
#[derive(Debug, Clone, Copy)]
pub struct RawConnections(pub usize);

/// A bound socket that does not accept yet.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    options: ListenerOptions,
}

impl Listener {
    /// Binds `address`.
    ///
    /// # Errors
    /// When the address can't be had.
    pub fn bind(address: SocketAddr, options: ListenerOptions) -> io::Result<Self> {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.set_reuseaddr(true)?;
        // Accepted sockets inherit it.
        socket.set_send_buffer_size(SEND_BUFFER)?;
        socket.bind(address)?;
        Ok(Self {
            socket: socket.listen(BACKLOG)?,
            options,
        })
    }

    /// The address, with the port that was chosen.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves with `filter`, for ever.
    pub async fn serve<F>(self, filter: F)
    where
        F: warp::Filter<Error = Infallible> + Clone + Send + Sync + 'static,
        F::Extract: warp::Reply,
        F::Future: Send,
    {
        let permits = Arc::new(Semaphore::new(self.options.connections.0));
        let service = warp::service(filter);
        loop {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
                return;
            };
            let (stream, peer) = match self.socket.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(BREATH).await;
                    continue;
                }
            };
            let (service, options) = (service.clone(), self.options);
            tokio::spawn(async move {
                serve_connection(stream, peer, service, options).await;
                drop(permit);
            });
        }
    }
}

async fn serve_connection<S>(
    stream: TcpStream,
    peer: SocketAddr,
    service: S,
    options: ListenerOptions,
) where
    S: tower_service::Service<hyper::Request<Incoming>, Response = Response, Error = Infallible>
        + Clone,
    S::Future: Send,
{
    // A notice is small and wanted at once.
    let _best_effort = stream.set_nodelay(true);
    let peer = Peer(peer.ip().to_canonical());
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        service.clone().call(request)
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection broke");
    }
}
