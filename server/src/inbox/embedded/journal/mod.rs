//! The engine's journals and folders, looked over before the engine opens them.
//!
//! The engine cuts a journal at the first entry that makes no sense to it, and deletes folders that its list
//! doesn't name. Both are right after a crash and wrong on a damaged disk, where they would drop notices that
//! were promised, without a word. So we decide first: what may be the torn end of a crash is cut off, and
//! anything else is refused, untouched.
//!
//! What a crash can tear is only what was not synced: buffered groups since the last sync, and one durable
//! group at the end. Durable groups are known by a row that each of them writes, so a journal in which one is
//! followed by anything had been synced up to there.

mod batch;
#[cfg(fuzzing)]
pub(super) mod fuzzing;

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use self::batch::{Ending, read_batch};
use super::folder::sync_dir;
use super::open_error::OpenError;
use super::tables::{LAST_ORDER, TABLES_ON_DISK, Tables};

/// When the journals are looked over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// The process starts after an orderly end, so nothing can be torn.
    CleanStart,
    /// The process starts, perhaps after a crash.
    Start,
    /// A write failed.
    Restart,
}

/// Looks everything over, and cuts off what a crash tore.
pub(super) fn check(db: &Path, before: Before) -> Result<(), OpenError> {
    check_folders(db)?;
    let journals = list(db)?;
    let (active, sealed) = journals
        .split_last()
        .ok_or_else(|| OpenError::damaged(db, "its journals are missing"))?;
    if let Some(pair) = journals.windows(2).find(|pair| pair[0].0 + 1 != pair[1].0) {
        return Err(OpenError::damaged(
            db,
            format!("its journal {}.jnl is missing", pair[0].0 + 1),
        ));
    }
    let mut last = 0;
    for (_, path) in sealed {
        last = check_journal(path, last, Part::Sealed)?;
    }
    let part = if before == Before::CleanStart {
        Part::Clean
    } else {
        Part::Active
    };
    check_journal(&active.1, last, part)?;
    if before == Before::Restart && !is_empty(&active.1)? {
        begin_another(db, active.0 + 1)?;
    }
    Ok(())
}

/// Everything that the engine would make anew, or take for rubbish, if it were missing.
fn check_folders(db: &Path) -> Result<(), OpenError> {
    let tables = db.join("keyspaces");
    let markers = (0..TABLES_ON_DISK).map(|number| tables.join(number.to_string()).join("current"));
    for path in [db.join("version"), db.join("lock")]
        .into_iter()
        .chain(markers)
    {
        if !path
            .try_exists()
            .map_err(|error| OpenError::from_io(&path, error))?
        {
            return Err(OpenError::damaged(&path, "the file is missing"));
        }
    }
    Ok(())
}

/// The journals by their numbers; the last is the one that is written to.
fn list(db: &Path) -> Result<Vec<(u64, PathBuf)>, OpenError> {
    let io = |error| OpenError::from_io(db, error);
    let mut journals = Vec::new();
    for entry in std::fs::read_dir(db).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|extension| extension == "jnl") {
            let number = path
                .file_stem()
                .and_then(|stem| stem.to_str()?.parse().ok());
            let number =
                number.ok_or_else(|| OpenError::damaged(&path, "it is no journal's name"))?;
            journals.push((number, path));
        }
    }
    journals.sort();
    Ok(journals)
}

/// The journal's part among the others: what may be wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// It was synced when the next one began. Only a group whose write failed may be cut short at its end.
    Sealed,
    /// It is written to. Its end may be torn.
    Active,
    /// It is written to, and was closed in order.
    Clean,
}

/// Looks a journal over whose groups come after number `last`; answers its own last number.
fn check_journal(path: &Path, mut last: u64, part: Part) -> Result<u64, OpenError> {
    let io = |error| OpenError::from_io(path, error);
    let file = File::open(path).map_err(io)?;
    let len = file.metadata().map_err(io)?.len();
    let mut input = BufReader::with_capacity(256 << 10, file);
    let mut good = 0;
    let ending = loop {
        match read_batch(&mut input, len - good, last).map_err(io)? {
            Ok(batch) => {
                good += batch.len;
                last = batch.sequence;
            }
            Err(ending) => break ending,
        }
    };
    if ending == Ending::Nothing {
        return Ok(last);
    }
    let rest = if holds_data(input.get_ref(), good) {
        rest_of(input.get_mut(), good).map_err(io)?
    } else {
        Vec::new()
    };
    if !rest.is_empty() {
        let refused = |what| OpenError::damaged(path, format!("{what}, {good} bytes in"));
        verdict(&rest, ending, part).map_err(refused)?;
        cut(path, good, rest.len()).map_err(io)?;
    }
    Ok(last)
}

