//! How single texts become what they mean: addresses, paths, names, networks, origins. Pure; each
//! says what is wrong and what to write instead.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;

use super::value::{Unfit, shown};

/// A name's most characters; a pod's name has at most so many.
const MOST_NAME: usize = 253;

/// A base path's most characters.
const MOST_BASE_PATH: usize = 200;

/// What to say of a text: the problem with it shown, and the remedy.
pub(super) fn unfit(text: &str, problem: &str, remedy: impl Into<String>) -> Unfit {
    (format!("{} {problem}", shown(text)), remedy.into())
}

/// `IP:PORT`, or `localhost:PORT` for 127.0.0.1.
pub(super) fn address(text: &str) -> Result<SocketAddr, Unfit> {
    if let Some(port) = text
        .strip_prefix("localhost:")
        .and_then(|port| port.parse().ok())
    {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    text.parse().map_err(|_| {
        unfit(
            text,
            "is no address to listen on",
            "write IP:PORT, such as 127.0.0.1:8080, 0.0.0.0:8080 or [::]:8080",
        )
    })
}

/// A path to put in front of others: `/a/b`, empty for the root. A slash at the end is dropped.
pub(super) fn base_path(text: &str) -> Result<String, Unfit> {
    let path = text.strip_suffix('/').unwrap_or(text);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~');
    let segment = |s: &str| !matches!(s, "" | "." | "..") && s.chars().all(plain);
    let fits = path.is_empty()
        || path.len() <= MOST_BASE_PATH
            && path
                .strip_prefix('/')
                .is_some_and(|rest| rest.split('/').all(segment));
    if fits {
        Ok(path.to_owned())
    } else {
        Err(unfit(
            text,
            "is no base path",
            format!(
                "write \"/\", or segments of letters, digits, \"-\", \".\", \"_\" and \"~\" such \
                 as \"/notice\", at most {MOST_BASE_PATH} characters"
            ),
        ))
    }
}

/// Whether a text is a name of at most `most` characters: letters, digits, `.`, `_`, `-`.
pub(super) fn is_name(text: &str, most: usize) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=most).contains(&text.len()) && text.chars().all(plain)
}

/// The node's name.
pub(super) fn node_name(text: &str) -> Result<String, Unfit> {
    if is_name(text, MOST_NAME) {
        return Ok(text.to_owned());
    }
    Err(unfit(
        text,
        "is no name for a node",
        format!(
            "give one of 1 to {MOST_NAME} letters, digits, \".\", \"_\" and \"-\" by \
             NOTICE_NODE_NAME"
        ),
    ))
}

/// A path in the file system.
pub(super) fn folder(text: &str) -> Result<PathBuf, Unfit> {
    if text.is_empty() {
        return Err(("no folder is named".to_owned(), "name one".to_owned()));
    }
    file(text)
}

/// A path in the file system, or empty for none.
pub(super) fn file(text: &str) -> Result<PathBuf, Unfit> {
    if text.chars().any(char::is_control) {
        return Err(unfit(
            text,
            "holds a control character",
            "write the path without it",
        ));
    }
    Ok(text.into())
}

/// The networks whose forwarded addresses are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Takes networks as a set: one given twice counts once.
    #[must_use]
    pub fn new(mut networks: Vec<IpNet>) -> Self {
        networks.sort();
        networks.dedup();
        Self(networks)
    }

    /// Whether this peer is one of them. An IPv4 address counts as such in IPv6 dress as well,
    /// which is how a listener on `[::]` sees it.
    #[must_use]
    pub fn contain(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.0.iter().any(|network| network.contains(&peer))
    }

    /// The networks, sorted.
    #[must_use]
    pub fn networks(&self) -> &[IpNet] {
        &self.0
    }
}

/// A network in CIDR form, or one address.
pub(super) fn network(text: &str) -> Result<IpNet, Unfit> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_canonical().into());
    }
    let network: IpNet = text.parse().map_err(|_| {
        unfit(
            text,
            "is no network",
            "write one such as 10.0.0.0/8, fd00::/8 or 192.0.2.7",
        )
    })?;
    if network != network.trunc() {
        let remedy = format!("write {} or the single address", network.trunc());
        return Err(unfit(text, "is an address within a network", remedy));
    }
    Ok(network)
}

/// An origin in the form that browsers send: `scheme://host[:port]`, lower case, without the
/// scheme's own port.
pub(super) fn origin(text: &str) -> Result<String, Unfit> {
    let lower = text.to_ascii_lowercase();
    lower
        .split_once("://")
        .and_then(|(scheme, rest)| origin_of(scheme, rest))
        .ok_or_else(|| {
            unfit(
                text,
                "is no origin",
                "write SCHEME://HOST or SCHEME://HOST:PORT without a path or a \"*\", such as \
             https://app.example.com",
            )
        })
}

fn origin_of(scheme: &str, rest: &str) -> Option<String> {
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse::<u16>().ok()?)),
        _ => (rest, None),
    };
    if !is_scheme(scheme) || !is_host(host) {
        return None;
    }
    Some(match (scheme, port) {
        (_, None) | ("https", Some(443)) | ("http", Some(80)) => format!("{scheme}://{host}"),
        (_, Some(port)) => format!("{scheme}://{host}:{port}"),
    })
}

/// Not only http and https: pages inside apps have schemes of their own.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn is_host(text: &str) -> bool {
    match text.strip_prefix('[') {
        Some(rest) => rest
            .strip_suffix(']')
            .is_some_and(|ip| ip.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6())),
        None => is_name(text, MOST_NAME),
    }
}

/// One of a few names.
pub(super) fn choice<T: Copy>(text: &str, all: &[(&str, T)]) -> Result<T, Unfit> {
    all.iter()
        .find(|(name, _)| *name == text)
        .map(|(_, value)| *value)
        .ok_or_else(|| {
            let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
            unfit(
                text,
                "is none of the choices",
                format!("write one of: {}", names.join(", ")),
            )
        })
}
