//! From a folder to open tables, and from the tables to the index: at the start, and after a failure.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::folder::{Folder, Found};
use super::index::{Change, Index};
use super::journal;
use super::keys::{AccountHash, Key, Secret};
use super::open_error::OpenError;
use super::record::{self, BadRow, UnreadRow};
use super::tables::{TableError, Tables};
use super::young::Young;
use crate::domain::NoticeId;

/// An opened store, before anything runs.
pub(super) struct Opened {
    pub(super) tables: Arc<Tables>,
    pub(super) secret: Secret,
    pub(super) index: Index,
    pub(super) young: Young,
    /// The order of the newest id.
    pub(super) last_order: u64,
    /// Below which order every unread notice has its row.
    pub(super) settled_below: u64,
}

/// Opens the store in a folder, or makes one there.
pub(super) fn open(folder: &Folder, found: Found, cache_bytes: u64) -> Result<Opened, OpenError> {
    match found {
        Found::Nothing => create(folder, cache_bytes),
        Found::Store => {
            let clean = folder.is_clean()?;
            let before = if clean {
                journal::Before::CleanStart
            } else {
                journal::Before::Start
            };
            journal::check(&folder.db(), before)?;
            let opened = load(folder, engine(folder, cache_bytes)?)?;
            folder.set_dirty()?;
            Ok(opened)
        }
    }
}

/// Opens the store once more after a write failed. The journal of that time is not written to again, and
/// what it holds is copied to tables and synced before anyone sees it: after a failed sync the system may
/// show us data that is not on the disk.
pub(super) fn reopen(folder: &Folder, cache_bytes: u64) -> Result<Opened, OpenError> {
    journal::check(&folder.db(), journal::Before::Restart)?;
    let tables = engine(folder, cache_bytes)?;
    journal::await_flush(&tables).map_err(|error| OpenError::from_engine(&folder.db(), error))?;
    load(folder, tables)
}

fn create(folder: &Folder, cache_bytes: u64) -> Result<Opened, OpenError> {
    folder.begin()?;
    let tables = engine(folder, cache_bytes)?;
    let mut secret = Secret([0; 16]);
    getrandom::fill(&mut secret.0)
        .map_err(|error| OpenError::from_io(folder.dir(), std::io::Error::other(error)))?;
    tables
        .put_secret(secret)
        .map_err(|error| OpenError::from_engine(&folder.db(), error))?;
    folder.finish()?;
    load(folder, tables)
}

fn engine(folder: &Folder, cache_bytes: u64) -> Result<Tables, OpenError> {
    let db = folder.db();
    // On some kinds of damage the engine panics instead of answering.
    let opened = catch_unwind(AssertUnwindSafe(|| Tables::open(&db, cache_bytes)));
    match opened {
        Ok(opened) => opened.map_err(|error| OpenError::from_engine(&db, error)),
        Err(_) => Err(OpenError::damaged(
            &db,
            "the engine can not make sense of it",
        )),
    }
}

fn load(folder: &Folder, tables: Tables) -> Result<Opened, OpenError> {
    let damaged = |error: TableError| match error {
        TableError::Engine(error) => OpenError::from_engine(&folder.db(), error),
        TableError::Row(row) => OpenError::damaged(&folder.db(), row.to_string()),
    };
    let secret = tables.secret().map_err(damaged)?;
    let secret = secret
        .ok_or_else(|| OpenError::damaged(&folder.db(), "the row of its secret is missing"))?;
    let last_order = tables.last_order().map_err(damaged)?;
    let mut index = read_index(&tables).map_err(damaged)?;
    let settled_below = tables.settled_below().map_err(damaged)?;
    let young = find_young(&tables, secret, settled_below, &mut index).map_err(damaged)?;
    Ok(Opened {
        tables: Arc::new(tables),
        secret,
        index,
        young,
        last_order,
        settled_below,
    })
}

fn read_index(tables: &Tables) -> Result<Index, TableError> {
    let mut index = Index::default();
    for row in tables.unread.iter() {
        let (key, row) = row.into_inner()?;
        let key = Key::read(&key).ok_or(BadRow { table: "unread" })?;
        let row = UnreadRow::read(&row)?;
        index.apply(Change::Added(
            AccountHash::of_parts(key.tail(), row.check),
            key.order(),
        ));
    }
    Ok(index)
}

/// The unread notices that have no row: those from `settled_below` on without a mark.
fn find_young(
    tables: &Tables,
    secret: Secret,
    settled_below: u64,
    index: &mut Index,
) -> Result<Young, TableError> {
    let mut rows = BTreeMap::new();
    let from = (u128::from(settled_below) << 64).to_be_bytes();
    for row in tables.notices.range(from..) {
        let (id, notice) = row.into_inner()?;
        let id = <[u8; 16]>::try_from(&*id).map_err(|_| BadRow { table: "notices" })?;
        let id = NoticeId::from_bits(u128::from_be_bytes(id));
        let key = Key::of(id);
        if tables.unread.contains_key(key.bytes())? || tables.marks.contains_key(key.bytes())? {
            continue;
        }
        let notice = record::read_notice(id, &notice)?;
        let account = secret.account(&notice.receiver);
        let row = UnreadRow {
            expires: notice.expires,
            pushed: None,
            check: account.check(),
        };
        index.apply(Change::Added(account, key.order()));
        rows.insert(key, row);
    }
    Ok(Young::new(rows))
}
