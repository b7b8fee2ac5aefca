//! Finds what was lost, doubled or out of order: the ledger of what callers were told, against what each session saw.
//!
//! A sender numbers its notices to a receiver from 0 on, and stages one after the other; the message carries both.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::notice::Notice;

/// What was attempted, answered, and seen. Shared between the tasks of a test.
#[derive(Debug, Default)]
pub struct Ledger {
    attempted: Mutex<BTreeSet<Line>>,
    answered: Mutex<BTreeMap<Line, String>>,
    sessions: Mutex<Vec<SessionLog>>,
}

/// The place of a notice in what its sender wrote to one receiver.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    receiver: String,
    sender: String,
    number: u64,
}

/// What is wrong with what the sessions saw.
#[derive(Debug, Default)]
pub struct Faults {
    /// What may never be: lost, doubled, made up.
    pub grave: Vec<String>,
    /// Notices that came behind a later one of their sender.
    pub late: Vec<Late>,
}

/// A notice that came behind a later one of its sender.
#[derive(Debug, Clone)]
pub struct Late {
    /// Its id.
    pub id: String,
    /// When it came.
    pub at: Instant,
    /// What happened.
    pub what: String,
}

/// What one session received, in its order.
#[derive(Debug)]
pub struct SessionLog {
    name: String,
    account: String,
    received: Vec<Receipt>,
}

#[derive(Debug)]
struct Receipt {
    line: Line,
    notice: Notice,
    at: Instant,
}

impl Ledger {
    /// The message of a notice that is about to be staged. What breaks off before an answer may have been stored.
    pub fn attempt(&self, receiver: &str, sender: &str, number: u64) -> String {
        self.attempted.lock().insert(line(receiver, sender, number));
        format!("{sender}/{number}")
    }

    /// The staging call was answered with success.
    pub fn answered(&self, receiver: &str, sender: &str, number: u64, id: &str) {
        let line = line(receiver, sender, number);
        let before = self.answered.lock().insert(line.clone(), id.to_owned());
        assert!(
            before.is_none_or(|before| before == id),
            "two ids of {line:?}"
        );
    }

    /// How many notices to a receiver were answered for.
    pub fn answered_to(&self, receiver: &str) -> usize {
        let answered = self.answered.lock();
        answered
            .keys()
            .filter(|line| line.receiver == receiver)
            .count()
    }

    /// Keeps what a session saw, once it is over.
    pub fn keep(&self, log: SessionLog) {
        self.sessions.lock().push(log);
    }

    /// How many different notices the sessions kept so far received for an account.
    pub fn received_by(&self, account: &str) -> usize {
        let sessions = self.sessions.lock();
        let of_account = sessions.iter().filter(|log| log.account == account);
        let ids: BTreeSet<_> = of_account.flat_map(SessionLog::ids).collect();
        ids.len()
    }

    /// Checks, once everything is read, that nothing is lost, nothing came twice to one session, each sender's notices
    /// came in its order, and nothing came that nobody wrote.
    pub fn check(&self) {
        let Faults { mut grave, late } = self.faults();
        grave.extend(late.into_iter().map(|late| late.what));
        assert_no_faults(grave);
    }

    /// What there is against the same, for a test that knows when order may suffer.
    pub fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        let sessions = self.sessions.lock();
        let mut ids: BTreeMap<&Line, &str> = BTreeMap::new();
        for log in sessions.iter() {
            log.check(&mut faults);
            for Receipt { line, notice, .. } in &log.received {
                let first = ids.entry(line).or_insert(&notice.id);
                if *first != notice.id {
                    faults.grave.push(format!(
                        "{line:?} was stored twice: {first} and {}",
                        notice.id
                    ));
                }
                if !self.attempted.lock().contains(line) {
                    faults.grave.push(format!(
                        "{} received what nobody wrote: {notice:?}",
                        log.name
                    ));
                }
            }
        }
        for (line, id) in self.answered.lock().iter() {
            match ids.get(line) {
                None => faults.grave.push(format!("lost: {line:?}, {id}")),
                Some(seen) if seen != id => {
                    let fault = format!("{line:?} was answered {id} and came as {seen}");
                    faults.grave.push(fault);
                }
                Some(_) => {}
            }
        }
        faults
    }
}

/// Fails, with the first of them, if there are any.
pub fn assert_no_faults(mut faults: Vec<String>) {
    let count = faults.len();
    faults.truncate(20);
    assert!(
        count == 0,
        "{count} faults, the first ones:\n{}",
        faults.join("\n")
    );
}

impl SessionLog {
    /// The log of a session that begins.
    pub fn new(name: impl Into<String>, account: &str) -> Self {
        Self {
            name: name.into(),
            account: account.to_owned(),
            received: Vec::new(),
        }
    }

    /// The session received a notice.
    pub fn received(&mut self, notice: Notice) {
        let (sender, number) = notice
            .message
            .split_once('/')
            .unwrap_or_else(|| panic!("not a message of the ledger: {notice:?}"));
        let line = line(&notice.receiver, sender, number.parse().unwrap());
        let at = Instant::now();
        self.received.push(Receipt { line, notice, at });
    }

    /// The ids that it received.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.received.iter().map(|one| one.notice.id.as_str())
    }

    /// How many notices it received.
    pub fn len(&self) -> usize {
        self.received.len()
    }

    fn check(&self, faults: &mut Faults) {
        let mut seen = BTreeSet::new();
        let mut last: BTreeMap<&str, u64> = BTreeMap::new();
        for Receipt { line, notice, at } in &self.received {
            if !seen.insert(&notice.id) {
                let fault = format!("twice in session {}: {line:?}", self.name);
                faults.grave.push(fault);
            }
            if notice.receiver != self.account {
                let fault = format!("{} received another's: {notice:?}", self.name);
                faults.grave.push(fault);
            }
            let last = last.entry(&line.sender).or_default();
            if *last > line.number {
                faults.late.push(Late {
                    id: notice.id.clone(),
                    at: *at,
                    what: format!("{line:?} came to {} after {last}", self.name),
                });
            }
            *last = line.number.max(*last);
        }
    }
}

fn line(receiver: &str, sender: &str, number: u64) -> Line {
    Line {
        receiver: receiver.to_owned(),
        sender: sender.to_owned(),
        number,
    }
}
