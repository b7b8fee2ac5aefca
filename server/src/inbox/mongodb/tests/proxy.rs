//! A way to MongoDB that a test can cut.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes connections on to MongoDB, until it is cut: then it ends them all, and takes none, until it is mended.
pub(super) struct Proxy {
    address: SocketAddr,
    open: Arc<watch::Sender<bool>>,
}

impl Proxy {
    pub(super) async fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let open = Arc::new(watch::Sender::new(true));
        tokio::spawn(accept(listener, target, Arc::clone(&open)));
        Self { address, open }
    }

    pub(super) fn uri(&self) -> String {
        format!("mongodb://{}/?directConnection=true", self.address)
    }

    pub(super) fn cut(&self) {
        self.open.send_replace(false);
    }

    pub(super) fn mend(&self) {
        self.open.send_replace(true);
    }

    /// Breaks every connection once.
    pub(super) fn shake(&self) {
        self.cut();
        self.mend();
    }
}

async fn accept(listener: TcpListener, target: String, open: Arc<watch::Sender<bool>>) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            return;
        };
        let mut state = open.subscribe();
        if !*state.borrow_and_update() {
            continue;
        }
        let target = target.clone();
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect(target).await else {
                return;
            };
            tokio::select! {
                () = pass(client, server) => {}
                // Any change since the connection was taken.
                _ = state.changed() => {}
            }
        });
    }
}

async fn pass(mut client: TcpStream, mut server: TcpStream) {
    // Either end may go.
    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}
