//! One case: the load, the fault in its middle, and the reckoning.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, sleep, timeout};

use super::book::Book;
use super::devices::Device;
use super::figures::{Fault, Figures};
use super::recovery::Recovery;
use super::roads::Roads;
use super::senders::Sender;
use super::world::World;
use crate::support::{Late, Random, Request, assert_no_faults, eventually, eventually_within};

const ACCOUNTS: usize = 60;
const SENDERS: u32 = 40;

/// The load goes on at least so long before a fault, and after it.
const SHOULDER: Duration = Duration::from_secs(5);

/// From the end of the load until everything is delivered and read.
const SETTLED: Duration = Duration::from_secs(60);

/// From the end of a fault until deliveries are as quick as before, and until the last notice that it held up has come.
const RECOVERED: Duration = Duration::from_secs(20);

/// Notices a second, few enough for a machine of two cores that has other things to do.
const RATE: u64 = 60;

/// A wake-up that is older is not believed, and the notice found in the inbox a little later: it may come behind another
/// one. That takes a machine with no time for the nodes.
const BELIEVED: Duration = Duration::from_secs(1);

/// A wake-up that is lost in the moment before a fault is the fault's.
const BEFORE: Duration = Duration::from_secs(2);

fn number_from(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")),
    )
}

/// A case that is over, for what it has to check besides.
pub(crate) struct Done {
    pub(crate) book: Arc<Book>,
    pub(crate) fault: Fault,
}

/// Who wants what of the load.
struct Load {
    book: Arc<Book>,
    senders: Vec<JoinHandle<()>>,
    devices: Vec<JoinHandle<()>>,
    stop_sending: watch::Sender<bool>,
    stop_living: watch::Sender<bool>,
}

/// The devices of a case: account, name, whether it speaks v1. Every account has one of v1, some a second one, some a
/// legacy one.
fn devices() -> Vec<(String, String, bool)> {
    let mut devices = Vec::new();
    for number in 0..ACCOUNTS {
        let account = account(number);
        devices.push((account.clone(), format!("{account}-v1"), true));
        if number % 2 == 0 {
            devices.push((account.clone(), format!("{account}-v1-too"), true));
        }
        if number % 5 == 0 {
            devices.push((account.clone(), format!("{account}-legacy"), false));
        }
    }
    devices
}

fn account(number: usize) -> String {
    format!("account-{number:02}")
}

/// One case at a time: each needs the whole machine.
async fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::const_new(());
    ONE.lock().await
}

/// Runs a case whose fault takes about `length`.
pub(crate) async fn case(name: &str, length: Duration, fault: impl AsyncFnOnce(&World)) -> Done {
    let _alone = alone().await;
    let seed = number_from("NOTICE_TEST_CHAOS_SEED")
        .unwrap_or_else(|| RandomState::new().hash_one("seed"));
    println!("{name}: to repeat these choices: NOTICE_TEST_CHAOS_SEED={seed}");
    let tokens = devices()
        .into_iter()
        .map(|(account, device, _)| (device, account));
    let world = World::start(tokens.collect()).await;
    let load = Load::begin(&world, Random::seeded(seed)).await;
    let watching = tokio::spawn(watch_readiness(
        Arc::clone(&world.roads),
        Arc::clone(&load.book),
    ));
    let seconds = number_from("NOTICE_TEST_CHAOS_SECONDS").unwrap_or(15);
    let shoulder = (Duration::from_secs(seconds).saturating_sub(length) / 2).max(SHOULDER);
    sleep(shoulder).await;
    let begun = Instant::now();
    fault(&world).await;
    let ended = Instant::now();
    sleep(shoulder).await;
    watching.abort();
    let fault = Fault { begun, ended };
    let book = load.end(&world).await;
    check(name, &world, &book, fault).await;
    Done { book, fault }
}

impl Load {
    async fn begin(world: &World, mut random: Random) -> Self {
        let rate = u32::try_from(number_from("NOTICE_TEST_CHAOS_RATE").unwrap_or(RATE)).unwrap();
        let (stop_sending, sending) = watch::channel(false);
        let (stop_living, living) = watch::channel(false);
        let mut load = Self {
            book: Arc::default(),
            senders: Vec::new(),
            devices: Vec::new(),
            stop_sending,
            stop_living,
        };
        load.connect(world, &mut random, &living).await;
        let accounts: Arc<[String]> = (0..ACCOUNTS).map(account).collect();
        for number in 0..SENDERS {
            let sender = Sender::new(
                format!("sender-{number}"),
                Arc::clone(&accounts),
                random.number(),
                Arc::clone(&world.roads),
                Arc::clone(&load.book),
            );
            let pace = Duration::from_secs(1) * SENDERS / rate;
            load.senders
                .push(tokio::spawn(sender.send(pace, sending.clone())));
            sleep(pace / SENDERS).await;
        }
        load
    }

