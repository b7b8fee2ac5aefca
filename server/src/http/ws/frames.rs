//! The frames of both protocols: what clients send, read; what the server sends, written. Pure.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::clock::Millis;
use crate::delivery::{Push, Shape};
use crate::domain::NoticeId;
use crate::http::intake::ClientInput;
use crate::http::problem::Problem;
use crate::http::strict_json::check_object;

/// One text frame of a client, in either protocol.
#[derive(Debug)]
pub enum ClientFrame<'a> {
    /// The program took these.
    Ack {
        /// A list of ids, not yet read.
        ids: &'a RawValue,
    },
    /// A notice to stage.
    Send {
        /// Comes back with the answer.
        reference: Option<Cow<'a, str>>,
        /// The notice.
        input: ClientInput<'a>,
    },
    /// A newer token of the same account.
    Refresh {
        /// The token.
        token: Cow<'a, str>,
    },
}

/// A frame that can't be taken, and the `ref` by which its sender knows it.
#[derive(Debug)]
pub struct FrameError {
    /// As the frame gave it.
    pub reference: Option<String>,
    /// Whether the frame was not even JSON of the right shape: repeated, that ends the connection.
    pub broken: bool,
    /// What is wrong.
    pub problem: Problem,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Members<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "ref")]
    reference: Option<Cow<'a, str>>,
    #[serde(borrow)]
    ids: Option<&'a RawValue>,
    #[serde(borrow)]
    ack: Option<&'a RawValue>,
    #[serde(borrow)]
    token: Option<Cow<'a, str>>,
    #[serde(borrow)]
    receiver_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    message: Option<Cow<'a, str>>,
    #[serde(borrow)]
    notice_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    idempotency_key: Option<Cow<'a, str>>,
}

/// Reads a text frame: of `notice.v1`, or of the source design.
///
/// # Errors
/// When it is no frame of that protocol.
pub fn parse_client_frame(text: &str, v1: bool) -> Result<ClientFrame<'_>, FrameError> {
    let broken = |problem| FrameError {
        reference: None,
        broken: true,
        problem,
    };
    check_object(text.as_bytes()).map_err(broken)?;
    let members: Members<'_> =
        serde_json::from_str(text).map_err(|error| unreadable(text, &error))?;
    if v1 {
        v1_frame(members)
    } else {
        Ok(legacy_frame(members))
    }
}

/// Looks once more at what is no frame: a member of the wrong type is answered by its `ref`; no JSON at all is a
/// broken frame.
fn unreadable(text: &str, error: &serde_json::Error) -> FrameError {
    #[derive(Deserialize)]
    struct Reference {
        #[serde(rename = "ref", default)]
        reference: serde_json::Value,
    }
    let looked: Result<Reference, _> = serde_json::from_str(text);
    FrameError {
        broken: looked.is_err(),
        reference: looked
            .ok()
            .and_then(|it| it.reference.as_str().map(ToOwned::to_owned)),
        problem: Problem::invalid(format!("not the JSON expected: {error}")),
    }
}

