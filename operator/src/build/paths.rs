//! Which paths are published.

/// What clients use, below the base path. The service API is not among them.
const CLIENT_PATHS: [&str; 10] = [
    "/ws/socket",
    "/sse",
    "/poll",
    "/session",
    "/inbox",
    "/send",
    "/ack",
    "/page",
    "/",
    "/client.js",
];

/// Below this are the files that the pages are made of; a newer server may have others.
const ASSETS: &str = "/assets";

/// Those of them that stay open for long.
const LONG: [&str; 3] = ["/ws/socket", "/sse", "/poll"];

/// Where the socket is besides, whatever the base path: clients of the older service know it only there.
const OLD_SOCKET: &str = "/ws/socket";

/// A published path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Published {
    pub(super) path: String,
    /// Whether everything below is published too.
    pub(super) prefix: bool,
    /// Whether connections stay open for long.
    pub(super) long: bool,
}

impl Published {
    fn exact(path: String, long: bool) -> Self {
        Self {
            path,
            prefix: false,
            long,
        }
    }
}

/// The published paths of a server with this base path (empty: the root).
pub(super) fn published(base: &str, service_api: bool) -> Vec<Published> {
    let mut paths: Vec<Published> = sockets(base)
        .map(|path| Published::exact(path, true))
        .collect();
    if service_api {
        let path = if base.is_empty() { "/" } else { base };
        paths.push(Published {
            path: path.to_owned(),
            prefix: true,
            long: true,
        });
        return paths;
    }
    let others = CLIENT_PATHS.iter().filter(|path| **path != OLD_SOCKET);
    paths.extend(others.map(|path| Published::exact(format!("{base}{path}"), LONG.contains(path))));
    paths.push(Published {
        path: format!("{base}{ASSETS}"),
        prefix: true,
        long: false,
    });
    if !base.is_empty() {
        paths.push(Published::exact(base.to_owned(), false));
    }
    paths
}

/// The paths of WebSockets.
pub(super) fn sockets(base: &str) -> impl Iterator<Item = String> + use<> {
    let below = (!base.is_empty()).then(|| format!("{base}{OLD_SOCKET}"));
    below.into_iter().chain([OLD_SOCKET.to_owned()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_api_is_not_published_unless_asked_for() {
        for base in ["/notice", "", "/a/b"] {
            let paths = published(base, false);
            let below: Vec<_> = paths.iter().filter(|path| path.prefix).collect();
            assert_eq!(below.len(), 1, "{below:?}");
            assert_eq!(below[0].path, format!("{base}/assets"));
            for secret in ["/notices", "/accounts", "/sessions", "/sessions/revoke"] {
                let full = format!("{base}{secret}");
                assert!(paths.iter().all(|path| path.path != full), "{full}");
            }
        }
    }

    #[test]
    fn the_socket_is_published_at_its_older_path_too_and_once() {
        for (base, sockets) in [("/notice", 2), ("", 1)] {
            let paths = published(base, false);
            let found = paths
                .iter()
                .filter(|path| path.path.ends_with("/ws/socket"))
                .count();
            assert_eq!(found, sockets);
        }
    }

    #[test]
    fn no_path_is_published_twice() {
        for base in ["/notice", "", "/a/b"] {
            for service_api in [true, false] {
                let paths = published(base, service_api);
                let mut seen: Vec<_> = paths.iter().map(|path| &path.path).collect();
                seen.sort();
                seen.dedup();
                assert_eq!(seen.len(), paths.len());
            }
        }
    }
}
