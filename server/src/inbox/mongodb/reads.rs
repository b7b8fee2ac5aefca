//! Reading: inboxes, notices by id, histories and states.

use std::collections::HashMap;
use std::sync::Arc;

use mongodb::bson::RawDocument;

use super::core::{Core, Query};
use super::document::{
    self, Row, field, read_created, read_date, read_id, read_notice, read_receiver,
};
use super::queries;
use super::replace::Scopes;
use crate::clock::{Millis, whole_millis};
use crate::domain::{AccountId, Fingerprint, Notice, NoticeId, NoticeState};
use crate::inbox::{HistoryEntry, HistoryQuery, InboxError, RESUME_MARGIN, Unread, UnreadPage};

/// Notices that one query for several inboxes may bring. When there are more, fewer inboxes are asked for together.
const TOGETHER: usize = 512;

/// One look into an inbox.
#[derive(Debug, Clone)]
pub(super) struct Look {
    pub(super) account: AccountId,
    pub(super) skip: Vec<NoticeId>,
    pub(super) limit: usize,
}

impl Core {
    /// Answers looks into inboxes: one by its own query, several by one together. What would bring too much is halved.
    pub(super) async fn unread_of(
        self: Arc<Self>,
        looks: Vec<Look>,
    ) -> Result<Vec<UnreadPage>, InboxError> {
        let mut pages = Vec::with_capacity(looks.len());
        let mut parts = vec![looks.as_slice()];
        while let Some(part) = parts.pop() {
            match part {
                [] => {}
                [look] => pages.push(self.unread_alone(look).await?),
                several => match self.unread_together(several).await? {
                    Some(found) => pages.extend(found),
                    None => {
                        let (first, second) = several.split_at(several.len() / 2);
                        parts.extend([second, first]);
                    }
                },
            }
        }
        Ok(pages)
    }

    async fn unread_alone(self: &Arc<Self>, look: &Look) -> Result<UnreadPage, InboxError> {
        let mut most = look.limit.saturating_add(1);
        loop {
            let (rows, found) = self.unread_rows(look, most).await?;
            // What is no notice (see `read_notice`) must not hide what lies behind it.
            if rows.len() > look.limit || found < most {
                return Ok(self.page(rows, look));
            }
            most = most.saturating_mul(4);
        }
    }

    /// The oldest unread documents, and how many they are with those that are no notices.
    async fn unread_rows(&self, look: &Look, most: usize) -> Result<(Vec<Row>, usize), InboxError> {
        let filter = queries::unread_without(&look.account, &look.skip, &self.limits, self.now());
        let query = Query::new(filter)
            .sorted(queries::oldest_first())
            .at_most(most);
        let (mut rows, mut found) = (Vec::new(), 0);
        let each = |document: &RawDocument| {
            found += 1;
            rows.extend(read_notice(document));
        };
        self.find(&self.link.notices, &query, each).await?;
        Ok((rows, found))
    }

    /// None when there is too much for one query.
    async fn unread_together(
        self: &Arc<Self>,
        looks: &[Look],
    ) -> Result<Option<Vec<UnreadPage>>, InboxError> {
        let accounts = looks.iter().map(|look| &look.account);
        let filter = queries::unread(accounts, &self.limits, self.now());
        let query = Query::new(filter).at_most(TOGETHER);
        let (mut rows, mut found) = (HashMap::<AccountId, Vec<Row>>::new(), 0);
        let each = |document: &RawDocument| {
            found += 1;
            if let Some(row) = read_notice(document) {
                rows.entry(row.notice.receiver.clone())
                    .or_default()
                    .push(row);
            }
        };
        self.find(&self.link.notices, &query, each).await?;
        if found >= TOGETHER {
            return Ok(None);
        }
        let page = |look: &Look| {
            let rows = rows.get(&look.account).cloned().unwrap_or_default();
            let wanted = rows
                .into_iter()
                .filter(|row| !look.skip.contains(&row.notice.id));
            self.page(wanted.collect(), look)
        };
        Ok(Some(looks.iter().map(page).collect()))
    }

    /// Cuts a page out of unread notices. What a newer one of its scope takes the place of is left out, and healed.
    fn page(self: &Arc<Self>, mut rows: Vec<Row>, look: &Look) -> UnreadPage {
        rows.sort_by_key(|row| (row.notice.created, row.notice.id));
        let next = rows.get(look.limit).map(|row| row.notice.id);
        let left_over = left_over(&rows);
        rows.truncate(look.limit);
        if !left_over.is_empty() {
            let core = Arc::clone(self);
            rows.retain(|row| !is_older_in(&left_over, row));
            let scopes: Scopes = left_over
                .into_keys()
                .map(|scope| (scope, look.account.clone()))
                .collect();
            tokio::spawn(async move { core.heal(&scopes).await });
        }
        let unread = |row: Row| Unread {
            pushed_before: row.pushed.is_some() || self.pushed.get(row.notice.id).is_some(),
            notice: Arc::new(row.notice),
        };
        UnreadPage {
            items: rows.into_iter().map(unread).collect(),
            next,
        }
    }

    pub(super) async fn fetch(
        &self,
        account: &AccountId,
        ids: &[NoticeId],
    ) -> Result<Vec<Arc<Notice>>, InboxError> {
        let part = self.ids.part_of(account);
        let own: Vec<_> = ids
            .iter()
            .copied()
            .filter(|id| self.ids.may_own(part, *id))
            .collect();
        let mut found = HashMap::new();
        if !own.is_empty() {
            let query = Query::new(queries::fetch(account, &own, &self.limits, self.now()));
            let each = |document: &RawDocument| {
                let row = read_notice(document);
                found.extend(row.map(|row| (row.notice.id, Arc::new(row.notice))));
            };
            self.find(&self.link.notices, &query, each).await?;
        }
        self.link.available()?;
        Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
    }

