//! Warnings that would repeat themselves: one is let through in a while, with the number of those left out.

use std::time::Duration;

use parking_lot::Mutex;

/// How often one kind of warning is logged at most.
pub const WARN_EVERY: Duration = Duration::from_secs(60);

/// Lets one warning through in a while.
#[derive(Debug)]
pub struct Sampled {
    every: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the next one may pass; the first may at once.
    next: Option<Duration>,
    left_out: u64,
}

impl Sampled {
    /// At most one warning in each `every`.
    pub fn new(every: Duration) -> Sampled {
        Sampled {
            every,
            state: Mutex::default(),
        }
    }

    /// Whether a warning passes at `now`, by a clock that never goes back: then the number left out since the last.
    pub fn pass(&self, now: Duration) -> Option<u64> {
        let mut state = self.state.lock();
        if state.next.is_some_and(|next| now < next) {
            state.left_out += 1;
            return None;
        }
        state.next = Some(now.saturating_add(self.every));
        Some(std::mem::take(&mut state.left_out))
    }
}

impl Default for Sampled {
    fn default() -> Sampled {
        Sampled::new(WARN_EVERY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_warning_passes_in_a_while_and_counts_the_others() {
        let sampled = Sampled::new(Duration::from_secs(60));
        let at = Duration::from_secs;
        assert_eq!(sampled.pass(at(5)), Some(0));
        assert_eq!(sampled.pass(at(5)), None);
        assert_eq!(sampled.pass(at(64)), None);
        assert_eq!(sampled.pass(at(65)), Some(2));
        assert_eq!(sampled.pass(at(200)), Some(0));
    }
}
