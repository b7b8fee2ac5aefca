//! The store's tables within the engine, and their settings.
//!
//! | table | key | value |
//! |---|---|---|
//! | `notices` | order (8), account hash (8): the id | the notice |
//! | `unread` | account hash (8), order (8) | expiry, pushed, the account's other hash; only while unread |
//! | `marks` | the same | what became of it, once it is not unread |
//! | `idempotency` | day (4), digest (16) | the first call's id, and its body's digest |
//! | `collapse` | digest (16) | the key of the newest notice of that scope |
//! | `expiry` | time (8), key (16) | nothing |
//! | `tokens` | SHA-256 (32) | end, account |
//! | `meta` | name | the secret of the hashes; the order of the newest id |
//!
//! The large rows, the notices, come in the order of their keys: they are written at the end of a table and
//! never merged with older ones, and what is old is at the beginning. The small ones are by account, as catching
//! up and history need them.

use fjall::config::{BlockSizePolicy, CompressionPolicy};
use fjall::{
    CompressionType, Database, Iter, Keyspace, KeyspaceCreateOptions, PersistMode, UserValue,
};

use super::keys::{AccountHash, Key, Secret};
use super::record::{BadRow, Mark, UnreadRow};
use crate::domain::NoticeId;

/// A read or write of the tables that failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum TableError {
    #[error("{}", describe(.0))]
    Engine(#[from] fjall::Error),
    #[error(transparent)]
    Row(#[from] BadRow),
}

/// The engine's errors in words; its own display is a debug print.
pub(super) fn describe(error: &fjall::Error) -> String {
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => {
            error.to_string()
        }
        fjall::Error::Poisoned => "an earlier write to the disk failed".to_owned(),
        fjall::Error::Storage(fjall::LsmError::ChecksumMismatch { .. }) => {
            "a block on the disk does not match its checksum".to_owned()
        }
        fjall::Error::Storage(fjall::LsmError::Unrecoverable) => {
            "a file is missing or broken".to_owned()
        }
        other => format!("{other:?}"),
    }
}

const SECRET: &[u8] = b"secret";

/// The row that each durable group rewrites, and no other. A journal's reader knows synced groups by it.
pub(super) const LAST_ORDER: &[u8] = b"last-order";

/// The same for groups that made ids, but need not be durable.
pub(super) const LAST_UNSYNCED_ORDER: &[u8] = b"last-unsynced-order";

/// Every unread notice of a lower order has its row in the unread table (see `young`).
pub(super) const SETTLED_BELOW: &[u8] = b"settled-below";

/// The names of the tables, in the order in which they are made.
const NAMES: [&str; 8] = [
    "meta",
    "notices",
    "unread",
    "marks",
    "idempotency",
    "collapse",
    "expiry",
    "tokens",
];

/// How many tables the engine keeps on the disk, its own one included.
pub(super) const TABLES_ON_DISK: usize = NAMES.len() + 1;

/// Journals are cut at 64 MiB by the engine; with twice that waiting, it flushes what holds them back.
const JOURNAL_BYTES: u64 = 128 << 20;

/// Files that the engine keeps open: the rest of the process's bound is for connections.
const OPEN_FILES: usize = 256;

/// Tables in memory that may wait to be written, and tables on the disk that may wait to be merged, before
/// the writer waits: just below what makes the engine itself wait (4 and 20).
const SEALED: usize = 2;
const UNMERGED: usize = 18;

/// A flush waits for a running compaction when there is one thread, but a second one would spin while it
/// does (seen in the engine's sources).
const ENGINE_THREADS: usize = 1;

/// The open tables. Whoever holds it keeps the engine's lock.
pub(super) struct Tables {
    pub(super) database: Database,
    pub(super) meta: Keyspace,
    pub(super) notices: Keyspace,
    pub(super) unread: Keyspace,
    pub(super) marks: Keyspace,
    pub(super) idempotency: Keyspace,
    pub(super) collapse: Keyspace,
    pub(super) expiry: Keyspace,
    pub(super) tokens: Keyspace,
}

fn settings(name: &str) -> KeyspaceCreateOptions {
    // At most five tables of memory each (one active, four being flushed): 80 MiB for notices, 160 for the
    // rest, and in use only while the disk is behind.
    let memory = match name {
        "notices" => 16 << 20,
        "unread" | "marks" | "idempotency" => 8 << 20,
        _ => 2 << 20,
    };
    // Small tables make small steps of merging, which flushes have to wait for.
    let merging = fjall::compaction::Leveled::default().with_table_target_size(16 << 20);
    let options = KeyspaceCreateOptions::default()
        .compaction_strategy(std::sync::Arc::new(merging))
        .max_memtable_size(memory)
        .data_block_size_policy(BlockSizePolicy::all(4 << 10));
    match name {
        "notices" => options,
        // Hashes and times don't compress.
        _ => options.data_block_compression_policy(CompressionPolicy::disabled()),
    }
}

