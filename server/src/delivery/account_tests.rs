//! The account's state machine against a model: random histories of several devices, a store, slow look-ups and
//! acknowledgements in any order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::delivery::session::{AckMode, SessionSpec, Transport};
use crate::domain::DEFAULT_PRODUCER;
use crate::inbox::Unread;
use crate::tokens::{HeldToken, TokenDigest};

const DEVICES: usize = 3;

fn notice(id: u128) -> Arc<Notice> {
    Arc::new(Notice {
        id: NoticeId::from_bits(id),
        receiver: AccountId::trusted("u"),
        sender: None,
        message: Box::from("text"),
        created: 0,
        kind: None,
        data: None,
        expires: None,
        collapse_key: None,
        producer: Arc::from(DEFAULT_PRODUCER),
    })
}

fn session(key: u64, ack: AckMode, window: u16) -> Arc<Session> {
    let spec = SessionSpec {
        transport: Transport::WebSocket,
        ack,
        control_frames: ack == AckMode::Explicit,
        window,
        token: HeldToken::Digest(TokenDigest([0; 32])),
        losses: 0,
        expires: None,
        since: 0,
    };
    Arc::new(Session::new(SessionKey(key), AccountId::trusted("u"), spec))
}

#[derive(Debug, Clone)]
enum Step {
    Join(usize, bool),
    Leave(usize),
    /// Commit a notice; it is published later, as the observer does.
    Commit,
    /// Publish the oldest commit that was not.
    Publish,
    /// Begin to read what a device needs.
    Look(usize),
    /// Hand over what was read.
    Supply(usize),
    /// The device's task writes.
    Take(usize, usize),
    /// The device acknowledges some of what it got (or its pong does).
    Ack(usize, usize),
    Recall(usize),
    /// The store comes back with a notice that it had refused.
    ComeBack,
    /// The sweep looks at the account.
    Sweep,
}

/// A history. Where wake-ups come `late`, looks overtake them.
fn steps(late: bool) -> impl Strategy<Value = Vec<Step>> {
    let device = 0..DEVICES;
    let (publish, sweep, work) = if late { (2, 6, 8) } else { (6, 1, 4) };
    let step = prop_oneof![
        2 => (device.clone(), any::<bool>()).prop_map(|(d, auto)| Step::Join(d, auto)),
        1 => device.clone().prop_map(Step::Leave),
        6 => Just(Step::Commit),
        publish => Just(Step::Publish),
        work => device.clone().prop_map(Step::Look),
        work => device.clone().prop_map(Step::Supply),
        work => (device.clone(), 1_usize..5).prop_map(|(d, n)| Step::Take(d, n)),
        work => (device, 1_usize..4).prop_map(|(d, n)| Step::Ack(d, n)),
        1 => (0_usize..8).prop_map(Step::Recall),
        1 => Just(Step::ComeBack),
        sweep => Just(Step::Sweep),
    ];
    prop::collection::vec(step, 1..150)
}

/// What the store knows of a notice.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stored {
    Unread,
    Read { explicit: bool },
    Recalled,
}

enum Looked {
    Backlog(UnreadPage),
    Log {
        ids: Vec<NoticeId>,
        found: Vec<Arc<Notice>>,
    },
}

struct Device {
    session: Arc<Session>,
    auto: bool,
    looked: Option<Looked>,
    /// Written to it, in order, and not acknowledged.
    shown: Vec<u128>,
    /// Everything ever written to it.
    got: Vec<u128>,
    /// Published while it was online: owed to it, unless withdrawn.
    owed: BTreeSet<u128>,
    /// Recalled while it was here, after which it must not get it.
    forbidden: BTreeSet<u128>,
}

#[derive(Default)]
struct World {
    state: AccountState,
    store: BTreeMap<u128, Stored>,
    unpublished: VecDeque<u128>,
    /// Stored, and never published: these may come late, and not to those for whom another device was quicker.
    revived: BTreeSet<u128>,
    devices: BTreeMap<usize, Device>,
    next: u64,
    /// Wake-ups come late and in any order, as between nodes; a notice may be found, read and recalled before.
    late: bool,
}

