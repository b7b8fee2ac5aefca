//! What every [`Bus`] must do, as tests that run on each back end.
//!
//! A back end writes a [`Cluster`] and calls `bus_conformance!` with an expression that makes a fresh one. Cases wait
//! for what they are told, never for a time.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "these are tests, also when another crate runs them"
)]

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::{Bus, BusListener, Channel, Message, NodeId, NotPublished};
use crate::domain::AccountId;

/// How long a case waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A place where nodes meet. It starts with nobody there.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// The bus of one more node.
    async fn join(&self) -> Arc<dyn Bus>;

    /// The same, where nobody of the others is to be heard.
    async fn join_elsewhere(&self) -> Arc<dyn Bus>;

    /// Breaks all links that [`Cluster::join`] made; none comes back before [`Cluster::mend`].
    async fn cut(&self);

    /// Lets links come back.
    async fn mend(&self);
}

/// What a node was told.
#[derive(Debug, Default, Clone)]
pub struct Told {
    /// What it heard, in order.
    pub heard: Vec<Message>,
    /// Channels told as listened to, since the last `down`.
    pub listening: Vec<Channel>,
    /// How often the link came up.
    pub ups: usize,
    /// How often it broke.
    pub downs: usize,
    /// In how many calls messages came.
    pub calls: usize,
}

impl Told {
    /// The payloads heard on a channel, as text.
    #[must_use]
    pub fn on(&self, channel: &Channel) -> Vec<String> {
        let heard = self.heard.iter();
        heard
            .filter(|message| message.channel == *channel)
            .map(|message| String::from_utf8_lossy(&message.payload).into_owned())
            .collect()
    }
}

/// Keeps what it was told.
#[derive(Debug, Default)]
pub struct Ears(Mutex<Told>);

impl BusListener for Ears {
    fn heard(&self, messages: Vec<Message>) {
        let mut told = self.0.lock();
        told.calls += 1;
        told.heard.extend(messages);
    }

    fn listening(&self, channels: Vec<Channel>) {
        let mut told = self.0.lock();
        assert!(told.ups > told.downs, "told of channels while down");
        told.listening.extend(channels);
    }

    fn down(&self) {
        let mut told = self.0.lock();
        told.downs += 1;
        assert_eq!(told.ups, told.downs, "one down for each up");
        told.listening.clear();
    }

    fn up(&self) {
        let mut told = self.0.lock();
        assert_eq!(told.ups, told.downs, "up while up");
        told.ups += 1;
    }
}

