//! Making and ending session tokens.

use super::super::group::Group;
use super::super::op::{Answer, Sender};
use super::super::record;
use crate::clock::Millis;
use crate::domain::AccountId;
use crate::tokens::TokenDigest;

impl Group<'_> {
    pub(super) fn issue_token(
        &mut self,
        digest: TokenDigest,
        account: &AccountId,
        expires: Millis,
        answer: Sender<()>,
    ) {
        self.put(
            &self.tables.tokens,
            digest.0,
            record::write_token(expires, account),
        );
        self.must_be_durable();
        self.answer(Answer::Done(answer, Ok(())));
    }

    pub(super) fn revoke_tokens(&mut self, tokens: &[TokenDigest], answer: Sender<()>) {
        for token in tokens {
            self.delete(&self.tables.tokens, token.0);
        }
        self.must_be_durable();
        self.answer(Answer::Done(answer, Ok(())));
    }
}
