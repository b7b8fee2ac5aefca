//! How many unread notices accounts have, as far as staging must know. Pure bookkeeping.
//!
//! Counting for each notice would cost as much as storing it. So an account may be given a hundredth of its limit in a
//! minute without a count. Beyond that it is counted once, and the count is kept up to date by what this process stages
//! and reads. Other processes are not seen; so a count is believed for a minute, and near the limit for a moment. What is
//! refused is refused by a fresh count, made while nothing of the account was under way here: within one process the
//! limit is exact. Between processes it may be passed by what the others staged within that minute.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::domain::AccountId;

/// How long a count, and the allowance without one, is believed.
const BELIEVED: Duration = Duration::from_secs(60);

/// How long a full inbox is taken to be full, unless this process reads some of it; and how long a count near the limit
/// is believed. One such account must not have every group counted, behind which all others wait.
const FULL_FOR: Duration = Duration::from_millis(500);

/// Accounts in each of the two generations: some 10 MB in all.
const GENERATION: usize = 32_768;

/// What staging so many notices for an account takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is room.
    Take,
    /// There is none.
    Full,
    /// It must be counted.
    Count,
}

#[derive(Debug, Clone, Copy)]
struct Account {
    /// The count, when it was made.
    known: Option<(u64, Instant)>,
    /// Whether nothing was under way then, so that nothing is counted twice.
    exact: bool,
    /// Taken without a count since `since`.
    uncounted: u64,
    since: Instant,
    /// Taken, and neither stored nor given up yet.
    pending: u64,
}

impl Account {
    fn new(now: Instant) -> Self {
        Self {
            known: None,
            exact: false,
            uncounted: 0,
            since: now,
            pending: 0,
        }
    }

    fn known(&self, now: Instant) -> Option<(u64, Duration)> {
        let (count, at) = self.known?;
        let age = now.saturating_duration_since(at);
        (age < BELIEVED).then_some((count, age))
    }
}

pub(super) struct UnreadCounts {
    limit: u64,
    recent: HashMap<AccountId, Account>,
    older: HashMap<AccountId, Account>,
}

impl UnreadCounts {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit,
            recent: HashMap::new(),
            older: HashMap::new(),
        }
    }

    /// Whether `wanted` more fit; what is taken is pending from now on.
    pub(super) fn judge(&mut self, account: &AccountId, wanted: u64, now: Instant) -> Verdict {
        let (limit, allowance) = (self.limit, self.limit / 100);
        let near = limit - limit / 20;
        let entry = self.entry(account, now);
        let verdict = match entry.known(now) {
            Some((count, age))
                if count >= limit && age < FULL_FOR && entry.exact && entry.pending == 0 =>
            {
                Verdict::Full
            }
            Some((count, _)) if count + entry.pending + wanted < near => Verdict::Take,
            Some((count, age)) if count + entry.pending + wanted <= limit && age < FULL_FOR => {
                Verdict::Take
            }
            Some(_) => Verdict::Count,
            None => entry.allow(wanted, allowance, now),
        };
        if verdict == Verdict::Take {
            entry.pending += wanted;
        }
        verdict
    }

    /// A fresh count: how many more fit. None when that may be fewer than `wanted` only because some were under way
    /// while it was made: count again when they have ended.
    pub(super) fn room(
        &mut self,
        account: &AccountId,
        count: u64,
        wanted: u64,
        now: Instant,
    ) -> Option<u64> {
        let limit = self.limit;
        let entry = self.entry(account, now);
        let room = limit.saturating_sub(count + entry.pending);
        if room < wanted && entry.pending > 0 {
            return None;
        }
        (entry.known, entry.exact) = (Some((count, now)), entry.pending == 0);
        Some(room)
    }

    /// So many are pending from now on.
    pub(super) fn take(&mut self, account: &AccountId, how_many: u64, now: Instant) {
        self.entry(account, now).pending += how_many;
    }

    /// Of what was pending, `ended` is over, and `stored` of it became unread.
    pub(super) fn settled(&mut self, account: &AccountId, ended: u64, stored: u64) {
        if let Some(entry) = self.find(account) {
            entry.pending = entry.pending.saturating_sub(ended);
            if let Some((count, _)) = &mut entry.known {
                *count += stored;
            }
        }
    }

    /// So many are no longer unread.
    pub(super) fn left(&mut self, account: &AccountId, how_many: u64) {
        if let Some((count, _)) = self.find(account).and_then(|entry| entry.known.as_mut()) {
            *count = count.saturating_sub(how_many);
        }
    }

    /// Whether any of these has something under way.
    pub(super) fn any_pending<'a>(
        &self,
        accounts: impl IntoIterator<Item = &'a AccountId>,
    ) -> bool {
        accounts.into_iter().any(|account| {
            let entry = self.recent.get(account).or_else(|| self.older.get(account));
            entry.is_some_and(|entry| entry.pending > 0)
        })
    }

    fn find(&mut self, account: &AccountId) -> Option<&mut Account> {
        match self.recent.get_mut(account) {
            Some(entry) => Some(entry),
            None => self.older.get_mut(account),
        }
    }

    fn entry(&mut self, account: &AccountId, now: Instant) -> &mut Account {
        if !self.recent.contains_key(account) && self.recent.len() >= GENERATION {
            self.begin_generation();
        }
        let older = &mut self.older;
        self.recent
            .entry(account.clone())
            .or_insert_with(|| older.remove(account).unwrap_or_else(|| Account::new(now)))
    }

    /// Forgets who was not asked for in a whole generation; never what is under way.
    fn begin_generation(&mut self) {
        let forgotten = std::mem::replace(&mut self.older, std::mem::take(&mut self.recent));
        let pending = |(_, entry): &(AccountId, Account)| entry.pending > 0;
        self.recent = forgotten.into_iter().filter(pending).collect();
    }
}