/// A node: its bus, running, and what it was told.
pub struct Node {
    /// The bus.
    pub bus: Arc<dyn Bus>,
    /// What it was told.
    pub ears: Arc<Ears>,
    task: JoinHandle<()>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Node {
    /// Runs a bus, and waits until it is up.
    pub async fn run(bus: Arc<dyn Bus>) -> Self {
        let node = Self::start(bus);
        node.until("up", |told| told.ups == 1).await;
        node
    }

    /// Runs a bus.
    pub fn start(bus: Arc<dyn Bus>) -> Self {
        let ears = Arc::new(Ears::default());
        let running = Arc::clone(&bus).run(Arc::<Ears>::clone(&ears));
        let task = tokio::spawn(running);
        Self { bus, ears, task }
    }

    /// What it was told so far.
    #[must_use]
    pub fn told(&self) -> Told {
        self.ears.0.lock().clone()
    }

    /// Waits until `wanted` says so of what it was told.
    ///
    /// # Panics
    /// After 20 s.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Told) -> bool) {
        let begun = Instant::now();
        while !wanted(&self.ears.0.lock()) {
            if begun.elapsed() > PATIENCE {
                let Told {
                    heard,
                    listening,
                    ups,
                    downs,
                    ..
                } = self.told();
                panic!(
                    "not {what}: heard {} messages, told of {} channels, {ups} ups, {downs} downs",
                    heard.len(),
                    listening.len()
                );
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Listens, and waits until it is told so.
    pub async fn listen(&self, channels: &[Channel]) {
        self.bus.listen(channels.to_vec());
        self.until_listening(channels).await;
    }

    /// Waits until it was told of these channels.
    pub async fn until_listening(&self, channels: &[Channel]) {
        self.until("listening", |told| {
            let listening: HashSet<&Channel> = told.listening.iter().collect();
            channels.iter().all(|channel| listening.contains(channel))
        })
        .await;
    }

    /// Publishes one text, and answers how many heard it.
    pub async fn say(&self, channel: &Channel, text: &str) -> Result<u64, NotPublished> {
        let receipt = self.bus.publish(vec![message(channel, text)]);
        receipt.confirmed().await.map(|counts| counts[0])
    }
}

/// The channel of an account of the suite.
#[must_use]
pub fn account(name: &str) -> Channel {
    Channel::Account(AccountId::trusted(name))
}

/// A message of text.
#[must_use]
pub fn message(channel: &Channel, text: &str) -> Message {
    Message {
        channel: channel.clone(),
        payload: Bytes::copy_from_slice(text.as_bytes()),
    }
}

async fn two<C: Cluster>(cluster: &C) -> (Node, Node) {
    (
        Node::run(cluster.join().await).await,
        Node::run(cluster.join().await).await,
    )
}

/// On channels of every kind, the speaker included where it listens.
pub async fn a_message_is_heard_by_whoever_listens_and_its_receipt_counts_them<C: Cluster>(
    cluster: &C,
) {
    let (one, other) = two(cluster).await;
    let channels = [account("u1"), Channel::Node(NodeId(7)), Channel::Nodes];
    for channel in &channels {
        assert_eq!(one.say(channel, "nobody").await, Ok(0));
    }
    other.listen(&channels).await;
    for channel in &channels {
        assert_eq!(one.say(channel, "one").await, Ok(1));
    }
    one.listen(&channels).await;
    for channel in &channels {
        assert_eq!(one.say(channel, "both").await, Ok(2));
        other
            .until("heard", |told| told.on(channel) == ["one", "both"])
            .await;
        one.until("heard", |told| told.on(channel) == ["both"])
            .await;
    }
    assert_eq!(one.say(&account("u2"), "nobody").await, Ok(0));
}

/// A call's receipts come in the order of its messages, and a call about nothing is answered.
pub async fn receipts_are_in_the_order_of_the_messages<C: Cluster>(cluster: &C) {
    let (one, other) = two(cluster).await;
    let (u1, u2, u3) = (account("u1"), account("u2"), account("u3"));
    one.listen(&[u1.clone(), u3.clone()]).await;
    other.listen(std::slice::from_ref(&u3)).await;
    let messages = [&u1, &u2, &u3].map(|channel| message(channel, "x"));
    let receipt = one.bus.publish(messages.to_vec());
    assert_eq!(receipt.confirmed().await, Ok(vec![1, 0, 2]));
    assert_eq!(one.bus.publish(Vec::new()).confirmed().await, Ok(vec![]));
    one.bus.listen(Vec::new());
    one.bus.unlisten(Vec::new());
}

/// Also over many calls of all sizes.
pub async fn messages_of_one_speaker_come_in_their_order<C: Cluster>(cluster: &C) {
    const MESSAGES: usize = 3000;
    let (one, other) = two(cluster).await;
    let channel = account("u1");
    other.listen(std::slice::from_ref(&channel)).await;
    let texts: Vec<String> = (0..MESSAGES).map(|n| n.to_string()).collect();
    let (mut rest, mut size, mut receipts) = (&texts[..], 1, Vec::new());
    while !rest.is_empty() {
        let (now, later) = rest.split_at(size.min(rest.len()));
        let messages = now.iter().map(|text| message(&channel, text)).collect();
        receipts.push(one.bus.publish(messages));
        (rest, size) = (later, size % 7 + 1);
    }
    for receipt in receipts {
        let counts = receipt.confirmed().await.expect("published");
        assert!(counts.iter().all(|count| *count == 1));
    }
    other
        .until("heard", |told| told.heard.len() == MESSAGES)
        .await;
    assert_eq!(other.told().on(&channel), texts);
}

/// Whoever listens hears one order, and each speaker's own order is kept in it.
pub async fn messages_of_two_speakers_come_to_all_in_one_order<C: Cluster>(cluster: &C) {
    const EACH: usize = 500;
    let (one, other) = two(cluster).await;
    let third = Node::run(cluster.join().await).await;
    let channel = account("u1");
    for node in [&one, &other, &third] {
        node.listen(std::slice::from_ref(&channel)).await;
    }
    let speak = async |node: &Node, name: &str| {
        for n in 0..EACH {
            let said = node.say(&channel, &format!("{name}{n}")).await;
            assert_eq!(said, Ok(3));
        }
    };
    tokio::join!(speak(&one, "a"), speak(&other, "b"));
    for node in [&one, &other, &third] {
        node.until("heard", |told| told.heard.len() == 2 * EACH)
            .await;
    }
    let order = third.told().on(&channel);
    assert_eq!(one.told().on(&channel), order);
    assert_eq!(other.told().on(&channel), order);
    for name in ["a", "b"] {
        let own: Vec<&String> = order.iter().filter(|text| text.starts_with(name)).collect();
        let expected: Vec<String> = (0..EACH).map(|n| format!("{name}{n}")).collect();
        assert!(
            own.iter()
                .zip(&expected)
                .all(|(own, expected)| *own == expected)
        );
    }
}

/// However often it begins and ends to listen.
pub async fn nothing_is_missed_once_it_is_told_that_it_listens<C: Cluster>(cluster: &C) {
    let (one, other) = two(cluster).await;
    for round in 0..20 {
        let channel = account(&format!("u{}", round % 3));
        other.ears.0.lock().listening.clear();
        // Messages go on all the time; some are heard before it is told, all after.
        let said = Arc::new(Mutex::new(0));
        let (bus, count, to) = (Arc::clone(&one.bus), Arc::clone(&said), channel.clone());
        let speaking = tokio::spawn(async move {
            loop {
                let receipt = {
                    let mut count = count.lock();
                    *count += 1;
                    bus.publish(vec![message(&to, &format!("{round}:{}", *count - 1))])
                };
                receipt.confirmed().await.expect("published");
            }
        });
        other.listen(std::slice::from_ref(&channel)).await;
        let first = *said.lock();
        let wanted = first + 20;
        let mark = format!("{round}:");
        let heard = |told: &Told| -> Vec<usize> {
            let texts = told.on(&channel);
            let own = texts.iter().filter_map(|text| text.strip_prefix(&mark));
            own.map(|text| text.parse().expect("a number")).collect()
        };
        other
            .until("heard", |told| heard(told).last() >= Some(&wanted))
            .await;
        speaking.abort();
        let numbers = heard(&other.told());
        assert!(numbers[0] <= first, "{} missed", numbers[0] - first);
        assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]));
        other.bus.unlisten(vec![channel.clone()]);
        until_count(&one, &channel, 0).await;
    }
}

