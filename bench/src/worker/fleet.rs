//! A worker's event loop and its phases: connecting, pacing, flat out.

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mio::{Events, Poll, Token, Waker};

use super::clients::Clients;
use super::deliveries::Deliveries;
use super::fetchers::Fetchers;
use super::pacer::Pacer;
use super::protocol::{Command, Plan, Reply};
use super::receivers::Receivers;
use super::stagers::{FIRST_TOKEN, Job, Stagers};
use crate::dialect::Dialect;
use crate::measure::process::own_cpu_time;
use crate::random::mix;

const WAKER: Token = Token(usize::MAX - 1);
const TIMER: Token = Token(usize::MAX - 2);

/// Long enough for anything that still comes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Everything of a worker.
pub(crate) struct Fleet {
    poll: Poll,
    events: Events,
    clients: Box<dyn Receivers>,
    stagers: Stagers,
    deliveries: Deliveries,
    pacer: Option<Pacer>,
    /// How long a phase waits for what is still on its way.
    patience: Duration,
}

impl Fleet {
    /// A fleet with nothing connected.
    pub(crate) fn new(plan: Plan) -> Result<Self> {
        let plan = Rc::new(plan);
        let dialect: Rc<dyn Dialect> = Rc::from(plan.dialect.dialect());
        let clients: Box<dyn Receivers> = match plan.dialect.fetch() {
            Some(fetch) => Box::new(Fetchers::new(Rc::clone(&plan), fetch)?),
            None => Box::new(Clients::new(Rc::clone(&plan), Rc::clone(&dialect))?),
        };
        Ok(Self {
            poll: Poll::new().context("could not make an event loop")?,
            events: Events::with_capacity(1024),
            clients,
            stagers: Stagers::new(plan, dialect)?,
            deliveries: Deliveries::new()?,
            pacer: None,
            patience: PATIENCE,
        })
    }

    /// Wakes the loop from another thread.
    pub(crate) fn waker(&self) -> Result<Waker> {
        Waker::new(self.poll.registry(), WAKER).context("could not make a waker")
    }

    /// Waits for events and handles them; returns after `at_most` in any case.
    pub(crate) fn turn(&mut self, at_most: Duration) -> Result<()> {
        let now = Instant::now();
        let due = self.clients.act(self.poll.registry(), now);
        let until_due = due.map_or(at_most, |due| due.saturating_duration_since(now));
        match self
            .poll
            .poll(&mut self.events, Some(at_most.min(until_due)))
        {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(()),
            other => other.context("waiting for events failed")?,
        }
        for event in &self.events {
            match event.token() {
                WAKER => {}
                TIMER => self.pacer.iter().for_each(Pacer::rearm),
                Token(number) if number < FIRST_TOKEN => {
                    self.clients
                        .handle(event, self.poll.registry(), &mut self.deliveries);
                }
                _ => self.stagers.handle(event, &mut self.deliveries)?,
            }
        }
        Ok(())
    }

    /// Carries out one command.
    pub(crate) fn obey(&mut self, command: &Command) -> Result<Reply> {
        let cpu = own_cpu_time();
        let mut reply = match *command {
            Command::Connect {
                clients,
                per_second,
            } => self.connect(clients, per_second)?,
            Command::Lag {
                per_second,
                seconds,
                stagers,
            } => self.lag(per_second, seconds, stagers)?,
            Command::Throughput {
                batch,
                stagers,
                seconds,
            } => self.throughput(batch, stagers, seconds)?,
            Command::Status => Reply::default(),
        };
        reply.worker_cpu_seconds = own_cpu_time().saturating_sub(cpu).as_secs_f64();
        reply.online = self.clients.online();
        reply.failures = self.clients.take_failures();
        reply.traffic = self.clients.traffic();
        Ok(reply)
    }

    fn connect(&mut self, clients: usize, per_second: f64) -> Result<Reply> {
        self.clients.handshakes().clear();
        let total = clients.saturating_sub(self.clients.started());
        let start = Instant::now();
        self.pace(per_second, total as u64)?;
        while let Some(pacer) = self.pacer.as_mut().filter(|pacer| !pacer.is_finished()) {
            while let Some(intended) = pacer.next_due() {
                self.clients.start_next(self.poll.registry(), intended);
            }
            self.turn(PATIENCE)?;
        }
        self.pacer = None;
        self.turn_until(|fleet| fleet.clients.pending() == 0)?;
        self.clients.fail_pending("not online in time");
        let latencies = self.clients.handshakes().counts();
        Ok(Reply {
            latencies,
            seconds: start.elapsed().as_secs_f64(),
            ..Reply::default()
        })
    }