impl Account {
    fn allow(&mut self, wanted: u64, allowance: u64, now: Instant) -> Verdict {
        if now.saturating_duration_since(self.since) >= BELIEVED {
            (self.uncounted, self.since) = (0, now);
        }
        if self.uncounted + wanted > allowance {
            return Verdict::Count;
        }
        self.uncounted += wanted;
        Verdict::Take
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::conformance::account;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Step {
        /// So many; and whether a count sees what is under way.
        Stage(u64, bool),
        End(u64),
        Read(u64),
        Pass(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (1_u64..4, any::<bool>()).prop_map(|(wanted, sees)| Step::Stage(wanted, sees)),
            3 => (0_u64..4).prop_map(Step::End),
            2 => (1_u64..6).prop_map(Step::Read),
            1 => (1_u64..90).prop_map(Step::Pass),
        ];
        prop::collection::vec(step, 1..60)
    }

    /// One account, whose truth the test keeps.
    struct World {
        counts: UnreadCounts,
        now: Instant,
        unread: u64,
        under_way: Vec<u64>,
    }

    impl World {
        fn stage(&mut self, wanted: u64, sees: bool) -> u64 {
            let who = account("u1");
            let under_way: u64 = self.under_way.iter().filter(|_| sees).sum();
            match self.counts.judge(&who, wanted, self.now) {
                Verdict::Take => wanted,
                Verdict::Full => 0,
                Verdict::Count => {
                    let seen = self.unread + under_way;
                    let room = self.counts.room(&who, seen, wanted, self.now);
                    let room = room.unwrap_or_else(|| {
                        self.end(u64::MAX);
                        let again = self.counts.room(&who, self.unread, wanted, self.now);
                        again.expect("nothing is under way")
                    });
                    self.counts.take(&who, room.min(wanted), self.now);
                    room.min(wanted)
                }
            }
        }

        fn end(&mut self, how_many: u64) {
            for _ in 0..how_many.min(self.under_way.len() as u64) {
                let stored = self.under_way.remove(0);
                self.unread += stored;
                self.counts.settled(&account("u1"), stored, stored);
            }
        }
    }

    proptest! {
        #[test]
        fn one_process_never_passes_the_limit_nor_refuses_below_it(limit in 1_u64..12, steps in steps()) {
            let mut world = World {
                counts: UnreadCounts::new(limit),
                now: Instant::now(),
                unread: 0,
                under_way: Vec::new(),
            };
            for step in steps {
                match step {
                    Step::Stage(wanted, sees) => {
                        let taken = world.stage(wanted, sees);
                        let room = limit - world.unread - world.under_way.iter().sum::<u64>();
                        prop_assert_eq!(taken, wanted.min(room));
                        world.under_way.push(taken);
                    }
                    Step::End(how_many) => world.end(how_many),
                    Step::Read(how_many) => {
                        let read = how_many.min(world.unread);
                        world.unread -= read;
                        world.counts.left(&account("u1"), read);
                    }
                    Step::Pass(seconds) => world.now += Duration::from_secs(seconds),
                }
            }
        }
    }

    #[test]
    fn a_hundredth_of_the_limit_goes_uncounted_each_minute() {
        let mut counts = UnreadCounts::new(1000);
        let (who, now) = (account("u1"), Instant::now());
        assert_eq!(counts.judge(&who, 10, now), Verdict::Take);
        assert_eq!(counts.judge(&who, 1, now), Verdict::Count);
        assert_eq!(counts.judge(&who, 1, now + BELIEVED), Verdict::Take);
    }

    #[test]
    fn a_count_is_carried_on_until_it_is_near_the_limit() {
        let mut counts = UnreadCounts::new(1000);
        let (who, now) = (account("u1"), Instant::now());
        assert_eq!(counts.room(&who, 500, 100, now), Some(500));
        counts.take(&who, 100, now);
        counts.settled(&who, 100, 100);
        assert_eq!(counts.judge(&who, 300, now), Verdict::Take);
        counts.settled(&who, 300, 300);
        let later = now + FULL_FOR;
        assert_eq!(counts.judge(&who, 60, later), Verdict::Count);
        assert_eq!(
            counts.judge(&who, 101, now),
            Verdict::Count,
            "never past it"
        );
        assert_eq!(counts.judge(&who, 60, now), Verdict::Take, "for a moment");
        counts.settled(&who, 60, 60);
        counts.left(&who, 800);
        assert_eq!(counts.judge(&who, 60, later), Verdict::Take);
    }

    #[test]
    fn accounts_are_forgotten_but_not_what_is_under_way() {
        let mut counts = UnreadCounts::new(1000);
        let (busy, now) = (account("busy"), Instant::now());
        assert_eq!(counts.judge(&busy, 10, now), Verdict::Take);
        for n in 0..3 * GENERATION {
            counts.judge(&account(&n.to_string()), 0, now);
        }
        assert!(counts.recent.len() + counts.older.len() <= 2 * GENERATION + 1);
        assert!(counts.any_pending([&busy]));
    }
}
