//! How many actions the running one is nested in: along the tasks that it starts, and through the server's own routes when
//! it asks them.
//!
//! A nested action waits for no place among those that run at once. Its caller holds one, so it would wait for itself.

use std::future::Future;

use tokio::task::futures::TaskLocalFuture;

tokio::task_local! {
    static DEPTH: usize;
}

/// The depth here; 0 where no action runs.
pub fn depth() -> usize {
    DEPTH.try_with(|depth| *depth).unwrap_or(0)
}

/// `work` at a depth.
pub fn at<F: Future>(depth: usize, work: F) -> TaskLocalFuture<usize, F> {
    DEPTH.scope(depth, work)
}

/// `work` at the depth that is here, for a task of its own.
pub fn carried<F: Future>(work: F) -> TaskLocalFuture<usize, F> {
    at(depth(), work)
}
