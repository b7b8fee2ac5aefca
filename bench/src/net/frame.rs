//! WebSocket frames: writing masked ones, reading a server's. No fragments, no extensions.

use anyhow::{Result, bail};

/// Greater frames than this are taken for nonsense.
const LARGEST: u64 = 16 * 1024 * 1024;

/// The kinds of frame that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opcode {
    /// A text message.
    Text,
    /// The peer closes.
    Close,
    /// The peer wants a pong.
    Ping,
    /// The answer to a ping.
    Pong,
}

impl Opcode {
    fn code(self) -> u8 {
        match self {
            Self::Text => 0x1,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
        }
    }

    fn from_code(code: u8) -> Result<Self> {
        Ok(match code {
            0x1 => Self::Text,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            other => bail!(
                "the server sent a WebSocket frame of kind {other:#x}, which no server here sends"
            ),
        })
    }
}

/// One frame within a buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// Its kind.
    pub(crate) opcode: Opcode,
    /// What it carries.
    pub(crate) payload: &'a [u8],
    /// Bytes of the buffer that it takes, header included.
    pub(crate) size: usize,
}

/// Appends one masked frame.
pub(crate) fn write_masked(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], mask: [u8; 4]) {
    out.push(0x80 | opcode.code());
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | u8::try_from(length).unwrap_or(125)),
        length @ 126..=0xFFFF => {
            out.push(0x80 | 126);
            out.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
}

/// Reads the frame that a buffer starts with; `None` when it is not all there yet.
pub(crate) fn read(buffer: &[u8]) -> Result<Option<Frame<'_>>> {
    let &[first, second, ref rest @ ..] = buffer else {
        return Ok(None);
    };
    if first & 0xF0 != 0x80 {
        bail!("the server sent a fragment or used an extension: only plain frames are expected");
    }
    if second & 0x80 != 0 {
        bail!("the server sent a masked frame, which RFC 6455 forbids");
    }
    let Some((header, length)) = payload_length(second, rest) else {
        return Ok(None);
    };
    if length > LARGEST {
        bail!("the server announced a frame of {length} bytes, more than is sensible");
    }
    let end = header + usize::try_from(length)?;
    let Some(payload) = buffer.get(header..end) else {
        return Ok(None);
    };
    Ok(Some(Frame {
        opcode: Opcode::from_code(first & 0x0F)?,
        payload,
        size: end,
    }))
}

/// The header's size and the payload's.
fn payload_length(second: u8, rest: &[u8]) -> Option<(usize, u64)> {
    match second {
        126 => Some((4, u64::from(u16::from_be_bytes(*rest.first_chunk()?)))),
        127 => Some((10, u64::from_be_bytes(*rest.first_chunk()?))),
        length => Some((2, u64::from(length))),
    }
}

/// The code in a close frame's payload, 1005 when there is none.
pub(crate) fn close_code(payload: &[u8]) -> u16 {
    payload
        .first_chunk()
        .map_or(1005, |bytes| u16::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server would send: the same frame, unmasked.
    fn unmasked(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_masked(&mut bytes, opcode, payload, [0; 4]);
        let header = bytes.len() - payload.len() - 4;
        bytes.drain(header..header + 4);
        bytes[1] &= 0x7F;
        bytes
    }

    #[test]
    fn frames_of_every_length_form_are_read_back() -> Result<()> {
        for length in [0, 1, 125, 126, 127, 0xFFFF, 0x1_0000] {
            let payload = vec![b'x'; length];
            let bytes = unmasked(Opcode::Text, &payload);
            let frame = read(&bytes)?;
            let expected = Frame {
                opcode: Opcode::Text,
                payload: &payload,
                size: bytes.len(),
            };
            assert_eq!(frame, Some(expected), "of {length} bytes");
        }
        Ok(())
    }

    #[test]
    fn a_frame_that_is_not_all_there_is_none() -> Result<()> {
        let bytes = unmasked(Opcode::Text, &[b'x'; 300]);
        for end in 0..bytes.len() {
            assert_eq!(read(&bytes[..end])?, None, "after {end} bytes");
        }
        Ok(())
    }

    #[test]
    fn masked_fragmented_and_huge_frames_are_refused() {
        assert!(read(&[0x81, 0x80, 0, 0, 0, 0]).is_err());
        assert!(read(&[0x01, 0x00]).is_err());
        assert!(read(&[0xC1, 0x00]).is_err());
        assert!(read(&[0x81, 127, 0, 0, 0, 1, 0, 0, 0, 0]).is_err());
    }

    #[test]
    fn the_mask_is_applied_byte_by_byte() {
        let mut bytes = Vec::new();
        write_masked(&mut bytes, Opcode::Pong, b"abcde", [1, 2, 3, 4]);
        assert_eq!(bytes[..6], [0x8A, 0x85, 1, 2, 3, 4]);
        assert_eq!(
            bytes[6..],
            [b'a' ^ 1, b'b' ^ 2, b'c' ^ 3, b'd' ^ 4, b'e' ^ 1]
        );
    }

    #[test]
    fn close_codes_are_read() {
        assert_eq!(close_code(&[0x03, 0xF4]), 1012);
        assert_eq!(close_code(&[]), 1005);
    }
}
