//! The outcomes of pushes since the start, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use super::error::PushError;

/// Pushes since the start.
#[derive(Debug, Default)]
pub struct PushCounts {
    live: AtomicU64,
    refused: AtomicU64,
}

impl PushCounts {
    /// Pushes and rollbacks that went live, and those that were refused.
    pub fn read(&self) -> (u64, u64) {
        let [live, refused] =
            [&self.live, &self.refused].map(|count| count.load(Ordering::Relaxed));
        (live, refused)
    }

    pub(super) fn went_live(&self) {
        self.live.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a step of a push that failed: with it the push has failed.
    pub(super) fn step<T>(&self, step: Result<T, PushError>) -> Result<T, PushError> {
        if step.is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        step
    }
}
