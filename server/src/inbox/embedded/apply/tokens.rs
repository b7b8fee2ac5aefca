//! Making and ending session tokens, and denying others.

use super::super::group::Group;
use super::super::keys::denied_key;
use super::super::op::{Answer, Sender};
use super::super::record;
use super::super::tables::TableError;
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

    /// Denied twice, the longer time counts.
    pub(super) fn deny_token(&mut self, digest: TokenDigest, until: Millis, answer: Sender<()>) {
        let outcome = self.deny_until(digest, until);
        let outcome = outcome.map_err(|error| self.failure(&error));
        self.must_be_durable();
        self.answer(Answer::Done(answer, outcome));
    }

    fn deny_until(&mut self, digest: TokenDigest, until: Millis) -> Result<(), TableError> {
        let key = denied_key(&digest);
        let before = self.tables.tokens.get(key)?;
        let before = before.map(|row| record::read_token(&row)).transpose()?;
        let until = before.map_or(until, |(before, _)| until.max(before));
        self.put(
            &self.tables.tokens,
            key,
            record::write_token(until, &AccountId::trusted("")),
        );
        Ok(())
    }

    pub(super) fn revoke_tokens(&mut self, tokens: &[TokenDigest], answer: Sender<()>) {
        for token in tokens {
            self.delete(&self.tables.tokens, token.0);
        }
        self.must_be_durable();
        self.answer(Answer::Done(answer, Ok(())));
    }
}
