//! What a client that comes back may have missed although it counts as read: a stream's bytes are read once the
//! connection has taken them, which is no proof that they arrived. Those notices are offered once more, between the
//! unread ones, in the order of their ids.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::delivery::{Attachment, Outgoing, Push, Standing};
use crate::domain::{Notice, NoticeId};
use crate::http::courier::Courier;
use crate::http::jobs::{self, Job};

/// At most so many are offered once more.
const MOST: usize = 1000;

/// Read from the inbox at once.
const PAGE: usize = 32;

/// One client's coming back.
pub(super) struct Resume {
    last: NoticeId,
    /// Where the next page begins.
    after: Option<NoticeId>,
    left: usize,
    page: VecDeque<Arc<Notice>>,
    job: Option<Job<Vec<Arc<Notice>>>>,
    /// Taken from the mailbox, and behind what is still to come.
    held: Option<Outgoing>,
}

impl Resume {
    /// The client has seen the notice `last`, and what came before it.
    pub(super) fn new(last: NoticeId) -> Box<Self> {
        Box::new(Self {
            last,
            after: None,
            left: MOST,
            page: VecDeque::new(),
            job: None,
            held: None,
        })
    }

    /// Reads on where it must; true when something moved. Nothing is read before the session's own first look at the
    /// inbox: what is read automatically in between would be in neither.
    pub(super) fn poll_page(&mut self, courier: &Courier, cx: &mut Context<'_>) -> bool {
        if let Some(job) = &mut self.job {
            let Poll::Ready(found) = job.as_mut().poll(cx) else {
                return false;
            };
            self.job = None;
            self.turn_page(found);
            return true;
        }
        if !self.page.is_empty() || self.left == 0 {
            return false;
        }
        if courier.attachment.standing() == Standing::New {
            return false;
        }
        let (services, session) = (Arc::clone(&courier.services), Arc::clone(courier.session()));
        let wanted = PAGE.min(self.left);
        self.job = Some(jobs::resume(
            services, session, self.last, self.after, wanted,
        ));
        true
    }

    fn turn_page(&mut self, found: Vec<Arc<Notice>>) {
        self.left = if found.len() < PAGE {
            0
        } else {
            self.left - found.len()
        };
        self.after = found.last().map(|notice| notice.id);
        self.page = found.into();
    }

    /// What comes next, if that is known yet. `take` takes one item from the mailbox.
    pub(super) fn next(
        &mut self,
        attachment: &Attachment,
        mut take: impl FnMut() -> Option<Outgoing>,
    ) -> Next {
        if self.page.is_empty() && self.left > 0 {
            return Next::NotYet;
        }
        self.held = self.held.take().or_else(&mut take);
        match (self.held.take(), self.page.front()) {
            (Some(Outgoing::Notice(push)), Some(missed)) => {
                let missed = (missed.created, missed.id);
                let at = (push.notice().created, push.id());
                if missed < at {
                    self.held = Some(Outgoing::Notice(push));
                    return self.missed();
                }
                if missed == at {
                    self.page.pop_front();
                }
                Next::Item(Outgoing::Notice(push))
            }
            (Some(item), _) => Next::Item(item),
            // More unread ones are to come, and may be older.
            (None, Some(_)) if attachment.standing() != Standing::Live => Next::NotYet,
            (None, Some(_)) => self.missed(),
            (None, None) => Next::Done,
        }
    }

    fn missed(&mut self) -> Next {
        self.page.pop_front().map_or(Next::Done, |notice| {
            Next::Missed(Arc::new(Push::replay(notice, true, false)))
        })
    }
}

/// What a stream writes next.
pub(super) enum Next {
    /// This item of the mailbox.
    Item(Outgoing),
    /// A notice that counts as read.
    Missed(Arc<Push>),
    /// Something must be read first.
    NotYet,
    /// Nothing more is behind the mailbox.
    Done,
}
