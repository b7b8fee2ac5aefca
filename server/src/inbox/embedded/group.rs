//! One group: the calls that are written and synced together.
//!
//! Calls are carried out one after the other, each seeing what the earlier ones of its group did (`Seen`), so
//! there are no races to think of. Nothing is visible to anyone before the commit.

use std::sync::Arc;

use fjall::{Keyspace, OwnedWriteBatch as WriteBatch, PersistMode, UserKey, UserValue};

use super::index::Change;
use super::keys::{AccountHash, HashedMap, Key};
use super::op::Answer;
use super::outbox::Finished;
use super::record::{FirstCall, Mark, UnreadRow};
use super::shared::Shared;
use super::tables::{LAST_ORDER, LAST_UNSYNCED_ORDER, SETTLED_BELOW, TableError, Tables};
use super::young;
use crate::clock::Millis;
use crate::domain::{AccountId, Digest, IdSource, NoticeId};
use crate::inbox::{Committed, InboxError, Withdrawal};

/// What the present group has changed, over the tables. Kept from group to group for its room.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) unread: HashedMap<Key, Latest>,
    pub(super) marks: HashedMap<Key, Mark>,
    pub(super) first_calls: HashedMap<Digest, FirstCall>,
    pub(super) collapse: HashedMap<Digest, Key>,
}

/// An unread row as the group leaves it.
pub(super) struct Latest {
    row: Option<UnreadRow>,
    /// Whose it is, when the group staged it itself.
    receiver: Option<AccountId>,
}

/// Above so many entries a map of [`Seen`] gives its room back after the group.
const ROOM: usize = 4096;

fn reset<K: Eq + std::hash::Hash, V>(map: &mut HashedMap<K, V>) {
    map.clear();
    if map.capacity() > ROOM {
        map.shrink_to(ROOM);
    }
}

impl Seen {
    fn reset(&mut self) {
        reset(&mut self.unread);
        reset(&mut self.marks);
        reset(&mut self.first_calls);
        reset(&mut self.collapse);
    }
}

/// What the writer keeps from group to group.
pub(super) struct Memory {
    pub(super) ids: IdSource,
    pub(super) last_order: u64,
    pub(super) seen: Seen,
    /// All expiry rows before this time have been swept.
    pub(super) swept: Millis,
    /// Below which order every unread notice has its row (see `young`).
    pub(super) settled_below: u64,
}

impl Memory {
    pub(super) fn after(last_order: u64, settled_below: u64) -> Self {
        Self {
            ids: IdSource::after(last_order),
            last_order,
            seen: Seen::default(),
            swept: 0,
            settled_below,
        }
    }
}

pub(super) struct Group<'a> {
    pub(super) shared: &'a Shared,
    pub(super) tables: &'a Tables,
    pub(super) memory: &'a mut Memory,
    pub(super) now: Millis,
    /// Why nothing may be staged, if so.
    pub(super) full: Option<String>,
    pub(super) finished: Finished,
    batch: WriteBatch,
    /// Whether the commit must be on the disk before it is answered.
    durable: bool,
    made_ids: bool,
    changes: Vec<Change>,
    young: Vec<young::Change>,
    /// What the tables will say after this group, if it changes it.
    settled_below: Option<u64>,
    /// Pushed marks that this group wrote or that lost their notice.
    settled: Vec<Key>,
}

/// How a commit went.
pub(super) enum Commit {
    /// It changed nothing.
    Unchanged(Finished),
    /// It is on the disk, and so is all before it.
    Synced(Finished),
    /// The operating system has it; it must be synced within a second.
    Buffered(Finished),
    /// It may or may not be there.
    Failed(fjall::Error, Finished),
}

impl<'a> Group<'a> {
    pub(super) fn new(shared: &'a Shared, tables: &'a Tables, memory: &'a mut Memory) -> Self {
        Self {
            now: shared.clock.now(),
            full: shared.full(),
            finished: Finished::default(),
            batch: WriteBatch::with_capacity(tables.database.clone(), 16),
            durable: false,
            made_ids: false,
            changes: Vec::new(),
            young: Vec::new(),
            settled_below: None,
            settled: Vec::new(),
            shared,
            tables,
            memory,
        }
    }

    pub(super) fn must_be_durable(&mut self) {
        self.durable = true;
    }

