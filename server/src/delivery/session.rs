//! One live session: what is fixed about it, and the signals by which the rest of the server reaches its task.

use std::fmt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::task::Waker;
use std::time::Instant;

use atomic_waker::AtomicWaker;
use parking_lot::Mutex;

use crate::clock::Millis;
use crate::domain::{AccountId, NoticeId};
use crate::inbox::SessionKey;
use crate::tokens::HeldToken;

/// What carries a session. A closed set: it labels metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A WebSocket, with or without `notice.v1`.
    WebSocket,
    /// A stream of server-sent events.
    Sse,
    /// Long and short polls: the session is online while one is parked and a while after.
    Poll,
    /// The page without scripts, which polls by loading itself again.
    Page,
}

impl Transport {
    /// All of them, for metrics that exist from the start.
    pub const ALL: [Self; 4] = [Self::WebSocket, Self::Sse, Self::Poll, Self::Page];

    /// The name in metrics and answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Sse => "sse",
            Self::Poll => "poll",
            Self::Page => "page",
        }
    }

    /// Whether something is written now and then to keep the connection known as alive.
    #[must_use]
    pub fn is_pinged(self) -> bool {
        matches!(self, Self::WebSocket | Self::Sse)
    }

    /// Whether the client answers a ping.
    #[must_use]
    pub fn answers_pings(self) -> bool {
        self == Self::WebSocket
    }

    /// Whether the session lives on requests that come and go: it has nothing to be moved, only to be answered.
    #[must_use]
    pub fn is_asked_for(self) -> bool {
        matches!(self, Self::Poll | Self::Page)
    }
}

/// Who says that a notice was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckMode {
    /// The client's program.
    Explicit,
    /// The transport: the pong behind it, or that the connection took its bytes.
    Automatic,
}

/// Why a session is over. A closed set: it labels metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum CloseReason {
    /// The client closed, or its connection broke.
    ClientGone = 1,
    /// No pong in time.
    PeerDead,
    /// The client broke the protocol.
    Misuse,
    /// A frame was larger than allowed.
    TooLarge,
    /// The client left too many notices behind.
    TooSlow,
    /// Its token expired or was revoked.
    TokenEnded,
    /// A service call removed it.
    Kicked,
    /// A newer session took its place, where one an account is configured.
    Superseded,
    /// This node drains: come back at once, elsewhere.
    Drained,
    /// The server's last moment.
    Shutdown,
    /// This node has more than its share: come back at once, perhaps elsewhere.
    Rebalanced,
}

impl CloseReason {
    /// All of them, for metrics that exist from the start.
    pub const ALL: [Self; 11] = [
        Self::ClientGone,
        Self::PeerDead,
        Self::Misuse,
        Self::TooLarge,
        Self::TooSlow,
        Self::TokenEnded,
        Self::Kicked,
        Self::Superseded,
        Self::Drained,
        Self::Shutdown,
        Self::Rebalanced,
    ];

    /// The name in metrics and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ClientGone => "client_gone",
            Self::PeerDead => "peer_dead",
            Self::Misuse => "misuse",
            Self::TooLarge => "too_large",
            Self::TooSlow => "too_slow",
            Self::TokenEnded => "token_ended",
            Self::Kicked => "kicked",
            Self::Superseded => "superseded",
            Self::Drained => "drained",
            Self::Shutdown => "shutdown",
            Self::Rebalanced => "rebalanced",
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| *reason as u8 == code)
    }
}

/// Why a client is asked to open another connection. A closed set: it labels metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoveReason {
    /// This node drains.
    Drain,
    /// This node has more than its share of sessions.
    Rebalance,
}

impl MoveReason {
    /// All of them, for metrics that exist from the start.
    pub const ALL: [Self; 2] = [Self::Drain, Self::Rebalance];

    /// The name in the `move` frame and in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Rebalance => "rebalance",
        }
    }
}

/// The `move` that a client is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MoveAsked {
    /// Open the other connection after so many ms.
    pub after_ms: u32,
    /// Why.
    pub reason: MoveReason,
}

impl MoveAsked {
    /// Set beside the delay where the reason is a rebalance: both must be read together.
    const REBALANCE: u32 = 1 << 31;

    fn packed(self) -> u32 {
        match self.reason {
            MoveReason::Drain => self.after_ms & !Self::REBALANCE,
            MoveReason::Rebalance => self.after_ms | Self::REBALANCE,
        }
    }

    fn unpacked(packed: u32) -> Self {
        let reason = if packed & Self::REBALANCE == 0 {
            MoveReason::Drain
        } else {
            MoveReason::Rebalance
        };
        Self {
            after_ms: packed & !Self::REBALANCE,
            reason,
        }
    }
}

