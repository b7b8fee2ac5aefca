//! The page's two cookies: the token, and which unread notices were shown last. Pure.

use std::fmt::Write as _;

use warp::http::HeaderMap;
use warp::http::header::HeaderValue;

use crate::domain::NoticeId;
use crate::http::caller::{self, TOKEN_NAME};
use crate::http::exchange::Head;
use crate::http::problem::Problem;

const SHOWN_NAME: &str = "NOTICE_SHOWN";

/// A token in the address.
pub(super) fn token_in_query(head: &Head) -> Option<String> {
    head.parameter(TOKEN_NAME)
}

/// The cookie with the token, for as long as it holds.
///
/// # Errors
/// When the token has characters that no cookie may have.
pub(super) fn with_token(
    token: &str,
    path: &str,
    seconds: Option<u64>,
    headers: &HeaderMap,
) -> Result<HeaderValue, Problem> {
    // RFC 6265, section 4.1.1.
    let fits = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\');
    if token.is_empty() || !token.bytes().all(fits) {
        return Err(Problem::invalid(
            "this session token has characters that no cookie may have: the page can't keep it",
        ));
    }
    let mut cookie = cookie(TOKEN_NAME, token, path, headers);
    if let Some(seconds) = seconds {
        let _never_fails = write!(cookie, "; Max-Age={seconds}");
    }
    value(&cookie)
}

/// The cookie with what is shown now.
///
/// # Errors
/// Never, as ids are plain text.
pub(super) fn with_shown(
    ids: &[NoticeId],
    path: &str,
    headers: &HeaderMap,
) -> Result<HeaderValue, Problem> {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    value(&cookie(SHOWN_NAME, &ids.join("."), path, headers))
}

/// What was shown last, at most `most`.
pub(super) fn shown(headers: &HeaderMap, most: usize) -> Vec<NoticeId> {
    let ids = caller::cookie(headers, SHOWN_NAME).unwrap_or_default();
    let ids = ids.split('.').take(most);
    ids.filter_map(|id| id.parse().ok()).collect()
}

fn cookie(name: &str, value: &str, path: &str, headers: &HeaderMap) -> String {
    // A proxy that ends TLS says so; who lies about it only keeps its own cookie to itself.
    let secure = headers
        .get("x-forwarded-proto")
        .is_some_and(|scheme| scheme == "https");
    let secure = if secure { "; Secure" } else { "" };
    format!("{name}={value}; Path={path}; HttpOnly; SameSite=Lax{secure}")
}

fn value(cookie: &str) -> Result<HeaderValue, Problem> {
    HeaderValue::from_str(cookie)
        .map_err(|_| Problem::invalid("the session token can't be written into a cookie"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_becomes_a_cookie_that_no_script_and_no_other_site_can_use() {
        let mut headers = HeaderMap::new();
        let cookie = with_token("abc", "/notice/page", Some(60), &headers).unwrap();
        assert_eq!(
            cookie,
            "SESSION_TOKEN_KEY=abc; Path=/notice/page; HttpOnly; SameSite=Lax; Max-Age=60"
        );
        headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
        let cookie = with_token("abc", "/p", None, &headers).unwrap();
        assert!(cookie.to_str().unwrap().ends_with("; Secure"));
    }

    #[test]
    fn a_token_that_would_add_to_the_cookie_is_refused() {
        for token in ["a; Domain=evil", "a b", "a\r\nSet-Cookie: x", "ä", ""] {
            assert!(
                with_token(token, "/p", None, &HeaderMap::new()).is_err(),
                "{token}"
            );
        }
    }

    #[test]
    fn what_was_shown_comes_back_and_nothing_else_is_believed() {
        let ids = [NoticeId::new(1, 2, 3), NoticeId::new(4, 5, 6)];
        let set = with_shown(&ids, "/p", &HeaderMap::new()).unwrap();
        let pair = set.to_str().unwrap().split(';').next().unwrap().to_owned();
        let mut headers = HeaderMap::new();
        headers.insert("cookie", HeaderValue::from_str(&pair).unwrap());
        assert_eq!(shown(&headers, 50), ids);
        assert_eq!(shown(&headers, 1), ids[..1]);
        headers.insert("cookie", HeaderValue::from_static("NOTICE_SHOWN=x.<b>..1"));
        assert_eq!(shown(&headers, 50), []);
        assert_eq!(shown(&HeaderMap::new(), 50), []);
    }
}
