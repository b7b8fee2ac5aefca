//! Accepts connections and serves HTTP/1.1 on them, within bounds: connections at a time, time for a head, bytes of a
//! head. A connection that a transport claims leaves these bounds; sessions have their own.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tower_service::Service;
use warp::http::header::{CONNECTION, HeaderValue};
use warp::reply::Response;

use super::claim::{Granted, Kept, Manners};
use super::cors::FromPage;
use super::places::Places;
use super::problem::Problem;
use super::socket::Socket;

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
        let shared = Arc::new(Shared {
            service: warp::service(filter),
            header_timeout: self.options.header_timeout,
            places: Places::new(self.options.connections.0),
            stop: stop.clone(),
        });
        loop {
            let accepted = tokio::select! {
                accepted = self.accept(&shared.places) => accepted,
                () = asked_to_stop(&mut stop) => break,
            };
            let (stream, peer, place) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(BREATH).await;
                    continue;
                }
            };
            // A notice is small and wanted at once.
            let _best_effort = stream.set_nodelay(true);
            let peer = Peer(peer.ip().to_canonical());
            tokio::spawn(serve_connection(
                (Socket::new(stream), place),
                peer,
                Arc::clone(&shared),
            ));
        }
        shared.places.all_free().await;
    }

    async fn accept(
        &self,
        places: &Places,
    ) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let place = places.take().await;
        let place = place.ok_or_else(|| io::Error::other("the listener has no places"))?;
        let (stream, peer) = self.socket.accept().await?;
        Ok((stream, peer, place))
    }
}

/// What the connections of a listener have in common.
struct Shared<S> {
    service: S,
    header_timeout: Duration,
    places: Arc<Places>,
    stop: watch::Receiver<bool>,
}

/// Ends when the server is asked to stop, or is gone.
async fn asked_to_stop(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

/// Serves a connection: by hyper, and by the transports that claim it in between.
async fn serve_connection<S>(connection: Kept, peer: Peer, shared: Arc<Shared<S>>)
where
    S: Service<hyper::Request<Incoming>, Response = Response, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
{
    let mut next = Some(connection);
    while let Some((socket, place)) = next {
        // Boxed: while a transport has the connection, nothing of hyper is kept.
        let Some((socket, granted)) = Box::pin(speak_http(socket, peer, &shared)).await else {
            return;
        };
        drop(place);
        next = granted.begin(socket, Arc::clone(&shared.places)).await;
    }
}

/// By failing the service makes hyper let go of the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("a transport has claimed the connection")]
struct LetGo;

/// Where a claim waits until hyper has let go.
type Waiting = Arc<Mutex<Option<Granted>>>;

/// Answers requests until the connection ends, or is claimed.
async fn speak_http<S>(socket: Socket, peer: Peer, shared: &Shared<S>) -> Option<(Socket, Granted)>
where
    S: Service<hyper::Request<Incoming>, Response = Response, Error = Infallible> + Clone + Send,
    S::Future: Send,
{
    let waiting = Waiting::default();
    let service = service_fn(|mut request: hyper::Request<Incoming>| {
        let manners = Manners::of(&request);
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(manners);
        if let Some(page) = FromPage::of(request.headers()) {
            request.extensions_mut().insert(page);
        }
        let answer = shared.service.clone().call(request);
        let (waiting, places) = (Arc::clone(&waiting), Arc::clone(&shared.places));
        async move {
            let Ok(answer) = answer.await;
            finish_answer(answer, manners, &waiting, &places)
        }
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.header_timeout)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(socket), service);
    let mut stop = shared.stop.clone();
    let served = tokio::select! {
        served = &mut connection => served,
        () = asked_to_stop(&mut stop) => {
            Pin::new(&mut connection).graceful_shutdown();
            (&mut connection).await
        }
    };
    let Some(granted) = waiting.lock().take() else {
        if let Err(error) = served {
            tracing::debug!(%error, "a connection broke");
        }
        return None;
    };
    let parts = connection.into_parts();
    let mut socket = parts.io.into_inner();
    socket.put_back(parts.read_buf);
    // Who asks again before it has taken the last answer can't be given a connection with a rest of it in front.
    socket.is_flushed().then_some((socket, granted))
}

fn finish_answer(
    mut answer: Response,
    manners: Manners,
    waiting: &Waiting,
    places: &Places,
) -> Result<Response, LetGo> {
    if let Some(granted) = Granted::of(&mut answer, manners) {
        if granted.is_possible() {
            *waiting.lock() = Some(granted);
            return Err(LetGo);
        }
        answer = Problem::invalid("a request for this path has no body").into_response();
    }
    if places.are_scarce() {
        let headers = answer.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(answer)
}
