//! The receiving side over WebSockets: connections that are upgraded, greeted, read, acknowledged, kept alive.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Result, bail};
use mio::event::Event;
use mio::{Registry, Token};

use super::deliveries::Deliveries;
use super::protocol::Plan;
use super::receivers::Receivers;
use crate::dialect::{Dialect, Inbound};
use crate::measure::stats::Latencies;
use crate::net::frame::{self, Opcode};
use crate::net::http;
use crate::net::meter::{Meter, Traffic};
use crate::net::peer::{Peer, ReadOutcome};
use crate::random::mix;

/// More than any server here sends in one go before the client answers.
const READ_BUFFER: usize = 256 * 1024;

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Connecting,
    Upgrading,
    Greeting,
    Online,
    Gone,
}

#[derive(Debug)]
struct Client {
    peer: Option<Peer>,
    progress: Progress,
    intended: Instant,
}

/// All clients of a worker.
pub(crate) struct Clients {
    plan: Rc<Plan>,
    dialect: Rc<dyn Dialect>,
    list: Vec<Client>,
    online: usize,
    gone: usize,
    failures: BTreeMap<String, u64>,
    handshakes: Latencies,
    buffer: Vec<u8>,
    ids: Vec<Range<usize>>,
    text: Vec<u8>,
    frames: Vec<u8>,
    meter: Rc<Meter>,
}

impl Clients {
    /// None yet.
    pub(crate) fn new(plan: Rc<Plan>, dialect: Rc<dyn Dialect>) -> Result<Self> {
        Ok(Self {
            plan,
            dialect,
            list: Vec::new(),
            online: 0,
            gone: 0,
            failures: BTreeMap::new(),
            handshakes: Latencies::new()?,
            buffer: vec![0; READ_BUFFER],
            ids: Vec::new(),
            text: Vec::new(),
            frames: Vec::new(),
            meter: Rc::default(),
        })
    }

    fn fail(&mut self, index: usize, reason: String) {
        let Some(client) = self.list.get_mut(index) else {
            return;
        };
        if client.progress == Progress::Gone {
            return;
        }
        let was_online = client.progress == Progress::Online;
        self.online -= usize::from(was_online);
        self.gone += 1;
        client.progress = Progress::Gone;
        client.peer = None;
        let reason = if was_online {
            format!("lost when online: {reason}")
        } else {
            reason
        };
        *self.failures.entry(reason).or_default() += 1;
    }

    fn advance(&mut self, index: usize, event: &Event, deliveries: &mut Deliveries) -> Result<()> {
        let Some(client) = self.list.get_mut(index) else {
            return Ok(());
        };
        let Some(peer) = client.peer.as_mut() else {
            return Ok(());
        };
        if client.progress == Progress::Connecting {
            if !peer.is_connected()? {
                return Ok(());
            }
            if let Some(credential) = self.plan.clients.get(index) {
                self.frames.clear();
                self.dialect
                    .upgrade(self.plan.server, credential, &mut self.frames);
                peer.write(&self.frames)?;
            }
            client.progress = Progress::Upgrading;
        }
        if event.is_writable() {
            peer.flush()?;
        }
        if event.is_readable() {
            self.read_all(index, event.is_read_closed(), deliveries)?;
        }
        Ok(())
    }