fn v1_frame(mut members: Members<'_>) -> Result<ClientFrame<'_>, FrameError> {
    let reference = members
        .reference
        .as_ref()
        .map(|reference| reference.to_string());
    let wrong = |detail: String| FrameError {
        reference,
        broken: false,
        problem: Problem::invalid(detail),
    };
    match members.kind.as_deref() {
        Some("ack") => match members.ids {
            Some(ids) => Ok(ClientFrame::Ack { ids }),
            None => Err(wrong("ack: ids is missing".to_owned())),
        },
        Some("send") => {
            // `type` names the frame here, so the notice's own type has another name.
            let kind = members.notice_type.take();
            Ok(send_frame(members, kind))
        }
        Some("refresh") => match members.token {
            Some(token) => Ok(ClientFrame::Refresh { token }),
            None => Err(wrong("refresh: token is missing".to_owned())),
        },
        Some(other) => {
            let shown: String = other.chars().take(40).collect();
            Err(wrong(format!(
                "no frame has the type {shown:?}: a client sends ack, send or refresh"
            )))
        }
        None => Err(wrong("type is missing".to_owned())),
    }
}

fn legacy_frame(mut members: Members<'_>) -> ClientFrame<'_> {
    match members.ack {
        Some(ids) => ClientFrame::Ack { ids },
        None => {
            let kind = members.kind.take();
            send_frame(members, kind)
        }
    }
}

fn send_frame<'a>(members: Members<'a>, kind: Option<Cow<'a, str>>) -> ClientFrame<'a> {
    ClientFrame::Send {
        reference: members.reference,
        input: ClientInput {
            receiver_id: members.receiver_id,
            message: members.message,
            kind,
            data: members.data,
            idempotency_key: members.idempotency_key,
        },
    }
}

/// A frame of the server in `notice.v1`, but for notices.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum ServerFrame<'a> {
    #[serde(rename_all = "camelCase")]
    Welcome {
        session: &'a str,
        account: &'a str,
        node: &'a str,
        ping_seconds: u64,
        window: u16,
    },
    Read {
        ids: &'a [NoticeId],
    },
    Recall {
        ids: &'a [NoticeId],
    },
    Sent {
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a str>,
        id: NoticeId,
        duplicate: bool,
    },
    Error {
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a str>,
        code: &'static str,
        message: &'a str,
    },
    #[serde(rename_all = "camelCase")]
    Expiring {
        in_seconds: u64,
    },
    #[serde(rename_all = "camelCase")]
    Refreshed {
        #[serde(skip_serializing_if = "Option::is_none")]
        expire_time: Option<Millis>,
    },
    #[serde(rename_all = "camelCase")]
    Move {
        after_ms: u32,
        reason: &'static str,
    },
}

/// What the source design answers when a notice could not be staged.
#[derive(Debug, Serialize)]
pub(super) struct LegacyFailure<'a> {
    success: bool,
    code: &'static str,
    message: &'a str,
}

impl<'a> LegacyFailure<'a> {
    pub(super) fn new(message: &'a str) -> Self {
        Self {
            success: false,
            code: "WS_SEND_FAILED",
            message,
        }
    }
}

/// A text frame with this JSON.
pub(super) fn text_frame(json: &impl Serialize) -> Bytes {
    frame(OPCODE_TEXT, &serde_json::to_vec(json).unwrap_or_default())
}

/// A notice's frame, made once for all its sessions.
pub(super) fn notice_frame(push: &Push, v1: bool) -> Bytes {
    let shape = if v1 { Shape::Enveloped } else { Shape::Bare };
    push.encoded(shape, |json| frame(OPCODE_TEXT, json))
}

/// A ping with this number.
pub(super) fn ping_frame(number: u32) -> Bytes {
    frame(OPCODE_PING, &number.to_be_bytes())
}

const OPCODE_TEXT: u8 = 1;
const OPCODE_CLOSE: u8 = 8;
const OPCODE_PING: u8 = 9;
const FINAL: u8 = 0x80;

/// A close frame.
pub(super) fn close_frame(code: u16, reason: &str) -> Bytes {
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(reason.as_bytes());
    frame(OPCODE_CLOSE, &payload)
}

/// An unmasked, unfragmented frame (RFC 6455, section 5.2).
fn frame(opcode: u8, payload: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(payload.len() + 10);
    frame.push(FINAL | opcode);
    match payload.len() {
        #[allow(clippy::cast_possible_truncation, reason = "at most 125")]
        short @ ..=125 => frame.push(short as u8),
        #[allow(clippy::cast_possible_truncation, reason = "at most 65535")]
        medium @ ..=65_535 => {
            frame.push(126);
            frame.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            frame.push(127);
            frame.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame.into()
}

#[cfg(test)]
#[path = "frames_tests.rs"]
mod tests;
