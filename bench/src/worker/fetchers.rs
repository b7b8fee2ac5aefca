//! The receiving side without WebSockets: each client asks by HTTP on a connection that it keeps, and asks again as its
//! way wants it: when the answer is there, or after a time. One way's answer never ends.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use mio::event::Event;
use mio::{Registry, Token};

use super::answers::{Answer, Inbox, Stream};
use super::deliveries::Deliveries;
use super::protocol::Plan;
use super::receivers::Receivers;
use crate::dialect::Fetch;
use crate::measure::stats::Latencies;
use crate::net::http::{self, Head};
use crate::net::meter::{Meter, Traffic};
use crate::net::peer::{Peer, ReadOutcome};

/// More than any answer here has.
const READ_BUFFER: usize = 256 * 1024;

/// What a client is doing.
#[derive(Debug)]
enum State {
    /// Nothing until it is time for the next request; its connection may be open.
    Resting,
    /// Its request waits for a connection.
    Connecting,
    /// Its request is on its way, or the answer is; `kept` is whether the connection was there before.
    Asking {
        kept: bool,
    },
    /// Its answer goes on.
    Streaming(Stream),
    Gone,
}

#[derive(Debug)]
struct Fetcher {
    peer: Option<Peer>,
    state: State,
    intended: Instant,
    online: bool,
    inbox: Inbox,
}

/// All clients of a worker.
pub(crate) struct Fetchers {
    plan: Rc<Plan>,
    fetch: Fetch,
    list: Vec<Fetcher>,
    online: usize,
    gone: usize,
    failures: BTreeMap<String, u64>,
    handshakes: Latencies,
    meter: Rc<Meter>,
    /// When who asks next.
    agenda: BinaryHeap<Reverse<(Instant, usize)>>,
    buffer: Vec<u8>,
    request: Vec<u8>,
}

impl Fetchers {
    /// None yet.
    pub(crate) fn new(plan: Rc<Plan>, fetch: Fetch) -> Result<Self> {
        Ok(Self {
            plan,
            fetch,
            list: Vec::new(),
            online: 0,
            gone: 0,
            failures: BTreeMap::new(),
            handshakes: Latencies::new()?,
            meter: Rc::default(),
            agenda: BinaryHeap::new(),
            buffer: vec![0; READ_BUFFER],
            request: Vec::new(),
        })
    }

    /// Asks, or begins to connect for it.
    fn ask(&mut self, index: usize, registry: &Registry) -> Result<()> {
        if let Some(every) = self.fetch.every() {
            self.agenda.push(Reverse((Instant::now() + every, index)));
        }
        let fetcher = self.list.get_mut(index).context("no such client")?;
        if fetcher.peer.is_some() {
            return self.send(index, true);
        }
        self.connect(index, registry)
    }

    fn connect(&mut self, index: usize, registry: &Registry) -> Result<()> {
        let sources = &self.plan.sources;
        let source = sources.get(index % sources.len().max(1));
        let source = *source.context("no loopback address to connect from")?;
        let token = Token(index);
        let peer = Peer::connect(self.plan.server, source, registry, token, &self.meter)?;
        let fetcher = self.list.get_mut(index).context("no such client")?;
        fetcher.peer = Some(peer);
        fetcher.state = State::Connecting;
        Ok(())
    }

    fn send(&mut self, index: usize, kept: bool) -> Result<()> {
        let credential = self.plan.clients.get(index).context("no such client")?;
        let fetcher = self.list.get_mut(index).context("no such client")?;
        let peer = fetcher.peer.as_mut().context("no connection")?;
        self.request.clear();
        self.fetch.request(
            self.plan.server,
            credential,
            fetcher.inbox.to_acknowledge(),
            !fetcher.online,
            &mut self.request,
        );
        fetcher.state = State::Asking { kept };
        peer.write(&self.request)
    }

    fn advance(
        &mut self,
        index: usize,
        event: &Event,
        registry: &Registry,
        deliveries: &mut Deliveries,
    ) -> Result<()> {
        let Some(fetcher) = self.list.get_mut(index) else {
            return Ok(());
        };
        let Some(peer) = fetcher.peer.as_mut() else {
            return Ok(());
        };
        if matches!(fetcher.state, State::Connecting) {
            if !peer.is_connected()? {
                return Ok(());
            }
            return self.send(index, false);
        }
        if event.is_writable() {
            peer.flush()?;
        }
        if event.is_readable() {
            self.read_all(index, event.is_read_closed(), registry, deliveries)?;
        }
        Ok(())
    }

