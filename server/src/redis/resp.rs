//! The wire format of Redis (RESP 2): commands out, frames in. Pure.
//!
//! Only what the bus needs. What comes in is bounded before it is kept: a frame that claims more is an error, not an
//! allocation.

use bytes::{Buf as _, Bytes, BytesMut};

/// The longest text in a frame. Redis cuts a subscriber off at 32 MB of waiting output, so nothing longer comes.
const MAX_BULK: usize = 32 << 20;
/// The most members of an array: a cluster has 16,384 slots, each of which may be a range of its own.
const MAX_MEMBERS: usize = 1 << 15;
/// How deep arrays nest: slots of a cluster take four.
const MAX_DEPTH: usize = 6;

/// One answer, or one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    /// A text.
    Text(Bytes),
    /// An error, such as `WRONGPASS invalid username-password pair`.
    Error(Bytes),
    /// A number.
    Integer(i64),
    /// Nothing.
    Null,
    /// Several of them.
    Array(Vec<Self>),
}

impl Frame {
    /// The text, if it is one.
    pub(super) fn text(&self) -> Option<&Bytes> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// The bytes are no frame: the connection can't go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what came is not the protocol of Redis, or larger than anything it should send")]
pub(super) struct Malformed;

/// Writes a command.
pub(super) fn encode(out: &mut Vec<u8>, words: &[&[u8]]) {
    header(out, b'*', words.len());
    for word in words {
        header(out, b'$', word.len());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

fn header(out: &mut Vec<u8>, kind: u8, len: usize) {
    use std::io::Write as _;
    out.push(kind);
    // Writing to memory does not fail.
    let _ = write!(out, "{len}\r\n");
}

/// Takes the first frame out of `bytes`, once all of it is there. Texts are copies: a short one does not keep the
/// whole buffer alive.
///
/// # Errors
/// When the bytes are no frame.
pub(super) fn decode(bytes: &mut BytesMut) -> Result<Option<Frame>, Malformed> {
    let mut reader = Reader { bytes, at: 0 };
    match reader.frame(MAX_DEPTH) {
        Ok(frame) => {
            let read = reader.at;
            bytes.advance(read);
            Ok(Some(frame))
        }
        Err(Stop::Short) => Ok(None),
        Err(Stop::Malformed) => Err(Malformed),
    }
}

enum Stop {
    Short,
    Malformed,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn frame(&mut self, depth: usize) -> Result<Frame, Stop> {
        let line = self.line()?;
        let (kind, rest) = line.split_first().ok_or(Stop::Malformed)?;
        match kind {
            b'+' => Ok(Frame::Text(Bytes::copy_from_slice(rest))),
            b'-' => Ok(Frame::Error(Bytes::copy_from_slice(rest))),
            b':' => Ok(Frame::Integer(number(rest)?)),
            b'$' => self.bulk(number(rest)?),
            b'*' => self.array(number(rest)?, depth),
            _ => Err(Stop::Malformed),
        }
    }

    /// The rest of the line, without its end.
    fn line(&mut self) -> Result<&'a [u8], Stop> {
        /// Errors are the longest lines.
        const LONGEST: usize = 64 * 1024;
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            return Err(if rest.len() > LONGEST {
                Stop::Malformed
            } else {
                Stop::Short
            });
        };
        self.at += end + 1;
        rest[..end].strip_suffix(b"\r").ok_or(Stop::Malformed)
    }

    fn bulk(&mut self, len: i64) -> Result<Frame, Stop> {
        if len == -1 {
            return Ok(Frame::Null);
        }
        let len = bounded(len, MAX_BULK)?;
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if rest.len() < len + 2 {
            return Err(Stop::Short);
        }
        if &rest[len..len + 2] != b"\r\n" {
            return Err(Stop::Malformed);
        }
        self.at += len + 2;
        Ok(Frame::Text(Bytes::copy_from_slice(&rest[..len])))
    }

    fn array(&mut self, len: i64, depth: usize) -> Result<Frame, Stop> {
        if len == -1 {
            return Ok(Frame::Null);
        }
        let depth = depth.checked_sub(1).ok_or(Stop::Malformed)?;
        let members = (0..bounded(len, MAX_MEMBERS)?).map(|_| self.frame(depth));
        members.collect::<Result<_, _>>().map(Frame::Array)
    }
}

fn number(digits: &[u8]) -> Result<i64, Stop> {
    let text = std::str::from_utf8(digits).map_err(|_| Stop::Malformed)?;
    text.parse().map_err(|_| Stop::Malformed)
}

fn bounded(len: i64, max: usize) -> Result<usize, Stop> {
    let len = usize::try_from(len).map_err(|_| Stop::Malformed)?;
    if len > max {
        return Err(Stop::Malformed);
    }
    Ok(len)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(bytes: &[u8]) -> Frame {
        Frame::Text(Bytes::copy_from_slice(bytes))
    }

    #[test]
    fn frames_of_every_kind_are_read() {
        let mut bytes = BytesMut::from(
            &b"+OK\r\n-ERR no\r\n:-7\r\n$0\r\n\r\n$-1\r\n*-1\r\n*2\r\n$3\r\na\r\n\r\n*0\r\n"[..],
        );
        let mut frames = Vec::new();
        while let Some(frame) = decode(&mut bytes).expect("well formed") {
            frames.push(frame);
        }
        let expected = [
            text(b"OK"),
            Frame::Error(Bytes::from_static(b"ERR no")),
            Frame::Integer(-7),
            text(b""),
            Frame::Null,
            Frame::Null,
            Frame::Array(vec![text(b"a\r\n"), Frame::Array(Vec::new())]),
        ];
        assert_eq!(frames, expected);
    }

    #[test]
    fn what_is_no_frame_or_claims_too_much_is_an_error() {
        for bad in [
            "hello\r\n",
            "\r\n",
            "$x\r\n",
            "$-2\r\n",
            "$99999999999\r\n",
            "*99999999\r\n",
            "$1\r\nabc\r\n",
            "+a\n",
            "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
        ] {
            assert_eq!(decode(&mut BytesMut::from(bad)), Err(Malformed), "{bad:?}");
        }
    }

    fn any_frame() -> impl Strategy<Value = Frame> {
        let word = proptest::collection::vec(any::<u8>(), 0..40);
        let leaf = prop_oneof![
            word.prop_map(|bytes| Frame::Text(Bytes::from(bytes))),
            any::<i64>().prop_map(Frame::Integer),
            Just(Frame::Null),
        ];
        leaf.prop_recursive(3, 20, 5, |inner| {
            proptest::collection::vec(inner, 0..5).prop_map(Frame::Array)
        })
    }

    fn written(frame: &Frame, out: &mut Vec<u8>) {
        match frame {
            Frame::Text(text) => {
                header(out, b'$', text.len());
                out.extend_from_slice(text);
                out.extend_from_slice(b"\r\n");
            }
            Frame::Error(_) => unreachable!("not generated"),
            Frame::Integer(number) => out.extend_from_slice(format!(":{number}\r\n").as_bytes()),
            Frame::Null => out.extend_from_slice(b"$-1\r\n"),
            Frame::Array(members) => {
                header(out, b'*', members.len());
                members.iter().for_each(|member| written(member, out));
            }
        }
    }

    proptest! {
        #[test]
        fn frames_come_back_however_they_are_cut(frames in proptest::collection::vec(any_frame(), 1..5), cut in 1usize..9) {
            let mut wire = Vec::new();
            frames.iter().for_each(|frame| written(frame, &mut wire));
            let (mut buffer, mut read) = (BytesMut::new(), Vec::new());
            for piece in wire.chunks(cut) {
                buffer.extend_from_slice(piece);
                while let Some(frame) = decode(&mut buffer).expect("well formed") {
                    read.push(frame);
                }
            }
            prop_assert_eq!(read, frames);
            prop_assert!(buffer.is_empty());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = decode(&mut buffer) {}
        }
    }
}