impl Tables {
    /// Opens the engine in `dir` and all tables; those that aren't there are made.
    pub(super) fn open(dir: &std::path::Path, cache_bytes: u64) -> fjall::Result<Self> {
        let database = Database::builder(dir)
            .cache_size(cache_bytes)
            .worker_threads(ENGINE_THREADS)
            .max_cached_files(Some(OPEN_FILES))
            .max_journaling_size(JOURNAL_BYTES)
            .journal_compression(CompressionType::None)
            // Each batch names its own durability.
            .manual_journal_persist(true)
            .open()?;
        let table = |name: &'static str| database.keyspace(name, || settings(name));
        let [
            meta,
            notices,
            unread,
            marks,
            idempotency,
            collapse,
            expiry,
            tokens,
        ] = NAMES;
        Ok(Self {
            meta: table(meta)?,
            notices: table(notices)?,
            unread: table(unread)?,
            marks: table(marks)?,
            idempotency: table(idempotency)?,
            collapse: table(collapse)?,
            expiry: table(expiry)?,
            tokens: table(tokens)?,
            database,
        })
    }

    /// The secret of the store's hashes, if it has one yet.
    pub(super) fn secret(&self) -> Result<Option<Secret>, TableError> {
        let Some(secret) = self.meta.get(SECRET)? else {
            return Ok(None);
        };
        let secret = <[u8; 16]>::try_from(&*secret).map_err(|_| BadRow { table: "meta" })?;
        Ok(Some(Secret(secret)))
    }

    pub(super) fn put_secret(&self, secret: Secret) -> fjall::Result<()> {
        self.meta.insert(SECRET, secret.0)?;
        self.database.persist(PersistMode::SyncAll)
    }

    /// The order of the newest id that was made, 0 before the first.
    pub(super) fn last_order(&self) -> Result<u64, TableError> {
        Ok(self
            .order_in(LAST_ORDER)?
            .max(self.order_in(LAST_UNSYNCED_ORDER)?))
    }

    /// Below which order every unread notice has its row.
    pub(super) fn settled_below(&self) -> Result<u64, TableError> {
        self.order_in(SETTLED_BELOW)
    }

    fn order_in(&self, row: &[u8]) -> Result<u64, TableError> {
        let Some(order) = self.meta.get(row)? else {
            return Ok(0);
        };
        let order = <[u8; 8]>::try_from(&*order).map_err(|_| BadRow { table: "meta" })?;
        Ok(u64::from_be_bytes(order))
    }

    /// What the tables take on the disk, without the journals.
    pub(super) fn disk_space(&self) -> u64 {
        self.all().into_iter().map(|table| table.disk_space()).sum()
    }

    /// Waits while the engine has as much in memory as it may. It would wait by itself a little later, but
    /// for ever if its thread failed meanwhile.
    pub(super) fn await_memory(&self) -> fjall::Result<()> {
        while self.is_behind() {
            self.database.persist(PersistMode::Buffer)?;
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        Ok(())
    }

    fn is_behind(&self) -> bool {
        let behind = |table: &Keyspace| {
            table.sealed_memtable_count() > SEALED || table.l0_table_count() > UNMERGED
        };
        self.all().into_iter().any(behind)
    }

    fn all(&self) -> [&Keyspace; 8] {
        let Self {
            database: _,
            meta,
            notices,
            unread,
            marks,
            idempotency,
            collapse,
            expiry,
            tokens,
        } = self;
        [
            meta,
            notices,
            unread,
            marks,
            idempotency,
            collapse,
            expiry,
            tokens,
        ]
    }

    /// Whether memory holds what was given to the engine for writing into tables.
    pub(super) fn unflushed(&self) -> bool {
        let waits = |table: &Keyspace| table.sealed_memtable_count() > 0;
        self.all().into_iter().any(waits)
    }

    pub(super) fn unread_row(&self, key: Key) -> Result<Option<UnreadRow>, TableError> {
        Ok(self
            .unread
            .get(key.bytes())?
            .map(|row| UnreadRow::read(&row))
            .transpose()?)
    }

    pub(super) fn mark(&self, key: Key) -> Result<Option<Mark>, TableError> {
        Ok(self
            .marks
            .get(key.bytes())?
            .map(|row| Mark::read(&row))
            .transpose()?)
    }

    pub(super) fn notice_row(&self, id: NoticeId) -> Result<Option<UserValue>, TableError> {
        Ok(self.notices.get(id.bits().to_be_bytes())?)
    }
}

/// An account's rows of a table whose orders lie within `from..below`.
pub(super) fn account_rows(table: &Keyspace, account: AccountHash, from: u64, below: u64) -> Iter {
    table.range(account.key(from).bytes()..account.key(below).bytes())
}
