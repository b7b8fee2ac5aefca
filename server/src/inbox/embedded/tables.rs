//! The store's tables within the engine, and their settings.
//!
//! | table | key | value |
//! |---|---|---|
//! | `notices` | account hash (8), order (8) | the notice |
//! | `unread` | the same | expiry, pushed, the account's other hash; only while unread |
//! | `marks` | the same | what became of it, once it is not unread |
//! | `idempotency` | day (4), digest (16) | the first call's id, and its body's digest |
//! | `collapse` | digest (16) | the key of the newest notice of that scope |
//! | `expiry` | time (8), key (16) | nothing |
//! | `tokens` | SHA-256 (32) | end, account |
//! | `meta` | name | the secret of the hashes; the order of the newest id |

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
    // At most five tables of memory each (one active, four being flushed): 80 MiB for notices, 100 for the
    // rest, and in use only while the disk is behind.
    let memory = match name {
        "notices" => 16 << 20,
        "unread" | "marks" | "idempotency" => 4 << 20,
        _ => 2 << 20,
    };
    let options = KeyspaceCreateOptions::default()
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

    fn order_in(&self, row: &[u8]) -> Result<u64, TableError> {
        let Some(order) = self.meta.get(row)? else {
            return Ok(0);
        };
        let order = <[u8; 8]>::try_from(&*order).map_err(|_| BadRow { table: "meta" })?;
        Ok(u64::from_be_bytes(order))
    }

    /// What the tables take on the disk, without the journals.
    pub(super) fn disk_space(&self) -> u64 {
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
        let tables = [
            meta,
            notices,
            unread,
            marks,
            idempotency,
            collapse,
            expiry,
            tokens,
        ];
        tables.into_iter().map(|table| table.disk_space()).sum()
    }

    /// Whether memory holds what was given to the engine for writing into tables.
    pub(super) fn unflushed(&self) -> bool {
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
        let tables = [
            meta,
            notices,
            unread,
            marks,
            idempotency,
            collapse,
            expiry,
            tokens,
        ];
        tables
            .into_iter()
            .any(|table| table.sealed_memtable_count() > 0)
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
        Ok(self.notices.get(Key::of(id).bytes())?)
    }
}

/// An account's rows of a table whose orders lie within `from..below`.
pub(super) fn account_rows(table: &Keyspace, account: AccountHash, from: u64, below: u64) -> Iter {
    table.range(account.key(from).bytes()..account.key(below).bytes())
}
