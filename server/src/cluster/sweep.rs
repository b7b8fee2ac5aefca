//! The safety net: finds unread notices of accounts online here that no wake-up brought.
//!
//! A wake-up can be lost with the link or with Redis itself, and other programs may write to the same inbox. While
//! wake-ups work, each account is looked at now and then, many in one query; while they don't, or where there is no bus,
//! this is how notices of other nodes are found at all: rounds over every account, one after the other.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};

use super::member::Member;
use super::pace::{HURRY, Pacer, Round, SweepPace};
use crate::clock::Millis;
use crate::delivery::SHARDS;
use crate::domain::{AccountId, NoticeId};
use crate::inbox::InboxError;

/// Accounts in one query.
const ACCOUNTS: usize = 256;

/// Notices that one query brings at most. Whoever has more unread is behind, and known to be.
const NOTICES: usize = 4096;

/// While wake-ups work, a notice that is younger than this may have one on the way.
const GRACE: Millis = 1000;

/// The same while a node is missing, whose notices have none.
const SHORT_GRACE: Millis = 200;

#[allow(clippy::cast_possible_truncation, reason = "64")]
const PARTS: u32 = SHARDS as u32;

/// Accounts that may wait for a look of their own; with more, all are looked at.
const WAITING: usize = 10_000;

/// Which notices have wake-ups now, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WakeUps {
    /// All of them.
    All,
    /// Not those of a node that is missing.
    Some,
    /// None: there is no link.
    None,
}

impl WakeUps {
    /// A notice that is younger than this may have a wake-up on the way.
    fn grace(self) -> Millis {
        match self {
            Self::All => GRACE,
            Self::Some => SHORT_GRACE,
            Self::None => 0,
        }
    }
}

/// What others want looked at.
#[derive(Debug, Default)]
pub(super) struct Requests {
    everything: AtomicBool,
    accounts: Mutex<HashSet<AccountId>>,
    news: Notify,
}

impl Requests {
    /// Something may have been missed for any account.
    pub(super) fn everything(&self) {
        self.everything.store(true, Ordering::Release);
        self.news.notify_one();
    }

    /// Something may have been missed for this account.
    pub(super) fn account(&self, account: AccountId) {
        let mut accounts = self.accounts.lock();
        if accounts.len() >= WAITING {
            accounts.clear();
            drop(accounts);
            return self.everything();
        }
        accounts.insert(account);
        drop(accounts);
        self.news.notify_one();
    }

    fn take_everything(&self) -> bool {
        self.everything.swap(false, Ordering::AcqRel)
    }

    fn take_accounts(&self) -> Vec<AccountId> {
        self.accounts.lock().drain().collect()
    }
}

/// Looks at the inbox for the accounts online here, for ever.
#[derive(Debug)]
pub struct Sweeper {
    member: Arc<Member>,
    pacer: Pacer,
    /// The part of the accounts that is next, and when.
    shard: usize,
    next: Instant,
    /// So many parts are to be gone through in a hurry: something may have been missed.
    hurry: usize,
    /// Whether this round found anything.
    found: bool,
    /// Accounts whose notices were too young to tell whether a wake-up is on the way, and when to look again.
    young: HashSet<AccountId>,
    grown: Instant,
}

impl Sweeper {
    /// A sweeper that does not run yet.
    #[must_use]
    pub fn new(member: Arc<Member>, pace: SweepPace) -> Self {
        Self {
            member,
            pacer: Pacer::new(pace),
            shard: 0,
            next: Instant::now(),
            hurry: 0,
            found: false,
            young: HashSet::new(),
            grown: Instant::now(),
        }
    }

    /// Sweeps for ever.
    pub async fn run(mut self) {
        loop {
            self.look_where_asked().await;
            self.look_at_the_young().await;
            if Instant::now() >= self.next {
                self.look_at_a_part().await;
            }
            let wake = if self.young.is_empty() {
                self.next
            } else {
                self.next.min(self.grown)
            };
            let member = Arc::clone(&self.member);
            let _news_or_time = timeout_at(wake, member.requests.news.notified()).await;
        }
    }

    fn wake_ups(&self) -> WakeUps {
        match self.member.live_bus() {
            None => WakeUps::None,
            Some(_) if self.member.is_one_missing() => WakeUps::Some,
            Some(_) => WakeUps::All,
        }
    }

    async fn look_where_asked(&mut self) {
        if self.member.requests.take_everything() {
            self.hurry = SHARDS;
            self.next = self.next.min(Instant::now() + self.step());
        }
        let asked = self.member.requests.take_accounts();
        self.look_at(&asked).await;
    }

    async fn look_at_the_young(&mut self) {
        if Instant::now() >= self.grown {
            let young: Vec<_> = self.young.drain().collect();
            self.look_at(&young).await;
        }
    }

    async fn look_at_a_part(&mut self) {
        let accounts = self.member.registry().accounts_of_shard(self.shard);
        self.look_at(&accounts).await;
        self.hurry = self.hurry.saturating_sub(1);
        self.shard = (self.shard + 1) % SHARDS;
        let round_over = self.shard == 0;
        let round = Round { found: self.found };
        if round_over {
            self.pacer.round_over(round);
            self.found = false;
        }
        self.next = Instant::now()
            + match (self.wake_ups(), round_over) {
                (WakeUps::All, _) => self.step(),
                (_, true) => self.pacer.pause(round),
                (_, false) => Duration::ZERO,
            };
    }

    /// The time between two parts while wake-ups work.
    fn step(&self) -> Duration {
        let round = if self.hurry > 0 {
            HURRY
        } else {
            self.pacer.round()
        };
        round / PARTS
    }

    /// Looks at these accounts. When the inbox is away, waits for it: they are not passed over.
    async fn look_at(&mut self, accounts: &[AccountId]) {
        for part in accounts.chunks(ACCOUNTS) {
            let mut parts = vec![part];
            while let Some(part) = parts.pop() {
                match self.waiting(part).await {
                    Ok(found) if found.len() >= NOTICES && part.len() > 1 => {
                        let (one, other) = part.split_at(part.len() / 2);
                        parts.extend([one, other]);
                    }
                    Ok(found) => self.compare(found),
                    Err(error) => {
                        sleep(error.retry_after.max(Duration::from_millis(200))).await;
                        parts.push(part);
                    }
                }
            }
        }
    }

    async fn waiting(&self, part: &[AccountId]) -> Result<Vec<(AccountId, NoticeId)>, InboxError> {
        let quiet: Vec<_> = part
            .iter()
            .filter(|account| self.member.registry().could_miss(account))
            .cloned()
            .collect();
        match self.member.inbox() {
            Some(inbox) if !quiet.is_empty() => inbox.waiting(&quiet, NOTICES).await,
            _ => Ok(Vec::new()),
        }
    }

    fn compare(&mut self, found: Vec<(AccountId, NoticeId)>) {
        let mut by_account: HashMap<AccountId, Vec<NoticeId>> = HashMap::new();
        for (account, id) in found {
            by_account.entry(account).or_default().push(id);
        }
        let grace = self.wake_ups().grace();
        let grown = self.member.now().saturating_sub(grace);
        for (account, mut ids) in by_account {
            if grace > 0 && ids.iter().any(|id| id.millis() > grown) {
                if self.young.is_empty() {
                    self.grown = Instant::now() + Duration::from_millis(grace);
                }
                self.young.insert(account.clone());
                ids.retain(|id| id.millis() <= grown);
            }
            if self.member.registry().found_waiting(&account, &ids) {
                self.found = true;
                self.pacer.found();
            }
        }
    }
}
