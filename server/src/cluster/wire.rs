//! What nodes say to each other, as bytes: JSON, so that a person can read it on the bus.
//!
//! Nodes of two neighbouring versions work together. A later version may add members and kinds; one that does not
//! know a kind takes it as [`Letter::Unknown`] and looks into the inbox, which is always right. What an older version
//! would misread is sent under a higher `v`, and is unknown to it as a whole.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::bus::{Channel, Message, NodeId};
use crate::clock::Millis;
use crate::domain::{AccountId, Notice, NoticeId};
use crate::inbox::Withdrawal;
use crate::tokens::TokenDigest;

/// The version of what this file writes.
const VERSION: u16 = 1;

/// A message with who sent it and when.
#[derive(Debug, Clone)]
pub(super) struct Envelope {
    pub(super) from: NodeId,
    /// By the shared store's clock.
    pub(super) sent: Millis,
    pub(super) letter: Letter,
}

/// What a message says. What it says of an account is said on that account's channel.
#[derive(Debug, Clone)]
pub(super) enum Letter {
    /// A notice is stored (or is to be offered once), by a call taken at `accepted`.
    Staged {
        notice: Arc<Notice>,
        ephemeral: bool,
        accepted: Millis,
    },
    /// Notices were read explicitly: no session is to be offered them any more.
    Read(Vec<NoticeId>),
    /// Notices left the inbox for another reason.
    Withdrawn(Vec<NoticeId>, Withdrawal),
    /// Something was missed: look into the inbox, for the channel's account or for all.
    Look,
    /// A token is over; of which account, if that is known.
    Revoked(TokenDigest, Option<AccountId>),
    /// A session joined at this time where an account may have one only: older ones make room.
    Joined(Millis),
    /// A service call removed this account: its clients are not to come back by themselves for a while.
    Kicked(AccountId),
    /// The sender is there and can be heard.
    Here,
    /// The sender ends in good order: nothing is left that it could not tell.
    Goodbye,
    /// A question; the answer goes to the asking node's own channel under this number.
    Ask(u64, Question),
    /// An answer.
    Answer(u64, Answer),
    /// A kind that this version does not know.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Question {
    /// The account's sessions.
    Sessions,
    /// Close the account's sessions; with `revoke` their tokens die first.
    Close { revoke: bool },
    /// The accounts online at the node, in the order of their ids.
    Online { after: Option<String>, limit: usize },
    /// From a later version: nothing can be answered.
    #[serde(skip)]
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Answer {
    Sessions {
        node: String,
        sessions: Vec<SessionFrame>,
    },
    /// Whether all of them are closed, and their tokens revoked where that was asked.
    Closed {
        done: bool,
    },
    Online {
        accounts: Vec<String>,
    },
    /// From a later version.
    #[serde(skip)]
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SessionFrame {
    pub(super) id: String,
    pub(super) transport: String,
    pub(super) since: Millis,
}

/// The bytes are no message of a node.
#[derive(Debug, thiserror::Error)]
#[error("a message on the bus is none of ours: {0}")]
pub(super) struct Undecodable(String);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Frame<'a> {
    v: u16,
    #[serde(serialize_with = "write_hex", deserialize_with = "read_hex")]
    from: u64,
    sent: Millis,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    staged: Option<StagedFrame<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    read: Option<Vec<IdFrame>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    withdrawn: Option<WithdrawnFrame>,
    #[serde(default, skip_serializing_if = "is_false")]
    look: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked: Option<RevokedFrame>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    joined: Option<Millis>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kicked: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "is_false")]
    here: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    goodbye: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    ask: Option<&'a RawValue>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    answer: Option<&'a RawValue>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StagedFrame<'a> {
    id: IdFrame,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    sender_id: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow)]
    message: std::borrow::Cow<'a, str>,
    created_time: Millis,
    accepted_time: Millis,
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    kind: Option<Box<str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expire_time: Option<Millis>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    collapse_key: Option<Box<str>>,
    #[serde(borrow)]
    producer: std::borrow::Cow<'a, str>,
    #[serde(default, skip_serializing_if = "is_false")]
    ephemeral: bool,
}

