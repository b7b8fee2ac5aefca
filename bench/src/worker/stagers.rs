//! The staging side: kept HTTP connections, each with one call at a time.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use mio::event::Event;
use mio::{Registry, Token};

use super::deliveries::Deliveries;
use super::ledger::Stamp;
use super::protocol::Plan;
use crate::dialect::{Dialect, Outgoing};
use crate::measure::stats::Latencies;
use crate::net::http;
use crate::net::meter::Meter;
use crate::net::peer::{Peer, ReadOutcome};

/// Tokens of staging connections start here; those of clients stay below.
pub(crate) const FIRST_TOKEN: usize = 1 << 24;

/// Staging connects from here, clients from other addresses.
const SOURCE: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Consecutive messages of the ledger, to be staged by one call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Job {
    /// The first message's number.
    pub(crate) first: u64,
    /// How many.
    pub(crate) count: u64,
    /// When the call was to start.
    pub(crate) intended: Instant,
}

#[derive(Debug)]
struct Stager {
    peer: Peer,
    connected: bool,
    job: Option<Job>,
}

/// All staging connections of a phase.
pub(crate) struct Stagers {
    plan: Rc<Plan>,
    dialect: Rc<dyn Dialect>,
    list: Vec<Stager>,
    /// Taken by turns: one that is left alone for long is closed by servers.
    free: VecDeque<usize>,
    waiting: VecDeque<Job>,
    buffer: Vec<u8>,
    texts: Vec<String>,
    body: Vec<u8>,
    request: Vec<u8>,
    /// Nobody asks what it counts.
    meter: Rc<Meter>,
    /// From the intended start of a call to its answer.
    pub(crate) calls: Latencies,
}

impl Stagers {
    /// None yet.
    pub(crate) fn new(plan: Rc<Plan>, dialect: Rc<dyn Dialect>) -> Result<Self> {
        Ok(Self {
            plan,
            dialect,
            list: Vec::new(),
            free: VecDeque::new(),
            waiting: VecDeque::new(),
            buffer: vec![0; 256 * 1024],
            texts: Vec::new(),
            body: Vec::new(),
            request: Vec::new(),
            meter: Rc::default(),
            calls: Latencies::new()?,
        })
    }

    /// Starts to connect so many.
    pub(crate) fn open(&mut self, count: usize, registry: &Registry) -> Result<()> {
        self.close();
        self.calls.clear();
        for index in 0..count {
            let peer = Peer::connect(
                self.plan.staging,
                SOURCE,
                registry,
                Token(FIRST_TOKEN + index),
                &self.meter,
            )?;
            self.list.push(Stager {
                peer,
                connected: false,
                job: None,
            });
        }
        Ok(())
    }

    /// Closes all.
    pub(crate) fn close(&mut self) {
        self.list.clear();
        self.free.clear();
        self.waiting.clear();
    }

    /// Whether all are connected and none has a call.
    pub(crate) fn are_idle(&self) -> bool {
        self.free.len() == self.list.len() && self.waiting.is_empty()
    }

    /// Whether a job would be started at once.
    pub(crate) fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// Starts a job, or keeps it until a connection is free.
    pub(crate) fn submit(&mut self, job: Job, deliveries: &Deliveries) -> Result<()> {
        match self.free.pop_front() {
            Some(index) => self.send(index, job, deliveries),
            None => {
                self.waiting.push_back(job);
                Ok(())
            }
        }
    }

    /// Handles what happened to one connection's socket.
    pub(crate) fn handle(&mut self, event: &Event, deliveries: &mut Deliveries) -> Result<()> {
        let index = event.token().0 - FIRST_TOKEN;
        let Some(stager) = self.list.get_mut(index) else {
            return Ok(());
        };
        if !stager.connected
            && stager
                .peer
                .is_connected()
                .context("staging could not connect")?
        {
            stager.connected = true;
            self.free.push_back(index);
        }
        if event.is_writable() {
            stager.peer.flush()?;
        }
        if event.is_readable() {
            self.read_all(index, deliveries)?;
        }
        Ok(())
    }

    fn send(&mut self, index: usize, job: Job, deliveries: &Deliveries) -> Result<()> {
        self.write_texts(job, deliveries);
        let numbers = job.first..job.first + job.count;
        let messages = numbers.zip(&self.texts).filter_map(|(sequence, text)| {
            let receiver = usize::try_from(deliveries.ledger.receiver(sequence)?).ok()?;
            Some(Outgoing {
                account: &self.plan.clients.get(receiver)?.account,
                text,
            })
        });
        let messages: Vec<Outgoing<'_>> = messages.collect();
        self.request.clear();
        self.dialect.stage(
            self.plan.staging,
            &messages,
            &mut self.body,
            &mut self.request,
        );
        if let Some(stager) = self.list.get_mut(index) {
            stager.job = Some(job);
            stager.peer.write(&self.request)?;
        }
        Ok(())
    }

    fn write_texts(&mut self, job: Job, deliveries: &Deliveries) {
        let intended_ns = deliveries.ns(job.intended);
        let count = usize::try_from(job.count).unwrap_or(0);
        if self.texts.len() < count {
            self.texts.resize(count, String::new());
        }
        for (sequence, text) in (job.first..job.first + job.count).zip(&mut self.texts) {
            Stamp {
                sequence,
                intended_ns,
            }
            .write(text);
        }
    }

    fn read_all(&mut self, index: usize, deliveries: &mut Deliveries) -> Result<()> {
        loop {
            let Some(stager) = self.list.get_mut(index) else {
                return Ok(());
            };
            match stager.peer.read(&mut self.buffer)? {
                ReadOutcome::Nothing => return Ok(()),
                ReadOutcome::Closed => {
                    bail!("the server closed a staging connection in the middle of the load")
                }
                ReadOutcome::Bytes { length, drained } => {
                    self.take_in(index, length, deliveries)?;
                    if drained {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn take_in(&mut self, index: usize, length: usize, deliveries: &mut Deliveries) -> Result<()> {
        let bytes = &self.buffer[..length];
        let Some(stager) = self.list.get_mut(index) else {
            return Ok(());
        };
        let Some(response) = http::read(bytes)? else {
            stager.peer.keep(bytes);
            return Ok(());
        };
        let Some(job) = stager.job.take() else {
            bail!("the server answered what was not asked")
        };
        self.calls.record(job.intended.elapsed());
        if !self.dialect.is_accepted(response.status, response.raw_body) {
            deliveries.ledger.refuse(job.count);
        }
        match self.waiting.pop_front() {
            Some(next) => self.send(index, next, deliveries),
            None => {
                self.free.push_back(index);
                Ok(())
            }
        }
    }
}