/// What is fixed about a session when it joins.
#[derive(Debug, Clone)]
pub struct SessionSpec {
    /// What carries it.
    pub transport: Transport,
    /// Who acknowledges.
    pub ack: AckMode,
    /// Whether the client understands `read`, `recall`, `move` and `expiring`.
    pub control_frames: bool,
    /// At most so many notices are in flight to it.
    pub window: u16,
    /// The token it came with.
    pub token: HeldToken,
    /// How often the token's store had lost what it held when it knew the token.
    pub losses: u32,
    /// When that ends.
    pub expires: Option<Millis>,
    /// When it joined.
    pub since: Millis,
}

/// A live session, shared between its transport's task and the registry.
pub struct Session {
    key: SessionKey,
    account: AccountId,
    spec: SessionSpec,
    token: Mutex<HeldToken>,
    /// How often the token's store had lost what it held when it last knew the token.
    losses: AtomicU32,
    /// Acknowledged by the client, but the store could not take it: empty but for that.
    unstored: Mutex<Vec<NoticeId>>,
    /// When the token ends; `u64::MAX` for never.
    expires: AtomicU64,
    waker: AtomicWaker,
    close: AtomicU8,
    flags: AtomicU8,
    /// The `move` that is to be sent, packed.
    move_asked: AtomicU32,
    pub(super) pulse: Pulse,
}

/// The state of pinging, in seconds of the heart's own count.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// When the next ping is due.
    pub(super) ping_at: AtomicU32,
    /// By when a pong must have come; 0 while none is waited for.
    pub(super) pong_by: AtomicU32,
    /// Something came from the client since the last beat.
    pub(super) heard: AtomicBool,
    /// The server itself does not read from the session now, so silence proves nothing.
    pub(super) deaf: AtomicBool,
    /// When the session's task wants to be woken, in [`Alarm`]'s count; 0 for never.
    pub(super) alarm: AtomicU32,
}

/// Tenths of a second since the first alarm of the process was set: four bytes, where a timer has a hundred.
#[derive(Debug, Clone, Copy)]
pub(super) struct Alarm;

static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Alarm {
    /// The count at `at`; never 0.
    pub(super) fn count(at: Instant) -> u32 {
        let tenths = at
            .saturating_duration_since(*EPOCH)
            .as_millis()
            .div_ceil(100);
        u32::try_from(tenths).unwrap_or(u32::MAX - 1) + 1
    }
}

const PING: u8 = 1;
const RECHECK: u8 = 2;
const EXPIRING: u8 = 4;
const MOVE: u8 = 8;
/// Set once a `move` was asked for, so that it is asked for once.
const MOVING: u8 = 16;
/// Acknowledgements were handed back.
const UNSTORED: u8 = 64;
/// Set once the client was told that its token ends soon.
const WARNED: u8 = 32;
/// A parked request is to be answered now.
const ANSWER: u8 = 128;

/// What the session's task is to do next, besides writing notices.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Signals {
    /// Send a ping.
    pub ping: bool,
    /// Ask the token store whether the token still holds, since its time is over.
    pub recheck_token: bool,
    /// Tell the client that its token ends soon.
    pub expiring: bool,
    /// Ask the client to move.
    pub move_asked: Option<MoveAsked>,
    /// Take the acknowledgements that were handed back.
    pub unstored: bool,
    /// Answer the parked request with what there is: its time is over, or another one is here in its place.
    pub answer: bool,
    /// End the session.
    pub close: Option<CloseReason>,
}

impl Session {
    pub(super) fn new(key: SessionKey, account: AccountId, spec: SessionSpec) -> Self {
        Self {
            key,
            account,
            token: Mutex::new(spec.token.clone()),
            losses: AtomicU32::new(spec.losses),
            unstored: Mutex::new(Vec::new()),
            expires: AtomicU64::new(spec.expires.unwrap_or(u64::MAX)),
            spec,
            waker: AtomicWaker::new(),
            close: AtomicU8::new(0),
            flags: AtomicU8::new(0),
            move_asked: AtomicU32::new(0),
            pulse: Pulse::default(),
        }
    }

    /// Its key within this process.
    #[must_use]
    pub fn key(&self) -> SessionKey {
        self.key
    }

    /// Its account.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// What is fixed about it.
    #[must_use]
    pub fn spec(&self) -> &SessionSpec {
        &self.spec
    }

    /// When its token ends, if it does.
    #[must_use]
    pub fn expires(&self) -> Option<Millis> {
        Some(self.expires.load(Ordering::Relaxed)).filter(|&at| at != u64::MAX)
    }

    /// Why it is to end, if it is.
    #[must_use]
    pub fn closing(&self) -> Option<CloseReason> {
        CloseReason::from_code(self.close.load(Ordering::Acquire))
    }

    /// Whether it came with, or was refreshed by, this token.
    #[must_use]
    pub fn has_token(&self, token: &HeldToken) -> bool {
        *self.token.lock() == *token
    }

    /// The token it lives by.
    #[must_use]
    pub fn token(&self) -> HeldToken {
        self.token.lock().clone()
    }

