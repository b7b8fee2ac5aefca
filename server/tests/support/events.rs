//! A client of event streams, byte by byte: what a browser's `EventSource` reads, but without its coming back.

use std::io;
use std::net::SocketAddr;

use bytes::{Buf as _, BytesMut};
use serde_json::Value;

use super::http::{Request, Response};
use super::notice::Notice;
use super::wait::in_time;
use super::wire::Wire;

/// How a stream is asked for.
#[derive(Debug, Clone)]
pub struct Listen {
    path: String,
    query: Vec<String>,
    headers: Vec<(String, String)>,
    receive_buffer: Option<u32>,
    old: bool,
}

impl Listen {
    /// Without a token.
    pub fn bare() -> Self {
        Self {
            path: "/notice/sse".to_owned(),
            query: Vec::new(),
            headers: Vec::new(),
            receive_buffer: None,
            old: false,
        }
    }

    /// With the token as a browser's page must send it.
    pub fn with(token: &str) -> Self {
        Self::bare().query(format!("SESSION_TOKEN_KEY={token}"))
    }

    /// With one more pair in the query.
    pub fn query(mut self, pair: impl Into<String>) -> Self {
        self.query.push(pair.into());
        self
    }

    /// With one more header.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Acknowledging by `POST /ack`.
    pub fn strict(self) -> Self {
        self.query("ack=client")
    }

    /// Coming back behind this id.
    pub fn after(self, id: &str) -> Self {
        self.header("last-event-id", id)
    }

    /// With so small a buffer in the kernel.
    pub fn receive_buffer(mut self, bytes: u32) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    /// As HTTP/1.0, which proxies speak by default.
    pub fn http10(mut self) -> Self {
        self.old = true;
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let target = if self.query.is_empty() {
            self.path.clone()
        } else {
            format!("{}?{}", self.path, self.query.join("&"))
        };
        let mut request = Request::get(target).header("accept", "text/event-stream");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let bytes = request.bytes();
        if !self.old {
            return bytes;
        }
        let text = String::from_utf8(bytes).unwrap();
        text.replacen("HTTP/1.1", "HTTP/1.0", 1).into_bytes()
    }

    /// Opens a stream; the answer when it is none.
    pub async fn try_open(&self, address: SocketAddr) -> Result<Events, Response> {
        let opened = in_time("an event stream", self.attempt(address)).await;
        opened.unwrap_or_else(|error| panic!("the stream did not open: {error}"))
    }

    /// The same, for a server that may be gone.
    pub async fn attempt(&self, address: SocketAddr) -> io::Result<Result<Events, Response>> {
        let mut wire = Wire::connect(address, self.receive_buffer).await?;
        wire.write(&self.bytes()).await?;
        let head = wire.read_answer_head().await?;
        if head.status != 200 {
            return wire.read_body(head).await.map(Err);
        }
        let chunked = head.header("transfer-encoding") == Some("chunked");
        Ok(Ok(Events {
            wire,
            head,
            chunked,
            body: BytesMut::new(),
        }))
    }

    /// Opens a stream, which must succeed, and reads its first line.
    pub async fn open(&self, address: SocketAddr) -> Events {
        let opened = self.try_open(address).await;
        let mut events = opened.unwrap_or_else(|answer| panic!("not let in: {answer:?}"));
        let first = events.item().await;
        assert!(matches!(first, Item::Retry(_)), "{first:?}");
        events
    }

    /// Opens a stream, which must be refused.
    pub async fn refused(&self, address: SocketAddr) -> Response {
        match self.try_open(address).await {
            Ok(_) => panic!("let in, which must not be"),
            Err(answer) => answer,
        }
    }
}

/// What a stream is made of.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// After how many milliseconds to come back.
    Retry(u64),
    /// Nothing.
    Comment,
    /// An event.
    Event(Event),
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its id, if it has one.
    pub id: Option<String>,
    /// Its name.
    pub name: String,
    /// Its data.
    pub data: Value,
}

