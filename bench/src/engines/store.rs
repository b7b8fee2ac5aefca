//! What every engine under comparison must do, and which engines there are.

use std::path::Path;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::{fjall_store::FjallStore, log_store::LogStore, redb_store::RedbStore};

/// Key of a record, an unread entry and a mark: account hash, time in ms, counter.
pub(crate) type Key = [u8; 16];

/// All that one commit writes.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// New notices.
    pub(crate) records: Vec<(Key, [u8; 150])>,
    /// Entries of the index of unread notices, one for each record.
    pub(crate) unread: Vec<(Key, [u8; 8])>,
    /// Notices that were read since: they leave the index...
    pub(crate) read: Vec<Key>,
    /// ...and get a mark.
    pub(crate) marks: Vec<(Key, [u8; 20])>,
}

/// What is stored under one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Presence {
    /// There is a record.
    pub(crate) record: bool,
    /// It is in the index of unread notices.
    pub(crate) unread: bool,
    /// It has a mark.
    pub(crate) mark: bool,
}

/// An open database.
pub(crate) trait Store {
    /// Writes the group as one; on return it is on the disk, past a loss of power.
    fn commit(&self, group: &Group) -> Result<()>;

    /// Reads the unread entries of one account and says how many there were.
    fn count_unread(&self, account: [u8; 8]) -> Result<usize>;

    /// Looks one key up everywhere.
    fn presence(&self, key: &Key) -> Result<Presence>;
}

/// The engines under comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Engine {
    /// A plain file, appended and synced: the floor, it can't be queried.
    Log,
    /// fjall 3, a log-structured tree, as it comes.
    Fjall,
    /// fjall 3 with small memtables and journals: less memory, quicker to open after a crash.
    FjallSmall,
    /// redb 4, a copy-on-write B-tree, as it comes.
    Redb,
    /// redb 4 with quick repair: slower commits, quick to open after a crash.
    RedbQuick,
}

impl Engine {
    /// The name to report and to pass to a child process.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Fjall => "fjall",
            Self::FjallSmall => "fjall-small",
            Self::Redb => "redb",
            Self::RedbQuick => "redb-quick",
        }
    }

    /// Whether it can be asked for what it holds.
    pub(crate) fn can_be_queried(self) -> bool {
        self != Self::Log
    }

    /// Opens or makes its database in a folder.
    pub(crate) fn open(self, folder: &Path) -> Result<Box<dyn Store>> {
        let store: Result<Box<dyn Store>> = match self {
            Self::Log => LogStore::open(folder).map(|store| Box::new(store) as _),
            Self::Fjall => FjallStore::open(folder, false).map(|store| Box::new(store) as _),
            Self::FjallSmall => FjallStore::open(folder, true).map(|store| Box::new(store) as _),
            Self::Redb => RedbStore::open(folder, false).map(|store| Box::new(store) as _),
            Self::RedbQuick => RedbStore::open(folder, true).map(|store| Box::new(store) as _),
        };
        store.with_context(|| format!("could not open {} in {}", self.name(), folder.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::workload;

    fn exercise(engine: Engine) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let store = engine.open(folder.path())?;
        store.commit(&workload::hot_account_group())?;
        store.commit(&workload::group(0..10, 0..0))?;
        store.commit(&workload::group(10..20, 0..10))?;
        drop(store);

        let store = engine.open(folder.path())?;
        assert_eq!(
            store.count_unread(workload::HOT_ACCOUNT)?,
            workload::HOT_UNREAD
        );
        let read = Presence {
            record: true,
            unread: false,
            mark: true,
        };
        let unread = Presence {
            record: true,
            unread: true,
            mark: false,
        };
        let absent = Presence {
            record: false,
            unread: false,
            mark: false,
        };
        assert_eq!(store.presence(&workload::key(3))?, read);
        assert_eq!(store.presence(&workload::key(13))?, unread);
        assert_eq!(store.presence(&workload::key(23))?, absent);
        Ok(())
    }

    #[test]
    fn fjall_keeps_records_unread_entries_and_marks_over_reopening() -> Result<()> {
        exercise(Engine::Fjall)?;
        exercise(Engine::FjallSmall)
    }

    #[test]
    fn redb_keeps_records_unread_entries_and_marks_over_reopening() -> Result<()> {
        exercise(Engine::Redb)?;
        exercise(Engine::RedbQuick)
    }
}