impl World {
    /// Every id of the model is from the first millisecond: late wake-ups of all are believed, or of none.
    fn horizon(&self) -> Millis {
        if self.late { 0 } else { Millis::MAX }
    }

    fn join(&mut self, at: usize, auto: bool, window: u16) {
        if self.devices.contains_key(&at) {
            return;
        }
        self.next += 1;
        let ack = if auto {
            AckMode::Automatic
        } else {
            AckMode::Explicit
        };
        let session = session(self.next, ack, window);
        self.state.join(Arc::clone(&session));
        let (got, shown, owed) = (Vec::new(), Vec::new(), BTreeSet::new());
        let device = Device {
            session,
            auto,
            looked: None,
            shown,
            got,
            owed,
            forbidden: self.recalled(),
        };
        self.devices.insert(at, device);
    }

    fn recalled(&self) -> BTreeSet<u128> {
        let recalled = self
            .store
            .iter()
            .filter(|(_, stored)| **stored == Stored::Recalled);
        recalled.map(|(id, _)| *id).collect()
    }

    fn leave(&mut self, at: usize) {
        if let Some(device) = self.devices.remove(&at) {
            self.state.leave(device.session.key());
        }
    }

    fn commit(&mut self) {
        let id = self.store.len() as u128 + 1;
        self.store.insert(id, Stored::Unread);
        self.unpublished.push_back(id);
    }

    fn publish(&mut self) {
        // Any of those that wait, but always the same in one history.
        let which = match (self.late, self.unpublished.len()) {
            (_, 0) => return,
            (false, _) => 0,
            (true, waiting) => self.store.len() % waiting,
        };
        let Some(id) = self.unpublished.remove(which) else {
            return;
        };
        self.state.publish(
            &Arc::new(Push::live(notice(id), true, Instant::now())),
            self.horizon(),
        );
        let wanted = matches!(
            self.store[&id],
            Stored::Unread | Stored::Read { explicit: false }
        );
        for device in self.devices.values_mut().filter(|_| wanted) {
            device.owed.insert(id);
        }
    }

    /// The sweep looks: devices that are behind nothing and lack what is unread look again.
    fn sweep(&mut self) {
        let unread = self
            .store
            .iter()
            .filter(|(_, stored)| **stored == Stored::Unread);
        let ids: Vec<_> = unread.map(|(id, _)| NoticeId::from_bits(*id)).collect();
        if self.late {
            self.state.found_waiting(&ids);
        }
    }

    /// Where this node alone writes, events come in commit order: what is published later can't have been read.
    fn publish_what_came_before(&mut self) {
        if !self.late {
            self.publish_all();
        }
    }

    fn come_back(&mut self) {
        self.commit();
        let revived = self.unpublished.pop_back();
        self.publish_all();
        self.revived.extend(revived);
        self.state.look_again();
        for device in self.devices.values_mut() {
            device.owed.extend(revived);
        }
    }

    fn publish_all(&mut self) {
        while !self.unpublished.is_empty() {
            self.publish();
        }
    }

    fn look(&mut self, at: usize) {
        let Some(device) = self.devices.get_mut(&at) else {
            return;
        };
        if device.looked.is_some() {
            return;
        }
        device.looked = match self.state.need(device.session.key()) {
            None => None,
            Some(Need::Backlog { skip, limit }) => {
                let mut unread = self
                    .store
                    .iter()
                    .filter(|(_, stored)| **stored == Stored::Unread)
                    .map(|(id, _)| NoticeId::from_bits(*id))
                    .filter(|id| !skip.contains(id));
                let items = unread.by_ref().take(limit).map(|id| Unread {
                    notice: notice(id.bits()),
                    pushed_before: false,
                });
                let items = items.collect();
                Some(Looked::Backlog(UnreadPage {
                    items,
                    next: unread.next(),
                }))
            }
            Some(Need::Log { ids }) => {
                let offered = |id: &&NoticeId| {
                    matches!(
                        self.store[&id.bits()],
                        Stored::Unread | Stored::Read { explicit: false }
                    )
                };
                let found = ids
                    .iter()
                    .filter(offered)
                    .map(|id| notice(id.bits()))
                    .collect();
                Some(Looked::Log { ids, found })
            }
        };
    }

