//! What one node asks the others: who is online with them, and to close sessions.
//!
//! Nothing of this is kept anywhere, so nothing of it is ever stale: a node that died is asked no more, since it listens
//! no more. The bus tells how many heard a question, so the asker knows for how many answers to wait.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::bus::{Channel, NodeId};
use super::member::Member;
use super::wire::{Answer, Letter, Question, SessionFrame};
use crate::clock::Millis;
use crate::delivery::{CloseReason, JoinRefused, Session, SessionView};
use crate::domain::AccountId;
use crate::inbox::InboxError;
use crate::tokens::{HeldToken, TokenDigest};

/// For answers to a person's or a service's question. A node that is slower is taken for gone.
const PATIENCE: Duration = Duration::from_secs(1);

/// For answers that a joining session waits for. A node that is slower is not counted.
const JOIN_PATIENCE: Duration = Duration::from_millis(250);

/// Questions of this node that may be open at a time; one more is answered by what this node knows. HTTP calls and
/// joins are bounded elsewhere, far below.
const OPEN_QUESTIONS: usize = 4096;

/// Answers to one question that may wait to be read: more nodes than that are asked in vain.
const ANSWERS: usize = 1024;

/// The most accounts that one node lists in one answer.
const LISTED: usize = 1001;

/// A session and the node that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionAt {
    /// The node's name.
    pub node: String,
    /// The session's id.
    pub id: String,
    /// What carries it.
    pub transport: String,
    /// When it joined.
    pub since: Millis,
}

/// Not every node said that it had done it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not every node could be reached")]
pub struct NotAllReached;

/// Questions that wait for answers.
#[derive(Debug, Default)]
pub(super) struct Questions {
    next: AtomicU64,
    open: Mutex<HashMap<u64, mpsc::Sender<Answer>>>,
}

impl Questions {
    pub(super) fn answered(&self, number: u64, answer: Answer) {
        if let Some(asker) = self.open.lock().get(&number) {
            let _late_or_too_many = asker.try_send(answer);
        }
    }
}

/// An open question, closed when dropped.
struct Open<'a> {
    questions: &'a Questions,
    number: u64,
    answers: mpsc::Receiver<Answer>,
}

impl<'a> Open<'a> {
    fn new(questions: &'a Questions) -> Option<Self> {
        let number = questions.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answers) = mpsc::channel(ANSWERS);
        let mut open = questions.open.lock();
        if open.len() >= OPEN_QUESTIONS {
            return None;
        }
        open.insert(number, sender);
        drop(open);
        Some(Self {
            questions,
            number,
            answers,
        })
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.questions.open.lock().remove(&self.number);
    }
}

/// What came of a question.
struct Heard {
    answers: Vec<Answer>,
    /// Whether everyone who heard it answered.
    all: bool,
}

impl Member {
    /// Asks all who listen to `channel`, this node among them where it does; none when nobody can be asked.
    async fn ask(&self, channel: Channel, question: Question, patience: Duration) -> Option<Heard> {
        let deadline = Instant::now() + patience;
        let mut open = Open::new(&self.questions)?;
        let letter = Letter::Ask(open.number, question);
        let receipt = self.publish(vec![self.letter(channel, &letter)])?;
        let listeners = timeout_at(deadline, receipt.confirmed()).await.ok()?.ok()?;
        let asked = usize::try_from(listeners.into_iter().sum::<u64>()).unwrap_or(usize::MAX);
        let mut answers = Vec::new();
        while answers.len() < asked {
            match timeout_at(deadline, open.answers.recv()).await {
                Ok(Some(answer)) => answers.push(answer),
                _ => break,
            }
        }
        let all = answers.len() >= asked;
        Some(Heard { answers, all })
    }

