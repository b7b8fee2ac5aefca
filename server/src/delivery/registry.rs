//! Who is online on this node: accounts by id, their sessions, and the way from a commit to them.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::account::{Account, AccountState};
use super::attachment::Attachment;
use super::push::Push;
use super::session::{CloseReason, MoveAsked, Session, SessionSpec};
use crate::clock::Millis;
use crate::domain::{AccountId, Notice, NoticeId};
use crate::inbox::{CommitObserver, Committed, MarkRead, Reader, SessionKey, Telling, Withdrawal};
use crate::metrics::Metrics;

/// Locks on the map of accounts: enough that two cores, or sixteen, seldom meet.
pub const SHARDS: usize = 64;

/// How many sessions there may be.
#[derive(Debug, Clone, Copy)]
pub struct RegistryLimits {
    /// On this node.
    pub sessions: usize,
    /// Of one account.
    pub sessions_per_account: usize,
    /// A new session closes the account's older one.
    pub one_per_account: bool,
}

/// Why a session may not join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoinRefused {
    /// The node drains.
    #[error("this node is draining: connect again, another node will answer")]
    Draining,
    /// The node is full.
    #[error("this node holds as many sessions as it may")]
    NodeFull,
    /// The account is full.
    #[error("this account has as many sessions as it may")]
    AccountFull,
}

/// What is known of a session from outside.
#[derive(Debug, Clone)]
pub struct SessionView {
    /// Its id, unique over restarts and nodes.
    pub id: String,
    /// What carries it.
    pub transport: &'static str,
    /// When it joined.
    pub since: Millis,
}

/// What is known of an account from outside.
#[derive(Debug, Clone, Default)]
pub struct AccountView {
    /// Its sessions here.
    pub sessions: Vec<SessionView>,
}

/// What several nodes on one inbox need to know of each registry, and it of them.
pub trait Presence: Send + Sync + 'static {
    /// The account's first session joined here. Whether wake-ups for the account reach this node already; if not,
    /// [`Registry::reached`] is called once they do, or once there is no hope. Must not block.
    fn online(&self, account: &AccountId) -> bool;

    /// The account's last session left.
    fn offline(&self, account: &AccountId);

    /// From when on, by ids, wake-ups are believed now: those of older notices are not acted upon. Never goes back.
    fn horizon(&self) -> Millis;
}

/// Accounts whose sessions a service call removed a moment ago: a client that comes back by itself, as browsers' event
/// streams do, is told to stay away.
#[derive(Debug, Default)]
struct Kicked(VecDeque<(Instant, AccountId)>);

/// Longer than a browser takes to come back.
const KICKED_FOR: Duration = Duration::from_secs(10);

/// Accounts remembered; with more, the oldest is forgotten and its clients come back.
const KICKED_ACCOUNTS: usize = 10_000;

impl Kicked {
    fn add(&mut self, account: &AccountId, now: Instant) {
        self.forget_old(now);
        if self.0.len() >= KICKED_ACCOUNTS {
            self.0.pop_front();
        }
        self.0.push_back((now, account.clone()));
    }

    fn holds(&mut self, account: &AccountId, now: Instant) -> bool {
        self.forget_old(now);
        self.0.iter().any(|(_, kicked)| kicked == account)
    }

    fn forget_old(&mut self, now: Instant) {
        while self.0.front().is_some_and(|(at, _)| now - *at > KICKED_FOR) {
            self.0.pop_front();
        }
    }
}

type Shard = Mutex<HashMap<AccountId, Arc<Account>, RandomState>>;

/// The sessions of this node.
pub struct Registry {
    shards: Vec<Shard>,
    hasher: RandomState,
    limits: RegistryLimits,
    metrics: Arc<Metrics>,
    sessions: AtomicUsize,
    accounts: AtomicUsize,
    next_key: AtomicU64,
    draining: AtomicBool,
    kicked: Mutex<Kicked>,
    /// None where this node alone writes to the inbox: then every change is told here, in its order.
    presence: OnceLock<Arc<dyn Presence>>,
    /// Told apart from other nodes and earlier lives of this one.
    boot: u32,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("sessions", &self.sessions())
            .finish_non_exhaustive()
    }
}