    /// Brings every device online.
    async fn connect(&mut self, world: &World, random: &mut Random, over: &watch::Receiver<bool>) {
        let devices = devices();
        let count = devices.len();
        for (account, name, v1) in devices {
            let device = Device {
                account,
                token: name.clone(),
                name,
                v1,
                random: Random::seeded(random.number()),
                roads: Arc::clone(&world.roads),
                book: Arc::clone(&self.book),
                over: over.clone(),
                seen: HashSet::new(),
                sessions: 0,
            };
            self.devices.push(tokio::spawn(device.live()));
        }
        eventually("all devices online", async || {
            let mut sessions = 0;
            for (_, api) in world.roads.answering() {
                sessions += api.load().await["sessions"].as_u64().unwrap();
            }
            if sessions == count as u64 {
                Ok(())
            } else {
                Err(sessions)
            }
        })
        .await;
    }

    /// Ends the load, waits until everything is delivered and read, and lets the devices go.
    async fn end(self, world: &World) -> Arc<Book> {
        self.stop_sending.send_replace(true);
        for sender in self.senders {
            let answered = timeout(SETTLED, sender).await;
            answered.expect("an answer to every call").unwrap();
        }
        let api = world.roads.api(0);
        eventually_within(SETTLED, "everything to be read", async || {
            let mut left = Vec::new();
            for number in 0..ACCOUNTS {
                let account = account(number);
                let unread = api.unread(&account).await;
                if unread > 0 {
                    left.push((account, unread));
                }
            }
            if left.is_empty() { Ok(()) } else { Err(left) }
        })
        .await;
        self.stop_living.send_replace(true);
        for device in self.devices {
            let ended = timeout(SETTLED, device).await;
            ended.expect("the end of every device").unwrap();
        }
        self.book
    }
}

/// A node that is there stays ready, whatever becomes of the services below it.
async fn watch_readiness(roads: Arc<Roads>, book: Arc<Book>) {
    let mut ticks = interval(Duration::from_millis(500));
    loop {
        ticks.tick().await;
        for (place, api) in roads.answering() {
            let asked = Request::get("/readyz");
            let answer = timeout(Duration::from_secs(2), asked.try_send(api.admin)).await;
            let still_there = roads.answering().iter().any(|(other, _)| *other == place);
            if let (Ok(Ok(answer)), true) = (answer, still_there)
                && answer.status != 200
            {
                book.fault(format!("node {place} is not ready: {answer:?}"));
            }
        }
    }
}

async fn check(name: &str, world: &World, book: &Book, fault: Fault) {
    let figures = Figures::of(book, fault);
    let length = fault.ended - fault.begun;
    println!("{name} ({length:?}): {figures}");
    assert!(world.all_run().await, "a node ended by itself");
    for (_, api) in world.roads.answering() {
        api.reaches_metric("notice_oldest_unpushed_seconds", 0.0)
            .await;
    }
    let faults = book.ledger.faults();
    let mut grave = faults.grave;
    grave.append(&mut book.faults.lock());
    let count = faults.late.len();
    let recovery = figures.recovery;
    grave.extend(out_of_order(faults.late, book, fault, recovery));
    println!("{name}: {count} notices came behind a later one of their sender");
    assert_no_faults(grave);
    assert!(
        recovery.recovered <= RECOVERED && recovery.longest <= RECOVERED,
        "after the fault's end: {recovery:?}"
    );
}

/// Those that had no right to come behind a later one of their sender: the fault did not lose their wake-up, and it did
/// not come too late to be believed.
fn out_of_order(late: Vec<Late>, book: &Book, fault: Fault, recovery: Recovery) -> Vec<String> {
    let back = fault.ended + recovery.recovered.max(recovery.longest);
    let lost = fault.begun - BEFORE..back + BEFORE;
    let told = book.told.lock();
    let excused = |late: &Late| {
        told.get(&late.id).is_some_and(|told| {
            let slow = late.at.saturating_duration_since(told.begun) > BELIEVED;
            slow || lost.contains(&told.begun) || lost.contains(&told.answered)
        })
    };
    let unexcused = late.into_iter().filter(|late| !excused(late));
    unexcused.map(|late| late.what).collect()
}