    pub(super) async fn resume(
        &self,
        account: &AccountId,
        last: NoticeId,
        after: Option<NoticeId>,
        limit: usize,
    ) -> Result<Vec<Arc<Notice>>, InboxError> {
        let mut notices = Vec::new();
        let created = self.created_of(account, last).await?;
        let Some(created) = created.filter(|_| limit > 0) else {
            return self.link.available().map(|()| notices);
        };
        let since = created.saturating_sub(whole_millis(RESUME_MARGIN));
        let after = match after {
            Some(id) => Some((id, self.created(id).await?)),
            None => None,
        };
        let filter = queries::read_automatically(account, since, after, &self.limits, self.now());
        let query = Query::new(filter)
            .sorted(queries::oldest_first())
            .at_most(limit);
        let each = |document: &RawDocument| {
            notices.extend(read_notice(document).map(|row| Arc::new(row.notice)));
        };
        self.find(&self.link.notices, &query, each).await?;
        Ok(notices)
    }

    /// When a notice of the account's was created; none when it is none of its. An id of ours says both itself, also
    /// when its notice is gone.
    async fn created_of(
        &self,
        account: &AccountId,
        id: NoticeId,
    ) -> Result<Option<Millis>, InboxError> {
        if id.object_id().is_none() {
            let own = self.ids.may_own(self.ids.part_of(account), id);
            return Ok(own.then(|| id.millis()));
        }
        let query = Query::new(queries::by_id(&[id]))
            .only([field::CREATED, field::RECEIVER])
            .at_most(1);
        let mut created = None;
        let each = |document: &RawDocument| {
            let own = read_receiver(document).is_some_and(|receiver| receiver == *account);
            created = own.then(|| read_created(document, id));
        };
        self.find(&self.link.notices, &query, each).await?;
        Ok(created)
    }

    pub(super) async fn state(&self, id: NoticeId) -> Result<Option<NoticeState>, InboxError> {
        let query = Query::new(queries::by_id(&[id])).at_most(1);
        let now = self.now();
        let mut state = None;
        let each = |document: &RawDocument| state = self.state_in(document, id, now);
        self.find(&self.link.notices, &query, each).await?;
        Ok(state)
    }

    fn state_in(&self, document: &RawDocument, id: NoticeId, now: Millis) -> Option<NoticeState> {
        let staged = read_created(document, id);
        if staged <= self.limits.oldest(now) {
            return None;
        }
        let pushed = read_date(document, field::PUSHED).or_else(|| self.pushed.get(id));
        Some(NoticeState {
            name: document::state_of(document, pushed.is_some(), now)?,
            staged,
            pushed,
            read: read_date(document, field::READ_TIME),
        })
    }

    pub(super) async fn history(
        &self,
        account: &AccountId,
        query: HistoryQuery,
    ) -> Result<Vec<HistoryEntry>, InboxError> {
        if query.limit == 0 {
            return self.link.available().map(|()| Vec::new());
        }
        let before = match query.before {
            Some(id) => Some((id, self.created(id).await?)),
            None => None,
        };
        let filter = queries::history(account, &query, before, &self.limits, self.now());
        let query = Query::new(filter)
            .sorted(queries::newest_first())
            .at_most(query.limit);
        let mut lines = Vec::new();
        let each = |document: &RawDocument| {
            lines.extend(read_notice(document).map(|row| HistoryEntry {
                read: row.read,
                notice: Arc::new(row.notice),
            }));
        };
        self.find(&self.link.notices, &query, each).await?;
        Ok(lines)
    }

    /// When a notice was created. Ids of ours say it themselves.
    async fn created(&self, id: NoticeId) -> Result<Millis, InboxError> {
        let mut created = id.millis();
        if id.object_id().is_some() {
            let query = Query::new(queries::by_id(&[id]))
                .only([field::CREATED])
                .at_most(1);
            let each = |document: &RawDocument| created = read_created(document, id);
            self.find(&self.link.notices, &query, each).await?;
        }
        Ok(created)
    }

    pub(super) async fn waiting(
        &self,
        accounts: &[AccountId],
        limit: usize,
    ) -> Result<Vec<(AccountId, NoticeId)>, InboxError> {
        if accounts.is_empty() || limit == 0 {
            return self.link.available().map(|()| Vec::new());
        }
        let filter = queries::unread(accounts, &self.limits, self.now());
        let query = Query::new(filter)
            .only([field::ID, field::RECEIVER])
            .at_most(limit);
        let mut waiting = Vec::new();
        let each = |document: &RawDocument| {
            waiting.extend(read_receiver(document).zip(read_id(document)));
        };
        self.find(&self.link.notices, &query, each).await?;
        Ok(waiting)
    }
}

/// The newest notice of each scope that more than one of the rows is in.
fn left_over(rows: &[Row]) -> HashMap<Fingerprint, NoticeId> {
    let mut newest = HashMap::<Fingerprint, (NoticeId, usize)>::new();
    for row in rows {
        if let Some(scope) = row.collapse {
            let entry = newest.entry(scope).or_insert((row.notice.id, 0));
            entry.0 = entry.0.max(row.notice.id);
            entry.1 += 1;
        }
    }
    newest.retain(|_, (_, count)| *count > 1);
    newest
        .into_iter()
        .map(|(scope, (id, _))| (scope, id))
        .collect()
}

fn is_older_in(newest: &HashMap<Fingerprint, NoticeId>, row: &Row) -> bool {
    let newest = row.collapse.and_then(|scope| newest.get(&scope));
    newest.is_some_and(|newest| row.notice.id < *newest)
}
