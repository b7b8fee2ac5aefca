//! Callers that stage as fast as they are answered, and repeat what was not answered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};

use super::listeners::ACCOUNTS;
use super::support::{Connection, KEY, Ledger, Random, Request};

/// Notices in one call, at most.
const BATCH: usize = 20;

/// One sender, that waits for each answer before it goes on.
pub(crate) struct Caller {
    name: String,
    random: Random,
    ledger: Arc<Ledger>,
    next: BTreeMap<&'static str, u64>,
    /// What was asked for and not answered: receiver and number of each notice.
    open: Vec<(&'static str, u64)>,
}

impl Caller {
    pub(crate) fn new(number: usize, seed: u64, ledger: Arc<Ledger>) -> Self {
        Self {
            name: format!("caller-{number}"),
            random: Random::seeded(seed),
            ledger,
            next: BTreeMap::new(),
            open: Vec::new(),
        }
    }

    /// Makes at most so many calls, the one that was not answered first. Ends early when the server does.
    pub(crate) async fn call_until_it_breaks(mut self, address: SocketAddr, most: usize) -> Self {
        let Ok(mut connection) = Connection::open(address).await else {
            return self;
        };
        for _ in 0..most {
            if self.open.is_empty() {
                self.think();
            }
            let request = self.request();
            let Ok(answer) = connection.call(&request).await else {
                return self;
            };
            assert!(matches!(answer.status, 200 | 201), "{answer:?}");
            self.note(&answer.json());
        }
        self
    }

    pub(crate) fn has_all_answers(&self) -> bool {
        self.open.is_empty()
    }

    /// Thinks of the next call.
    fn think(&mut self) {
        let count = if self.random.chance(70) {
            1
        } else {
            2 + self.random.below(BATCH - 1)
        };
        for _ in 0..count {
            let receiver = ACCOUNTS[self.random.below(ACCOUNTS.len())];
            let next = self.next.entry(receiver).or_default();
            self.open.push((receiver, *next));
            *next += 1;
        }
    }

    fn request(&self) -> Request {
        let notice = |&(receiver, number): &(&str, u64)| {
            json!({
                "receiverId": receiver,
                "senderId": self.name,
                "message": self.ledger.attempt(receiver, &self.name, number),
                "idempotencyKey": format!("{}/{number}", self.name),
            })
        };
        let body = match &self.open[..] {
            [only] => notice(only),
            several => several.iter().map(notice).collect(),
        };
        Request::post("/notice/notices", &body).bearer(KEY)
    }

    fn note(&mut self, answer: &Value) {
        let results = answer["results"].as_array();
        let results = results.map_or_else(|| std::slice::from_ref(answer), Vec::as_slice);
        assert_eq!(results.len(), self.open.len(), "{answer}");
        for ((receiver, number), result) in self.open.drain(..).zip(results) {
            let id = result["id"]
                .as_str()
                .unwrap_or_else(|| panic!("not staged: {result}"));
            self.ledger.answered(receiver, &self.name, number, id);
        }
    }
}
