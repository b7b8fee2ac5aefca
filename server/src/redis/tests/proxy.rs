//! A way to a server that can be cut, with a word or without one.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};

use crate::redis::Address;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    Cut,
    /// Nothing goes through, and nobody is told.
    Frozen,
}

/// A TCP proxy.
pub(super) struct Proxy {
    pub(super) address: Address,
    way: watch::Sender<Way>,
    connections: Arc<Mutex<Vec<AbortHandle>>>,
    accepting: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.end_all();
    }
}

impl Proxy {
    /// A proxy in front of a server.
    pub(super) async fn before(server: Address) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let (way, seen) = watch::channel(Way::Open);
        let connections = Arc::new(Mutex::new(Vec::new()));
        let accepting = tokio::spawn(accept(listener, server, seen, Arc::clone(&connections)));
        Self {
            address: Address {
                host: "127.0.0.1".to_owned(),
                port,
            },
            way,
            connections,
            accepting,
        }
    }

    /// Ends all connections, and every new one at once.
    pub(super) fn cut(&self) {
        self.way.send_replace(Way::Cut);
        self.end_all();
    }

    /// Lets nothing through any more, without a word.
    pub(super) fn freeze(&self) {
        self.way.send_replace(Way::Frozen);
    }

    /// Lets new connections through; frozen ones stay as they are.
    pub(super) fn mend(&self) {
        self.way.send_replace(Way::Open);
    }

    fn end_all(&self) {
        self.connections
            .lock()
            .drain(..)
            .for_each(|task| task.abort());
    }
}

async fn accept(
    listener: TcpListener,
    server: Address,
    way: watch::Receiver<Way>,
    connections: Arc<Mutex<Vec<AbortHandle>>>,
) {
    while let Ok((client, _)) = listener.accept().await {
        let now = *way.borrow();
        if now == Way::Cut {
            continue;
        }
        let task = tokio::spawn(carry(client, server.clone(), way.clone()));
        connections.lock().push(task.abort_handle());
    }
}

async fn carry(mut client: TcpStream, server: Address, mut way: watch::Receiver<Way>) {
    let frozen = async move {
        // The sender lives as long as the proxy.
        let _ = way.wait_for(|way| *way == Way::Frozen).await;
    };
    let carried = async {
        let Ok(mut upstream) = TcpStream::connect((server.host.as_str(), server.port)).await else {
            return None;
        };
        client.set_nodelay(true).ok()?;
        upstream.set_nodelay(true).ok()?;
        tokio::select! {
            _ = copy_bidirectional(&mut client, &mut upstream) => None,
            () = frozen => Some((client, upstream)),
        }
    };
    if let Some(_silent) = carried.await {
        std::future::pending::<()>().await;
    }
}
