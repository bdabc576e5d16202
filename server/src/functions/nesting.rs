//! How many actions the running one is nested in: along the tasks that it starts, and through the server's own routes when
//! it asks them.
//!
//! An action that waits for a call of its own holds its place meanwhile. So its calls are told from others (`places.rs`).

use std::future::Future;

use tokio::task::futures::TaskLocalFuture;

/// How deep actions may call actions.
pub const DEPTH_MAX: usize = 8;
/// The error of a call that is deeper.
pub(super) const TOO_DEEP: &str =
    "Cross component call depth limit exceeded. Do you have an infinite loop in your app?";

/// Where a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nesting {
    /// How many actions the call is nested in, from 1 on.
    pub depth: usize,
    /// The number of the calling action's place.
    pub caller: u64,
}

tokio::task_local! {
    static NESTING: Option<Nesting>;
}

/// The nesting of calls that are made here; none where no action runs.
pub fn here() -> Option<Nesting> {
    NESTING.try_with(|nesting| *nesting).ok().flatten()
}

/// `work` with its calls nested so.
pub fn at<F: Future>(nesting: Nesting, work: F) -> TaskLocalFuture<Option<Nesting>, F> {
    NESTING.scope(Some(nesting), work)
}

/// `work` as nested as it is here, for a task of its own.
pub fn carried<F: Future>(work: F) -> TaskLocalFuture<Option<Nesting>, F> {
    NESTING.scope(here(), work)
}
