//! What callers ask of the writer, and how they are answered.

use tokio::sync::oneshot;

use super::keys::AccountHash;
use super::shared::QUEUED_KIB;
use crate::clock::Millis;
use crate::domain::{AccountId, Digest, Draft, NoticeId};
use crate::inbox::{Committed, InboxError, MarkRead, StageError, Staged};
use crate::tokens::TokenDigest;

/// A draft, with all that can be reckoned before it reaches the writer: that work runs beside, the writer's
/// does not.
pub(super) struct Prepared {
    pub(super) draft: Draft,
    pub(super) account: AccountHash,
    /// The row of the notices table; nothing when it won't be stored.
    pub(super) row: fjall::UserValue,
    /// The digests of the idempotency key and of the body.
    pub(super) idempotency: Option<(Digest, Digest)>,
    pub(super) collapse: Option<Digest>,
}

pub(super) type StageAnswers = Vec<Result<Staged, StageError>>;

/// One call.
pub(super) enum Op {
    Stage {
        drafts: Vec<Prepared>,
        answer: oneshot::Sender<StageAnswers>,
    },
    MarkRead {
        request: MarkRead,
        account: AccountHash,
        /// Nobody waits when there is none: a failure is told as an event then.
        answer: Option<Sender<Vec<NoticeId>>>,
    },
    Recall {
        id: NoticeId,
        answer: Sender<bool>,
    },
    IssueToken {
        digest: TokenDigest,
        account: AccountId,
        expires: Millis,
        answer: Sender<()>,
    },
    DenyToken {
        digest: TokenDigest,
        until: Millis,
        answer: Sender<()>,
    },
    RevokeTokens {
        tokens: Vec<TokenDigest>,
        answer: Sender<()>,
    },
    /// Time for what is due by the clock. The answer, if one is wanted, says that nothing is due any more.
    Tick {
        answer: Option<Sender<()>>,
    },
}

pub(super) type Sender<T> = oneshot::Sender<Result<T, InboxError>>;

impl Op {
    /// How many notices it touches: what bounds a group.
    pub(super) fn notices(&self) -> usize {
        match self {
            Self::Stage { drafts, .. } => drafts.len(),
            Self::MarkRead { request, .. } => request.ids.len(),
            Self::RevokeTokens { tokens, .. } => tokens.len(),
            Self::Recall { .. }
            | Self::IssueToken { .. }
            | Self::DenyToken { .. }
            | Self::Tick { .. } => 1,
        }
    }

    /// How much of the queue's room it takes. What is larger than all of it waits for all of it.
    pub(super) fn kib(&self) -> u32 {
        let bytes = match self {
            Self::Stage { drafts, .. } => drafts.iter().map(|draft| draft.row.len() + 256).sum(),
            Self::MarkRead { request, .. } => return kib_of_ids(request.ids.len()),
            Self::RevokeTokens { tokens, .. } => 32 * tokens.len(),
            Self::Recall { .. }
            | Self::IssueToken { .. }
            | Self::DenyToken { .. }
            | Self::Tick { .. } => 0,
        };
        kib_of_bytes(bytes)
    }

    /// Answers a call that nothing was done for; gives what is to be told where nobody waits for an answer.
    pub(super) fn refuse(self, why: &InboxError) -> Option<Committed> {
        match self {
            Self::Stage { drafts, answer } => {
                let refused = drafts.iter().map(|_| Err(why.clone().into())).collect();
                let _ = answer.send(refused);
            }
            Self::MarkRead {
                answer: Some(answer),
                ..
            } => drop(answer.send(Err(why.clone()))),
            Self::MarkRead {
                request,
                answer: None,
                ..
            } => return Some(Committed::NotRead(request)),
            Self::Recall { answer, .. } => drop(answer.send(Err(why.clone()))),
            Self::IssueToken { answer, .. }
            | Self::DenyToken { answer, .. }
            | Self::RevokeTokens { answer, .. } => {
                drop(answer.send(Err(why.clone())));
            }
            Self::Tick { answer } => {
                if let Some(answer) = answer {
                    drop(answer.send(Err(why.clone())));
                }
            }
        }
        None
    }
}

fn kib_of_bytes(bytes: usize) -> u32 {
    u32::try_from(bytes >> 10)
        .unwrap_or(u32::MAX)
        .clamp(1, QUEUED_KIB)
}

/// How much of the queue's room an acknowledgement of so many ids takes.
pub(super) fn kib_of_ids(ids: usize) -> u32 {
    kib_of_bytes(16 * ids)
}

/// A call that was carried out: what its caller gets to hear once the group is on the disk.
pub(super) enum Answer {
    Stage(oneshot::Sender<StageAnswers>, StageAnswers),
    Read(Sender<Vec<NoticeId>>, Result<Vec<NoticeId>, InboxError>),
    Recall(Sender<bool>, Result<bool, InboxError>),
    Done(Sender<()>, Result<(), InboxError>),
}

impl Answer {
    /// Tells the caller. One that has gone away isn't missed.
    pub(super) fn give(self) {
        match self {
            Self::Stage(to, answers) => drop(to.send(answers)),
            Self::Read(to, answer) => drop(to.send(answer)),
            Self::Recall(to, answer) => drop(to.send(answer)),
            Self::Done(to, answer) => drop(to.send(answer)),
        }
    }

    /// Turns a success into a failure: the group could not be written. Drafts that were refused stay so.
    pub(super) fn fail(&mut self, why: &InboxError) {
        match self {
            Self::Stage(_, answers) => {
                for answer in answers.iter_mut().filter(|answer| answer.is_ok()) {
                    *answer = Err(why.clone().into());
                }
            }
            Self::Read(_, answer) => *answer = Err(why.clone()),
            Self::Recall(_, answer) => *answer = Err(why.clone()),
            Self::Done(_, answer) => *answer = Err(why.clone()),
        }
    }
}