    /// Gives acknowledgements back that could not be stored: the session's task passes them on once more.
    pub(super) fn hand_back(&self, ids: &[NoticeId]) {
        self.unstored.lock().extend_from_slice(ids);
        self.raise(UNSTORED);
    }

    /// Takes what was handed back.
    #[must_use]
    pub fn take_unstored(&self) -> Vec<NoticeId> {
        std::mem::take(&mut *self.unstored.lock())
    }

    /// The token's store, which had lost what it held so often, knows the token.
    pub fn confirm(&self, losses: u32) {
        self.losses.store(losses, Ordering::Relaxed);
    }

    /// Whether the token's store has lost what it held since it knew the token.
    pub(super) fn lost_since(&self, losses: u32) -> bool {
        self.losses.load(Ordering::Relaxed) != losses
    }

    /// Lives by this token from now on.
    pub fn refresh(&self, token: HeldToken, expires: Option<Millis>) {
        *self.token.lock() = token;
        self.expires
            .store(expires.unwrap_or(u64::MAX), Ordering::Relaxed);
        self.flags
            .fetch_and(!(WARNED | EXPIRING | RECHECK), Ordering::AcqRel);
    }

    /// Ends the session; the first reason stays.
    pub fn close(&self, reason: CloseReason) {
        let _first =
            self.close
                .compare_exchange(0, reason as u8, Ordering::AcqRel, Ordering::Acquire);
        self.wake();
    }

    /// Whether the client was asked to move.
    pub(super) fn is_asked_to_move(&self) -> bool {
        self.flags.load(Ordering::Acquire) & MOVING != 0
    }

    /// Asks the client to move, once; true when this call was the first.
    pub fn ask_to_move(&self, asked: MoveAsked) -> bool {
        if self.flags.fetch_or(MOVING, Ordering::AcqRel) & MOVING != 0 {
            return false;
        }
        self.move_asked.store(asked.packed(), Ordering::Relaxed);
        self.raise(MOVE);
        true
    }

    /// Forgets that the client was asked to move: the drain was taken back.
    pub fn forget_move(&self) {
        self.flags.fetch_and(!(MOVE | MOVING), Ordering::AcqRel);
    }

    pub(super) fn ask_to_ping(&self) {
        self.raise(PING);
    }

    /// Has the parked request answered now.
    pub fn ask_to_answer(&self) {
        self.raise(ANSWER);
    }

    /// Has the heart ask for an answer once `at` is past, within a second; none takes it back.
    pub fn set_alarm(&self, at: Option<Instant>) {
        let count = at.map_or(0, Alarm::count);
        self.pulse.alarm.store(count, Ordering::Relaxed);
        if at.is_none() {
            self.flags.fetch_and(!ANSWER, Ordering::AcqRel);
        }
    }

    pub(super) fn ask_to_recheck_token(&self) {
        self.raise(RECHECK);
    }

    /// Has the client told once that its token ends soon.
    pub(super) fn warn_of_expiry(&self) {
        if self.flags.fetch_or(WARNED, Ordering::AcqRel) & WARNED == 0 {
            self.raise(EXPIRING);
        }
    }

    fn raise(&self, flag: u8) {
        if self.flags.fetch_or(flag, Ordering::AcqRel) & flag == 0 {
            self.wake();
        }
    }

    /// Registers the task to be woken by any signal or notice. Register first, then look.
    pub fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Wakes the session's task.
    pub fn wake(&self) {
        self.waker.wake();
    }

    /// Takes the signals that are set.
    #[must_use]
    pub fn take_signals(&self) -> Signals {
        let close = CloseReason::from_code(self.close.load(Ordering::Acquire));
        let flags = self.flags.load(Ordering::Acquire)
            & (PING | RECHECK | EXPIRING | MOVE | UNSTORED | ANSWER);
        if flags == 0 {
            return Signals {
                close,
                ..Signals::default()
            };
        }
        self.flags.fetch_and(!flags, Ordering::AcqRel);
        Signals {
            ping: flags & PING != 0,
            unstored: flags & UNSTORED != 0,
            answer: flags & ANSWER != 0,
            recheck_token: flags & RECHECK != 0,
            expiring: flags & EXPIRING != 0,
            move_asked: (flags & MOVE != 0)
                .then(|| MoveAsked::unpacked(self.move_asked.load(Ordering::Relaxed))),
            close,
        }
    }

    /// Says whether the server reads from the session: while it does not, no pong is expected.
    pub fn set_deaf(&self, deaf: bool) {
        self.pulse.deaf.store(deaf, Ordering::Relaxed);
    }

    /// A frame came, of whatever kind: the client lives, though its pong may wait behind what it has not read yet.
    pub fn heard_frame(&self) {
        self.pulse.heard.store(true, Ordering::Relaxed);
    }

    /// A pong came.
    pub fn heard_pong(&self) {
        self.pulse.pong_by.store(0, Ordering::Relaxed);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("key", &self.key)
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}
