//! Callers that stage at a steady pace and repeat with the same key what was not answered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::book::{Book, Retry};
use super::roads::{Backoff, Roads};
use crate::support::{Connection, KEY, Random, Request, Response};

/// How long a caller waits for an answer: several times what a node takes to refuse one on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long it leaves a node alone that did not answer.
const AVOIDED: Duration = Duration::from_secs(5);

/// The longest that it heeds `Retry-After`: the point is to see when it works again.
const HEEDED: u64 = 1;

/// One sender, that waits for each answer before it goes on.
pub(crate) struct Sender {
    name: String,
    accounts: Arc<[String]>,
    random: Random,
    roads: Arc<Roads>,
    book: Arc<Book>,
    /// The number of the next notice to each account.
    next: BTreeMap<usize, u64>,
    connections: BTreeMap<usize, (SocketAddr, Connection)>,
    avoided: BTreeMap<usize, Instant>,
}

/// What came of an attempt.
enum Outcome {
    Answer(Response),
    Broken,
    Unanswered,
}

impl Sender {
    pub(crate) fn new(
        name: String,
        accounts: Arc<[String]>,
        seed: u64,
        roads: Arc<Roads>,
        book: Arc<Book>,
    ) -> Self {
        Self {
            name,
            accounts,
            random: Random::seeded(seed),
            roads,
            book,
            next: BTreeMap::new(),
            connections: BTreeMap::new(),
            avoided: BTreeMap::new(),
        }
    }

    /// Sends until it is over, then only until its last call is answered.
    pub(crate) async fn send(mut self, pace: Duration, over: watch::Receiver<bool>) {
        let mut ticks = interval(pace);
        // Who was held up does not make up for it: the load is steady.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if *over.borrow() {
                return;
            }
            self.stage_one().await;
        }
    }

    async fn stage_one(&mut self) {
        let account = self.random.below(self.accounts.len());
        let next = self.next.entry(account).or_default();
        let number = *next;
        *next += 1;
        let receiver = self.accounts[account].clone();
        let body = json!({
            "receiverId": receiver,
            "senderId": self.name,
            "message": self.book.ledger.attempt(&receiver, &self.name, number),
            "idempotencyKey": format!("{}/{receiver}/{number}", self.name),
        });
        let request = Request::post("/notice/notices", &body).bearer(KEY);
        let (id, begun) = self.until_answered(&request).await;
        self.book.answered(&id, begun);
        self.book
            .ledger
            .answered(&receiver, &self.name, number, &id);
    }

    /// The id, and when the attempt began that brought it.
    async fn until_answered(&mut self, request: &Request) -> (String, Instant) {
        let mut backoff = Backoff::new();
        loop {
            let place = self.choose();
            let begun = Instant::now();
            let pause = match self.attempt(place, request).await {
                Outcome::Answer(answer) if matches!(answer.status, 200 | 201) => {
                    return (answer.json()["id"].as_str().unwrap().to_owned(), begun);
                }
                Outcome::Answer(answer) => self
                    .refused(begun, &answer)
                    .max(backoff.next(&mut self.random)),
                Outcome::Broken => {
                    self.gone(place, Retry::Broken, AVOIDED / 5);
                    backoff.next(&mut self.random)
                }
                Outcome::Unanswered => {
                    self.gone(place, Retry::Unanswered, AVOIDED);
                    Duration::ZERO
                }
            };
            sleep(pause).await;
        }
    }

    /// A node by chance, of those that are not avoided if there are any.
    fn choose(&mut self) -> usize {
        let now = Instant::now();
        self.avoided.retain(|_, until| *until > now);
        let all = 0..self.roads.count();
        let mut open: Vec<_> = all
            .clone()
            .filter(|place| !self.avoided.contains_key(place))
            .collect();
        if open.is_empty() {
            open = all.collect();
        }
        open[self.random.below(open.len())]
    }

    async fn attempt(&mut self, place: usize, request: &Request) -> Outcome {
        let call = async {
            let address = self.roads.api(place).public;
            let kept = self.connections.remove(&place);
            let mut connection = match kept {
                Some((to, connection)) if to == address => connection,
                _ => Connection::open(address).await?,
            };
            let answer = connection.call(request).await?;
            if answer.header("connection") != Some("close") {
                self.connections.insert(place, (address, connection));
            }
            Ok::<_, std::io::Error>(answer)
        };
        match timeout(PATIENCE, call).await {
            Ok(Ok(answer)) => Outcome::Answer(answer),
            Ok(Err(_)) => Outcome::Broken,
            Err(_) => Outcome::Unanswered,
        }
    }

    fn gone(&mut self, place: usize, why: Retry, avoided: Duration) {
        self.book.retry(why);
        self.avoided.insert(place, Instant::now() + avoided);
    }

    /// How long a refusal asks to wait.
    fn refused(&self, begun: Instant, answer: &Response) -> Duration {
        let reason = answer.json();
        let reason = reason["detail"].as_str().unwrap_or_default();
        self.book.refused(begun, reason);
        let after = answer.header("retry-after");
        let after = after.and_then(|after| after.parse::<u64>().ok());
        if answer.status != 503 || after.is_none() {
            self.book.fault(format!("staging was answered {answer:?}"));
        }
        Duration::from_secs(after.unwrap_or(HEEDED).min(HEEDED))
    }
}