    fn lag(&mut self, per_second: f64, seconds: f64, stagers: usize) -> Result<Reply> {
        self.open_stagers(stagers)?;
        self.pace(per_second, at_rate(per_second, seconds))?;
        while let Some(pacer) = self.pacer.as_mut().filter(|pacer| !pacer.is_finished()) {
            while let Some(intended) = pacer.next_due() {
                let job = next_job(&mut self.deliveries, self.clients.started(), 1, intended);
                self.stagers.submit(job, &self.deliveries)?;
            }
            self.turn(PATIENCE)?;
        }
        self.pacer = None;
        self.settle()
    }

    fn throughput(&mut self, batch: usize, stagers: usize, seconds: f64) -> Result<Reply> {
        let clients = self.clients.started();
        ensure!(
            batch <= clients,
            "a batch goes to distinct accounts: {batch} need as many connections"
        );
        self.open_stagers(stagers)?;
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        while Instant::now() < end {
            while self.stagers.has_free() {
                let job = next_job(&mut self.deliveries, clients, batch, Instant::now());
                self.stagers.submit(job, &self.deliveries)?;
            }
            self.turn(Duration::from_millis(100))?;
        }
        self.settle()
    }

    fn pace(&mut self, per_second: f64, total: u64) -> Result<()> {
        self.pacer = Some(Pacer::start(
            self.poll.registry(),
            TIMER,
            per_second,
            total,
        )?);
        Ok(())
    }

    fn open_stagers(&mut self, count: usize) -> Result<()> {
        ensure!(self.clients.started() > 0, "no clients are connected yet");
        ensure!(count > 0, "at least one staging connection is needed");
        self.stagers.open(count, self.poll.registry())?;
        self.turn_until(|fleet| fleet.stagers.are_idle())?;
        if !self.stagers.are_idle() {
            bail!(
                "the staging connections were not made in {} s",
                PATIENCE.as_secs()
            );
        }
        self.deliveries.begin();
        Ok(())
    }

    /// Waits for the answers and arrivals that are still missing, then sums up.
    fn settle(&mut self) -> Result<Reply> {
        self.turn_until(|fleet| {
            let tally = fleet.deliveries.ledger.tally();
            fleet.stagers.are_idle() && tally.refused + tally.received >= tally.staged
        })?;
        // What comes twice comes a little later.
        let end = Instant::now() + Duration::from_millis(200);
        while Instant::now() < end {
            self.turn(Duration::from_millis(20))?;
        }
        let reply = Reply {
            latencies: self.deliveries.lags.counts(),
            staging: self.stagers.calls.counts(),
            tally: self.deliveries.ledger.tally(),
            seconds: self.deliveries.duration().as_secs_f64(),
            ..Reply::default()
        };
        self.stagers.close();
        Ok(reply)
    }

    fn turn_until(&mut self, is_done: impl Fn(&Self) -> bool) -> Result<()> {
        let end = Instant::now() + self.patience;
        while !is_done(self) && Instant::now() < end {
            self.turn(Duration::from_millis(100))?;
        }
        Ok(())
    }
}

/// How many actions fit into a time at a rate, one at least.
fn at_rate(per_second: f64, seconds: f64) -> u64 {
    let period = Duration::from_secs_f64(1.0 / per_second.clamp(f64::MIN_POSITIVE, 1e9));
    let actions = Duration::from_secs_f64(seconds).as_nanos() / period.as_nanos().max(1);
    u64::try_from(actions).unwrap_or(u64::MAX).max(1)
}

