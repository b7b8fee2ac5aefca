//! What the URIs of back ends have in common: credentials in front, hosts, something behind. Pure.
//! No message repeats a piece of such a URI: a slip can put the password anywhere in it.

use std::fmt;
use std::net::Ipv6Addr;

use percent_encoding::percent_decode_str;

use super::parse::is_name;
use super::value::Unfit;

/// A host's most characters, as DNS has it.
const MOST_HOST: usize = 253;

/// A machine's name or address, and a port on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// A name, an IPv4 address, or an IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for HostPort {
    /// `host:port`, an IPv6 address in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A URI behind its scheme, taken apart and not decoded.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    /// What stands before the last `@` of the authority.
    pub(super) credentials: Option<&'a str>,
    /// The hosts, with commas.
    pub(super) hosts: &'a str,
    /// What stands behind the first slash.
    pub(super) path: Option<&'a str>,
    /// What stands behind the question mark.
    pub(super) query: Option<&'a str>,
}

/// What to do about characters that would end the credentials too early.
pub(super) const ENCODE: &str =
    "in the user's name and password write %, /, ?, #, @ and : as %25, %2F, %3F, %23, %40 and %3A";

/// Makes a mistake of its two texts.
pub(super) fn wrong(problem: &str, remedy: &str) -> Unfit {
    (problem.to_owned(), remedy.to_owned())
}

/// Takes a URI apart behind its `scheme://`.
pub(super) fn take_apart(text: &str) -> Result<Parts<'_>, Unfit> {
    if text.contains(|c: char| c.is_control() || c == ' ' || c == '#') {
        return Err(wrong(
            "it holds a space, a \"#\" or a control character",
            ENCODE,
        ));
    }
    let end = text.find(['/', '?']).unwrap_or(text.len());
    let (authority, rest) = text.split_at(end);
    let (credentials, hosts) = match authority.rsplit_once('@') {
        Some((credentials, hosts)) => (Some(credentials), hosts),
        None => (None, authority),
    };
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    if credentials.is_none() && rest.contains('@') {
        return Err(wrong("a \"/\" or \"?\" stands before the \"@\"", ENCODE));
    }
    Ok(Parts {
        credentials,
        hosts,
        path: path.strip_prefix('/'),
        query,
    })
}

/// Reads hosts with commas between them; one without a port gets `port`.
pub(super) fn hosts(text: &str, port: u16) -> Result<Vec<HostPort>, Unfit> {
    text.split(',').map(|one| host(one, port)).collect()
}

/// Reads `host`, `host:port`, `[address]` or `[address]:port`.
fn host(text: &str, default: u16) -> Result<HostPort, Unfit> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or_else(no_host)?,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let is_host = match text.starts_with('[') {
        true => host.parse::<Ipv6Addr>().is_ok(),
        false => is_name(host, MOST_HOST),
    };
    if !is_host {
        return Err(no_host());
    }
    let port = match port.strip_prefix(':') {
        Some(digits) => self::port(digits)?,
        None if port.is_empty() => default,
        None => return Err(no_host()),
    };
    Ok(HostPort {
        host: host.to_owned(),
        port,
    })
}

fn port(digits: &str) -> Result<u16, Unfit> {
    let number = digits.bytes().all(|b| b.is_ascii_digit());
    let port = digits.parse().ok().filter(|port| number && *port != 0);
    port.ok_or_else(|| wrong("a port in it is no number from 1 to 65535", ENCODE))
}

fn no_host() -> Unfit {
    wrong(
        "it names no host, or one that is no name and no address",
        "write HOST:PORT, or [ADDRESS]:PORT for IPv6, with commas between several",
    )
}

/// `user:password`, decoded; each is none where nothing is written.
pub(super) fn credentials(text: &str) -> Result<(Option<String>, Option<String>), Unfit> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    Ok((decoded(user)?, decoded(password)?))
}

/// A text with its percent signs resolved; none if it is empty.
pub(super) fn decoded(text: &str) -> Result<Option<String>, Unfit> {
    let broken = || {
        wrong(
            "a \"%\" in it is not followed by two hexadecimal digits",
            ENCODE,
        )
    };
    for (at, _) in text.match_indices('%') {
        let digits = text.as_bytes().get(at + 1..at + 3).ok_or_else(broken)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(broken());
        }
    }
    let text = percent_decode_str(text).decode_utf8();
    let text = text.map_err(|_| wrong("what its \"%\" stand for is not UTF-8", ENCODE))?;
    Ok((!text.is_empty()).then(|| text.into_owned()))
}
