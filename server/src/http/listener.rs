//! Accepts connections and serves HTTP/1.1 on them, within bounds: connections at a time, time for a head, bytes of a
//! head. A connection that becomes a WebSocket leaves these bounds; sessions have their own.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
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

    /// Serves with `filter` until `stop` turns true; then no more connections are accepted, and this ends when those
    /// that are open have answered what was asked.
    pub async fn serve<F>(self, filter: F, mut stop: watch::Receiver<bool>)
    where
        F: warp::Filter<Error = Infallible> + Clone + Send + Sync + 'static,
        F::Extract: warp::Reply,
        F::Future: Send,
    {
        let most = self.options.connections.0;
        let permits = Arc::new(Semaphore::new(most));
        let service = warp::service(filter);
        loop {
            let accepted = tokio::select! {
                accepted = self.accept(&permits) => accepted,
                () = asked_to_stop(&mut stop) => break,
            };
            let (stream, peer, permit) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(BREATH).await;
                    continue;
                }
            };
            let (service, options, stop) = (service.clone(), self.options, stop.clone());
            tokio::spawn(async move {
                serve_connection(stream, peer, service, options, stop).await;
                drop(permit);
            });
        }
        let all = u32::try_from(most).unwrap_or(u32::MAX);
        let _all_ended = permits.acquire_many(all).await;
    }

    async fn accept(
        &self,
        permits: &Arc<Semaphore>,
    ) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let permit = Arc::clone(permits)
            .acquire_owned()
            .await
            .map_err(io::Error::other)?;
        let (stream, peer) = self.socket.accept().await?;
        Ok((stream, peer, permit))
    }
}

/// Ends when the server is asked to stop, or is gone.
async fn asked_to_stop(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

async fn serve_connection<S>(
    stream: TcpStream,
    peer: SocketAddr,
    service: S,
    options: ListenerOptions,
    mut stop: watch::Receiver<bool>,
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
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = asked_to_stop(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection broke");
    }
}
