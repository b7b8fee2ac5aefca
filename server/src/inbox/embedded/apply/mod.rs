//! The calls, carried out within a group: each checks, writes into the batch, and leaves its events and its
//! answer behind.

mod read;
mod recall;
mod stage;
mod tokens;

use super::group::Group;
use super::op::Op;

impl Group<'_> {
    /// Carries out one call.
    pub(super) fn apply(&mut self, op: Op) {
        match op {
            Op::Stage { drafts, answer } => self.stage(drafts, answer),
            Op::MarkRead {
                request,
                account,
                answer,
            } => self.mark_read(request, account, answer),
            Op::Recall { id, answer } => self.recall(id, answer),
            Op::IssueToken {
                digest,
                account,
                expires,
                answer,
            } => {
                self.issue_token(digest, &account, expires, answer);
            }
            Op::DenyToken {
                digest,
                until,
                answer,
            } => self.deny_token(digest, until, answer),
            Op::RevokeTokens { tokens, answer } => self.revoke_tokens(&tokens, answer),
            // The writer keeps these for itself.
            Op::Tick { .. } => {}
        }
    }
}
