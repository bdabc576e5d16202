//! A bound on how often something happens in a second.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;

/// Lets a burst of one second's worth through, then spreads what follows.
pub(super) struct Pace {
    clock: Arc<dyn Clock>,
    gap: Duration,
    burst: Duration,
    /// When the next turn would be if turns were spread evenly, by the clock's elapsed time.
    next: Duration,
}

impl Pace {
    /// At most `per_second` turns a second, once the burst is used up.
    pub fn new(per_second: u32, clock: Arc<dyn Clock>) -> Pace {
        Pace {
            gap: Duration::from_secs(1) / per_second.max(1),
            burst: Duration::from_secs(1),
            next: clock.elapsed(),
            clock,
        }
    }

    /// Waits for a turn.
    pub async fn turn(&mut self) {
        if let Some(until) = self.take_turn(self.clock.elapsed()) {
            self.clock.sleep_until(until).await;
        }
    }

    /// Takes the next turn, and says until when it must wait if it must.
    fn take_turn(&mut self, now: Duration) -> Option<Duration> {
        let turn = self.next.max(now);
        self.next = turn + self.gap;
        let due = turn.checked_sub(self.burst)?;
        (due > now).then_some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ManualClock, UnixNanos};

    #[test]
    fn a_burst_passes_at_once_and_the_rest_is_spread() {
        let mut pace = Pace::new(10, Arc::new(ManualClock::at(UnixNanos(0))));
        let now = pace.next;
        for _ in 0..11 {
            assert_eq!(pace.take_turn(now), None);
        }
        for turn in 1..=10 {
            assert_eq!(
                pace.take_turn(now),
                Some(now + turn * Duration::from_millis(100))
            );
        }
        let later = now + Duration::from_secs(60);
        assert_eq!(pace.take_turn(later), None);
    }
}