/// Whether anything was ever written at or after `from`. Journals are made at their full length, sparse, so
/// this saves reading tens of megabytes of nothing. Where the file system can't say, it might.
fn holds_data(file: &File, from: u64) -> bool {
    !matches!(
        rustix::fs::seek(file, rustix::fs::SeekFrom::Data(from)),
        Err(rustix::io::Errno::NXIO)
    )
}

/// What follows the good part, without the zeros of the room that was set aside.
fn rest_of(file: &mut File, from: u64) -> std::io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(from))?;
    let mut rest = Vec::new();
    let mut chunk = vec![0; 256 << 10];
    let nothing = vec![0; chunk.len()];
    let mut zeros = 0;
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok(rest);
        }
        if chunk[..read] == nothing[..read] {
            zeros += read;
            continue;
        }
        match chunk[..read].iter().rposition(|byte| *byte != 0) {
            None => {}
            Some(last) => {
                rest.resize(rest.len() + zeros, 0);
                rest.extend_from_slice(&chunk[..=last]);
                zeros = read - last - 1;
            }
        }
    }
}

/// Whether `rest` may be cut off; if not, what it shows.
fn verdict(rest: &[u8], ending: Ending, part: Part) -> Result<(), &'static str> {
    let groups = groups_within(rest);
    match part {
        Part::Clean => Err("it was closed in order, and has an entry that makes no sense"),
        Part::Sealed if groups.is_empty() && ending.within(rest.len()) => Ok(()),
        Part::Sealed => Err("an entry makes no sense"),
        Part::Active => {
            let Some(first) = groups.first() else {
                return Ok(());
            };
            // A whole group whose number is wrong was not torn. One before others was synced if it was
            // durable, and so was all before it.
            let synced = first.start == 0
                || holds_marker(&rest[..first.start])
                || groups
                    .iter()
                    .any(|group| group.durable && group.end < rest.len());
            if synced {
                Err("an entry makes no sense, and it had been synced")
            } else {
                Ok(())
            }
        }
    }
}

/// A whole group within the part that makes no sense.
struct Stray {
    start: usize,
    end: usize,
    durable: bool,
}

fn groups_within(rest: &[u8]) -> Vec<Stray> {
    let (mut found, mut start) = (Vec::new(), 0);
    while start < rest.len() {
        let mut input = &rest[start..];
        let len = input.len() as u64;
        let end = match read_batch(&mut input, len, 0) {
            Ok(Ok(batch)) => {
                let end = start + usize::try_from(batch.len).unwrap_or(usize::MAX);
                found.push(Stray {
                    start,
                    end,
                    durable: batch.durable,
                });
                end
            }
            _ => start + 1,
        };
        start = end;
    }
    found
}

/// Whether the marker of durable groups is among these bytes, even if the damage went through it.
fn holds_marker(bytes: &[u8]) -> bool {
    let like = |window: &[u8]| {
        window
            .iter()
            .zip(LAST_ORDER)
            .filter(|(one, other)| one == other)
            .count()
    };
    bytes
        .windows(LAST_ORDER.len())
        .any(|window| like(window) + 2 >= LAST_ORDER.len())
}

fn cut(path: &Path, good: u64, bytes: usize) -> std::io::Result<()> {
    tracing::warn!(path = %path.display(), at = good, bytes, "cut off what a crash left half written");
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(good)?;
    file.sync_all()
}

/// Whether an earlier attempt made it, and nothing was written to it.
fn is_empty(path: &Path) -> Result<bool, OpenError> {
    let found = std::fs::metadata(path).map_err(|error| OpenError::from_io(path, error))?;
    Ok(found.len() == 0)
}

/// Makes the engine leave the last journal alone and write to a new one.
fn begin_another(db: &Path, number: u64) -> Result<(), OpenError> {
    let path = db.join(format!("{number}.jnl"));
    let begin = || {
        File::create_new(&path)?.sync_all()?;
        sync_dir(db)
    };
    begin().map_err(|error| OpenError::from_io(&path, error))
}

const FLUSH_WITHIN: Duration = Duration::from_secs(60);

/// Waits until all that the journals held is in tables, and synced.
pub(super) fn await_flush(tables: &Tables) -> fjall::Result<()> {
    let deadline = Instant::now() + FLUSH_WITHIN;
    while tables.unflushed() {
        // Says so if the engine gave up.
        tables.database.persist(fjall::PersistMode::Buffer)?;
        if Instant::now() >= deadline {
            return Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    tables.database.persist(fjall::PersistMode::SyncAll)
}

#[cfg(test)]
mod tests;
