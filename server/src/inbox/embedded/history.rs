//! An account's history: its unread notices and those that were read, newest first.
//!
//! Each notice is young, in the unread table, or has a mark, so history is the three merged. The tables are read
//! from one snapshot, or a notice that moves between them could be missed.

use std::iter::Peekable;
use std::sync::Arc;

use fjall::{Guard, Readable, Snapshot};

use super::keys::{AccountHash, Key};
use super::reads::Reads;
use super::record::{BadRow, Mark, UnreadRow};
use super::tables::TableError;
use crate::domain::{AccountId, NoticeId};
use crate::inbox::{HistoryEntry, HistoryQuery};

/// A notice that history shows, and whether as read.
type Line = Result<(Key, bool), TableError>;

impl Reads<'_> {
    pub(super) fn history(
        &self,
        account: &AccountId,
        query: HistoryQuery,
    ) -> Result<Vec<HistoryEntry>, TableError> {
        let below = query.before.map_or(u64::MAX, NoticeId::order);
        let hash = self.shared.secret.account(account);
        if query.unread_only {
            let rows = self.unread_rows(hash, usize::MAX)?.into_iter().rev();
            let lines = rows
                .filter(|(key, _)| key.order() < below)
                .map(|(key, _)| Ok((key, false)));
            return self.entries(account, lines, query.limit);
        }
        // Before the snapshot: what settles or is read in between is seen twice, not missed.
        let young = self.young_lines(hash, below);
        let snapshot = self.tables.database.snapshot();
        let unread = Merged {
            unread: young.into_iter().peekable(),
            read: self.unread_lines(&snapshot, hash, below).peekable(),
        };
        let merged = Merged {
            unread: unread.peekable(),
            read: self.read_lines(&snapshot, hash, below).peekable(),
        };
        self.entries(account, merged, query.limit)
    }

    fn entries(
        &self,
        account: &AccountId,
        mut lines: impl Iterator<Item = Line>,
        limit: usize,
    ) -> Result<Vec<HistoryEntry>, TableError> {
        let mut entries = Vec::new();
        let mut last = None;
        while entries.len() < limit
            && let Some(line) = lines.next()
        {
            let (key, read) = line?;
            if last.replace(key) == Some(key) {
                continue;
            }
            if let Some(notice) = self.notice(key.id(), account)? {
                entries.push(HistoryEntry {
                    notice: Arc::clone(&notice),
                    read,
                });
            }
        }
        Ok(entries)
    }

    fn young_lines(&self, account: AccountHash, below: u64) -> Vec<Line> {
        let now = self.shared.clock.now();
        let rows = self.shared.young.of(account, 0, below).into_iter().rev();
        let shown = rows.filter(|(_, row)| !row.expired(now));
        shown.map(|(key, _)| Ok((key, false))).collect()
    }

    fn unread_lines(
        &self,
        snapshot: &Snapshot,
        account: AccountHash,
        below: u64,
    ) -> impl Iterator<Item = Line> + use<> {
        let now = self.shared.clock.now();
        let rows = snapshot
            .range(&self.tables.unread, range(account, below))
            .rev();
        rows.filter_map(move |row| {
            let shown = |row: &UnreadRow| row.belongs_to(account) && !row.expired(now);
            read_line(row, "unread", |row| {
                Ok(shown(&UnreadRow::read(row)?).then_some(false))
            })
            .transpose()
        })
    }

    fn read_lines(
        &self,
        snapshot: &Snapshot,
        account: AccountHash,
        below: u64,
    ) -> impl Iterator<Item = Line> + use<> {
        let rows = snapshot
            .range(&self.tables.marks, range(account, below))
            .rev();
        rows.filter_map(|row| {
            read_line(row, "marks", |row| {
                Ok(Mark::read(row)?.fate.is_read().then_some(true))
            })
            .transpose()
        })
    }
}

fn range(account: AccountHash, below: u64) -> std::ops::Range<[u8; 16]> {
    account.key(0).bytes()..account.key(below).bytes()
}

fn read_line(
    row: Guard,
    table: &'static str,
    shown: impl FnOnce(&[u8]) -> Result<Option<bool>, BadRow>,
) -> Result<Option<(Key, bool)>, TableError> {
    let (key, row) = row.into_inner()?;
    let key = Key::read(&key).ok_or(BadRow { table })?;
    Ok(shown(&row)?.map(|read| (key, read)))
}

struct Merged<A: Iterator<Item = Line>, B: Iterator<Item = Line>> {
    unread: Peekable<A>,
    read: Peekable<B>,
}

impl<A: Iterator<Item = Line>, B: Iterator<Item = Line>> Iterator for Merged<A, B> {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        match (self.unread.peek(), self.read.peek()) {
            (Some(Ok((unread, _))), Some(Ok((read, _)))) if read >= unread => self.read.next(),
            (None, _) => self.read.next(),
            _ => self.unread.next(),
        }
    }
}
