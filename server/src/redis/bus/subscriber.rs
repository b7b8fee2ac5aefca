//! The half of a link that hears one server: subscribes in few commands, counts confirmations, hands on all that came
//! at once, and notices when nothing comes any more.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::time::{MissedTickBehavior, interval};

use super::RedisBus;
use super::life::{Life, Server};
use crate::cluster::bus::{BusListener, Channel, Message};
use crate::redis::resp::{self, Frame};
use crate::redis::wire::{LinkError, Wire};

/// How many channels are asked for at once: a command of some 20 kB, which Redis carries out in a fraction of a
/// millisecond.
const CHUNK: usize = 500;
/// How long nothing may come at all: a beat of the pulse goes out each second, so a link that was cut without a word is
/// noticed within this time after the last thing that came.
const SILENCE: Duration = Duration::from_millis(2500);
/// How long the node may not hear itself while other things come. Under load its beats wait their turn behind messages,
/// which is no reason to lose those.
const DEAF: Duration = Duration::from_secs(15);
/// How often that is looked at.
const TICK: Duration = Duration::from_millis(250);

/// What a subscriber may be sent.
enum Incoming {
    Message { name: Bytes, payload: Bytes },
    Confirmed { name: Bytes, on: bool },
}

/// What came at once, sorted.
#[derive(Default)]
struct Came {
    listening: Vec<Channel>,
    heard: Vec<Message>,
}

/// One connection that is subscribed.
pub(super) struct Subscriber<'a> {
    wire: Wire,
    bus: &'a RedisBus,
    life: &'a Life,
    index: usize,
    server: &'a Server,
    listener: &'a dyn BusListener,
    /// When anything came last, or this began.
    alive: Instant,
    /// When the pulse was heard last, or this began.
    pulse: Instant,
    heard_itself: bool,
}

impl<'a> Subscriber<'a> {
    pub(super) fn new(
        wire: Wire,
        bus: &'a RedisBus,
        life: &'a Life,
        index: usize,
        listener: &'a dyn BusListener,
    ) -> Self {
        Self {
            wire,
            bus,
            life,
            index,
            server: &life.servers[index],
            listener,
            alive: Instant::now(),
            pulse: Instant::now(),
            heard_itself: false,
        }
    }

    /// Hears until the link breaks.
    pub(super) async fn run(mut self) -> Result<Infallible, LinkError> {
        self.subscribe_to_pulse().await?;
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut frames = Vec::new();
        loop {
            tokio::select! {
                read = self.wire.read(&mut frames) => {
                    read?;
                    self.alive = Instant::now();
                    self.take_in(&mut frames)?;
                }
                () = self.server.changed.notified(), if self.bus.up_now() => self.order().await?,
                _ = ticks.tick() => self.check()?,
            }
        }
    }

    async fn subscribe_to_pulse(&mut self) -> Result<(), LinkError> {
        let Some(pulse) = &self.server.pulse else {
            return Ok(());
        };
        let mut command = Vec::new();
        resp::encode(&mut command, &[self.life.verbs.subscribe, pulse.as_bytes()]);
        self.wire.send(&command).await
    }

    fn check(&self) -> Result<(), LinkError> {
        let deaf = if self.heard_itself { DEAF } else { SILENCE };
        if self.server.pulse.is_none() {
            Ok(())
        } else if self.alive.elapsed() > SILENCE {
            Err(LinkError::new("nothing came for 2.5 s"))
        } else if self.pulse.elapsed() > deaf {
            Err(LinkError::new("the node does not hear itself"))
        } else {
            Ok(())
        }
    }

    /// Sends what is to be sent for changed channels, a chunk of it; then looks again, so that reading has its turn.
    async fn order(&mut self) -> Result<(), LinkError> {
        let orders = self.bus.subscriptions.lock().take(self.index, CHUNK);
        if orders.is_empty() {
            return Ok(());
        }
        let mut commands = Vec::new();
        self.write(&mut commands, self.life.verbs.subscribe, &orders.subscribe);
        self.write(
            &mut commands,
            self.life.verbs.unsubscribe,
            &orders.unsubscribe,
        );
        if !orders.listening.is_empty() {
            self.listener.listening(orders.listening);
        }
        self.server.changed.notify_one();
        self.wire.send(&commands).await
    }

    /// One command for all; in a cluster one for each, since a command's channels must be of one slot there.
    fn write(&self, commands: &mut Vec<u8>, verb: &[u8], channels: &[Channel]) {
        let each = if self.bus.is_sharded(self.life) {
            1
        } else {
            CHUNK
        };
        for chunk in channels.chunks(each) {
            let names: Vec<String> = chunk
                .iter()
                .map(|channel| self.bus.names.of(channel))
                .collect();
            let mut words = vec![verb];
            words.extend(names.iter().map(String::as_bytes));
            resp::encode(commands, &words);
        }
    }

    /// Confirmations are told first: what is heard on a channel is never news from one that is not listened to.
    fn take_in(&mut self, frames: &mut Vec<Frame>) -> Result<(), LinkError> {
        let mut came = Came::default();
        for frame in frames.drain(..) {
            match incoming(frame)? {
                Incoming::Message { name, payload } => self.message(&name, payload, &mut came),
                Incoming::Confirmed { name, on } => self.confirmed(&name, on, &mut came)?,
            }
        }
        if !came.listening.is_empty() {
            self.listener.listening(came.listening);
        }
        if !came.heard.is_empty() {
            self.listener.heard(came.heard);
        }
        Ok(())
    }

    fn message(&mut self, name: &[u8], payload: Bytes, came: &mut Came) {
        if self.is_pulse(name) {
            self.pulse = Instant::now();
            if !std::mem::replace(&mut self.heard_itself, true) && self.life.first_heard() {
                self.bus.came_up(self.listener);
            }
        } else if let Some(channel) = self.bus.names.channel(name) {
            came.heard.push(Message { channel, payload });
        }
    }

    fn confirmed(&self, name: &[u8], on: bool, came: &mut Came) -> Result<(), LinkError> {
        if self.is_pulse(name) && on {
            self.server.beat.notify_one();
            return Ok(());
        }
        let taken_away = || LinkError::new("a channel moved to another server");
        let channel = self.bus.names.channel(name).ok_or_else(taken_away)?;
        let confirmed = self.bus.subscriptions.lock().confirmed(&channel, on);
        if confirmed.map_err(|_| taken_away())? {
            came.listening.push(channel);
        }
        Ok(())
    }

    fn is_pulse(&self, name: &[u8]) -> bool {
        let pulse = self.server.pulse.as_ref();
        pulse.is_some_and(|pulse| pulse.as_bytes() == name)
    }
}

fn incoming(frame: Frame) -> Result<Incoming, LinkError> {
    let strange = || LinkError::new("a subscription was answered with what is no message");
    let members = match frame {
        Frame::Array(members) => members,
        Frame::Error(error) => return Err(LinkError::answered("the server answered", &error)),
        _ => return Err(strange()),
    };
    let [Frame::Text(kind), Frame::Text(name), last] =
        <[Frame; 3]>::try_from(members).map_err(|_| strange())?
    else {
        return Err(strange());
    };
    match (kind.as_ref(), last) {
        (b"message" | b"smessage", Frame::Text(payload)) => Ok(Incoming::Message { name, payload }),
        (b"subscribe" | b"ssubscribe", _) => Ok(Incoming::Confirmed { name, on: true }),
        (b"unsubscribe" | b"sunsubscribe", _) => Ok(Incoming::Confirmed { name, on: false }),
        _ => Err(strange()),
    }
}