/// Speaks until so many listen.
async fn until_count(speaker: &Node, channel: &Channel, listeners: u64) {
    let begun = Instant::now();
    loop {
        let count = speaker.say(channel, "anybody?").await;
        if count == Ok(listeners) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{channel:?}: {count:?}");
    }
}

/// Calls come faster than they can be carried out, and cross each other.
pub async fn of_many_calls_for_a_channel_the_last_one_counts<C: Cluster>(cluster: &C) {
    const CHANNELS: usize = 60;
    let (one, other) = two(cluster).await;
    let channels: Vec<Channel> = (0..CHANNELS).map(|n| account(&format!("u{n}"))).collect();
    for step in 0..CHANNELS * 40 {
        let channel = &channels[step * 7 % CHANNELS];
        // Every channel gets a mix of both, in a pattern of its own.
        if (step * step / 3 + step / 5) % 2 == 0 {
            other.bus.listen(vec![channel.clone()]);
        } else {
            other.bus.unlisten(vec![channel.clone()]);
        }
        if step % 50 == 0 {
            tokio::task::yield_now().await;
        }
    }
    other.ears.0.lock().listening.clear();
    let (on, off) = channels.split_at(CHANNELS / 2);
    for (on, off) in on.iter().zip(off) {
        other
            .bus
            .unlisten(vec![on.clone(), off.clone(), on.clone()]);
        other.bus.listen(vec![off.clone(), on.clone()]);
        other.bus.unlisten(vec![off.clone()]);
    }
    other.until_listening(on).await;
    for channel in on {
        assert_eq!(one.say(channel, "on").await, Ok(1), "{channel:?}");
    }
    for channel in off {
        until_count(&one, channel, 0).await;
    }
}

