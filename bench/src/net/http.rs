//! Reading HTTP/1.1 responses, plain or chunked, out of a buffer.

use anyhow::{Context, Result, bail};
use memchr::memmem;

/// A response within a buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Response<'a> {
    /// The status code.
    pub(crate) status: u16,
    /// The body as it came, chunk sizes included if it is chunked.
    pub(crate) raw_body: &'a [u8],
    /// Whether the body is chunked.
    pub(crate) chunked: bool,
    /// Bytes of the buffer that it takes.
    pub(crate) size: usize,
}

impl Response<'_> {
    /// The body without chunk sizes.
    pub(crate) fn body(&self) -> Vec<u8> {
        let (mut body, mut rest) = (Vec::new(), self.raw_body);
        if !self.chunked {
            return rest.to_vec();
        }
        while let Ok(Some((chunk, after))) = next_chunk(rest) {
            body.extend_from_slice(chunk);
            rest = after;
        }
        body
    }
}

/// A head within a buffer: what is in front of a body or of WebSocket frames.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The status code.
    pub(crate) status: u16,
    /// Bytes that the head takes, the empty line included.
    pub(crate) size: usize,
    /// Whether the body comes in chunks.
    pub(crate) chunked: bool,
    /// Whether the connection ends behind the body.
    pub(crate) closes: bool,
    content_length: Option<usize>,
}

/// Reads the head that a buffer starts with; `None` when it is not all there yet.
pub(crate) fn read_head(buffer: &[u8]) -> Result<Option<Head>> {
    let Some(end) = memmem::find(buffer, b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&buffer[..end]).context("an HTTP head is not text")?;
    let mut lines = text.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status = status_line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|digits| digits.parse().ok())
        .with_context(|| format!("not an HTTP/1.1 status line: {status_line}"))?;
    let mut head = Head {
        status,
        size: end + 4,
        content_length: None,
        chunked: false,
        closes: false,
    };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            head.content_length = Some(value.trim().parse().context("a bad content-length")?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            head.chunked = value.trim().eq_ignore_ascii_case("chunked");
        } else if name.eq_ignore_ascii_case("connection") {
            head.closes = value.trim().eq_ignore_ascii_case("close");
        }
    }
    Ok(Some(head))
}

/// Reads the response that a buffer starts with; `None` when it is not all there yet.
pub(crate) fn read(buffer: &[u8]) -> Result<Option<Response<'_>>> {
    let Some(head) = read_head(buffer)? else {
        return Ok(None);
    };
    let rest = &buffer[head.size..];
    let length = if head.chunked {
        let Some(length) = chunked_length(rest)? else {
            return Ok(None);
        };
        length
    } else {
        // Without a length there is no body here: 204, or an error that closes.
        head.content_length.unwrap_or(0)
    };
    let Some(raw_body) = rest.get(..length) else {
        return Ok(None);
    };
    let (status, chunked, size) = (head.status, head.chunked, head.size + length);
    Ok(Some(Response {
        status,
        raw_body,
        chunked,
        size,
    }))
}

fn chunked_length(body: &[u8]) -> Result<Option<usize>> {
    let mut rest = body;
    while let Some((chunk, after)) = next_chunk(rest)? {
        rest = after;
        if chunk.is_empty() {
            return Ok(Some(body.len() - rest.len()));
        }
    }
    Ok(None)
}

/// The first chunk and what is behind it; trailers are not expected.
pub(crate) fn next_chunk(body: &[u8]) -> Result<Option<(&[u8], &[u8])>> {
    let Some(line_end) = memmem::find(body, b"\r\n") else {
        return Ok(None);
    };
    let line = std::str::from_utf8(&body[..line_end]).context("a bad chunk size")?;
    let digits = line.split(';').next().unwrap_or_default().trim();
    let size =
        usize::from_str_radix(digits, 16).with_context(|| format!("a bad chunk size: {line}"))?;
    let start = line_end + 2;
    let Some(end) = start.checked_add(size) else {
        bail!("a chunk of {size} bytes")
    };
    let Some(chunk) = body.get(start..end) else {
        return Ok(None);
    };
    match body.get(end..end + 2) {
        Some(b"\r\n") => Ok(Some((chunk, &body[end + 2..]))),
        Some(_) => bail!("a chunk does not end with its line"),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &[u8] = b"HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nabcHTTP";
    const CHUNKED: &[u8] =
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nA;x\r\n0123456789\r\n0\r\n\r\n";

    #[test]
    fn a_plain_response_ends_with_its_length() -> Result<()> {
        let response = read(PLAIN)?.context("incomplete")?;
        assert_eq!((response.status, response.raw_body), (201, &b"abc"[..]));
        assert_eq!(response.size, PLAIN.len() - 4);
        Ok(())
    }

    #[test]
    fn a_chunked_response_is_put_together() -> Result<()> {
        let response = read(CHUNKED)?.context("incomplete")?;
        assert_eq!(response.size, CHUNKED.len());
        assert_eq!(response.body(), b"abc0123456789");
        Ok(())
    }

    #[test]
    fn an_incomplete_response_is_none() -> Result<()> {
        for end in 0..CHUNKED.len() {
            assert_eq!(read(&CHUNKED[..end])?, None, "after {end} bytes");
        }
        assert_eq!(read(&PLAIN[..PLAIN.len() - 5])?, None);
        Ok(())
    }

    #[test]
    fn a_head_says_whether_its_connection_ends() -> Result<()> {
        let head = read_head(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
        assert!(head.context("incomplete")?.closes);
        assert!(!read_head(PLAIN)?.context("incomplete")?.closes);
        Ok(())
    }

    #[test]
    fn a_response_without_a_length_has_no_body() -> Result<()> {
        let response = read(b"HTTP/1.1 204 No Content\r\n\r\n")?.context("incomplete")?;
        assert_eq!((response.status, response.raw_body), (204, &b""[..]));
        Ok(())
    }

    #[test]
    fn nonsense_is_an_error() {
        assert!(read(b"SSH-2.0\r\n\r\n").is_err());
        assert!(read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n").is_err());
    }
}
