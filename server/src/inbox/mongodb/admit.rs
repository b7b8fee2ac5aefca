//! Whether drafts fit into their receivers' inboxes.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use mongodb::bson::{Bson, Document};

use super::core::{Core, Query};
use super::counts::Verdict;
use super::document::{field, read_print};
use super::group::Prepared;
use super::queries;
use crate::domain::{AccountId, Fingerprint, Lifetime};
use crate::inbox::{InboxError, StageError};

/// How long is waited for other groups to end, so that a count is certain. They are bounded by their own times.
const OTHERS_END: Duration = Duration::from_secs(12);

/// What a group wants for each account: which of its drafts, in their order.
type Wanted = HashMap<AccountId, Vec<usize>>;

/// Why each draft of a group is refused, if it is.
pub(super) type Refusals = Vec<Option<StageError>>;

impl Core {
    /// Takes room for drafts. `follows` are those that repeat an earlier one of the same group and need none.
    pub(super) async fn admit(&self, drafts: &[Prepared], follows: &HashSet<usize>) -> Refusals {
        let mut refusals = vec![None; drafts.len()];
        let mut uncertain = Wanted::new();
        let mut full = Vec::new();
        for (account, places) in wanted(drafts, follows) {
            let how_many = places.len() as u64;
            match self.counts.lock().judge(&account, how_many, Instant::now()) {
                Verdict::Take => {}
                Verdict::Full => full.push((account, places, 0)),
                Verdict::Count => {
                    uncertain.insert(account, places);
                }
            }
        }
        if !uncertain.is_empty() {
            full.extend(self.count_all(uncertain, &mut refusals).await);
        }
        if !full.is_empty() {
            self.share_out(drafts, full, &mut refusals).await;
        }
        refusals
    }

    /// Counts until every account's room is known; answers it.
    async fn count_all(
        &self,
        mut uncertain: Wanted,
        refusals: &mut Refusals,
    ) -> Vec<(AccountId, Vec<usize>, u64)> {
        let mut known = Vec::new();
        while !uncertain.is_empty() {
            let counted = match self.count(uncertain.keys()).await {
                Ok(counted) => counted,
                Err(why) => {
                    for place in uncertain.into_values().flatten() {
                        refusals[place] = Some(why.clone().into());
                    }
                    break;
                }
            };
            uncertain.retain(|account, places| {
                let count = counted.get(account.as_str()).copied().unwrap_or(0);
                let (wanted, now) = (places.len() as u64, Instant::now());
                let room = self.counts.lock().room(account, count, wanted, now);
                known.extend(room.map(|room| (account.clone(), std::mem::take(places), room)));
                room.is_none()
            });
            self.wait_for_others(&uncertain).await;
        }
        known
    }

    /// Waits until nothing of these accounts is under way. Only the dispatcher begins groups, and it waits here.
    async fn wait_for_others(&self, uncertain: &Wanted) {
        let ended = async {
            loop {
                let ended = self.group_ended.notified();
                if !self.counts.lock().any_pending(uncertain.keys()) {
                    return;
                }
                ended.await;
            }
        };
        if tokio::time::timeout(OTHERS_END, ended).await.is_err() {
            tracing::error!("a group of staging did not end");
        }
    }

    /// Takes as many as there is room for, in their order. What replaces an unread notice needs no room.
    async fn share_out(
        &self,
        drafts: &[Prepared],
        full: Vec<(AccountId, Vec<usize>, u64)>,
        refusals: &mut Refusals,
    ) {
        let short = |places: &[usize], room: u64| (places.len() as u64) > room;
        let scopes = full.iter().filter(|(_, places, room)| short(places, *room));
        let scopes = scopes
            .flat_map(|(_, places, _)| places)
            .map(|place| &drafts[*place]);
        let mut replaceable = self.replaceable(scopes).await;
        for (account, places, mut room) in full {
            let mut taken = 0;
            for place in places {
                let scope = drafts[place].prints.collapse;
                let replaces = scope.is_some_and(|scope| replaceable.contains(&scope));
                if !replaces && room == 0 {
                    let limit = self.limits.unread_per_account;
                    refusals[place] = Some(StageError::InboxFull { limit });
                    continue;
                }
                room -= u64::from(!replaces);
                taken += 1;
                replaceable.extend(scope);
            }
            self.counts.lock().take(&account, taken, Instant::now());
        }
    }

    /// Those scopes of drafts that have an unread notice. When that is not known, none.
    async fn replaceable<'a>(
        &self,
        drafts: impl Iterator<Item = &'a Prepared>,
    ) -> HashSet<Fingerprint> {
        let mut found = HashSet::new();
        let (scopes, receivers): (Vec<_>, Vec<_>) = drafts
            .filter_map(|draft| Some((draft.prints.collapse?, &draft.draft.receiver)))
            .unzip();
        if scopes.is_empty() {
            return found;
        }
        let filter =
            queries::collapsing(&scopes, &receivers, self.sharded, &self.limits, self.now());
        let query = Query::new(filter).only([field::COLLAPSE]);
        let each = |document: &mongodb::bson::RawDocument| {
            found.extend(read_print(document, field::COLLAPSE));
        };
        if let Err(why) = self.find(&self.link.notices, &query, each).await {
            tracing::debug!(reason = %why.reason, "it is not known what would be replaced");
        }
        found
    }

    /// How many unread notices accounts have; who is not in the answer has none.
    pub(super) async fn count(
        &self,
        accounts: impl Iterator<Item = &AccountId>,
    ) -> Result<HashMap<String, u64>, InboxError> {
        let accounts: Vec<_> = accounts.collect();
        let stages = queries::count_unread(&accounts, &self.limits, self.now());
        let counted = || async {
            let mut counted = HashMap::new();
            let mut lines = self.link.notices.aggregate(stages.clone()).await?;
            while lines.advance().await? {
                counted.extend(read_count(&Document::try_from(lines.current())?));
            }
            Ok(counted)
        };
        self.link.ask(counted).await
    }
}

fn read_count(line: &Document) -> Option<(String, u64)> {
    let account = line.get_str("_id").ok()?.to_owned();
    let count = match line.get("count")? {
        Bson::Int32(count) => u64::try_from(*count).ok()?,
        Bson::Int64(count) => u64::try_from(*count).ok()?,
        Bson::Double(count) => {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a count of documents, which some engines sum up as a double"
            )]
            let count = *count as u64;
            count
        }
        _ => return None,
    };
    Some((account, count))
}

fn wanted(drafts: &[Prepared], follows: &HashSet<usize>) -> Wanted {
    let mut wanted = Wanted::new();
    for (place, draft) in drafts.iter().enumerate() {
        if draft.draft.lifetime != Lifetime::Ephemeral && !follows.contains(&place) {
            wanted
                .entry(draft.draft.receiver.clone())
                .or_default()
                .push(place);
        }
    }
    wanted
}