    fn read_all(
        &mut self,
        index: usize,
        to_the_end: bool,
        registry: &Registry,
        deliveries: &mut Deliveries,
    ) -> Result<()> {
        loop {
            let fetcher = self.list.get_mut(index).context("no such client")?;
            let Some(peer) = fetcher.peer.as_mut() else {
                return Ok(());
            };
            match peer.read(&mut self.buffer)? {
                ReadOutcome::Nothing => return Ok(()),
                ReadOutcome::Closed => return self.closed(index, registry),
                ReadOutcome::Bytes { length, drained } => {
                    self.take_in(index, length, registry, deliveries)?;
                    if drained && !to_the_end {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// A kept connection may end while it rests, or at the moment when it is used again.
    fn closed(&mut self, index: usize, registry: &Registry) -> Result<()> {
        let fetcher = self.list.get_mut(index).context("no such client")?;
        let answering = fetcher.peer.as_ref().is_some_and(Peer::has_kept);
        fetcher.peer = None;
        match fetcher.state {
            State::Resting => Ok(()),
            State::Asking { kept: true } if !answering => self.connect(index, registry),
            _ => bail!("the server closed the connection"),
        }
    }

    fn take_in(
        &mut self,
        index: usize,
        length: usize,
        registry: &Registry,
        deliveries: &mut Deliveries,
    ) -> Result<()> {
        let fetcher = self.list.get_mut(index).context("no such client")?;
        let bytes = &self.buffer[..length];
        match &mut fetcher.state {
            State::Streaming(stream) => {
                return stream.take_in(bytes, |line| deliveries.receive(index, line));
            }
            State::Asking { .. } => {}
            _ => bail!("the server sent what was not asked"),
        }
        let Some(head) = http::read_head(bytes)? else {
            fetcher.keep(bytes);
            return Ok(());
        };
        ensure!(head.status == 200, "the answer was HTTP {}", head.status);
        if self.fetch.streams() {
            let mut stream = Stream::of(&head);
            stream.take_in(&bytes[head.size..], |line| deliveries.receive(index, line))?;
            fetcher.state = State::Streaming(stream);
            self.welcome(index);
            return Ok(());
        }
        match http::read(bytes)? {
            None => fetcher.keep(bytes),
            Some(response) => {
                let body = response.body();
                let answer = match self.fetch {
                    Fetch::Page { .. } => Answer::Page(&body),
                    _ => Answer::Poll(&body),
                };
                fetcher
                    .inbox
                    .take_in(answer, |text| deliveries.receive(index, text))?;
                self.answered(index, &head, registry)?;
            }
        }
        Ok(())
    }

    fn answered(&mut self, index: usize, head: &Head, registry: &Registry) -> Result<()> {
        self.welcome(index);
        let fetcher = self.list.get_mut(index).context("no such client")?;
        fetcher.state = State::Resting;
        if head.closes {
            fetcher.peer = None;
        }
        match self.fetch.every() {
            // It is on the agenda.
            Some(_) => Ok(()),
            None => self.ask(index, registry),
        }
    }

    fn welcome(&mut self, index: usize) {
        if let Some(fetcher) = self.list.get_mut(index)
            && !fetcher.online
        {
            fetcher.online = true;
            self.online += 1;
            self.handshakes.record(fetcher.intended.elapsed());
        }
    }

    fn fail(&mut self, index: usize, reason: String) {
        let Some(fetcher) = self.list.get_mut(index) else {
            return;
        };
        if matches!(fetcher.state, State::Gone) {
            return;
        }
        fetcher.state = State::Gone;
        fetcher.peer = None;
        self.gone += 1;
        let was_online = std::mem::take(&mut fetcher.online);
        self.online -= usize::from(was_online);
        let reason = if was_online {
            format!("lost when online: {reason}")
        } else {
            reason
        };
        *self.failures.entry(reason).or_default() += 1;
    }
}

impl Fetcher {
    fn keep(&mut self, part: &[u8]) {
        if let Some(peer) = &mut self.peer {
            peer.keep(part);
        }
    }
}

impl Receivers for Fetchers {
    fn started(&self) -> usize {
        self.list.len()
    }

    fn online(&self) -> usize {
        self.online
    }

    fn pending(&self) -> usize {
        self.list.len() - self.online - self.gone
    }

    fn start_next(&mut self, registry: &Registry, intended: Instant) {
        let index = self.list.len();
        self.list.push(Fetcher {
            peer: None,
            state: State::Resting,
            intended,
            online: false,
            inbox: Inbox::default(),
        });
        if let Err(error) = self.ask(index, registry) {
            self.fail(index, format!("{error:#}"));
        }
    }

    fn handle(&mut self, event: &Event, registry: &Registry, deliveries: &mut Deliveries) {
        let index = event.token().0;
        if let Err(error) = self.advance(index, event, registry, deliveries) {
            self.fail(index, format!("{error:#}"));
        }
    }

    fn act(&mut self, registry: &Registry, now: Instant) -> Option<Instant> {
        while let Some(&Reverse((at, index))) = self.agenda.peek() {
            if at > now {
                return Some(at);
            }
            self.agenda.pop();
            let state = self.list.get(index).map(|fetcher| &fetcher.state);
            let asked = match state {
                Some(State::Resting) => self.ask(index, registry),
                Some(State::Gone) | None => Ok(()),
                // The server is behind: the next request waits for the answer to this one, and is asked for then.
                Some(_) => {
                    let later = now + self.fetch.every().unwrap_or_default();
                    self.agenda.push(Reverse((later, index)));
                    Ok(())
                }
            };
            if let Err(error) = asked {
                self.fail(index, format!("{error:#}"));
            }
        }
        None
    }

    fn fail_pending(&mut self, reason: &str) {
        for index in 0..self.list.len() {
            if self.list.get(index).is_some_and(|fetcher| !fetcher.online) {
                self.fail(index, reason.to_owned());
            }
        }
    }

    fn take_failures(&mut self) -> BTreeMap<String, u64> {
        std::mem::take(&mut self.failures)
    }

    fn handshakes(&mut self) -> &mut Latencies {
        &mut self.handshakes
    }

    fn traffic(&self) -> Traffic {
        self.meter.traffic()
    }
}