    pub(super) fn put(
        &mut self,
        table: &Keyspace,
        key: impl Into<UserKey>,
        value: impl Into<UserValue>,
    ) {
        self.batch.insert(table, key, value);
    }

    pub(super) fn delete(&mut self, table: &Keyspace, key: impl Into<UserKey>) {
        self.batch.remove(table, key);
    }

    pub(super) fn event(&mut self, event: Committed) {
        self.finished.events.push(event);
    }

    pub(super) fn answer(&mut self, answer: Answer) {
        self.finished.answers.push(answer);
    }

    pub(super) fn next_id(&mut self, account: AccountHash) -> NoticeId {
        let id = self.memory.ids.next(self.now, account.tail());
        self.memory.last_order = id.order();
        self.made_ids = true;
        id
    }

    /// The time now, but never before the newest id: by it, keys are kept long enough whatever the clock
    /// does.
    pub(super) fn time_of_ids(&self) -> Millis {
        self.now.max(self.memory.last_order >> 16)
    }

    /// The row of an unread notice; none when it isn't unread.
    pub(super) fn unread(&self, key: Key) -> Result<Option<UnreadRow>, TableError> {
        match self.memory.seen.unread.get(&key) {
            Some(latest) => Ok(latest.row),
            None => match self.shared.young.get(key) {
                Some(row) => Ok(Some(row)),
                None => self.tables.unread_row(key),
            },
        }
    }

    /// What became of a notice that isn't unread.
    pub(super) fn mark(&self, key: Key) -> Result<Option<Mark>, TableError> {
        match self.memory.seen.marks.get(&key) {
            Some(mark) => Ok(Some(*mark)),
            None => self.tables.mark(key),
        }
    }

    /// Whose notice it is; none when there is no such notice.
    pub(super) fn receiver(&self, key: Key) -> Result<Option<AccountId>, TableError> {
        let latest = self.memory.seen.unread.get(&key);
        if let Some(receiver) = latest.and_then(|latest| latest.receiver.as_ref()) {
            return Ok(Some(receiver.clone()));
        }
        let row = self.tables.notice_row(key.id())?;
        Ok(row.map(|row| super::record::receiver(&row)).transpose()?)
    }

    /// How many unread notices the account would have; exact only when it matters, near the limit.
    pub(super) fn unread_count(&self, account: AccountHash, limit: u64) -> u64 {
        let before = self.shared.index.read().count(account);
        if before + (self.changes.len() as u64) < limit {
            return before;
        }
        self.changes
            .iter()
            .fold(before, |count, change| match *change {
                Change::Added(of, _) if of == account => count + 1,
                Change::Removed(of, _) if of == account => count.saturating_sub(1),
                _ => count,
            })
    }

    /// A notice becomes unread.
    pub(super) fn add_unread(&mut self, key: Key, row: UnreadRow, receiver: &AccountId) {
        self.young.push(young::Change::Put(key, row));
        self.changes.push(Change::Added(
            AccountHash::of_parts(key.tail(), row.check),
            key.order(),
        ));
        let latest = Latest {
            row: Some(row),
            receiver: Some(receiver.clone()),
        };
        self.memory.seen.unread.insert(key, latest);
    }

    /// A notice is no longer unread.
    pub(super) fn remove_unread(&mut self, key: Key, row: UnreadRow) {
        if self.is_young(key) {
            self.young.push(young::Change::Remove(key));
        } else {
            self.delete(&self.tables.unread, key.bytes());
        }
        self.changes.push(Change::Removed(
            AccountHash::of_parts(key.tail(), row.check),
            key.order(),
        ));
        let none = Latest {
            row: None,
            receiver: None,
        };
        self.memory.seen.unread.entry(key).or_insert(none).row = None;
        self.settled.push(key);
    }

    /// Whether an unread notice has no row in the table yet.
    fn is_young(&self, key: Key) -> bool {
        key.order() >= self.memory.settled_below
            && (self.memory.seen.unread.contains_key(&key) && self.added(key)
                || self.shared.young.get(key).is_some())
    }

    /// Whether this group made the notice.
    fn added(&self, key: Key) -> bool {
        let put =
            |change: &young::Change| matches!(change, young::Change::Put(of, _) if *of == key);
        self.young.iter().any(put)
    }

