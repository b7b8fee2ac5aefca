//! URLs that keys may be fetched from. Pure.

use std::net::IpAddr;

use hyper::Uri;

use super::parse::unfit;
use super::value::Unfit;

/// A URL's most characters.
const MOST: usize = 2000;

/// Reads a URL that gives keys; empty for none. Over plain http anybody between could put in a key
/// of their own, so that is for this machine only.
pub(super) fn read(text: &str) -> Result<String, Unfit> {
    let fits = text.is_empty() || text.len() <= MOST && text.parse().is_ok_and(|uri| is_safe(&uri));
    if fits {
        return Ok(text.to_owned());
    }
    if text.contains('@') {
        let problem = "it holds a user or a password".to_owned();
        return Err((problem, "write https://HOST/PATH without them".to_owned()));
    }
    Err(unfit(
        text,
        "is no URL to fetch keys from",
        "write https://HOST/PATH; http is for localhost, 127.0.0.1 and [::1] only",
    ))
}

fn is_safe(uri: &Uri) -> bool {
    let Some(authority) = uri.authority() else {
        return false;
    };
    let host = authority.host();
    let plain = !host.is_empty() && !authority.as_str().contains('@');
    match uri.scheme_str() {
        Some("https") => plain,
        Some("http") => plain && is_loopback(host),
        _ => false,
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
