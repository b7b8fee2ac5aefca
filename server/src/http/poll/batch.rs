//! What a poll is answered: the oldest notices that its session has not acknowledged, those of earlier answers first.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::poll_fn;
use serde::Serialize;
use tokio::time::timeout;

use super::pollers::Held;
use crate::delivery::{Outgoing, Push, Standing, Supply};
use crate::domain::NoticeId;
use crate::http::courier::Courier;
use crate::http::problem::Problem;

/// An answer takes no further notice once it weighs this much.
const BYTES: usize = 256 * 1024;

/// How long a poller that has just joined waits until wake-ups reach this node.
const REACH: Duration = Duration::from_secs(2);

/// The content of one answer.
#[derive(Debug, Default)]
pub(in crate::http) struct Batch {
    /// With whether an earlier answer had it.
    notices: Vec<(Arc<Push>, bool)>,
    read: Vec<NoticeId>,
    recalled: Vec<NoticeId>,
    bytes: usize,
}

#[derive(Serialize)]
struct Lists<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    read: &'a [NoticeId],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    recalled: &'a [NoticeId],
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.notices.is_empty() && self.read.is_empty() && self.recalled.is_empty()
    }

    fn is_full(&self, limit: usize) -> bool {
        self.notices.len() >= limit || self.bytes >= BYTES
    }

    fn add(&mut self, push: Arc<Push>, again: bool) {
        self.bytes += push.weight();
        self.notices.push((push, again));
    }

    /// Takes what the session has waiting, up to `limit` notices.
    pub(super) fn fill(&mut self, courier: &mut Courier, limit: usize) {
        while !self.is_full(limit) {
            match courier.take(1).pop() {
                Some(Outgoing::Notice(push)) => self.add(push, false),
                Some(Outgoing::Read(ids)) => self.read.extend_from_slice(&ids),
                Some(Outgoing::Recall(ids)) => self.recalled.extend_from_slice(&ids),
                None => return,
            }
        }
    }

    /// As the wire has it.
    pub(super) fn to_json(&self) -> Vec<u8> {
        let mut notices: Vec<_> = self.notices.iter().map(|(push, _)| push).collect();
        notices.sort_by_key(|push| (push.notice().created, push.id()));
        let mut text = br#"{"notices":["#.to_vec();
        for (place, push) in notices.into_iter().enumerate() {
            if place > 0 {
                text.push(b',');
            }
            push.write_json(&mut text);
        }
        text.push(b']');
        let lists = Lists {
            read: &self.read,
            recalled: &self.recalled,
        };
        // `{}`, or an object to go on with.
        let lists = serde_json::to_vec(&lists).unwrap_or_else(|_| b"{}".to_vec());
        if lists.len() > 2 {
            text.push(b',');
        }
        text.extend_from_slice(&lists[1..]);
        text
    }

    /// The notices are on their way. Those of earlier answers were counted then.
    pub(in crate::http) fn count(&self, courier: &mut Courier) {
        let fresh = self.notices.iter().filter(|(_, again)| !again);
        fresh.for_each(|(push, _)| courier.writes(push));
    }
}

/// Gathers what there is for a poller now: nothing is missed that was staged before this was called.
pub(in crate::http) async fn gather(held: &mut Held, limit: usize) -> Result<Batch, Problem> {
    let mut batch = Batch::default();
    offer_again(held, limit, &mut batch).await?;
    let courier = held.courier_mut();
    loop {
        batch.fill(courier, limit);
        if batch.is_full(limit) {
            return Ok(batch);
        }
        let Some(supply) = need(courier).await else {
            return Ok(batch);
        };
        let _permit = courier.services.catch_up.acquire().await;
        supply.meet(courier.services.inbox.as_ref()).await?;
    }
}

/// What earlier answers had and nobody acknowledged comes once more: an answer may have been lost on its way.
async fn offer_again(held: &mut Held, limit: usize, batch: &mut Batch) -> Result<(), Problem> {
    let courier = held.courier();
    let mut ids = courier.attachment.taken();
    if ids.is_empty() {
        return Ok(());
    }
    ids.sort_unstable();
    ids.truncate(limit);
    let account = courier.session().account().clone();
    let services = Arc::clone(&courier.services);
    for notice in services.inbox.fetch(&account, &ids).await? {
        if batch.is_full(limit) {
            break;
        }
        batch.add(Arc::new(Push::replay(notice, true, false)), true);
    }
    Ok(())
}

/// What must be read from the inbox now. A session that has just joined may have to wait for it.
async fn need(courier: &mut Courier) -> Option<Supply> {
    let attachment = &courier.attachment;
    let needed = poll_fn(|cx| {
        attachment.session().register(cx.waker());
        match attachment.need() {
            None if attachment.standing() == Standing::New => Poll::Pending,
            need => Poll::Ready(need),
        }
    });
    timeout(REACH, needed).await.ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AccountId, Notice};

    fn push(millis: u64) -> Arc<Push> {
        let id = NoticeId::new(millis, 0, 0);
        let notice = Notice {
            id,
            receiver: AccountId::trusted("u"),
            sender: None,
            message: "text".into(),
            created: millis,
            kind: None,
            data: None,
            expires: None,
            collapse_key: None,
            producer: Arc::from("default"),
        };
        Arc::new(Push::replay(Arc::new(notice), false, false))
    }

    fn json(batch: &Batch) -> serde_json::Value {
        serde_json::from_slice(&batch.to_json()).unwrap()
    }

    #[test]
    fn an_empty_answer_has_an_empty_list_and_nothing_else() {
        assert_eq!(Batch::default().to_json(), br#"{"notices":[]}"#);
    }

    #[test]
    fn the_oldest_notice_comes_first_and_the_other_lists_when_they_are_not_empty() {
        let mut batch = Batch::default();
        batch.add(push(7), false);
        batch.add(push(5), true);
        let id = NoticeId::new(1, 0, 0);
        batch.recalled.push(id);
        let answer = json(&batch);
        assert_eq!(answer["notices"][0]["createdTime"], 5);
        assert_eq!(answer["notices"][1]["createdTime"], 7);
        assert_eq!(answer["recalled"], serde_json::json!([id]));
        assert_eq!(answer.get("read"), None);
        batch.read.push(id);
        assert_eq!(json(&batch)["read"], serde_json::json!([id]));
    }
}