    /// Answers a question that came on `channel`.
    pub(super) fn answer(
        self: &Arc<Self>,
        channel: Channel,
        asker: NodeId,
        number: u64,
        question: Question,
    ) {
        let answer = match (question, channel) {
            (Question::Sessions, Channel::Account(account)) => self.own_sessions(&account),
            (Question::Online { after, limit }, _) => self.own_accounts(after.as_deref(), limit),
            (Question::Close { revoke }, Channel::Account(account)) => {
                let member = Arc::clone(self);
                tokio::spawn(async move {
                    let done = member.close_own(&account, revoke).await.is_ok();
                    member.reply(asker, number, Answer::Closed { done });
                });
                return;
            }
            _ => Answer::Unknown,
        };
        self.reply(asker, number, answer);
    }

    fn reply(&self, asker: NodeId, number: u64, answer: Answer) {
        let letter = Letter::Answer(number, answer);
        // Nobody waits for long: an answer that is lost is a node that does not answer.
        drop(self.publish(vec![self.letter(Channel::Node(asker), &letter)]));
    }

    fn own_sessions(&self, account: &AccountId) -> Answer {
        let frame = |view: SessionView| SessionFrame {
            id: view.id,
            transport: view.transport.to_owned(),
            since: view.since,
        };
        let sessions = self.registry().view(account).sessions;
        Answer::Sessions {
            node: self.parts.name.clone(),
            sessions: sessions.into_iter().map(frame).collect(),
        }
    }

    fn own_accounts(&self, after: Option<&str>, limit: usize) -> Answer {
        let after = after.map(AccountId::trusted);
        let accounts = self
            .registry()
            .online_accounts(after.as_ref(), limit.min(LISTED));
        Answer::Online {
            accounts: accounts.iter().map(ToString::to_string).collect(),
        }
    }

    /// The account's sessions on every node that answers, in the order of their ids.
    pub async fn sessions_of(&self, account: &AccountId) -> Vec<SessionAt> {
        self.sessions_within(account, PATIENCE).await
    }

    async fn sessions_within(&self, account: &AccountId, patience: Duration) -> Vec<SessionAt> {
        let channel = Channel::Account(account.clone());
        let heard = self.ask(channel, Question::Sessions, patience).await;
        let mut answers = heard.map_or_else(Vec::new, |heard| heard.answers);
        // This node may not be listening yet, or not be heard.
        answers.push(self.own_sessions(account));
        let mut sessions: Vec<_> = answers.into_iter().flat_map(sessions_at).collect();
        sessions.sort_by(|a, b| a.id.cmp(&b.id));
        sessions.dedup_by(|a, b| a.id == b.id);
        sessions
    }

    /// The accounts online at any node that answers whose ids come after `after`, in their order, at most `limit`.
    pub async fn online_accounts(&self, after: Option<&AccountId>, limit: usize) -> Vec<AccountId> {
        let question = Question::Online {
            after: after.map(ToString::to_string),
            limit,
        };
        let heard = self.ask(Channel::Nodes, question, PATIENCE).await;
        let mut accounts: BTreeSet<AccountId> = self
            .registry()
            .online_accounts(after, limit)
            .into_iter()
            .collect();
        for answer in heard.map_or_else(Vec::new, |heard| heard.answers) {
            if let Answer::Online { accounts: others } = answer {
                accounts.extend(others.iter().map(|id| AccountId::trusted(id)));
            }
        }
        accounts.into_iter().take(limit).collect()
    }

    /// Closes the account's sessions on every node; with `revoke` their tokens die first.
    ///
    /// # Errors
    /// When a node did not say that it has, or the token store is away: asking again is safe. This node's own sessions
    /// are closed in any case that leaves their tokens as they should be.
    pub async fn close_sessions(
        &self,
        account: &AccountId,
        revoke: bool,
    ) -> Result<(), CloseError> {
        self.close_own(account, revoke).await?;
        if self.parts.bus.is_none() {
            return Ok(());
        }
        // A browser may come back at any node, also one that has no session of the account.
        let letter = Letter::Kicked(account.clone());
        drop(self.publish(vec![self.letter(Channel::Nodes, &letter)]));
        let channel = Channel::Account(account.clone());
        let heard = self
            .ask(channel, Question::Close { revoke }, PATIENCE)
            .await;
        let closed = |answer: &Answer| *answer == Answer::Closed { done: true };
        match heard {
            Some(heard) if heard.all && heard.answers.iter().all(closed) => Ok(()),
            _ => Err(NotAllReached.into()),
        }
    }