    fn supply(&mut self, at: usize) {
        let horizon = self.horizon();
        let Some(device) = self.devices.get_mut(&at) else {
            return;
        };
        match device.looked.take() {
            None => {}
            Some(Looked::Backlog(page)) => {
                self.state
                    .supply_backlog(device.session.key(), page, horizon);
            }
            Some(Looked::Log { ids, found }) => {
                self.state.supply_log(device.session.key(), &ids, found)
            }
        }
    }

    fn take(&mut self, at: usize, count: usize) -> Result<(), TestCaseError> {
        let Some(device) = self.devices.get_mut(&at) else {
            return Ok(());
        };
        let mut items = Vec::new();
        self.state.take(device.session.key(), count, &mut items);
        for item in items {
            if let Outgoing::Notice(push) = item {
                let id = push.id().bits();
                prop_assert!(!device.got.contains(&id), "device {at} got {id} twice");
                prop_assert!(
                    !device.forbidden.contains(&id),
                    "device {at} got {id} after its recall"
                );
                let before = device.got.iter().rfind(|id| !self.revived.contains(id));
                prop_assert!(
                    self.late || self.revived.contains(&id) || before < Some(&id),
                    "device {at} got {id} out of order"
                );
                device.got.push(id);
                device.shown.push(id);
            }
        }
        let window = usize::from(device.session.spec().window);
        let unacknowledged = device.shown.len();
        prop_assert!(
            unacknowledged <= window,
            "device {at} has {unacknowledged} unacknowledged"
        );
        Ok(())
    }

    fn ack(&mut self, at: usize, count: usize) {
        self.publish_what_came_before();
        let Some(device) = self.devices.get_mut(&at) else {
            return;
        };
        let count = count.min(device.shown.len());
        let ids: Vec<u128> = device.shown.drain(..count).collect();
        let (auto, key) = (device.auto, device.session.key());
        let mut withdrawn = Vec::new();
        for id in &ids {
            match self.store[id] {
                Stored::Unread => {
                    self.store.insert(*id, Stored::Read { explicit: !auto });
                    if !auto {
                        withdrawn.push(NoticeId::from_bits(*id));
                    }
                }
                Stored::Read { explicit: false } if !auto => {
                    self.store.insert(*id, Stored::Read { explicit: true });
                    withdrawn.push(NoticeId::from_bits(*id));
                }
                _ => {}
            }
        }
        let ended = |id: &u128| ids.contains(id) && (!auto || self.revived.contains(id));
        for (other, device) in &mut self.devices {
            if *other != at {
                device
                    .owed
                    .retain(|id| !ended(id) || device.got.contains(id));
                device.shown.retain(|id| auto || !ids.contains(id));
            }
        }
        let asked: Vec<_> = ids.iter().map(|id| NoticeId::from_bits(*id)).collect();
        let reader = if auto {
            Reader::Automatic(key)
        } else {
            Reader::Session(key)
        };
        self.state.read(&asked, &withdrawn, reader, self.horizon());
    }

    fn recall(&mut self, which: usize) {
        self.publish_what_came_before();
        let Some(id) = self.store.keys().nth_back(which).copied() else {
            return;
        };
        self.store.insert(id, Stored::Recalled);
        self.state.withdraw(
            &[NoticeId::from_bits(id)],
            Withdrawal::Recalled,
            self.horizon(),
        );
        for device in self.devices.values_mut() {
            device.owed.remove(&id);
            device.shown.retain(|shown| *shown != id);
            if !device.got.contains(&id) {
                device.forbidden.insert(id);
            }
        }
    }

