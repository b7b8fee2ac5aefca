//! Servers of Redis for tests: the shared one, and ones of a test's own.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::redis::connect::Connector;
use crate::redis::resp::Frame;
use crate::redis::{Address, Endpoint};

/// The shared server.
pub(super) fn shared() -> Address {
    let uri = std::env::var("REDIS_URI").expect("set REDIS_URI, or run scripts/services start");
    let rest = uri.strip_prefix("redis://").expect("redis://host:port");
    let (host, port) = rest
        .trim_end_matches('/')
        .rsplit_once(':')
        .expect("redis://host:port");
    Address {
        host: host.to_owned(),
        port: port.parse().expect("a port"),
    }
}

/// A name that no other test has.
pub(super) fn unique(what: &str) -> String {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("randomness");
    format!("{what}-{:016x}:", u64::from_ne_bytes(bytes))
}

/// A port that nobody has now, below those that the system gives to who asks for any: a server finds it free when it
/// starts, also again.
pub(super) fn free_port() -> u16 {
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let at_random = std::iter::repeat_with(|| {
        let random = getrandom::u32().expect("randomness") % 7_000;
        14_000 + u16::try_from(random).expect("small")
    });
    at_random.take(1000).find(free).expect("a free port")
}

/// A server of a test's own, in a folder of its own. It ends with the test.
pub(super) struct Server {
    pub(super) port: u16,
    pub(super) folder: TempDir,
    child: Option<Child>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Server {
    /// Starts one with these settings, and waits until it answers.
    pub(super) async fn start(settings: &[&str]) -> Self {
        let mut server = Self::idle();
        server.restart(settings).await;
        server
    }

    /// One that does not run yet.
    pub(super) fn idle() -> Self {
        Self {
            port: free_port(),
            folder: tempfile::tempdir().expect("a folder"),
            child: None,
        }
    }

    pub(super) fn address(&self) -> Address {
        Address {
            host: "127.0.0.1".to_owned(),
            port: self.port,
        }
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        Endpoint::single("127.0.0.1", self.port)
    }

    /// Starts it, empty, and waits until its port is open.
    pub(super) async fn restart(&mut self, settings: &[&str]) {
        let port = self.port.to_string();
        self.spawn(
            "redis-server",
            &[&["--port", &port, "--save", ""], settings].concat(),
        );
        self.until_open(self.port).await;
    }

    /// Starts a program in its folder.
    pub(super) fn spawn(&mut self, program: &str, arguments: &[&str]) {
        self.kill();
        let child = Command::new(program)
            .args(arguments)
            .current_dir(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.unwrap_or_else(|error| panic!("{program}: {error}")));
    }

    pub(super) async fn until_open(&self, port: u16) {
        let begun = Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .is_err()
        {
            assert!(begun.elapsed() < Duration::from_secs(10), "port {port}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends it without a word.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Sends it a signal.
    pub(super) fn signal(&self, signal: rustix::process::Signal) {
        let id = self.child.as_ref().expect("running").id();
        let id = rustix::process::Pid::from_raw(i32::try_from(id).expect("an id")).expect("an id");
        rustix::process::kill_process(id, signal).expect("signalled");
    }
}

/// Sends one command to a server, and answers what it says.
pub(super) async fn ask(endpoint: &Endpoint, address: &Address, words: &[&str]) -> Frame {
    let connector = Connector::new(endpoint.clone()).expect("readable");
    let mut wire = connector.open(address).await.expect("connected");
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    wire.call(&words).await.expect("answered")
}
