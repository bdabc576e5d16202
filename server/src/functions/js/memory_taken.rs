//! The memory that actions of one code take, as far as it is known from those that ran.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Expected of code that never ran: an image at which warming stops, and as much again.
const BYTES_AT_FIRST: usize = 32 << 20;
/// A run that took less lowers the expectation by this part of the difference.
const LOWERED_BY: usize = 8;

/// The expectation. It follows a larger run at once, and smaller ones slowly.
#[derive(Default)]
pub(super) struct MemoryTaken(AtomicUsize);

impl MemoryTaken {
    /// Bytes that the next run is expected to take.
    pub fn expected(&self) -> usize {
        match self.0.load(Ordering::Relaxed) {
            0 => BYTES_AT_FIRST,
            bytes => bytes,
        }
    }

    /// A run took this many.
    pub fn note(&self, bytes: usize) {
        let next = |expected: usize| match expected {
            lower if lower <= bytes => bytes,
            higher => higher - (higher - bytes) / LOWERED_BY,
        };
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |expected| {
                Some(next(expected).max(1))
            });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_run_is_expected_again_at_once_and_forgotten_slowly() {
        let taken = MemoryTaken::default();
        assert_eq!(taken.expected(), BYTES_AT_FIRST);
        taken.note(800);
        assert_eq!(taken.expected(), 800);
        taken.note(1_600);
        assert_eq!(taken.expected(), 1_600);
        taken.note(800);
        assert_eq!(taken.expected(), 1_500);
    }
}
