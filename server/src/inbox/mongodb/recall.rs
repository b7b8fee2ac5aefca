//! Taking a notice back.

use mongodb::bson::{RawDocument, doc};

use super::core::{Core, Query, new_marker};
use super::document::{Gone, field, read_print, read_receiver, read_withdrawn};
use super::queries;
use super::turnstile::Turn;
use crate::domain::{AccountId, Fingerprint, NoticeId};
use crate::inbox::{Committed, InboxError, Withdrawal};

/// What was found where a notice was to be recalled.
enum Found {
    /// This call recalled it.
    Recalled(AccountId),
    /// Another call had.
    Before,
    Nothing,
}

impl Core {
    /// Takes a notice back and tells it in its turn; false when it is unknown.
    pub(super) async fn recall(&self, id: NoticeId, turn: Turn) -> Result<bool, InboxError> {
        let found = self.recall_one(id).await?;
        let Found::Recalled(account) = found else {
            return Ok(matches!(found, Found::Before));
        };
        let recalled = Committed::Withdrawn {
            account,
            ids: vec![id],
            why: Withdrawal::Recalled,
        };
        self.tell(turn, vec![recalled]).await;
        Ok(true)
    }

    async fn recall_one(&self, id: NoticeId) -> Result<Found, InboxError> {
        let marker = new_marker();
        let pushed = self.pushed.get(id);
        let (mut filter, update) = queries::recall(id, pushed, &marker, &self.limits, self.now());
        if self.sharded {
            // Older versions change and answer one document only where they know the shard.
            let Some(account) = self.receiver_of(id).await? else {
                return Ok(Found::Nothing);
            };
            filter.insert(field::RECEIVER, account.as_str());
        }
        let recall = || async {
            let recall = self
                .link
                .notices
                .find_one_and_update(filter.clone(), update.clone());
            recall
                .projection(doc! { field::RECEIVER: 1, field::READ: 1 })
                .await
        };
        let Some(before) = self.link.ask(recall).await? else {
            return self.recalled_before(id, &marker).await;
        };
        let Some(account) = read_receiver(&before) else {
            return Ok(Found::Before);
        };
        if !before.get_bool(field::READ).unwrap_or_default() {
            self.counts.lock().left(&account, 1);
        }
        Ok(Found::Recalled(account))
    }

    async fn receiver_of(&self, id: NoticeId) -> Result<Option<AccountId>, InboxError> {
        let query = Query::new(queries::by_id(&[id]))
            .only([field::RECEIVER])
            .at_most(1);
        let mut account = None;
        let each = |document: &RawDocument| account = read_receiver(document);
        self.find(&self.link.notices, &query, each).await?;
        Ok(account)
    }

    /// Whether it had been recalled; by this call, when its first try broke behind the change.
    async fn recalled_before(
        &self,
        id: NoticeId,
        marker: &Fingerprint,
    ) -> Result<Found, InboxError> {
        let query = Query::new(queries::by_id(&[id])).at_most(1);
        let mut found = Found::Nothing;
        let each = |document: &RawDocument| {
            if read_withdrawn(document) == Some(Gone::Withdrawn(Withdrawal::Recalled)) {
                let ours = read_print(document, field::WITHDRAWN_BY) == Some(*marker);
                let account = read_receiver(document).filter(|_| ours);
                found = account.map_or(Found::Before, Found::Recalled);
            }
        };
        self.find(&self.link.notices, &query, each).await?;
        Ok(found)
    }
}