    async fn close_own(&self, account: &AccountId, revoke: bool) -> Result<(), InboxError> {
        let mut sessions = self.registry().sessions_of(account);
        if revoke {
            sessions = self.revoke_tokens_of(account, sessions).await?;
        }
        self.registry().kick(account, &sessions);
        Ok(())
    }

    /// Before the sockets close, lest a quick client comes back with the token.
    async fn revoke_tokens_of(
        &self,
        account: &AccountId,
        mut sessions: Vec<Arc<Session>>,
    ) -> Result<Vec<Arc<Session>>, InboxError> {
        let held: Vec<HeldToken> = sessions.iter().map(|session| session.token()).collect();
        if let Some(tokens) = self.tokens() {
            tokens.revoke(&held).await?;
        }
        // A session that joined meanwhile, with one of these tokens, was let in by a look before their end.
        let joined = self.registry().sessions_of(account);
        let lives_on = |session: &Arc<Session>| held.iter().any(|token| session.has_token(token));
        sessions.extend(joined.into_iter().filter(lives_on));
        Ok(sessions)
    }

    /// A token was revoked: closes the sessions that live by it, here and on every node.
    pub fn token_revoked(self: &Arc<Self>, token: &TokenDigest, account: Option<&AccountId>) {
        self.close_token(token, account);
        let letter = Letter::Revoked(*token, account.cloned());
        self.publish_or_owe(vec![self.letter(Channel::Nodes, &letter)]);
    }

    pub(super) fn close_token(&self, token: &TokenDigest, account: Option<&AccountId>) {
        if let Some(tokens) = self.tokens() {
            tokens.forget(token);
        }
        let close = |session: &Arc<Session>| {
            if session.token().digest() == *token {
                session.close(CloseReason::TokenEnded);
            }
        };
        match account {
            Some(account) => self.registry().sessions_of(account).iter().for_each(close),
            None => self.registry().each_session(close),
        }
    }

    /// Whether the account may have one more session, all nodes counted that answer at once.
    ///
    /// # Errors
    /// When it has as many as it may.
    pub async fn room_for(&self, account: &AccountId) -> Result<(), JoinRefused> {
        let limits = self.registry().limits();
        if limits.one_per_account || self.live_bus().is_none() {
            return Ok(());
        }
        let sessions = self.sessions_within(account, JOIN_PATIENCE).await;
        if sessions.len() >= limits.sessions_per_account {
            return Err(JoinRefused::AccountFull);
        }
        Ok(())
    }

    /// A session joined here: where an account may have one, those of other nodes make room.
    pub fn joined(self: &Arc<Self>, session: &Session) {
        if self.registry().limits().one_per_account {
            let letter = Letter::Joined(session.spec().since);
            let channel = Channel::Account(session.account().clone());
            self.publish_or_owe(vec![self.letter(channel, &letter)]);
        }
    }
}

/// Why sessions were not closed everywhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloseError {
    /// A node could not be reached.
    #[error(transparent)]
    NotAllReached(#[from] NotAllReached),
    /// The token store is away.
    #[error(transparent)]
    Tokens(#[from] InboxError),
}

fn sessions_at(answer: Answer) -> Vec<SessionAt> {
    let Answer::Sessions { node, sessions } = answer else {
        return Vec::new();
    };
    let at = |frame: SessionFrame| SessionAt {
        node: node.clone(),
        id: frame.id,
        transport: frame.transport,
        since: frame.since,
    };
    sessions.into_iter().map(at).collect()
}