/// As a channel that is asked for again is told again.
pub async fn a_channel_that_is_listened_to_is_told_again_when_asked_for<C: Cluster>(cluster: &C) {
    let (one, other) = two(cluster).await;
    let channel = account("u1");
    for _ in 0..5 {
        other.ears.0.lock().listening.clear();
        other.listen(std::slice::from_ref(&channel)).await;
        assert_eq!(one.say(&channel, "once").await, Ok(1), "however often");
    }
    other.until("heard", |told| told.heard.len() == 5).await;
}

/// Not even on channels that all nodes listen to.
pub async fn those_elsewhere_are_not_heard<C: Cluster>(cluster: &C) {
    let here = Node::run(cluster.join().await).await;
    let elsewhere = Node::run(cluster.join_elsewhere().await).await;
    let channels = [account("u1"), Channel::Node(NodeId(1)), Channel::Nodes];
    here.listen(&channels).await;
    elsewhere.listen(&channels).await;
    for channel in &channels {
        assert_eq!(elsewhere.say(channel, "elsewhere").await, Ok(1));
        assert_eq!(here.say(channel, "here").await, Ok(1));
        here.until("heard", |told| told.on(channel) == ["here"])
            .await;
        elsewhere
            .until("heard", |told| told.on(channel) == ["elsewhere"])
            .await;
    }
}

/// What is wanted outlives links, and may change while there is none.
pub async fn after_a_break_it_listens_to_what_is_wanted_then<C: Cluster>(cluster: &C) {
    let (one, other) = two(cluster).await;
    let (kept, given_up, new) = (account("kept"), account("given up"), account("new"));
    other.listen(&[kept.clone(), given_up.clone()]).await;
    for round in 1..=3 {
        cluster.cut().await;
        for node in [&one, &other] {
            node.until("down", |told| told.downs == round).await;
            assert!(!node.bus.is_up());
            assert_eq!(node.say(&kept, "lost").await, Err(NotPublished));
        }
        other.bus.unlisten(vec![given_up.clone()]);
        other.bus.listen(vec![new.clone()]);
        cluster.mend().await;
        for node in [&one, &other] {
            node.until("up", |told| told.ups == round + 1).await;
            assert!(node.bus.is_up());
        }
        other.until_listening(&[kept.clone(), new.clone()]).await;
        assert!(!other.told().listening.contains(&given_up));
        assert_eq!(one.say(&kept, "heard").await, Ok(1));
        assert_eq!(one.say(&new, "heard").await, Ok(1));
        assert_eq!(one.say(&given_up, "not heard").await, Ok(0));
        other
            .until("heard", |told| told.on(&kept).len() == round)
            .await;
    }
    assert!(other.told().on(&kept).iter().all(|text| text == "heard"));
}