#[derive(Serialize, Deserialize)]
struct WithdrawnFrame {
    ids: Vec<IdFrame>,
    why: WhyFrame,
}

#[derive(Serialize, Deserialize)]
struct RevokedFrame {
    token: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<Box<str>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum WhyFrame {
    Recalled,
    Replaced,
    Expired,
}

/// An id by its text.
struct IdFrame(NoticeId);

impl Serialize for IdFrame {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for IdFrame {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_false(value: &bool) -> bool {
    !*value
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn write_hex<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&NodeId(*value))
}

fn read_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
    u64::from_str_radix(&text, 16).map_err(serde::de::Error::custom)
}

impl Frame<'_> {
    fn empty(from: NodeId, sent: Millis) -> Self {
        Self {
            v: VERSION,
            from: from.0,
            sent,
            staged: None,
            read: None,
            withdrawn: None,
            look: false,
            revoked: None,
            joined: None,
            kicked: None,
            here: false,
            goodbye: false,
            number: None,
            ask: None,
            answer: None,
        }
    }
}

/// The message that says `letter` on `channel`.
pub(super) fn message(channel: Channel, from: NodeId, sent: Millis, letter: &Letter) -> Message {
    Message {
        channel,
        payload: encode(from, sent, letter),
    }
}

fn encode(from: NodeId, sent: Millis, letter: &Letter) -> Bytes {
    let mut frame = Frame::empty(from, sent);
    let inner = match letter {
        Letter::Ask(_, question) => serde_json::value::to_raw_value(question).ok(),
        Letter::Answer(_, answer) => serde_json::value::to_raw_value(answer).ok(),
        _ => None,
    };
    match letter {
        Letter::Staged {
            notice,
            ephemeral,
            accepted,
        } => frame.staged = Some(staged_frame(notice, *ephemeral, *accepted)),
        Letter::Read(ids) => frame.read = Some(id_frames(ids)),
        Letter::Withdrawn(ids, why) => {
            frame.withdrawn = Some(WithdrawnFrame {
                ids: id_frames(ids),
                why: (*why).into(),
            });
        }
        Letter::Look | Letter::Unknown => frame.look = true,
        Letter::Revoked(token, account) => {
            frame.revoked = Some(RevokedFrame {
                token: token.to_hex(),
                account: account.as_ref().map(|account| account.as_str().into()),
            });
        }
        Letter::Joined(since) => frame.joined = Some(*since),
        Letter::Kicked(account) => frame.kicked = Some(account.as_str().into()),
        Letter::Here => frame.here = true,
        Letter::Goodbye => frame.goodbye = true,
        Letter::Ask(number, _) => {
            frame.number = Some(*number);
            frame.ask = inner.as_deref();
        }
        Letter::Answer(number, _) => {
            frame.number = Some(*number);
            frame.answer = inner.as_deref();
        }
    }
    // Plain structs of strings and numbers always serialize.
    serde_json::to_vec(&frame).map_or_else(|_| Bytes::new(), Bytes::from)
}

fn staged_frame(notice: &Notice, ephemeral: bool, accepted: Millis) -> StagedFrame<'_> {
    StagedFrame {
        id: IdFrame(notice.id),
        sender_id: notice.sender.as_ref().map(|sender| sender.as_str().into()),
        message: (*notice.message).into(),
        created_time: notice.created,
        accepted_time: accepted,
        kind: notice.kind.clone(),
        data: notice.data.as_deref(),
        expire_time: notice.expires,
        collapse_key: notice.collapse_key.clone(),
        producer: (*notice.producer).into(),
        ephemeral,
    }
}

fn id_frames(ids: &[NoticeId]) -> Vec<IdFrame> {
    ids.iter().copied().map(IdFrame).collect()
}

