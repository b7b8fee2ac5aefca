//! The workload on redb 4: three tables, one write transaction a group, durable at once.

use std::path::Path;

use anyhow::Result;
use redb::{Database, Durability, ReadableDatabase, TableDefinition, WriteTransaction};

use super::store::{Group, Key, Presence, Store};

const RECORDS: TableDefinition<'static, &[u8; 16], &[u8; 150]> = TableDefinition::new("record");
const UNREAD: TableDefinition<'static, &[u8; 16], &[u8; 8]> = TableDefinition::new("unread");
const MARKS: TableDefinition<'static, &[u8; 16], &[u8; 20]> = TableDefinition::new("mark");

/// Memory for pages; redb's own default of 1 GiB would make its resident memory meaningless.
const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// An open redb database.
pub(crate) struct RedbStore {
    database: Database,
    quick_repair: bool,
}

impl RedbStore {
    pub(crate) fn open(folder: &Path, quick_repair: bool) -> Result<Self> {
        let path = folder.join("notices.redb");
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(path)?;
        let store = Self {
            database,
            quick_repair,
        };
        let transaction = store.begin()?;
        transaction.open_table(RECORDS)?;
        transaction.open_table(UNREAD)?;
        transaction.open_table(MARKS)?;
        transaction.commit()?;
        Ok(store)
    }

    fn begin(&self) -> Result<WriteTransaction> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        transaction.set_quick_repair(self.quick_repair);
        Ok(transaction)
    }
}

fn write(transaction: &WriteTransaction, group: &Group) -> Result<()> {
    let mut records = transaction.open_table(RECORDS)?;
    for (key, value) in &group.records {
        records.insert(key, value)?;
    }
    let mut unread = transaction.open_table(UNREAD)?;
    for (key, value) in &group.unread {
        unread.insert(key, value)?;
    }
    for key in &group.read {
        unread.remove(key)?;
    }
    let mut marks = transaction.open_table(MARKS)?;
    for (key, value) in &group.marks {
        marks.insert(key, value)?;
    }
    Ok(())
}

impl Store for RedbStore {
    fn commit(&self, group: &Group) -> Result<()> {
        let transaction = self.begin()?;
        write(&transaction, group)?;
        Ok(transaction.commit()?)
    }

    fn count_unread(&self, account: [u8; 8]) -> Result<usize> {
        let (mut first, mut last) = ([0x00; 16], [0xFF; 16]);
        first[..8].copy_from_slice(&account);
        last[..8].copy_from_slice(&account);
        let table = self.database.begin_read()?.open_table(UNREAD)?;
        let mut count = 0;
        for entry in table.range::<&Key>(&first..=&last)? {
            let (_key, value) = entry?;
            count += usize::from(value.value().len() == 8);
        }
        Ok(count)
    }

    fn presence(&self, key: &Key) -> Result<Presence> {
        let transaction = self.database.begin_read()?;
        Ok(Presence {
            record: transaction.open_table(RECORDS)?.get(key)?.is_some(),
            unread: transaction.open_table(UNREAD)?.get(key)?.is_some(),
            mark: transaction.open_table(MARKS)?.get(key)?.is_some(),
        })
    }
}