/// One by one, as when all clients of a node come back.
pub async fn two_thousand_channels_are_asked_for_in_a_storm<C: Cluster>(cluster: &C) {
    const CHANNELS: usize = 2000;
    let (one, other) = two(cluster).await;
    let channels: Vec<Channel> = (0..CHANNELS).map(|n| account(&format!("u{n}"))).collect();
    for channel in &channels {
        other.bus.listen(vec![channel.clone()]);
    }
    other.until_listening(&channels).await;
    assert_eq!(other.told().listening.len(), CHANNELS, "each told once");
    let messages = channels.iter().map(|channel| message(channel, "x"));
    let counts = one.bus.publish(messages.collect()).confirmed().await;
    assert_eq!(counts, Ok(vec![1; CHANNELS]));
    other
        .until("heard", |told| told.heard.len() == CHANNELS)
        .await;
}

/// Up to a mebibyte, and of any bytes.
pub async fn payloads_come_as_they_are<C: Cluster>(cluster: &C) {
    let (one, other) = two(cluster).await;
    let channel = account("u1");
    other.listen(std::slice::from_ref(&channel)).await;
    let patterns = [0, 1, 100 * 1024 + 1, 1 << 20].map(|len: usize| {
        let bytes = (0..len).map(|at| u8::try_from((at * 31 + at / 251) % 256).expect("a byte"));
        bytes.collect::<Bytes>()
    });
    let messages = patterns.iter().map(|payload| Message {
        channel: channel.clone(),
        payload: payload.clone(),
    });
    let counts = one.bus.publish(messages.collect()).confirmed().await;
    assert_eq!(counts, Ok(vec![1; patterns.len()]));
    other
        .until("heard", |told| told.heard.len() == patterns.len())
        .await;
    let heard: Vec<Bytes> = other
        .told()
        .heard
        .into_iter()
        .map(|message| message.payload)
        .collect();
    assert!(heard == patterns, "not as they were sent");
}

/// With spaces, beyond ASCII, with what means something to patterns and hash slots.
pub async fn account_ids_may_have_any_characters<C: Cluster>(cluster: &C) {
    let (one, other) = two(cluster).await;
    let ids = [
        "a b",
        " ",
        "ä€😀",
        "{",
        "}",
        "{}",
        "{a}",
        "{b}x",
        "x{a}y{b}",
        "*",
        "u?",
        "[u1]",
        "\\",
        "a:u1",
        "nodes",
        "n:0000000000000001",
        "%00",
        "\"'",
        "$1",
        "u1\u{a0}",
    ];
    let channels: Vec<Channel> = ids.iter().map(|id| account(id)).collect();
    other.listen(&channels).await;
    for (id, channel) in ids.iter().zip(&channels) {
        assert_eq!(one.say(channel, id).await, Ok(1), "{id:?}");
    }
    other
        .until("heard", |told| told.heard.len() == ids.len())
        .await;
    let mut heard = HashMap::new();
    for message in other.told().heard {
        heard.insert(message.channel, message.payload);
    }
    for (id, channel) in ids.iter().zip(&channels) {
        assert_eq!(
            heard.get(channel).map(|payload| &payload[..]),
            Some(id.as_bytes())
        );
    }
}

/// Makes the suite's tests for the cluster that an expression makes.
#[macro_export]
macro_rules! bus_conformance {
    ($cluster:expr) => {
        $crate::bus_conformance! { @each $cluster;
            a_message_is_heard_by_whoever_listens_and_its_receipt_counts_them
            receipts_are_in_the_order_of_the_messages
            messages_of_one_speaker_come_in_their_order
            messages_of_two_speakers_come_to_all_in_one_order
            nothing_is_missed_once_it_is_told_that_it_listens
            of_many_calls_for_a_channel_the_last_one_counts
            a_channel_that_is_listened_to_is_told_again_when_asked_for
            those_elsewhere_are_not_heard
            after_a_break_it_listens_to_what_is_wanted_then
            two_thousand_channels_are_asked_for_in_a_storm
            payloads_come_as_they_are
            account_ids_may_have_any_characters
        }
    };
    (@each $cluster:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let cluster = $cluster;
                $crate::cluster::bus::conformance::$case(&cluster).await;
            }
        )*
    };
}
