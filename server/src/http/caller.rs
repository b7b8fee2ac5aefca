//! Who calls: the credential a request carries, the origin it comes from, the address behind the proxies.
//!
//! Pure functions of the request's headers and query. Nothing here looks a credential up.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use warp::http::HeaderMap;
use warp::http::header::{AUTHORIZATION, COOKIE, HOST, HeaderName, ORIGIN, SEC_WEBSOCKET_PROTOCOL};

use super::problem::{Code, Problem};

/// The subprotocol of our own WebSocket protocol.
pub(super) const SUBPROTOCOL: &str = "notice.v1";
/// The name of the token in a query and in a cookie.
pub(super) const TOKEN_NAME: &str = "SESSION_TOKEN_KEY";

const TOKEN_ITEM: &str = "token.";
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// The session token of a request: of the ways to carry one, the first that is there decides.
///
/// # Errors
/// `UNAUTHENTICATED` when there is none or it can't be read, `ORIGIN_NOT_ALLOWED` when only a cookie carries it
/// and the request comes from a page that may not use it.
pub(super) fn session_token(
    headers: &HeaderMap,
    query: &str,
    allowed_origins: &[String],
) -> Result<String, Problem> {
    if let Some(token) = bearer(headers) {
        return Ok(token.to_owned());
    }
    if let Some(item) = token_item(headers) {
        return decode_item(item);
    }
    if let Some((_, token)) =
        form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == TOKEN_NAME)
    {
        return Ok(token.into_owned());
    }
    match cookie(headers, TOKEN_NAME) {
        Some(token) if cookie_may_be_used(headers, allowed_origins) => Ok(token.to_owned()),
        Some(_) => Err(Problem::new(
            Code::OriginNotAllowed,
            "a cookie is only believed from a page of the same origin, or of one in auth.allowed_origins",
        )),
        None => Err(Problem::new(
            Code::Unauthenticated,
            "no session token: send it as Authorization: Bearer, as the WebSocket subprotocol item token.<base64url>, \
             or as the query SESSION_TOKEN_KEY",
        )),
    }
}

/// The API key of a request.
#[must_use]
pub(super) fn api_key(headers: &HeaderMap) -> Option<&str> {
    bearer(headers).or_else(|| headers.get(API_KEY)?.to_str().ok())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credential) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| credential.trim())
}

/// The subprotocols a client offers.
pub(super) fn subprotocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

fn token_item(headers: &HeaderMap) -> Option<&str> {
    // Beside any other subprotocol it has no meaning.
    subprotocols(headers).find(|item| *item == SUBPROTOCOL)?;
    subprotocols(headers).find_map(|item| item.strip_prefix(TOKEN_ITEM))
}

fn decode_item(item: &str) -> Result<String, Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(item.trim_end_matches('=')).ok();
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| {
            Problem::new(
                Code::Unauthenticated,
                "the subprotocol item token.<...> is not base64url of a UTF-8 token",
            )
        })
}

/// The value of a cookie.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let values = headers
        .get_all(COOKIE)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(';')).find_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name).then(|| value.trim_matches('"'))
    })
}

/// Browsers send cookies along with requests of foreign pages; only what shows that the page is not foreign lets
/// one count.
fn cookie_may_be_used(headers: &HeaderMap, allowed_origins: &[String]) -> bool {
    let Some(origin) = headers.get(ORIGIN) else {
        let site = headers
            .get(FETCH_SITE)
            .map(|site| site.to_str().unwrap_or("cross-site"));
        return matches!(site, None | Some("same-origin" | "none"));
    };
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    if allowed_origins
        .iter()
        .any(|allowed| allowed.eq_ignore_ascii_case(origin))
    {
        return true;
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    // Behind a proxy that ends TLS the scheme is not known here; host and port tell the page's site.
    host.is_some_and(|host| origin_is_at(origin, host))
}

fn origin_is_at(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else {
        return false;
    };
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let bare = |text: &str| {
        text.strip_suffix(default_port)
            .unwrap_or(text)
            .to_ascii_lowercase()
    };
    bare(authority) == bare(host)
}

/// The client's address: the peer's own, unless the peer is a trusted proxy; then the nearest one that is not, in
/// what the proxies added to `X-Forwarded-For` (or `X-Real-IP` without it).
pub(super) fn client_address(
    peer: IpAddr,
    headers: &HeaderMap,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> IpAddr {
    if !is_trusted(peer) {
        return peer;
    }
    let values = headers
        .get_all(FORWARDED_FOR)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    let hops: Vec<&str> = values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    let mut nearest = peer;
    for hop in hops.iter().rev() {
        // What a proxy wrote is believed up to the first thing that is no address.
        let Some(address) = parse_hop(hop) else {
            return nearest;
        };
        nearest = address;
        if !is_trusted(address) {
            return nearest;
        }
    }
    if !hops.is_empty() {
        return nearest;
    }
    headers
        .get(REAL_IP)
        .and_then(|value| parse_hop(value.to_str().ok()?))
        .unwrap_or(peer)
}

fn parse_hop(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    hop.parse().ok().or_else(|| {
        hop.parse::<std::net::SocketAddr>()
            .ok()
            .map(|address| address.ip())
    })
}

#[cfg(test)]
#[path = "caller_tests.rs"]
mod tests;