    /// An unread notice has another row now.
    pub(super) fn update_unread(&mut self, key: Key, row: UnreadRow) {
        if self.is_young(key) {
            self.young.push(young::Change::Put(key, row));
        } else {
            self.put(&self.tables.unread, key.bytes(), row.bytes());
        }
    }

    /// A young notice gets its row in the table.
    pub(super) fn settle_unread(&mut self, key: Key, row: UnreadRow) {
        let pushed = row.pushed.or_else(|| self.shared.pushed.get(key));
        let row = UnreadRow { pushed, ..row };
        self.put(&self.tables.unread, key.bytes(), row.bytes());
        self.young.push(young::Change::Remove(key));
        self.settled.push(key);
    }

    /// Every unread notice below `order` has its row, once this group is written.
    pub(super) fn settled_below(&mut self, order: u64) {
        self.settled_below = Some(order);
    }

    /// An unread notice meets its fate.
    pub(super) fn retire(
        &mut self,
        key: Key,
        row: UnreadRow,
        mark: impl FnOnce(Option<Millis>) -> Mark,
    ) {
        let pushed = row.pushed.or_else(|| self.shared.pushed.get(key));
        // The mark first: readers see a batch come in row by row, and must find the notice in one of both.
        self.put_mark(key, mark(pushed));
        self.remove_unread(key, row);
    }

    pub(super) fn put_mark(&mut self, key: Key, mark: Mark) {
        self.put(&self.tables.marks, key.bytes(), mark.bytes());
        self.memory.seen.marks.insert(key, mark);
    }

    /// A pushed mark needs no more keeping in memory.
    pub(super) fn settle_pushed(&mut self, key: Key) {
        self.settled.push(key);
    }

    pub(super) fn withdraw(&mut self, account: AccountId, id: NoticeId, why: Withdrawal) {
        self.event(Committed::Withdrawn {
            account,
            ids: vec![id],
            why,
        });
    }

    /// A failure of the tables, on its way to a caller.
    pub(super) fn failure(&self, error: &TableError) -> InboxError {
        tracing::error!(%error, "the store could not carry out a call");
        super::shared::unavailable(error)
    }

    /// Brings what is in memory up to date with what was written.
    fn publish(&mut self) {
        if let Some(below) = self.settled_below {
            self.memory.settled_below = below;
        }
        if !self.young.is_empty() {
            self.shared.young.apply(self.young.drain(..));
        }
        if !self.changes.is_empty() {
            let mut index = self.shared.index.write();
            self.changes.iter().for_each(|change| index.apply(*change));
        }
        if !self.settled.is_empty() {
            self.shared.pushed.forget(self.settled.drain(..));
        }
    }

    /// Writes everything at once, and brings the index up to date.
    pub(super) fn commit(mut self) -> Commit {
        self.memory.seen.reset();
        let durable = self.durable;
        let order = self.memory.last_order.to_be_bytes();
        if durable {
            // Also when no id was made: synced groups are known by this row (see `journal`).
            self.put(&self.tables.meta, LAST_ORDER, order);
        } else if self.made_ids {
            self.put(&self.tables.meta, LAST_UNSYNCED_ORDER, order);
        }
        if let Some(below) = self.settled_below {
            self.put(&self.tables.meta, SETTLED_BELOW, below.to_be_bytes());
        }
        if self.batch.is_empty() {
            self.publish();
            return Commit::Unchanged(self.finished);
        }
        let mode = if durable {
            PersistMode::SyncData
        } else {
            PersistMode::Buffer
        };
        let batch = std::mem::replace(
            &mut self.batch,
            WriteBatch::with_capacity(self.tables.database.clone(), 0),
        );
        if let Err(error) = batch.durability(Some(mode)).commit() {
            return Commit::Failed(error, self.finished);
        }
        self.publish();
        if durable {
            Commit::Synced(self.finished)
        } else {
            Commit::Buffered(self.finished)
        }
    }
}

/// A notice to tell, behind a pointer that all sessions share.
pub(super) fn shared_notice(
    id: NoticeId,
    draft: crate::domain::Draft,
) -> Arc<crate::domain::Notice> {
    Arc::new(super::record::notice_of(id, draft))
}
