//! The whole server, killed in the middle of its work again and again: what it answered for is kept, delivered once in
//! effect, and in order; what it did not answer is stored once, however often it is asked for.
//!
//! `NOTICE_TEST_CRASH_ROUNDS` says how often it is killed, `NOTICE_TEST_CRASH_SEED` repeats the choices of a run.

#![cfg(test)]

mod support;

#[path = "crash/callers.rs"]
mod callers;
#[path = "crash/listeners.rs"]
mod listeners;

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use callers::Caller;
use listeners::{ACCOUNTS, Listeners};
use support::{Folder, Ledger, Program, Random, in_time};
use tokio::time::{Instant, sleep};

const CALLERS: usize = 32;

/// From the start of the process until it is ready, on a folder that a crash left.
const LONGEST_START: Duration = Duration::from_secs(5);

fn number_from(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")),
    )
}

fn settings() -> [(&'static str, &'static str); 2] {
    // Nobody reads for some accounts until the end.
    [
        ("NOTICE_LIMITS_UNREAD_PER_ACCOUNT", "1000000"),
        ("NOTICE_STORE_MIN_FREE_BYTES", "0"),
    ]
}

/// What lasts from round to round.
struct Run {
    random: Random,
    folder: Folder,
    ledger: Arc<Ledger>,
    callers: Vec<Caller>,
    tokens: BTreeMap<&'static str, String>,
    listeners: Listeners,
}

impl Run {
    fn new(seed: u64) -> Self {
        let ledger = Arc::new(Ledger::default());
        let mut random = Random::seeded(seed);
        let callers = (0..CALLERS)
            .map(|number| Caller::new(number, random.number(), Arc::clone(&ledger)))
            .collect();
        Self {
            random,
            folder: Folder::new(),
            listeners: Listeners::new(Arc::clone(&ledger)),
            ledger,
            callers,
            tokens: BTreeMap::new(),
        }
    }

    async fn start(&mut self) -> Program {
        let begun = Instant::now();
        let server = Program::start(&self.folder, &settings()).await;
        let took = begun.elapsed();
        println!("started in {took:?}");
        assert!(took < LONGEST_START, "a restart took {took:?}");
        if self.tokens.is_empty() {
            for account in ACCOUNTS {
                // Made once: they outlive every crash.
                self.tokens.insert(account, server.token(account).await);
            }
        }
        server
    }

    /// Lets everybody work at full speed, and kills the server in the middle of it.
    async fn round(&mut self) {
        if self.random.chance(25) {
            // One crash more, perhaps while it puts the last one in order.
            let after = Duration::from_millis(self.random.number() % 200);
            Program::start_and_kill(&self.folder, &settings(), after).await;
        }
        let server = self.start().await;
        let listening = self
            .listeners
            .begin(&server, &self.tokens, &mut self.random);
        let mut calling = Vec::new();
        for caller in self.callers.drain(..) {
            calling.push(tokio::spawn(
                caller.call_until_it_breaks(server.public, usize::MAX),
            ));
        }
        sleep(Duration::from_millis(20 + self.random.number() % 1200)).await;
        server.kill().await;
        for caller in calling {
            self.callers
                .push(in_time("a caller's end", caller).await.unwrap());
        }
        self.listeners.end(listening).await;
    }

    /// Repeats what was not answered, and reads everything that is left.
    async fn settle(&mut self) -> Program {
        let server = self.start().await;
        for caller in self.callers.drain(..) {
            let caller = in_time(
                "a caller's retry",
                caller.call_until_it_breaks(server.public, 1),
            )
            .await;
            assert!(caller.has_all_answers());
        }
        self.listeners.read_the_rest(&server, &self.tokens).await;
        server
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_again_and_again_loses_nothing_and_doubles_nothing() {
    let rounds = number_from("NOTICE_TEST_CRASH_ROUNDS").unwrap_or(3);
    let seed = number_from("NOTICE_TEST_CRASH_SEED")
        .unwrap_or_else(|| RandomState::new().hash_one("seed"));
    println!("to repeat this run: NOTICE_TEST_CRASH_ROUNDS={rounds} NOTICE_TEST_CRASH_SEED={seed}");
    let mut run = Run::new(seed);
    for round in 1..=rounds {
        run.round().await;
        let answered: usize = ACCOUNTS
            .iter()
            .map(|account| run.ledger.answered_to(account))
            .sum();
        println!(
            "round {round}: {answered} notices answered for, {} reads",
            run.listeners.reads_answered()
        );
    }
    let server = run.settle().await;
    run.ledger.check();
    run.listeners.check();
    for account in ACCOUNTS {
        assert!(
            run.ledger.answered_to(account) > 0,
            "nothing was staged to {account}"
        );
        assert_eq!(server.unread(account).await, 0, "{account}");
    }
}
