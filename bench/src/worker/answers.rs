//! What comes to clients without WebSockets, taken apart: answers to polls, pages, streams of events. Pure.

use std::collections::VecDeque;

use anyhow::Result;
use memchr::memmem;

use super::ledger::{MARK, Stamp};
use crate::dialect::Fetch;
use crate::net::http::{self, Head};

/// A page shows the newest notices, those of earlier loads too: as many, and some that come out of order.
const REMEMBERED: usize = 200;

/// A whole answer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer<'a> {
    /// JSON with what is unread.
    Poll(&'a [u8]),
    /// HTML with the newest ones, read or not.
    Page(&'a [u8]),
}

/// What a client keeps from one answer to the next.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    acknowledged: Vec<String>,
    shown: VecDeque<u64>,
}

impl Inbox {
    /// The ids of the last answer.
    pub(crate) fn to_acknowledge(&self) -> &[String] {
        &self.acknowledged
    }

    /// Takes an answer apart; `receive` gets each text that a person would take for new.
    pub(crate) fn take_in(&mut self, answer: Answer<'_>, receive: impl FnMut(&[u8])) -> Result<()> {
        match answer {
            Answer::Poll(body) => self.take_poll(body, receive),
            Answer::Page(body) => {
                self.take_page(body, receive);
                Ok(())
            }
        }
    }

    fn take_poll(&mut self, body: &[u8], mut receive: impl FnMut(&[u8])) -> Result<()> {
        self.acknowledged.clear();
        for notice in Fetch::polled(body)?.notices {
            receive(notice.message.as_bytes());
            self.acknowledged.push(notice.id);
        }
        Ok(())
    }

    fn take_page(&mut self, body: &[u8], mut receive: impl FnMut(&[u8])) {
        for at in memmem::find_iter(body, MARK) {
            let text = &body[at..];
            let Some(stamp) = Stamp::find(text) else {
                continue;
            };
            if self.shown.contains(&stamp.sequence) {
                continue;
            }
            receive(text);
            if self.shown.len() == REMEMBERED {
                self.shown.pop_front();
            }
            self.shown.push_back(stamp.sequence);
        }
    }
}

/// An answer that goes on: lines of events, in chunks or not.
#[derive(Debug)]
pub(crate) struct Stream {
    chunked: bool,
    /// Bytes of a chunk that is not all there.
    raw: Vec<u8>,
    /// A line that is not all there.
    line: Vec<u8>,
}

impl Stream {
    /// The stream behind this head.
    pub(crate) fn of(head: &Head) -> Self {
        Self {
            chunked: head.chunked,
            raw: Vec::new(),
            line: Vec::new(),
        }
    }

    /// Takes in what was read; `receive` gets each line of data.
    pub(crate) fn take_in(&mut self, bytes: &[u8], mut receive: impl FnMut(&[u8])) -> Result<()> {
        if !self.chunked {
            self.take_text(bytes, &mut receive);
            return Ok(());
        }
        self.raw.extend_from_slice(bytes);
        let raw = std::mem::take(&mut self.raw);
        let mut rest = &raw[..];
        while let Some((chunk, after)) = http::next_chunk(rest)? {
            self.take_text(chunk, &mut receive);
            rest = after;
            anyhow::ensure!(!chunk.is_empty(), "the server ended the stream");
        }
        self.raw = rest.to_vec();
        Ok(())
    }

    fn take_text(&mut self, text: &[u8], receive: &mut impl FnMut(&[u8])) {
        for part in text.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                if self.line.starts_with(b"data:") {
                    receive(&self.line);
                }
                self.line.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    fn text(sequence: u64) -> String {
        let mut text = String::new();
        Stamp {
            sequence,
            intended_ns: 5,
        }
        .write(&mut text);
        text
    }

    /// The numbers of the texts that an answer brings.
    fn numbers(inbox: &mut Inbox, answer: Answer<'_>) -> Result<Vec<u64>> {
        let mut numbers = Vec::new();
        inbox.take_in(answer, |text| {
            numbers.extend(Stamp::find(text).map(|stamp| stamp.sequence));
        })?;
        Ok(numbers)
    }

    #[test]
    fn what_a_poll_brought_is_acknowledged_by_the_next_one_only() -> Result<()> {
        let mut inbox = Inbox::default();
        let (one, two) = (text(1), text(2));
        let body = format!(
            r#"{{"notices":[{{"id":"a","message":"{one}"}},{{"id":"b","message":"{two}"}}]}}"#
        );
        assert_eq!(numbers(&mut inbox, Answer::Poll(body.as_bytes()))?, [1, 2]);
        assert_eq!(inbox.to_acknowledge(), ["a", "b"]);
        let none = numbers(&mut inbox, Answer::Poll(br#"{"notices":[]}"#))?;
        assert!(none.is_empty() && inbox.to_acknowledge().is_empty());
        Ok(())
    }

    #[test]
    fn a_page_shows_old_notices_again_and_only_new_ones_count() -> Result<()> {
        let mut inbox = Inbox::default();
        let page = |numbers: &[u64]| {
            let items = numbers
                .iter()
                .map(|number| format!("<li>{}</li>", text(*number)));
            format!("<ul>{}</ul>", items.collect::<String>())
        };
        let first = numbers(&mut inbox, Answer::Page(page(&[3, 1]).as_bytes()))?;
        assert_eq!(first, [3, 1]);
        // What was staged earlier may be stored later.
        let second = numbers(&mut inbox, Answer::Page(page(&[4, 3, 2, 1]).as_bytes()))?;
        assert_eq!(second, [4, 2]);
        Ok(())
    }

    #[test]
    fn events_are_found_however_the_stream_is_cut() -> Result<()> {
        let events = format!(
            "retry: 1000\n\nid: a\nevent: notice\ndata: {}\n\n: ping\n\ndata: {}\n\n",
            text(7),
            text(8)
        );
        let (half, rest) = events.split_at(60);
        let chunk = |part: &str| format!("{:x}\r\n{part}\r\n", part.len());
        let chunked = chunk(half) + &chunk(rest);
        for (head, body) in [
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                chunked,
            ),
            ("HTTP/1.1 200 OK\r\n\r\n", events.clone()),
        ] {
            let head = http::read_head(head.as_bytes())?.context("no head")?;
            for length in 1..40 {
                let (mut stream, mut found) = (Stream::of(&head), Vec::new());
                for part in body.as_bytes().chunks(length) {
                    stream.take_in(part, |line| {
                        found.extend(Stamp::find(line).map(|stamp| stamp.sequence));
                    })?;
                }
                assert_eq!(found, [7, 8], "in parts of {length}");
            }
        }
        Ok(())
    }

    #[test]
    fn the_end_of_a_stream_is_an_error() -> Result<()> {
        let head = http::read_head(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        let mut stream = Stream::of(&head.context("no head")?);
        assert!(stream.take_in(b"0\r\n\r\n", |_| {}).is_err());
        Ok(())
    }
}
