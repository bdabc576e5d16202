//! How many files the process may hold open: the soft limit of the system is raised to the hard one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More files than this are never asked for: where the system names no bound, it still has one.
const OPEN_FILES_MAX: u64 = 1 << 20;

/// Raises the limit and says in the log what it is. Many systems keep the soft one at 1,024 for programs of old, which is
/// far too few for a server.
pub(super) fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(OPEN_FILES_MAX).min(OPEN_FILES_MAX);
    let now = limit.current.unwrap_or(OPEN_FILES_MAX);
    if now >= wanted {
        tracing::debug!(
            open_files = now,
            "the limit of open files is as high as it goes"
        );
        return;
    }
    let raised = Rlimit {
        current: Some(wanted),
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => tracing::info!(from = now, to = wanted, "raised the limit of open files"),
        Err(error) => tracing::warn!(
            %error,
            open_files = now,
            "the limit of open files cannot be raised; it bounds the connections"
        ),
    }
}