impl Registry {
    /// An empty registry.
    #[must_use]
    pub fn new(limits: RegistryLimits, metrics: Arc<Metrics>) -> Arc<Self> {
        let hasher = RandomState::new();
        let boot = u32::try_from(hasher.hash_one("boot") >> 32).unwrap_or_default();
        Arc::new(Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher,
            limits,
            metrics,
            sessions: AtomicUsize::new(0),
            accounts: AtomicUsize::new(0),
            next_key: AtomicU64::new(1),
            draining: AtomicBool::new(false),
            kicked: Mutex::default(),
            presence: OnceLock::new(),
            boot,
        })
    }

    /// Makes the registry one of several on an inbox. Before the first session; only the first call counts.
    pub fn share(&self, presence: Arc<dyn Presence>) {
        let _only_the_first = self.presence.set(presence);
    }

    /// From when on late wake-ups are to be reckoned with; `u64::MAX` where there are none.
    pub(super) fn horizon(&self) -> Millis {
        self.presence
            .get()
            .map_or(Millis::MAX, |presence| presence.horizon())
    }

    /// How many sessions are online here.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }

    /// How many accounts are online here.
    #[must_use]
    pub fn accounts(&self) -> usize {
        self.accounts.load(Ordering::Relaxed)
    }

    /// The limits in force.
    #[must_use]
    pub fn limits(&self) -> RegistryLimits {
        self.limits
    }

    /// Whether new sessions are refused, for a drain.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    pub(super) fn set_draining(&self, draining: bool) {
        self.draining.store(draining, Ordering::Release);
    }

    /// Asks a session's client to move, unless it was asked before.
    pub(super) fn ask_to_move(&self, session: &Session, asked: MoveAsked) {
        if session.ask_to_move(asked) {
            self.metrics.move_asked(asked.reason);
        }
    }

    /// The text by which a session is known outside.
    #[must_use]
    pub fn session_id(&self, key: SessionKey) -> String {
        format!("{:08x}-{:x}", self.boot, key.0)
    }

    /// Whether a session could join now, as far as the node decides it.
    ///
    /// # Errors
    /// Why not.
    pub fn admits(&self) -> Result<(), JoinRefused> {
        if self.is_draining() {
            return Err(JoinRefused::Draining);
        }
        if self.sessions() >= self.limits.sessions {
            return Err(JoinRefused::NodeFull);
        }
        Ok(())
    }

    /// Lets a session of `account` join: it is online when this returns, and until the attachment is dropped.
    ///
    /// # Errors
    /// When the node or the account is full, or the node drains.
    pub fn join(
        self: &Arc<Self>,
        account: &AccountId,
        spec: SessionSpec,
    ) -> Result<Attachment, JoinRefused> {
        self.admits()?;
        let key = SessionKey(self.next_key.fetch_add(1, Ordering::Relaxed));
        let mut shard = self.shard(account).lock();
        let entry = match shard.get(account) {
            Some(entry) => Arc::clone(entry),
            None => {
                let entry = Arc::new(Account {
                    id: account.clone(),
                    state: Mutex::default(),
                });
                shard.insert(account.clone(), Arc::clone(&entry));
                self.accounts.fetch_add(1, Ordering::Relaxed);
                if let Some(presence) = self.presence.get()
                    && !presence.online(account)
                {
                    entry.state.lock().wait_for_reach();
                }
                entry
            }
        };
        let session = Arc::new(Session::new(key, entry.id.clone(), spec));
        {
            let mut state = entry.state.lock();
            if self.limits.one_per_account {
                state
                    .sessions()
                    .for_each(|older| older.close(CloseReason::Superseded));
            } else if state.len() >= self.limits.sessions_per_account {
                return Err(JoinRefused::AccountFull);
            }
            state.join(Arc::clone(&session));
        }
        drop(shard);
        self.sessions.fetch_add(1, Ordering::Relaxed);
        self.metrics.session_opened(session.spec().transport);
        Ok(Attachment {
            session,
            account: entry,
            registry: Arc::clone(self),
        })
    }

    pub(super) fn leave(&self, account: &Arc<Account>, session: &Session) {
        // The map's lock is held throughout, so that no session joins an account that is being dropped.
        let mut shard = self.shard(&account.id).lock();
        let mut state = account.state.lock();
        state.leave(session.key());
        if state.len() == 0 && shard.remove(&account.id).is_some() {
            self.accounts.fetch_sub(1, Ordering::Relaxed);
            if let Some(presence) = self.presence.get() {
                presence.offline(&account.id);
            }
        }
        drop(state);
        drop(shard);
        self.sessions.fetch_sub(1, Ordering::Relaxed);
        self.metrics.session_left(session.spec().transport);
    }

    fn shard(&self, account: &AccountId) -> &Shard {
        let hash = self.hasher.hash_one(account);
        &self.shards[usize::try_from(hash).unwrap_or_default() % SHARDS]
    }

    fn account(&self, account: &AccountId) -> Option<Arc<Account>> {
        self.shard(account).lock().get(account).cloned()
    }

    fn with_account(&self, account: &AccountId, act: impl FnOnce(&mut AccountState)) {
        if let Some(entry) = self.account(account) {
            act(&mut entry.state.lock());
        }
    }

    /// Calls `act` with every account of one of the [`SHARDS`] parts. The part's lock is not held meanwhile.
    fn each_account_of_shard(&self, shard: usize, mut act: impl FnMut(&mut AccountState)) {
        let entries: Vec<_> = self.shards[shard].lock().values().cloned().collect();
        for entry in entries {
            act(&mut entry.state.lock());
        }
    }

    fn each_account(&self, mut act: impl FnMut(&mut AccountState)) {
        (0..SHARDS).for_each(|shard| self.each_account_of_shard(shard, &mut act));
    }

    /// Calls `visit` with every session, shard by shard: sessions that come or go meanwhile may be missed.
    pub fn each_session(&self, mut visit: impl FnMut(&Arc<Session>)) {
        (0..SHARDS).for_each(|shard| self.each_session_of_shard(shard, &mut visit));
    }

    /// Calls `visit` with every session of one of the [`SHARDS`] parts.
    pub(super) fn each_session_of_shard(&self, shard: usize, mut visit: impl FnMut(&Arc<Session>)) {
        self.each_account_of_shard(shard, |state| state.sessions().for_each(&mut visit));
    }

    /// The sessions of an account here.
    #[must_use]
    pub fn sessions_of(&self, account: &AccountId) -> Vec<Arc<Session>> {
        self.account(account).map_or_else(Vec::new, |entry| {
            entry.state.lock().sessions().cloned().collect()
        })
    }

    /// Removes the account's sessions here, for a service call: these, and remembers it for a while.
    pub fn kick(&self, account: &AccountId, sessions: &[Arc<Session>]) {
        self.remember_kicked(account);
        for session in sessions {
            session.close(CloseReason::Kicked);
        }
    }

    /// A service call removed the account's sessions, here or at another node.
    pub fn remember_kicked(&self, account: &AccountId) {
        self.kicked.lock().add(account, Instant::now());
    }

    /// Whether a service call removed the account's sessions a moment ago.
    #[must_use]
    pub fn was_kicked(&self, account: &AccountId) -> bool {
        self.kicked.lock().holds(account, Instant::now())
    }

    /// What is known of an account here.
    #[must_use]
    pub fn view(&self, account: &AccountId) -> AccountView {
        let view = |session: &Arc<Session>| SessionView {
            id: self.session_id(session.key()),
            transport: session.spec().transport.name(),
            since: session.spec().since,
        };
        AccountView {
            sessions: self.sessions_of(account).iter().map(view).collect(),
        }
    }

    /// The accounts online here whose id comes after `after`, in the order of their ids, at most `limit`.
    #[must_use]
    pub fn online_accounts(&self, after: Option<&AccountId>, limit: usize) -> Vec<AccountId> {
        let mut ids: Vec<AccountId> = Vec::new();
        for shard in &self.shards {
            ids.extend(
                shard
                    .lock()
                    .keys()
                    .filter(|id| after.is_none_or(|after| *id > after))
                    .cloned(),
            );
        }
        ids.sort_unstable();
        ids.truncate(limit);
        ids
    }

    /// The age at `now` of the oldest notice that an account online here was not handed yet; 0 is healthy.
    #[must_use]
    pub fn oldest_unpushed_age(&self, now: Millis) -> Millis {
        let mut oldest = now;
        self.each_account(|state| {
            oldest = oldest.min(state.oldest_unpushed().unwrap_or(now));
        });
        now - oldest
    }

    /// Whether the account has a session here that is behind nothing it knows of: only such a one can miss a notice.
    #[must_use]
    pub fn could_miss(&self, account: &AccountId) -> bool {
        let entry = self.account(account);
        entry.is_some_and(|entry| entry.state.lock().is_any_live())
    }

    /// Wake-ups for the account reach this node now, or the wait for it is given up. True when sessions waited for
    /// it: they look at the inbox now, so nothing can be missed.
    pub fn reached(&self, account: &AccountId) -> bool {
        let entry = self.account(account);
        entry.is_some_and(|entry| entry.state.lock().reached())
    }

    /// The same for every account.
    pub fn reach_all(&self) {
        self.each_account(|state| {
            state.reached();
        });
    }

    /// The accounts of one of the [`SHARDS`] parts. On the way, forgets what no late wake-up can come for.
    #[must_use]
    pub fn accounts_of_shard(&self, shard: usize) -> Vec<AccountId> {
        let horizon = self.horizon();
        self.each_account_of_shard(shard, |state| state.tidy(horizon));
        self.shards[shard].lock().keys().cloned().collect()
    }

    /// The inbox holds `ids` unread: sessions that should have been handed one of them and were not look at it once
    /// more. Whether there were any.
    pub fn found_waiting(&self, account: &AccountId, ids: &[NoticeId]) -> bool {
        let entry = self.account(account);
        entry.is_some_and(|entry| entry.state.lock().found_waiting(ids))
    }

    /// The account's sessions look at the inbox once more: it may hold what no wake-up told of, or one that came too
    /// late to be believed.
    pub fn look_again(&self, account: &AccountId) {
        self.with_account(account, AccountState::look_again);
    }

    /// Offers a notice to the account's sessions.
    pub fn publish(&self, notice: Arc<Notice>, ephemeral: bool, accepted: Instant) {
        if let Some(entry) = self.account(&notice.receiver) {
            let push = Arc::new(Push::live(notice, !ephemeral, accepted));
            let horizon = self.horizon();
            entry.state.lock().publish(&push, horizon);
        }
    }

    /// Notices of the account were read; see [`Committed::Read`].
    pub fn read(
        &self,
        account: &AccountId,
        asked: &[NoticeId],
        withdrawn: &[NoticeId],
        reader: Reader,
    ) {
        let horizon = self.horizon();
        self.with_account(account, |state| {
            state.read(asked, withdrawn, reader, horizon);
        });
    }

    /// Notices of the account left the inbox for another reason.
    pub fn withdraw(&self, account: &AccountId, ids: &[NoticeId], why: Withdrawal) {
        let horizon = self.horizon();
        self.with_account(account, |state| state.withdraw(ids, why, horizon));
    }

    /// Gives an acknowledgement that was not stored back to the session that passed it on.
    pub fn hand_back(&self, request: &MarkRead) {
        let (Reader::Session(key) | Reader::Automatic(key)) = request.reader else {
            return;
        };
        let sessions = self.sessions_of(&request.account);
        if let Some(session) = sessions.iter().find(|session| session.key() == key) {
            session.hand_back(&request.ids);
        }
    }

    fn apply(&self, event: Committed) {
        self.metrics.committed(&event);
        match event {
            Committed::Staged {
                notice,
                ephemeral,
                accepted,
                ..
            } => self.publish(notice, ephemeral, accepted.unwrap_or_else(Instant::now)),
            Committed::Duplicate => {}
            Committed::Read {
                account,
                asked,
                withdrawn,
                reader,
                ..
            } => self.read(&account, &asked, &withdrawn, reader),
            Committed::NotRead(request) => self.hand_back(&request),
            Committed::CameBack => self.each_account(AccountState::look_again),
            Committed::Withdrawn { account, ids, why } => self.withdraw(&account, &ids, why),
        }
    }
}

impl CommitObserver for Registry {
    fn committed(&self, events: Vec<Committed>) -> Telling {
        events.into_iter().for_each(|event| self.apply(event));
        Telling::done()
    }
}
