//! A link that a test can break: TCP forwarded to a service, or held back without a word, or refused.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What a link does with what comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Forwards it.
    Open,
    /// Neither forwards nor closes anything: the network is cut, and nobody says so. What was on its way comes when
    /// the link is open again.
    Silent,
    /// Ends every connection at once.
    Refused,
}

/// A link to one service, gone when dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    link: Arc<watch::Sender<Link>>,
    serving: JoinHandle<()>,
}

impl Proxy {
    /// A link to the Redis of this URI.
    pub async fn to_redis(uri: &str) -> Self {
        Self::to(&redis_address(uri)).await
    }

    /// A link to `target`, a host and a port.
    pub async fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let link = Arc::new(watch::Sender::new(Link::Open));
        let serving = serve(listener, target.to_owned(), Arc::clone(&link));
        Self {
            address,
            link,
            serving: tokio::spawn(serving),
        }
    }

    /// Where to connect instead of `uri`, which stays as it is but for host and port.
    pub fn instead_of(&self, uri: &str) -> String {
        uri.replacen(&redis_address(uri), &self.address.to_string(), 1)
    }

    /// From now on the link is like this.
    pub fn set(&self, link: Link) {
        self.link.send_replace(link);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Host and port of a plain `redis://` URI.
fn redis_address(uri: &str) -> String {
    let rest = uri.strip_prefix("redis://");
    let rest = rest.unwrap_or_else(|| panic!("a link needs a plain redis:// URI, not {uri}"));
    let authority = rest.split('/').next().unwrap_or_default();
    let address = authority.rsplit('@').next().unwrap_or_default();
    assert!(address.contains(':'), "no port in {uri}");
    address.to_owned()
}

async fn serve(listener: TcpListener, target: String, link: Arc<watch::Sender<Link>>) {
    // Dropped with this task, they end with it.
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        connections.spawn(connect(near, target.clone(), link.subscribe()));
        while connections.try_join_next().is_some() {}
    }
}

async fn connect(near: TcpStream, target: String, mut link: watch::Receiver<Link>) {
    if opened(&mut link).await.is_err() {
        return;
    }
    let Ok(far) = TcpStream::connect(target).await else {
        return;
    };
    let _no_delay = (near.set_nodelay(true), far.set_nodelay(true));
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    let mut refused = link.clone();
    tokio::select! {
        _ = pump(near_in, far_out, link.clone()) => {}
        _ = pump(far_in, near_out, link) => {}
        _ = refused.wait_for(|link| *link == Link::Refused) => {}
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut link: watch::Receiver<Link>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        opened(&mut link).await?;
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        opened(&mut link).await?;
        to.write_all(&buffer[..length]).await?;
    }
}

/// Waits while the link is silent.
async fn opened(link: &mut watch::Receiver<Link>) -> io::Result<()> {
    match link.wait_for(|link| *link != Link::Silent).await {
        Ok(link) if *link == Link::Open => Ok(()),
        _ => Err(io::ErrorKind::ConnectionRefused.into()),
    }
}