/// An open stream.
#[derive(Debug)]
pub struct Events {
    wire: Wire,
    /// The answer's head.
    pub head: Response,
    chunked: bool,
    /// Read, and out of its chunks.
    body: BytesMut,
}

impl Events {
    /// The next item; none when the stream has ended.
    pub async fn item_or_end(&mut self) -> io::Result<Option<Item>> {
        loop {
            if let Some(end) = self.body.windows(2).position(|at| at == b"\n\n") {
                let block = self.body.split_to(end);
                self.body.advance(2);
                return Ok(Some(read_item(std::str::from_utf8(&block).unwrap())));
            }
            if !self.read_on().await? {
                return Ok(None);
            }
        }
    }

    /// False at the end.
    async fn read_on(&mut self) -> io::Result<bool> {
        if !self.chunked {
            let more = self.wire.read_more().await?;
            self.body.unsplit(self.wire.buffer.split());
            return Ok(more);
        }
        loop {
            if let Some((chunk, length)) = first_chunk(&self.wire.buffer) {
                let last = chunk.is_empty();
                self.body.extend_from_slice(chunk);
                self.wire.buffer.advance(length);
                return Ok(!last);
            }
            if !self.wire.read_more().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The next item, which must come.
    pub async fn item(&mut self) -> Item {
        let item = in_time("an item of a stream", self.item_or_end()).await;
        item.unwrap().expect("the stream ended")
    }

    /// The next event, or none at the end. Comments are passed over.
    pub async fn event_or_end(&mut self) -> Option<Event> {
        loop {
            match self.item_or_end().await {
                Ok(Some(Item::Event(event))) => return Some(event),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// The next event, which must have this name.
    pub async fn expect(&mut self, name: &str) -> Event {
        let event = in_time(&format!("the event {name}"), self.event_or_end()).await;
        let event = event.unwrap_or_else(|| panic!("the stream ended before {name}"));
        assert_eq!(event.name, name, "{event:?}");
        event
    }

    /// The next event, which must be a notice with its own id.
    pub async fn notice(&mut self) -> Notice {
        let event = self.expect("notice").await;
        let notice = Notice::read(&event.data);
        assert_eq!(event.id.as_ref(), Some(&notice.id), "{event:?}");
        notice
    }

    /// The messages of so many notices.
    pub async fn messages(&mut self, count: usize) -> Vec<String> {
        let mut messages = Vec::with_capacity(count);
        while messages.len() < count {
            messages.push(self.notice().await.message);
        }
        messages
    }

    /// Reads on until the stream ends, which it must do in good order.
    pub async fn ended(&mut self) {
        in_time("the end of a stream", async {
            while let Some(item) = self.item_or_end().await.expect("a proper end") {
                assert!(
                    !matches!(&item, Item::Event(event) if event.name == "notice"),
                    "{item:?}"
                );
            }
        })
        .await;
    }
}

fn read_item(block: &str) -> Item {
    if block.starts_with(':') {
        return Item::Comment;
    }
    let field = |name: &str| {
        let mut lines = block.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    if let Some(millis) = field("retry") {
        return Item::Retry(millis.parse().unwrap());
    }
    let data = field("data").unwrap_or_else(|| panic!("no data in {block:?}"));
    Item::Event(Event {
        id: field("id").map(ToOwned::to_owned),
        name: field("event").unwrap_or("message").to_owned(),
        data: serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}")),
    })
}

/// The first chunk and how many bytes it takes; none while it is not whole.
fn first_chunk(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let line = bytes.windows(2).position(|at| at == b"\r\n")?;
    let size = std::str::from_utf8(&bytes[..line]).expect("a size is plain text");
    let size = usize::from_str_radix(size, 16).expect("a size is hexadecimal");
    let (start, end) = (line + 2, line + 2 + size);
    let whole = bytes.get(start..end + 2)?;
    assert_eq!(&whole[size..], b"\r\n", "a chunk without its end");
    Some((&whole[..size], end + 2))
}
