//! Whole sessions: bytes behind a handshake, in one packet with it, to a running server. It must answer, close, and
//! go on serving.
#![no_main]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use notice_server::app::App;
use notice_server::config::{Overrides, load};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const KEY: &str = "a-key-of-the-fuzz-target";

struct Server {
    public: SocketAddr,
    token: String,
    _folder: TempDir,
    _app: App,
    _runtime: Runtime,
}

static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let folder = TempDir::new().expect("a folder");
    let data = folder.path().join("data").display().to_string();
    let settings = [
        ("NOTICE_LISTEN", "127.0.0.1:0"),
        ("NOTICE_ADMIN_LISTEN", "127.0.0.1:0"),
        ("NOTICE_API_KEYS", KEY),
        ("NOTICE_DATA_DIR", &data),
        ("NOTICE_LIMITS_CONNECTS_PER_SECOND", "1000000"),
        ("NOTICE_LIMITS_UNREAD_PER_ACCOUNT", "50"),
        ("NOTICE_STORE_MIN_FREE_BYTES", "0"),
    ];
    let loaded = load(Overrides::default(), settings).expect("a configuration");
    let runtime = Runtime::new().expect("threads");
    let app = runtime
        .block_on(App::start(loaded.config))
        .expect("a server");
    let public = app.public_address();
    Server {
        token: issue_token(public),
        public,
        _folder: folder,
        _app: app,
        _runtime: runtime,
    }
});

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the server accepts");
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a timeout");
    stream
}

fn issue_token(address: SocketAddr) -> String {
    let body = r#"{"accountId":"u1"}"#;
    let mut stream = connect(address);
    write!(
        stream,
        "POST /notice/sessions HTTP/1.1\r\nhost: fuzz\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("the server reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    let body: Value = serde_json::from_str(body).expect("JSON");
    body["token"].as_str().expect("a token").to_owned()
}

fn session(protocol: &str, query: &str, bytes: &[u8]) {
    let server = &*SERVER;
    let mut stream = connect(server.public);
    let head = format!(
        "GET /ws/socket{query} HTTP/1.1\r\nhost: fuzz\r\nauthorization: Bearer {}\r\nconnection: upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{protocol}\r\n",
        server.token
    );
    let mut packet = head.into_bytes();
    packet.extend_from_slice(bytes);
    // A server that has heard enough may close before all is written.
    if stream.write_all(&packet).is_ok() {
        let _closed_already = stream.shutdown(Shutdown::Write);
    }
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            panic!("the server neither answers nor closes");
        }
        _ => {}
    }
    if !answer.is_empty() {
        assert!(
            answer.starts_with(b"HTTP/1.1 101 "),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
}

// The first byte chooses the protocol.
fuzz_target!(|input: (u8, &[u8])| {
    let (choice, bytes) = input;
    match choice % 3 {
        0 => session("", "", bytes),
        1 => session("", "?ack=client", bytes),
        _ => session("sec-websocket-protocol: notice.v1\r\n", "", bytes),
    }
});
