//! The workload on fjall 3: three keyspaces, one batch a group, synced by `fdatasync`.

use std::path::Path;

use anyhow::Result;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::store::{Group, Key, Presence, Store};

/// All journals together, in the small variant; fjall accepts no less.
const SMALL_JOURNAL: u64 = 64 * 1024 * 1024;
/// One keyspace's memtable in the small variant, an eighth of the default.
const SMALL_MEMTABLE: u64 = 8 * 1024 * 1024;
/// The block cache in the small variant, half of the default.
const SMALL_CACHE: u64 = 16 * 1024 * 1024;

/// An open fjall database.
pub(crate) struct FjallStore {
    database: Database,
    records: Keyspace,
    unread: Keyspace,
    marks: Keyspace,
}

impl FjallStore {
    pub(crate) fn open(folder: &Path, small: bool) -> Result<Self> {
        // The batch's own durability syncs; without this each batch would be flushed twice.
        let mut builder = Database::builder(folder).manual_journal_persist(true);
        if small {
            builder = builder
                .max_journaling_size(SMALL_JOURNAL)
                .cache_size(SMALL_CACHE);
        }
        let database = builder.open()?;
        let options = || match KeyspaceCreateOptions::default() {
            options if small => options.max_memtable_size(SMALL_MEMTABLE),
            options => options,
        };
        let keyspace = |name| database.keyspace(name, options);
        let (records, unread, marks) =
            (keyspace("record")?, keyspace("unread")?, keyspace("mark")?);
        Ok(Self {
            database,
            records,
            unread,
            marks,
        })
    }
}

impl Store for FjallStore {
    fn commit(&self, group: &Group) -> Result<()> {
        let mut batch = self
            .database
            .batch()
            .durability(Some(PersistMode::SyncData));
        for (key, value) in &group.records {
            batch.insert(&self.records, *key, *value);
        }
        for (key, value) in &group.unread {
            batch.insert(&self.unread, *key, *value);
        }
        for key in &group.read {
            batch.remove(&self.unread, *key);
        }
        for (key, value) in &group.marks {
            batch.insert(&self.marks, *key, *value);
        }
        Ok(batch.commit()?)
    }

    fn count_unread(&self, account: [u8; 8]) -> Result<usize> {
        let mut count = 0;
        for entry in self.unread.prefix(account) {
            let (_key, value) = entry.into_inner()?;
            count += usize::from(value.len() == 8);
        }
        Ok(count)
    }

    fn presence(&self, key: &Key) -> Result<Presence> {
        Ok(Presence {
            record: self
                .records
                .get(key)?
                .is_some_and(|value| value.len() == 150),
            unread: self.unread.contains_key(key)?,
            mark: self.marks.contains_key(key)?,
        })
    }
}