/// Enters the next messages, each to another account.
fn next_job(deliveries: &mut Deliveries, clients: usize, count: usize, intended: Instant) -> Job {
    // A prime, so that stepping by it meets every account before one comes again.
    const STEP: u64 = 999_983;
    let (clients, mut first) = (clients.max(1) as u64, None);
    let start = mix(deliveries.ledger.tally().staged);
    for number in 0..count as u64 {
        let receiver = (start % clients + number * STEP) % clients;
        let sequence = deliveries
            .ledger
            .stage(u32::try_from(receiver).unwrap_or(0));
        first.get_or_insert(sequence);
    }
    Job {
        first: first.unwrap_or(0),
        count: count as u64,
        intended,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{Credential, DialectKind, Fetch};
    use crate::worker::double::{Behaviour, Double, Fate};
    use std::net::Ipv4Addr;

    const CLIENTS: usize = 20;

    fn online(behaviour: Behaviour) -> Result<(Double, Fleet)> {
        let key = "key".to_owned();
        online_by(DialectKind::NoticeV1 { key }, behaviour)
    }

    fn online_by(dialect: DialectKind, behaviour: Behaviour) -> Result<(Double, Fleet)> {
        let server = Double::start(behaviour)?;
        let credential = |number| Credential {
            account: format!("u{number}"),
            token: format!("token-of-u{number}"),
        };
        let mut fleet = Fleet::new(Plan {
            dialect,
            server: server.address,
            staging: server.address,
            clients: (0..CLIENTS).map(credential).collect(),
            sources: vec![Ipv4Addr::LOCALHOST],
        })?;
        let reply = fleet.obey(&Command::Connect {
            clients: CLIENTS,
            per_second: 1000.0,
        })?;
        assert_eq!(
            (reply.online, reply.failures.len()),
            (CLIENTS, 0),
            "{reply:?}"
        );
        Ok((server, fleet))
    }

    #[test]
    fn paced_messages_all_arrive_and_are_acknowledged() -> Result<()> {
        let (server, mut fleet) = online(|_| Fate::Deliver)?;
        let reply = fleet.obey(&Command::Lag {
            per_second: 500.0,
            seconds: 0.2,
            stagers: 4,
        })?;
        assert!(reply.tally.is_clean(), "{reply:?}");
        assert_eq!(reply.tally.received, 100);
        assert_eq!(server.acknowledged(100), 100);
        Ok(())
    }

    #[test]
    fn batches_flat_out_all_arrive_and_are_acknowledged() -> Result<()> {
        let (server, mut fleet) = online(|_| Fate::Deliver)?;
        let reply = fleet.obey(&Command::Throughput {
            batch: 10,
            stagers: 2,
            seconds: 0.2,
        })?;
        assert!(reply.tally.is_clean(), "{reply:?}");
        assert!(reply.tally.received >= 10);
        assert_eq!(
            server.acknowledged(reply.tally.received),
            reply.tally.received
        );
        Ok(())
    }

    #[test]
    fn doubles_are_seen() -> Result<()> {
        let (_server, mut fleet) = online(|number| {
            if number % 10 == 0 {
                Fate::Double
            } else {
                Fate::Deliver
            }
        })?;
        let reply = fleet.obey(&Command::Lag {
            per_second: 500.0,
            seconds: 0.2,
            stagers: 4,
        })?;
        assert_eq!((reply.tally.received, reply.tally.doubled), (100, 10));
        Ok(())
    }

    #[test]
    fn losses_are_seen() -> Result<()> {
        let (_server, mut fleet) = online(|number| {
            if number % 10 == 0 {
                Fate::Lose
            } else {
                Fate::Deliver
            }
        })?;
        fleet.patience = Duration::from_millis(300);
        let reply = fleet.obey(&Command::Lag {
            per_second: 500.0,
            seconds: 0.2,
            stagers: 4,
        })?;
        assert_eq!((reply.tally.received, reply.tally.lost()), (90, 10));
        Ok(())
    }

    const EVERY: Duration = Duration::from_millis(50);

    const FETCHES: [Fetch; 4] = [
        Fetch::Events,
        Fetch::LongPoll,
        Fetch::ShortPoll { every: EVERY },
        Fetch::Page { every: EVERY },
    ];

    /// The answer to some messages, and those that the stand-in saw acknowledged.
    fn fetched(fetch: Fetch, behaviour: Behaviour) -> Result<(Reply, Double)> {
        let key = "key".to_owned();
        let (server, mut fleet) = online_by(DialectKind::NoticeFetch { key, fetch }, behaviour)?;
        fleet.patience = Duration::from_secs(2);
        let reply = fleet.obey(&Command::Lag {
            per_second: 500.0,
            seconds: 0.2,
            stagers: 4,
        })?;
        assert!(reply.failures.is_empty(), "{fetch:?}: {reply:?}");
        assert!(reply.traffic.sent > 0 && reply.traffic.received > 0);
        Ok((reply, server))
    }

    #[test]
    fn every_way_without_a_websocket_brings_all_messages() -> Result<()> {
        for fetch in FETCHES {
            let (reply, server) = fetched(fetch, |_| Fate::Deliver)?;
            assert!(reply.tally.is_clean(), "{fetch:?}: {reply:?}");
            assert_eq!(reply.tally.received, 100, "{fetch:?}");
            if fetch == Fetch::LongPoll {
                assert_eq!(server.acknowledged(100), 100);
            }
        }
        Ok(())
    }

    #[test]
    fn losses_are_seen_on_every_way_without_a_websocket() -> Result<()> {
        for fetch in FETCHES {
            let lose = |number: u64| match number % 10 {
                0 => Fate::Lose,
                _ => Fate::Deliver,
            };
            let (reply, _server) = fetched(fetch, lose)?;
            assert_eq!(reply.tally.lost(), 10, "{fetch:?}");
        }
        Ok(())
    }

    #[test]
    fn doubles_are_seen_in_events_and_polls() -> Result<()> {
        // A page shows notices again by its nature.
        for fetch in &FETCHES[..3] {
            let (reply, _server) = fetched(*fetch, |_| Fate::Double)?;
            assert_eq!(reply.tally.doubled, 100, "{fetch:?}");
        }
        Ok(())
    }

    #[test]
    fn a_batch_to_more_accounts_than_there_are_is_refused() -> Result<()> {
        let (_server, mut fleet) = online(|_| Fate::Deliver)?;
        let reply = fleet.obey(&Command::Throughput {
            batch: 21,
            stagers: 1,
            seconds: 0.1,
        });
        assert!(reply.is_err_and(|error| error.to_string().contains("distinct accounts")));
        Ok(())
    }
}
