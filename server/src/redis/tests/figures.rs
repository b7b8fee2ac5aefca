//! Figures, not judgements: run with `--run-ignored only -E 'test(redis::tests::figures)' --no-capture`.

use std::time::{Duration, Instant};

use super::bus::bus;
use super::server::Server;
use crate::cluster::bus::conformance::{Node, account, message};
use crate::cluster::bus::{Bus as _, BusListener, Channel, Message};

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
    kilobytes.expect("a number").parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "figures"]
async fn channels() {
    let mut server = Server::start(&[]).await;
    let node = Node::run(bus(&server.endpoint(), "notice:db:")).await;
    let channels: Vec<Channel> = (0..20_000)
        .map(|n| account(&format!("account-{n:08}")))
        .collect();
    let before = resident();
    let begun = Instant::now();
    for channel in &channels {
        node.bus.listen(vec![channel.clone()]);
    }
    node.until("listening", |told| told.listening.len() >= channels.len())
        .await;
    println!("20,000 listens, one by one: {:?}", begun.elapsed());
    println!(
        "memory: {} kB more, the test's own lists included",
        resident() - before
    );
    server.kill();
    node.until("down", |told| told.downs == 1).await;
    let begun = Instant::now();
    server.restart(&[]).await;
    println!("Redis restarted in {:?}", begun.elapsed());
    node.until("up", |told| told.ups == 2).await;
    println!("up after {:?}", begun.elapsed());
    let begun = Instant::now();
    node.until("listening", |told| told.listening.len() >= channels.len())
        .await;
    println!("20,000 channels asked for again: {:?}", begun.elapsed());
    let begun = Instant::now();
    for wave in channels.chunks(20) {
        node.bus.unlisten(wave.to_vec());
        node.bus.listen(wave.to_vec());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    println!(
        "waves of 20 given up and asked for again: {:?}",
        begun.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "figures"]
async fn messages() {
    let server = Server::start(&[]).await;
    let one = Node::run(bus(&server.endpoint(), "notice:db:")).await;
    let other = Node::run(bus(&server.endpoint(), "notice:db:")).await;
    let channel = account("u1");
    other.listen(std::slice::from_ref(&channel)).await;
    let text = "x".repeat(200);
    for rate in [500_u64, 2000, 5000] {
        let mut lags = Vec::new();
        let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / rate));
        for _ in 0..rate {
            ticks.tick().await;
            let begun = Instant::now();
            // Spoken and confirmed; hearing takes as long, by the other connection.
            let receipt = one.bus.publish(vec![message(&channel, &text)]);
            lags.push(tokio::spawn(async move {
                receipt.confirmed().await.map(|_| begun.elapsed())
            }));
        }
        let mut taken = Vec::new();
        for lag in lags {
            taken.push(lag.await.expect("ran").expect("published"));
        }
        taken.sort();
        let (half, most) = (taken[taken.len() / 2], taken[taken.len() * 99 / 100]);
        println!("{rate}/s singly: receipt p50 {half:?}, p99 {most:?}");
    }
    let before = other.told().heard.len();
    let (begun, total) = (Instant::now(), 200_000);
    for _ in 0..total / 1000 {
        let receipt = one.bus.publish(vec![message(&channel, &text); 1000]);
        receipt.confirmed().await.expect("published");
    }
    println!(
        "{total} of 200 bytes published by thousands: {:?}",
        begun.elapsed()
    );
    other
        .until("heard", |told| told.heard.len() >= before + total)
        .await;
    println!(
        "and heard: {:?}, in {} calls",
        begun.elapsed(),
        other.told().calls
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "figures"]
async fn lag() {
    let server = Server::start(&[]).await;
    let one = Node::run(bus(&server.endpoint(), "notice:db:")).await;
    let ears = std::sync::Arc::new(Stopwatch::default());
    let hearing = bus(&server.endpoint(), "notice:db:");
    let task = tokio::spawn(
        std::sync::Arc::clone(&hearing).run(std::sync::Arc::<Stopwatch>::clone(&ears)),
    );
    let channel = account("u1");
    hearing.listen(vec![channel.clone()]);
    while one.say(&channel, "").await != Ok(1) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for rate in [500_u64, 2000, 5000] {
        let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / rate));
        for _ in 0..2 * rate {
            ticks.tick().await;
            let now = ears.begun.elapsed().as_nanos().to_string();
            drop(one.bus.publish(vec![message(&channel, &now)]));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        let mut lags = std::mem::take(&mut *ears.lags.lock());
        lags.sort();
        let (half, most) = (lags[lags.len() / 2], lags[lags.len() * 99 / 100]);
        println!(
            "{rate}/s: node to node p50 {half:?}, p99 {most:?} ({} heard)",
            lags.len()
        );
    }
    task.abort();
}

/// Reckons how long messages took that say when they were sent.
struct Stopwatch {
    begun: Instant,
    lags: parking_lot::Mutex<Vec<Duration>>,
}

impl Default for Stopwatch {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            lags: parking_lot::Mutex::default(),
        }
    }
}

impl BusListener for Stopwatch {
    fn heard(&self, messages: Vec<Message>) {
        let now = self.begun.elapsed();
        let sent = messages.iter().filter_map(|message| {
            let text = std::str::from_utf8(&message.payload).ok()?;
            text.parse().ok().map(Duration::from_nanos)
        });
        self.lags
            .lock()
            .extend(sent.map(|sent| now.saturating_sub(sent)));
    }
    fn listening(&self, _: Vec<Channel>) {}
    fn down(&self) {}
    fn up(&self) {}
}