    /// Everybody reads and acknowledges until nothing moves.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        self.publish_all();
        for _ in 0..2_000 {
            for at in 0..DEVICES {
                self.look(at);
                self.supply(at);
                self.take(at, 8)?;
                self.ack(at, 8);
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn every_device_gets_all_it_is_owed_once_and_nothing_recalled(
        (late, steps) in any::<bool>().prop_flat_map(|late| (Just(late), steps(late))),
        window in 1_u16..6,
    ) {
        let mut world = World { late, ..World::default() };
        for step in steps {
            match step {
                Step::Join(at, auto) => world.join(at, auto, window),
                Step::Leave(at) => world.leave(at),
                Step::Commit => world.commit(),
                Step::Publish => world.publish(),
                Step::Look(at) => world.look(at),
                Step::Supply(at) => world.supply(at),
                Step::Take(at, count) => world.take(at, count)?,
                Step::Ack(at, count) => world.ack(at, count),
                Step::Recall(which) => world.recall(which),
                Step::ComeBack => world.come_back(),
                Step::Sweep => world.sweep(),
            }
        }
        world.settle()?;
        for (at, device) in &world.devices {
            let missing: Vec<_> = device.owed.iter().filter(|id| !device.got.contains(id)).collect();
            prop_assert!(missing.is_empty(), "device {at} was never handed {missing:?}");
        }
        if !world.devices.is_empty() {
            let left: Vec<_> = world.store.iter().filter(|(_, stored)| **stored == Stored::Unread).collect();
            prop_assert!(left.is_empty(), "unread after all have settled: {left:?}");
        }
        prop_assert!(world.state.log.is_empty(), "the log keeps what nobody needs");
        prop_assert_eq!(world.state.oldest_unpushed(), None);
    }
}

/// Lets a device look once, so that it has caught up with an empty inbox.
fn caught_up(window: u16) -> (AccountState, Arc<Session>) {
    let mut state = AccountState::default();
    let device = session(1, AckMode::Explicit, window);
    state.join(Arc::clone(&device));
    assert!(matches!(
        state.need(device.key()),
        Some(Need::Backlog { .. })
    ));
    state.supply_backlog(device.key(), UnreadPage::default(), Millis::MAX);
    (state, device)
}

#[test]
fn a_live_session_is_handed_a_notice_without_any_look_up() {
    let (mut state, device) = caught_up(4);
    state.publish(
        &Arc::new(Push::live(notice(1), true, Instant::now())),
        Millis::MAX,
    );
    let mut items = Vec::new();
    state.take(device.key(), 9, &mut items);
    assert_eq!(items.len(), 1);
    assert_eq!(state.need(device.key()), None);
}

#[test]
fn notices_of_one_sender_reach_a_slow_session_in_order() {
    let (mut state, device) = caught_up(2);
    for id in 1..=5 {
        state.publish(
            &Arc::new(Push::live(notice(id), true, Instant::now())),
            Millis::MAX,
        );
    }
    let mut got = Vec::new();
    while got.len() < 5 {
        let mut items = Vec::new();
        state.take(device.key(), 9, &mut items);
        let ids: Vec<_> = items
            .iter()
            .map(|item| match item {
                Outgoing::Notice(push) => push.id(),
                other => panic!("{other:?}"),
            })
            .collect();
        state.read(&ids, &ids, Reader::Session(device.key()), Millis::MAX);
        got.extend(ids.iter().map(|id| id.bits()));
        if let Some(Need::Log { ids }) = state.need(device.key()) {
            let found = ids.iter().map(|id| notice(id.bits())).collect();
            state.supply_log(device.key(), &ids, found);
        }
    }
    assert_eq!(got, [1, 2, 3, 4, 5]);
}

#[test]
fn a_mailbox_stops_growing_and_the_log_keeps_ids_only() {
    let (mut state, device) = caught_up(4096);
    for id in 1..=2_000 {
        state.publish(
            &Arc::new(Push::live(notice(id), true, Instant::now())),
            Millis::MAX,
        );
    }
    assert!(state.slots[0].mailbox_bytes <= MAILBOX_BYTES + 1024);
    assert_eq!(state.log.len() + state.slots[0].mailbox.len(), 2_000);
    assert_eq!(device.take_signals().close, None);
}

#[test]
fn a_session_that_leaves_too_much_behind_is_closed_as_too_slow() {
    let (mut state, device) = caught_up(1);
    for id in 1..=(LOG_IDS as u128 + 5) {
        state.publish(
            &Arc::new(Push::live(notice(id), true, Instant::now())),
            Millis::MAX,
        );
    }
    assert_eq!(device.take_signals().close, Some(CloseReason::TooSlow));
    assert!(state.log.len() <= LOG_IDS);
}

#[test]
fn what_is_never_stored_takes_no_place_in_the_window() {
    let (mut state, device) = caught_up(1);
    state.publish(
        &Arc::new(Push::live(notice(1), true, Instant::now())),
        Millis::MAX,
    );
    state.publish(
        &Arc::new(Push::live(notice(2), false, Instant::now())),
        Millis::MAX,
    );
    let mut items = Vec::new();
    state.take(device.key(), 9, &mut items);
    assert_eq!(items.len(), 2);
}

#[test]
fn an_idle_session_keeps_no_buffers_from_busier_times() {
    let (mut state, device) = caught_up(128);
    let ids: Vec<_> = (1..=100).map(NoticeId::from_bits).collect();
    ids.iter().for_each(|id| {
        let push = Arc::new(Push::live(notice(id.bits()), true, Instant::now()));
        state.publish(&push, Millis::MAX);
    });
    state.take(device.key(), 200, &mut Vec::new());
    state.read(&ids, &ids, Reader::Session(device.key()), Millis::MAX);
    let slot = &state.slots[0];
    assert_eq!(
        (
            slot.mailbox.capacity(),
            slot.in_flight.capacity(),
            state.log.capacity()
        ),
        (0, 0, 0)
    );
}

#[test]
fn a_wake_up_that_comes_after_its_notice_was_found_and_read_offers_nothing() {
    let (mut state, device) = caught_up(8);
    let horizon = 0;
    assert!(state.found_waiting(&[NoticeId::from_bits(1)]));
    assert!(matches!(
        state.need(device.key()),
        Some(Need::Backlog { .. })
    ));
    let page = UnreadPage {
        items: vec![Unread {
            notice: notice(1),
            pushed_before: false,
        }],
        next: None,
    };
    state.supply_backlog(device.key(), page, horizon);
    let mut items = Vec::new();
    state.take(device.key(), 8, &mut items);
    assert_eq!(items.len(), 1);
    let ids = [NoticeId::from_bits(1)];
    state.read(&ids, &[], Reader::Automatic(device.key()), horizon);
    state.publish(
        &Arc::new(Push::live(notice(1), true, Instant::now())),
        horizon,
    );
    state.take(device.key(), 8, &mut items);
    assert_eq!(items.len(), 1, "offered twice");
    assert!(!state.found_waiting(&ids));
}

/// A notice that is published by one way, acknowledged, and comes by the other: in every phase, stored or not.
#[test]
fn a_notice_that_comes_by_two_ways_is_offered_once() {
    for stored in [true, false] {
        let (mut state, device) = caught_up(8);
        let push = Arc::new(Push::live(notice(1), stored, Instant::now()));
        let mut items = Vec::new();
        for _ in 0..2 {
            state.publish(&push, 0);
            state.take(device.key(), 8, &mut items);
            let ids = [NoticeId::from_bits(1)];
            state.read(&ids, &[], Reader::Automatic(device.key()), 0);
        }
        assert_eq!(items.len(), 1, "stored: {stored}");
    }
    let (mut state, device) = caught_up(1);
    for id in [1, 2, 2] {
        state.publish(&Arc::new(Push::live(notice(id), true, Instant::now())), 0);
    }
    assert_eq!(state.log.len(), 1);
    assert!(state.need(device.key()).is_none());
}
