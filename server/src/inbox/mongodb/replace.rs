//! Notices that newer ones of their collapse key take the place of.
//!
//! A new notice is stored first, then every older unread one of its scope is withdrawn. Of two that race, on whichever
//! nodes, the later to be stored sees the other, so one with the highest id stays. What a crash leaves in between is
//! found by whoever reads the inbox ([`Core::heal`]).

use std::collections::{HashMap, HashSet};

use mongodb::bson::RawDocument;

use super::core::{Core, Query};
use super::document::{field, read_id, read_print, read_receiver, withdrawn};
use super::group::{Group, Item};
use super::queries;
use crate::domain::{AccountId, Fingerprint, NoticeId};
use crate::inbox::{Committed, InboxError, Withdrawal};

/// Scopes, and whose they are.
pub(super) type Scopes = HashMap<Fingerprint, AccountId>;

/// Notices of one account.
type OfAccount = (AccountId, Vec<NoticeId>);

/// What was replaced, by scope.
#[derive(Debug, Default)]
pub(super) struct Replaced(HashMap<Fingerprint, OfAccount>);

impl Replaced {
    /// Notes a notice of a scope.
    fn add(&mut self, scope: Fingerprint, account: AccountId, id: NoticeId) {
        let of_scope = self.0.entry(scope).or_insert_with(|| (account, Vec::new()));
        of_scope.1.push(id);
    }

    /// Without the newest of each scope, which stays.
    fn without_newest(mut self) -> Self {
        for (_, ids) in self.0.values_mut() {
            ids.sort_unstable();
            ids.dedup();
            ids.pop();
        }
        self.0.retain(|_, (_, ids)| !ids.is_empty());
        self
    }

    fn retain(&mut self, wanted: &HashSet<NoticeId>) {
        for (_, ids) in self.0.values_mut() {
            ids.retain(|id| wanted.contains(id));
        }
    }

    /// Takes out what a notice of the scope replaced: what is older.
    pub(super) fn take_older(&mut self, scope: &Fingerprint, than: NoticeId) -> Option<OfAccount> {
        let (account, ids) = self.0.get_mut(scope)?;
        let (older, newer) = ids.iter().partition(|id| **id < than);
        *ids = newer;
        Some((account.clone(), older)).filter(|(_, ids)| !ids.is_empty())
    }

    /// What is left.
    pub(super) fn rest(self) -> impl Iterator<Item = OfAccount> {
        self.0.into_values().filter(|(_, ids)| !ids.is_empty())
    }

    /// Each notice.
    pub(super) fn all(&self) -> impl Iterator<Item = (&AccountId, NoticeId)> {
        let of_scope = self.0.values();
        of_scope.flat_map(|(account, ids)| ids.iter().map(move |id| (account, *id)))
    }
}

impl Core {
    /// Withdraws what the notices of a group take the place of. A failure is left to healing: the notices are stored.
    pub(super) async fn replace_older(&self, group: &Group) -> Replaced {
        let scopes = group.items.iter().filter_map(Item::scope);
        let scopes: Scopes = scopes.map(|(account, scope)| (scope, account)).collect();
        if scopes.is_empty() {
            return Replaced::default();
        }
        self.replace_in(&scopes).await.unwrap_or_else(|why| {
            tracing::warn!(reason = %why.reason, "older notices could not be replaced yet");
            Replaced::default()
        })
    }

    /// Replaces and tells what was left over in these scopes.
    pub(super) async fn heal(&self, scopes: &Scopes) {
        let turn = self.turnstile.take();
        let Ok(replaced) = self.replace_in(scopes).await else {
            return;
        };
        for (account, _) in replaced.all() {
            self.counts.lock().left(account, 1);
        }
        let events = replaced.rest().map(told_as_replaced).collect();
        self.tell(turn, events).await;
    }

    /// Withdraws all but the newest unread notice of each scope; what this call withdrew.
    async fn replace_in(&self, scopes: &Scopes) -> Result<Replaced, InboxError> {
        let mut older = self.unread_in(scopes).await?.without_newest();
        let all: Vec<_> = older
            .all()
            .map(|(account, id)| (account.clone(), id))
            .collect();
        if !all.is_empty() {
            let ours = self.withdraw(&all, withdrawn::REPLACED).await?;
            older.retain(&ours.into_iter().map(|(_, id)| id).collect());
        }
        Ok(older)
    }

    async fn unread_in(&self, scopes: &Scopes) -> Result<Replaced, InboxError> {
        let keys: Vec<_> = scopes.keys().copied().collect();
        let receivers: Vec<_> = scopes.values().collect();
        let filter = queries::collapsing(&keys, &receivers, self.sharded, &self.limits, self.now());
        let query = Query::new(filter).only([field::ID, field::RECEIVER, field::COLLAPSE]);
        let mut found = Replaced::default();
        let each = |document: &RawDocument| {
            if let Some((scope, account, id)) = read_line(document) {
                found.add(scope, account, id);
            }
        };
        self.find(&self.link.notices, &query, each).await?;
        Ok(found)
    }
}

fn read_line(document: &RawDocument) -> Option<(Fingerprint, AccountId, NoticeId)> {
    let scope = read_print(document, field::COLLAPSE)?;
    Some((scope, read_receiver(document)?, read_id(document)?))
}

/// How other parts hear of it.
pub(super) fn told_as_replaced((account, ids): OfAccount) -> Committed {
    Committed::Withdrawn {
        account,
        ids,
        why: Withdrawal::Replaced,
    }
}
