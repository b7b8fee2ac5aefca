//! Clients of every kind, with what each session saw, and the reads that were answered for.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::support::{
    Api, Connection, Handshake, Ledger, Notice, Random, Request, SessionLog, Socket, in_time,
};

/// Who receives. What their clients do follows from the name: see [`clients`].
pub(crate) const ACCOUNTS: [&str; 8] = [
    "prompt", "lazy", "plain", "asleep", "by-http", "mixed", "twice", "nobody",
];

/// How a client acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// `notice.v1`, each notice at once.
    Prompt,
    /// `notice.v1`, several at a time: some are still open when the server dies.
    Lazy,
    /// `notice.v1` for receiving, `POST /ack` for acknowledging.
    ByHttp,
    /// The source design's client: its pongs acknowledge.
    Plain,
    /// The same, but after a few notices it stops reading and never sees what is on its way: a phone in a pocket.
    Asleep,
}

fn clients(account: &str) -> &'static [Manner] {
    match account {
        "prompt" => &[Manner::Prompt],
        "lazy" => &[Manner::Lazy],
        "plain" => &[Manner::Plain],
        "asleep" => &[Manner::Asleep],
        "by-http" => &[Manner::ByHttp],
        "mixed" => &[Manner::Prompt, Manner::Plain],
        "twice" => &[Manner::Lazy, Manner::Prompt],
        _ => &[],
    }
}

/// What a session saw, and which of its reads were answered with success.
pub(crate) struct Session {
    log: SessionLog,
    read: Vec<String>,
}

pub(crate) type Listening = Vec<JoinHandle<Session>>;

/// What is known of all sessions so far.
pub(crate) struct Listeners {
    ledger: Arc<Ledger>,
    count: usize,
    /// `POST /ack` answered for these in an earlier life of the server: they must not come again.
    read: HashSet<String>,
    faults: Vec<String>,
}

impl Listeners {
    pub(crate) fn new(ledger: Arc<Ledger>) -> Self {
        Self {
            ledger,
            count: 0,
            read: HashSet::new(),
            faults: Vec::new(),
        }
    }

    pub(crate) fn reads_answered(&self) -> usize {
        self.read.len()
    }

    /// Connects every client.
    pub(crate) fn begin(
        &mut self,
        api: &Api,
        tokens: &BTreeMap<&str, String>,
        random: &mut Random,
    ) -> Listening {
        let mut listening = Vec::new();
        for account in ACCOUNTS {
            for manner in clients(account) {
                self.count += 1;
                let client = Client {
                    api: api.clone(),
                    account,
                    token: tokens[account].clone(),
                    manner: *manner,
                    name: format!("{account}-{}", self.count),
                    at_once: 2 + random.below(50),
                };
                listening.push(tokio::spawn(client.listen()));
            }
        }
        listening
    }

    /// Collects what the clients of a server that is gone saw.
    pub(crate) async fn end(&mut self, listening: Listening) {
        let mut read = Vec::new();
        for client in listening {
            let session = in_time("a client's end", client).await.unwrap();
            self.keep(session.log);
            read.extend(session.read);
        }
        self.read.extend(read);
    }

    fn keep(&mut self, log: SessionLog) {
        let again = log.ids().filter(|id| self.read.contains(*id));
        self.faults
            .extend(again.map(|id| format!("{id} came again after its read was answered")));
        self.ledger.keep(log);
    }

    /// Reads what is left for every account.
    pub(crate) async fn read_the_rest(&mut self, api: &Api, tokens: &BTreeMap<&str, String>) {
        for account in ACCOUNTS {
            let mut log = SessionLog::new(format!("{account}-rest"), account);
            let mut socket = Handshake::v1(&tokens[account]).open(api.public).await;
            for _ in 0..api.unread(account).await {
                let notice = socket.notice().await;
                socket.ack(&[&notice.id]).await;
                log.received(notice);
            }
            api.reaches_unread(account, 0).await;
            socket.close().await;
            self.keep(log);
        }
    }

    pub(crate) fn check(&self) {
        assert!(
            self.faults.is_empty(),
            "{} faults: {:#?}",
            self.faults.len(),
            self.faults
        );
    }
}

/// One session that listens until its server dies.
struct Client {
    api: Api,
    account: &'static str,
    token: String,
    manner: Manner,
    name: String,
    at_once: usize,
}

impl Client {
    async fn listen(self) -> Session {
        let mut session = Session {
            log: SessionLog::new(&*self.name, self.account),
            read: Vec::new(),
        };
        let handshake = match self.manner {
            Manner::Plain => Handshake::legacy(&self.token),
            Manner::Asleep => Handshake::legacy(&self.token).receive_buffer(4096),
            _ => Handshake::v1(&self.token),
        };
        let (Ok(Ok(mut socket)), Ok(mut http)) = (
            handshake.attempt(self.api.public).await,
            Connection::open(self.api.public).await,
        ) else {
            return session;
        };
        let mut open = Vec::new();
        while let Ok(json) = socket.text_or_end().await {
            let Some(notice) = notice_in(&json) else {
                continue;
            };
            open.push(notice.id.clone());
            session.log.received(notice);
            let sent = self
                .acknowledge(&mut open, &mut socket, &mut http, &mut session.read)
                .await;
            if sent.is_err() {
                break;
            }
            if self.manner == Manner::Asleep && session.log.len() >= self.at_once {
                http.closed().await;
                break;
            }
        }
        session
    }

    async fn acknowledge(
        &self,
        open: &mut Vec<String>,
        socket: &mut Socket,
        http: &mut Connection,
        read: &mut Vec<String>,
    ) -> std::io::Result<()> {
        let due = match self.manner {
            Manner::Plain | Manner::Asleep => {
                open.clear();
                return Ok(());
            }
            Manner::Prompt => 1,
            Manner::Lazy | Manner::ByHttp => self.at_once,
        };
        if open.len() < due {
            return Ok(());
        }
        let ids = std::mem::take(open);
        if self.manner == Manner::ByHttp {
            let request = Request::post("/notice/ack", &json!({"ids": ids})).bearer(&self.token);
            http.call(&request).await?.expect(200);
            read.extend(ids);
            return Ok(());
        }
        let frame = json!({"type": "ack", "ids": ids}).to_string();
        socket.send_text(&frame).await
    }
}

fn notice_in(json: &Value) -> Option<Notice> {
    match json["type"].as_str() {
        Some("notice") => Some(Notice::read(&json["notice"])),
        Some(_) => None,
        None => Some(Notice::read(json)),
    }
}
