//! A worker process: holds connections and stages messages, on one thread and one event loop.
//!
//! The benchmark starts itself again as workers, as a process may open some 20,000 files only.
//! The same worker, with the same work, loads every system.

mod answers;
mod clients;
mod deliveries;
#[cfg(test)]
mod double;
mod fetchers;
mod fleet;
pub(crate) mod ledger;
mod pacer;
pub(crate) mod protocol;
mod receivers;
mod stagers;

use std::io::{BufRead, Write, stdin, stdout};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::Duration;

use anyhow::{Context, Result};
use mio::Waker;

use fleet::Fleet;
use protocol::{Command, Plan, Reply};

/// Runs a worker on standard input and output until the input ends.
pub(crate) fn run() -> Result<()> {
    let mut first = String::new();
    stdin()
        .read_line(&mut first)
        .context("could not read the plan")?;
    let plan: Plan = serde_json::from_str(&first).context("the first line is not a plan")?;
    let mut fleet = Fleet::new(plan)?;
    let commands = listen(fleet.waker()?);
    loop {
        match commands.try_recv() {
            Ok(command) => answer(&fleet.obey(&command?)?)?,
            Err(TryRecvError::Disconnected) => return Ok(()),
            // Between commands, pings must still be answered.
            Err(TryRecvError::Empty) => fleet.turn(Duration::from_secs(1))?,
        }
    }
}

/// Reads commands on a thread of their own, as standard input can't be in the event loop.
fn listen(waker: Waker) -> Receiver<Result<Command>> {
    // One command is outstanding at most.
    let (sender, receiver) = sync_channel(1);
    std::thread::spawn(move || {
        for line in stdin().lock().lines() {
            let command = line.context("could not read a command").and_then(|line| {
                serde_json::from_str(&line).with_context(|| format!("not a command: {line}"))
            });
            if sender.send(command).is_err() || waker.wake().is_err() {
                return;
            }
        }
        drop(sender);
        // That the loop is gone already is what is wanted.
        let _ = waker.wake();
    });
    receiver
}

fn answer(reply: &Reply) -> Result<()> {
    let line = serde_json::to_string(reply)?;
    writeln!(stdout(), "{line}").context("the benchmark went away")
}
