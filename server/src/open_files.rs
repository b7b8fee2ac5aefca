//! How many sockets the process may have, and who gets them.

/// Plain HTTP connections at a time on the public listener (back ends' kept connections, and handshakes): at least,
/// and at most.
const LEAST_HTTP: usize = 256;
const MOST_HTTP: usize = 8192;
/// File descriptors for everything else: the admin listener, the store's files, the runtime.
const OTHER_FILES: usize = 512;

/// How the process's file descriptors are shared out: each socket needs one.
pub(crate) struct FileBudget {
    /// Sessions on this node.
    pub(crate) sessions: usize,
    /// Plain HTTP connections at a time on the public listener.
    pub(crate) http: usize,
}

impl FileBudget {
    /// As many sessions as asked for, if the limit on open files allows; HTTP gets what is left, within bounds.
    /// Raises the soft limit to the hard one first.
    pub(crate) fn of(sessions: usize) -> Self {
        let files = usize::try_from(open_files()).unwrap_or(usize::MAX);
        let fit = files.saturating_sub(OTHER_FILES + LEAST_HTTP).max(1);
        if fit < sessions {
            tracing::warn!(
                files,
                asked = sessions,
                capacity = fit,
                "the limit on open files allows fewer sessions than limits.sessions"
            );
        }
        let sessions = sessions.min(fit);
        let left = files.saturating_sub(sessions + OTHER_FILES);
        Self {
            sessions,
            http: left.clamp(LEAST_HTTP, MOST_HTTP),
        }
    }
}

fn open_files() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let Some(maximum) = limit.maximum else {
        return u64::MAX;
    };
    let raised = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(maximum),
            maximum: Some(maximum),
        },
    );
    if raised.is_ok() {
        maximum
    } else {
        limit.current.unwrap_or(maximum)
    }
}