    fn read_all(
        &mut self,
        index: usize,
        to_the_end: bool,
        deliveries: &mut Deliveries,
    ) -> Result<()> {
        loop {
            let Some(peer) = self
                .list
                .get_mut(index)
                .and_then(|client| client.peer.as_mut())
            else {
                return Ok(());
            };
            match peer.read(&mut self.buffer)? {
                ReadOutcome::Nothing => return Ok(()),
                ReadOutcome::Closed => bail!("the server closed the connection"),
                ReadOutcome::Bytes { length, drained } => {
                    self.take_in(index, length, deliveries)?;
                    if drained && !to_the_end {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Takes in one read: all frames in it, then one acknowledgement and one write for all.
    fn take_in(&mut self, index: usize, length: usize, deliveries: &mut Deliveries) -> Result<()> {
        self.ids.clear();
        self.frames.clear();
        let mut at = 0;
        if self
            .list
            .get(index)
            .is_some_and(|client| client.progress == Progress::Upgrading)
        {
            match http::read_head(&self.buffer[..length])? {
                None => return self.finish(index, 0..length),
                Some(head) if head.status == 101 => at = head.size,
                Some(head) => bail!("the upgrade was refused with HTTP {}", head.status),
            }
            self.upgraded(index);
        }
        while let Some(frame) = frame::read(&self.buffer[at..length])? {
            let end = at + frame.size;
            let payload = end - frame.payload.len()..end;
            match frame.opcode {
                Opcode::Text => self.take_text(index, payload, deliveries)?,
                Opcode::Ping => self.answer(index, Opcode::Pong, payload),
                Opcode::Pong => {}
                Opcode::Close => bail!("closed with code {}", frame::close_code(frame.payload)),
            }
            at = end;
        }
        self.acknowledge(index);
        self.finish(index, at..length)
    }

    /// Writes the answers and keeps the part of a frame at the end.
    fn finish(&mut self, index: usize, rest: Range<usize>) -> Result<()> {
        let Some(peer) = self
            .list
            .get_mut(index)
            .and_then(|client| client.peer.as_mut())
        else {
            return Ok(());
        };
        if !self.frames.is_empty() {
            peer.write(&self.frames)?;
        }
        peer.keep(&self.buffer[rest]);
        Ok(())
    }

    fn upgraded(&mut self, index: usize) {
        if self.dialect.online_by_upgrade() {
            self.welcome(index);
            return;
        }
        if let Some(client) = self.list.get_mut(index) {
            client.progress = Progress::Greeting;
        }
        let hello = self
            .plan
            .clients
            .get(index)
            .and_then(|credential| self.dialect.hello(credential));
        if let Some(text) = hello {
            frame::write_masked(&mut self.frames, Opcode::Text, text.as_bytes(), mask(index));
        }
    }

    fn welcome(&mut self, index: usize) {
        if let Some(client) = self.list.get_mut(index) {
            client.progress = Progress::Online;
            self.online += 1;
            self.handshakes.record(client.intended.elapsed());
        }
    }

    fn take_text(
        &mut self,
        index: usize,
        payload: Range<usize>,
        deliveries: &mut Deliveries,
    ) -> Result<()> {
        let mut start = payload.start;
        // A server may put several lines into one frame.
        while start < payload.end {
            let rest = &self.buffer[start..payload.end];
            let end = memchr::memchr(b'\n', rest).map_or(payload.end, |length| start + length);
            self.take_line(index, start..end, deliveries)?;
            start = end + 1;
        }
        Ok(())
    }

    fn take_line(
        &mut self,
        index: usize,
        at: Range<usize>,
        deliveries: &mut Deliveries,
    ) -> Result<()> {
        let (start, line) = (at.start, &self.buffer[at]);
        match self.dialect.classify(line) {
            Inbound::Message { id } => {
                deliveries.receive(index, line);
                self.ids
                    .extend(id.map(|id| start + id.start..start + id.end));
            }
            Inbound::Welcome => self.welcome(index),
            Inbound::Ping => {
                let pong = self.dialect.pong();
                frame::write_masked(&mut self.frames, Opcode::Text, pong, mask(index));
            }
            Inbound::Refusal => bail!("the server said {}", String::from_utf8_lossy(line)),
            Inbound::Other => {}
        }
        Ok(())
    }

    fn answer(&mut self, index: usize, opcode: Opcode, payload: Range<usize>) {
        frame::write_masked(&mut self.frames, opcode, &self.buffer[payload], mask(index));
    }

    fn acknowledge(&mut self, index: usize) {
        if self.ids.is_empty() {
            return;
        }
        self.text.clear();
        let mut ids = self.ids.iter().map(|range| &self.buffer[range.clone()]);
        self.dialect.acknowledge(&mut ids, &mut self.text);
        frame::write_masked(&mut self.frames, Opcode::Text, &self.text, mask(index));
    }
}

impl Receivers for Clients {
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
        let sources = &self.plan.sources;
        let (server, token) = (self.plan.server, Token(index));
        let peer = match sources.get(index % sources.len().max(1)) {
            Some(&source) => Peer::connect(server, source, registry, token, &self.meter),
            None => Err(anyhow::anyhow!("no loopback address to connect from")),
        };
        let failure = peer.as_ref().err().map(|error| format!("{error:#}"));
        self.list.push(Client {
            peer: peer.ok(),
            progress: Progress::Connecting,
            intended,
        });
        if let Some(reason) = failure {
            self.fail(index, reason);
        }
    }

    fn handle(&mut self, event: &Event, _registry: &Registry, deliveries: &mut Deliveries) {
        let index = event.token().0;
        if let Err(error) = self.advance(index, event, deliveries) {
            self.fail(index, format!("{error:#}"));
        }
    }

    fn fail_pending(&mut self, reason: &str) {
        for index in 0..self.list.len() {
            if self
                .list
                .get(index)
                .is_some_and(|client| client.progress != Progress::Online)
            {
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

fn mask(index: usize) -> [u8; 4] {
    let [a, b, c, d, ..] = mix(index as u64).to_le_bytes();
    [a, b, c, d]
}
