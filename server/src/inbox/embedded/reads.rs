//! Reads. They run beside the writer, on what is committed.
//!
//! The order of look-ups makes snapshots needless: a notice only ever goes from `young` to the unread table or the
//! marks, and from there to the marks, so who looks in this order finds it in one of them.

use std::collections::HashSet;
use std::sync::Arc;

use super::keys::{AccountHash, Key, denied_key};
use super::record::{self, BadRow, Fate, Mark, UnreadRow};
use super::shared::Shared;
use super::tables::{TableError, Tables, account_rows};
use crate::clock::{Millis, whole_millis};
use crate::domain::{AccountId, Notice, NoticeId, NoticeState, StateName};
use crate::inbox::{RESUME_MARGIN, Unread, UnreadPage};
use crate::tokens::{Grant, TokenDigest};

pub(super) struct Reads<'a> {
    pub(super) shared: &'a Shared,
    pub(super) tables: &'a Tables,
}

impl Reads<'_> {
    pub(super) fn unread(
        &self,
        account: &AccountId,
        skip: &[NoticeId],
        limit: usize,
    ) -> Result<UnreadPage, TableError> {
        let hash = self.shared.secret.account(account);
        let skip: HashSet<NoticeId> = skip.iter().copied().collect();
        let mut page = UnreadPage::default();
        // What is skipped, what is wanted, and one more to say that there is more.
        let most = limit.saturating_add(skip.len()).saturating_add(1);
        for (key, row) in self.unread_rows(hash, most)? {
            if skip.contains(&key.id()) {
                continue;
            }
            if page.items.len() == limit {
                page.next = Some(key.id());
                break;
            }
            if let Some(notice) = self.notice(key.id(), account)? {
                let pushed_before = row.pushed.is_some() || self.shared.pushed.get(key).is_some();
                page.items.push(Unread {
                    notice,
                    pushed_before,
                });
            }
        }
        Ok(page)
    }

    /// The account's unread and unexpired rows, oldest first, at most `most`.
    pub(super) fn unread_rows(
        &self,
        account: AccountHash,
        most: usize,
    ) -> Result<Vec<(Key, UnreadRow)>, TableError> {
        let Some(entry) = self.shared.index.read().get(account) else {
            return Ok(Vec::new());
        };
        let now = self.shared.clock.now();
        let count = usize::try_from(entry.count).unwrap_or(usize::MAX);
        let mut rows = Vec::with_capacity(count.min(1024));
        let (mut met, mut oldest) = (0, None);
        let young = self.shared.young.of(account, entry.floor, u64::MAX);
        for row in account_rows(&self.tables.unread, account, entry.floor, u64::MAX) {
            let (key, row) = row.into_inner()?;
            let key = Key::read(&key).ok_or(BadRow { table: "unread" })?;
            let row = UnreadRow::read(&row)?;
            if !row.belongs_to(account) {
                continue;
            }
            oldest = oldest.or(Some(key.order()));
            if !row.expired(now) {
                rows.push((key, row));
            }
            met += 1;
            // What follows was told, or will be, after this call began.
            if met == count || rows.len() == most {
                break;
            }
        }
        // It may have got its row between the two looks.
        let newest = rows.last().map(|(key, _)| *key);
        for (key, row) in young.into_iter().filter(|(key, _)| Some(*key) > newest) {
            oldest = oldest.or(Some(key.order()));
            if rows.len() < most && !row.expired(now) {
                rows.push((key, row));
            }
        }
        if let Some(oldest) = oldest.filter(|oldest| *oldest > entry.floor) {
            self.shared.index.write().raise_floor(account, oldest);
        }
        Ok(rows)
    }

    /// The notice, if it is there and the account's.
    pub(super) fn notice(
        &self,
        id: NoticeId,
        account: &AccountId,
    ) -> Result<Option<Arc<Notice>>, TableError> {
        let Some(row) = self.tables.notice_row(id)? else {
            return Ok(None);
        };
        let notice = record::read_notice(id, &row)?;
        Ok((notice.receiver == *account).then(|| Arc::new(notice)))
    }

    pub(super) fn fetch(
        &self,
        account: &AccountId,
        ids: &[NoticeId],
    ) -> Result<Vec<Arc<Notice>>, TableError> {
        let hash = self.shared.secret.account(account);
        let now = self.shared.clock.now();
        let mut notices = Vec::with_capacity(ids.len());
        for &id in ids.iter().filter(|id| hash.may_own(**id)) {
            if self.is_offerable(Key::of(id))?
                && let Some(notice) = self
                    .notice(id, account)?
                    .filter(|notice| !notice.expired(now))
            {
                notices.push(notice);
            }
        }
        Ok(notices)
    }

    pub(super) fn resume(
        &self,
        account: &AccountId,
        last: NoticeId,
        after: Option<NoticeId>,
        limit: usize,
    ) -> Result<Vec<Arc<Notice>>, TableError> {
        let hash = self.shared.secret.account(account);
        let mut notices = Vec::new();
        if !hash.may_own(last) {
            return Ok(notices);
        }
        let since = last.millis().saturating_sub(whole_millis(RESUME_MARGIN));
        let first = NoticeId::new(since, 0, 0).order();
        let from = after.map_or(first, |after| first.max(after.order().saturating_add(1)));
        let now = self.shared.clock.now();
        for row in account_rows(&self.tables.marks, hash, from, u64::MAX) {
            if notices.len() == limit {
                break;
            }
            let (key, row) = row.into_inner()?;
            let key = Key::read(&key).ok_or(BadRow { table: "marks" })?;
            if Mark::read(&row)?.fate == Fate::ReadAutomatically
                && let Some(notice) = self.notice(key.id(), account)?
                && !notice.expired(now)
            {
                notices.push(notice);
            }
        }
        Ok(notices)
    }

    fn is_offerable(&self, key: Key) -> Result<bool, TableError> {
        if self.shared.young.get(key).is_some() || self.tables.unread.contains_key(key.bytes())? {
            return Ok(true);
        }
        Ok(self
            .tables
            .mark(key)?
            .is_some_and(|mark| mark.fate == Fate::ReadAutomatically))
    }

    pub(super) fn state(&self, id: NoticeId) -> Result<Option<NoticeState>, TableError> {
        let key = Key::of(id);
        let waiting = self.shared.pushed.get(key);
        let young = self.shared.young.get(key);
        if let Some(row) = young.map_or_else(|| self.tables.unread_row(key), |row| Ok(Some(row)))? {
            return Ok(Some(self.state_of_unread(id, row, waiting)));
        }
        let mark = self.tables.mark(key)?;
        Ok(mark.map(|mark| NoticeState {
            name: match mark.fate {
                Fate::ReadExplicitly | Fate::ReadAutomatically => StateName::Read,
                Fate::Expired => StateName::Expired,
                Fate::Replaced => StateName::Replaced,
                Fate::Recalled => StateName::Recalled,
            },
            staged: id.millis(),
            pushed: mark.pushed,
            read: mark.read,
        }))
    }

    fn state_of_unread(
        &self,
        id: NoticeId,
        row: UnreadRow,
        waiting: Option<Millis>,
    ) -> NoticeState {
        let pushed = row.pushed.or(waiting);
        let name = if row.expired(self.shared.clock.now()) {
            StateName::Expired
        } else if pushed.is_some() {
            StateName::Pushed
        } else {
            StateName::Staged
        };
        NoticeState {
            name,
            staged: id.millis(),
            pushed,
            read: None,
        }
    }

    /// Whether a token is on the deny list.
    pub(super) fn is_denied(&self, token: &TokenDigest) -> Result<bool, TableError> {
        let Some(row) = self.tables.tokens.get(denied_key(token))? else {
            return Ok(false);
        };
        let (until, _) = record::read_token(&row)?;
        Ok(until > self.shared.clock.now())
    }

    pub(super) fn grant(&self, token: &TokenDigest) -> Result<Option<Grant>, TableError> {
        let Some(row) = self.tables.tokens.get(token.0)? else {
            return Ok(None);
        };
        let (expires, account) = record::read_token(&row)?;
        let valid = expires > self.shared.clock.now();
        Ok(valid.then_some(Grant {
            account,
            expires: Some(expires),
        }))
    }
}
