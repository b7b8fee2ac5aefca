//! The phases that run in a process of their own, so that memory and CPU are one engine's.

use std::io::{Write, stdout};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::store::{Engine, Presence, Store};
use super::workload::{self, HOT_ACCOUNT, HOT_UNREAD};
use crate::measure::disk;
use crate::measure::process::{own_cpu_time, peak_resident_bytes, resident_bytes};
use crate::measure::stats::{Latencies, Summary};

/// Groups of this many notices fill a database.
const FILL_GROUP: u64 = 1000;

/// Groups of this many notices are written until the kill.
pub(crate) const CRASH_GROUP: u64 = 100;

/// What committing groups cost.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CommitCost {
    /// Groups in all.
    pub(crate) groups: u64,
    /// Notices in all.
    pub(crate) notices: u64,
    /// Wall time of the whole.
    pub(crate) seconds: f64,
    /// CPU time of the process, background threads included, per notice.
    pub(crate) cpu_us_per_notice: f64,
    /// Time of one commit.
    pub(crate) commit: Summary,
}

/// What a filled database is like.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Filled {
    /// What filling it cost.
    pub(crate) cost: CommitCost,
    /// Disk space right after.
    pub(crate) disk_bytes: u64,
    /// Resident memory right after.
    pub(crate) resident_bytes: u64,
    /// The greatest resident memory meanwhile.
    pub(crate) peak_bytes: u64,
    /// Time of reading the 100 unread entries of one account.
    pub(crate) prefix_read: Summary,
}

/// What was found after a kill.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Verified {
    /// Time from the call to the database being open.
    pub(crate) open_ms: f64,
    /// Resident memory once it was open.
    pub(crate) resident_bytes: u64,
    /// Notices whose commit had been answered.
    pub(crate) answered: u64,
    /// Those of them that were not there, or not in the right state.
    pub(crate) wrong: u64,
}

/// Commits groups of one size to an empty database for a while.
pub(crate) fn commit_for(
    engine: Engine,
    folder: &Path,
    group: u64,
    time: Duration,
) -> Result<CommitCost> {
    let store = engine.open(folder)?;
    let end = Instant::now() + time;
    write_groups(store.as_ref(), 0, group, |_| Ok(Instant::now() < end))
}

/// Fills an empty database with `notices` and asks it for one account's unread ones.
pub(crate) fn fill(engine: Engine, folder: &Path, notices: u64) -> Result<Filled> {
    let store = engine.open(folder)?;
    store.commit(&workload::hot_account_group())?;
    let cost = write_groups(store.as_ref(), 0, FILL_GROUP, |written| {
        Ok(written < notices)
    })?;
    let pid = std::process::id();
    Ok(Filled {
        cost,
        disk_bytes: disk::allocated_bytes(folder)?,
        resident_bytes: resident_bytes(pid)?,
        peak_bytes: peak_resident_bytes(pid)?,
        prefix_read: read_prefix(store.as_ref())?,
    })
}

/// Writes on from notice `from` and prints the number of answered notices, until it is killed.
pub(crate) fn write_until_killed(engine: Engine, folder: &Path, from: u64) -> Result<()> {
    let store = engine.open(folder)?;
    write_groups(store.as_ref(), from, CRASH_GROUP, |written| {
        writeln!(stdout(), "{}", from + written)?;
        stdout().flush()?;
        Ok(true)
    })?;
    Ok(())
}

/// Opens the database after the kill and looks up all that was answered.
pub(crate) fn verify(engine: Engine, folder: &Path, answered: u64) -> Result<Verified> {
    let start = Instant::now();
    let store = engine.open(folder)?;
    let open_ms = start.elapsed().as_secs_f64() * 1e3;
    let resident_bytes = resident_bytes(std::process::id())?;
    let unread = store.count_unread(HOT_ACCOUNT)?;
    ensure!(
        unread == HOT_UNREAD,
        "{unread} unread notices of {HOT_UNREAD} were left"
    );
    Ok(Verified {
        open_ms,
        resident_bytes,
        answered,
        wrong: count_wrong(store.as_ref(), answered)?,
    })
}

/// Commits groups, each with the marks of the one before it, while `go_on` of the number of
/// notices written says so.
fn write_groups(
    store: &dyn Store,
    from: u64,
    size: u64,
    mut go_on: impl FnMut(u64) -> Result<bool>,
) -> Result<CommitCost> {
    let mut commit = Latencies::new()?;
    let (start, start_cpu) = (Instant::now(), own_cpu_time());
    // What filled the database left its last group unread.
    let (mut next, mut read) = (from, from.saturating_sub(FILL_GROUP));
    while go_on(next - from)? {
        let group = workload::group(next..next + size, read..next);
        let committing = Instant::now();
        store.commit(&group)?;
        commit.record(committing.elapsed());
        (read, next) = (next, next + size);
    }
    let notices = next - from;
    let cpu = own_cpu_time().saturating_sub(start_cpu);
    Ok(CommitCost {
        groups: notices / size,
        notices,
        seconds: start.elapsed().as_secs_f64(),
        cpu_us_per_notice: cpu.as_secs_f64() * 1e6 / notices.max(1) as f64,
        commit: commit.summary(),
    })
}

fn read_prefix(store: &dyn Store) -> Result<Summary> {
    let mut latencies = Latencies::new()?;
    for _ in 0..2000 {
        let start = Instant::now();
        let unread = store.count_unread(HOT_ACCOUNT)?;
        latencies.record(start.elapsed());
        ensure!(
            unread == HOT_UNREAD,
            "{unread} unread notices of {HOT_UNREAD} were read"
        );
    }
    Ok(latencies.summary())
}

/// Answered notices must be there; all but the last group's must be marked as read as well.
fn count_wrong(store: &dyn Store, answered: u64) -> Result<u64> {
    let marked = answered.saturating_sub(CRASH_GROUP);
    let mut wrong = 0;
    for sequence in 0..answered {
        let found = store.presence(&workload::key(sequence))?;
        let read = Presence {
            record: true,
            unread: false,
            mark: true,
        };
        let right = if sequence < marked {
            found == read
        } else {
            found.record
        };
        wrong += u64::from(!right);
    }
    Ok(wrong)
}