/// Reads a message that came on `channel`.
pub(super) fn decode(channel: &Channel, payload: &[u8]) -> Result<Envelope, Undecodable> {
    let undecodable = |error: serde_json::Error| Undecodable(error.to_string());
    let head: Head = serde_json::from_slice(payload).map_err(undecodable)?;
    let (from, sent) = (NodeId(head.from), head.sent);
    let letter = if head.v == VERSION {
        // A member that this version knows and can't read is as good as one that it does not know.
        serde_json::from_slice::<Frame<'_>>(payload)
            .map_or(Letter::Unknown, |frame| letter_of(frame, channel))
    } else {
        Letter::Unknown
    };
    Ok(Envelope { from, sent, letter })
}

/// What every version has.
#[derive(Deserialize)]
struct Head {
    v: u16,
    #[serde(deserialize_with = "read_hex")]
    from: u64,
    sent: Millis,
}

fn letter_of(frame: Frame<'_>, channel: &Channel) -> Letter {
    if let (Some(staged), Channel::Account(receiver)) = (frame.staged, channel) {
        return staged_letter(staged, receiver);
    }
    if let Some(ids) = frame.read {
        return Letter::Read(ids_of(ids));
    }
    if let Some(withdrawn) = frame.withdrawn {
        return Letter::Withdrawn(ids_of(withdrawn.ids), withdrawn.why.into());
    }
    if let Some(revoked) = frame.revoked {
        let account = revoked.account.as_deref().map(AccountId::trusted);
        return TokenDigest::from_hex(&revoked.token)
            .map_or(Letter::Unknown, |token| Letter::Revoked(token, account));
    }
    if let (Some(number), Some(question)) = (frame.number, frame.ask) {
        let question = serde_json::from_str(question.get()).unwrap_or(Question::Unknown);
        return Letter::Ask(number, question);
    }
    if let (Some(number), Some(answer)) = (frame.number, frame.answer) {
        let answer = serde_json::from_str(answer.get()).unwrap_or(Answer::Unknown);
        return Letter::Answer(number, answer);
    }
    if let Some(account) = frame.kicked {
        return Letter::Kicked(AccountId::trusted(&account));
    }
    match (frame.look, frame.joined) {
        (true, _) => Letter::Look,
        (_, Some(since)) => Letter::Joined(since),
        _ if frame.here => Letter::Here,
        _ if frame.goodbye => Letter::Goodbye,
        _ => Letter::Unknown,
    }
}

fn staged_letter(frame: StagedFrame<'_>, receiver: &AccountId) -> Letter {
    let notice = Notice {
        id: frame.id.0,
        receiver: receiver.clone(),
        sender: frame.sender_id.as_deref().map(AccountId::trusted),
        message: frame.message.into_owned().into_boxed_str(),
        created: frame.created_time,
        kind: frame.kind,
        data: frame.data.map(ToOwned::to_owned),
        expires: frame.expire_time,
        collapse_key: frame.collapse_key,
        producer: Arc::from(&*frame.producer),
    };
    Letter::Staged {
        notice: Arc::new(notice),
        ephemeral: frame.ephemeral,
        accepted: frame.accepted_time,
    }
}

fn ids_of(frames: Vec<IdFrame>) -> Vec<NoticeId> {
    frames.into_iter().map(|id| id.0).collect()
}

impl From<Withdrawal> for WhyFrame {
    fn from(why: Withdrawal) -> Self {
        match why {
            Withdrawal::Recalled => Self::Recalled,
            Withdrawal::Replaced => Self::Replaced,
            Withdrawal::Expired => Self::Expired,
        }
    }
}

impl From<WhyFrame> for Withdrawal {
    fn from(why: WhyFrame) -> Self {
        match why {
            WhyFrame::Recalled => Self::Recalled,
            WhyFrame::Replaced => Self::Replaced,
            WhyFrame::Expired => Self::Expired,
        }
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
