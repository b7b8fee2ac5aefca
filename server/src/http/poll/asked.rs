//! What a poll asks for. Pure.

use std::time::Duration;

use crate::config::Limits;
use crate::domain::NoticeId;
use crate::http::exchange::Head;
use crate::http::problem::{Code, Problem};

/// The longest that a poll may wait.
const LONGEST: u64 = 60;
/// How long it waits when it does not say: below the idle timeout of every proxy.
const USUAL: u64 = 25;
/// Notices in one answer.
const PAGE: usize = 32;
const LARGEST_PAGE: usize = 128;
/// A poller's name, in bytes.
const NAME_BYTES: usize = 64;

/// One poll.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) wait: Duration,
    pub(super) limit: usize,
    pub(super) ack: Vec<NoticeId>,
    pub(super) session: Box<str>,
}

impl Asked {
    pub(super) fn read(head: &Head, limits: &Limits) -> Result<Self, Problem> {
        Ok(Self {
            wait: wait(head)?,
            limit: head.page_limit(PAGE, LARGEST_PAGE)?,
            ack: ack(head, limits.ids_per_ack)?,
            session: session_name(head)?,
        })
    }
}

fn wait(head: &Head) -> Result<Duration, Problem> {
    let seconds = match head.parameter("wait") {
        None => Some(USUAL),
        Some(text) => text.parse().ok().filter(|seconds| *seconds <= LONGEST),
    };
    let seconds = seconds.ok_or_else(|| {
        Problem::invalid(format!(
            "wait is a whole number of seconds from 0 to {LONGEST}"
        ))
    })?;
    Ok(Duration::from_secs(seconds))
}

/// What is no id of ours is unknown, and passed over.
fn ack(head: &Head, most: usize) -> Result<Vec<NoticeId>, Problem> {
    let Some(list) = head.parameter("ack") else {
        return Ok(Vec::new());
    };
    let texts = list.split(',').map(str::trim);
    let texts: Vec<&str> = texts.filter(|text| !text.is_empty()).collect();
    if texts.len() > most {
        let detail = format!("ack has {} ids, {most} are allowed", texts.len());
        return Err(Problem::new(Code::TooLarge, detail));
    }
    Ok(texts.iter().filter_map(|text| text.parse().ok()).collect())
}

/// The name by which several pollers of one token are told apart.
pub(in crate::http) fn session_name(head: &Head) -> Result<Box<str>, Problem> {
    let name = head.parameter("session").unwrap_or_default();
    if name.len() > NAME_BYTES || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Problem::invalid(format!(
            "session is a name of at most {NAME_BYTES} visible ASCII characters"
        )));
    }
    Ok(name.into())
}

#[cfg(test)]
mod tests {
    use warp::http::HeaderMap;

    use super::*;

    fn asked(query: &str) -> Result<Asked, Problem> {
        let head = Head {
            headers: HeaderMap::new(),
            query: query.to_owned(),
        };
        let limits = Limits {
            ids_per_ack: 3,
            ..crate::http::intake::tests::limits()
        };
        Asked::read(&head, &limits)
    }

    #[test]
    fn a_poll_that_says_nothing_waits_a_while_for_a_page() {
        let expected = Asked {
            wait: Duration::from_secs(USUAL),
            limit: PAGE,
            ack: Vec::new(),
            session: "".into(),
        };
        assert_eq!(asked(""), Ok(expected));
    }

    #[test]
    fn everything_can_be_said() {
        let id = NoticeId::new(1, 2, 3);
        let full = asked(&format!("wait=0&limit=5&ack={id},,x,{id}&session=tab-1")).unwrap();
        assert_eq!(full.wait, Duration::ZERO);
        assert_eq!(full.limit, 5);
        assert_eq!(full.ack, [id, id]);
        assert_eq!(&*full.session, "tab-1");
        assert_eq!(asked("limit=999").unwrap().limit, LARGEST_PAGE);
    }

    #[test]
    fn what_is_out_of_bounds_is_refused_with_the_bounds() {
        for (query, says) in [
            ("wait=61", "from 0 to 60"),
            ("wait=-1", "from 0 to 60"),
            ("wait=soon", "from 0 to 60"),
            ("wait=", "from 0 to 60"),
            ("limit=0", "from 1 on"),
            ("ack=a,b,c,d", "3 are allowed"),
            ("session=a%20b", "visible ASCII"),
            (&format!("session={}", "x".repeat(65)), "at most 64"),
        ] {
            let problem = asked(query).unwrap_err();
            assert!(problem.detail.contains(says), "{query}: {}", problem.detail);
        }
    }
}
