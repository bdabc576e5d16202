//! A bound on how often something happens in a second.

use std::time::Duration;

use tokio::time::Instant;

/// Lets a burst of one second's worth through, then spreads what follows.
pub(super) struct Pace {
    gap: Duration,
    burst: Duration,
    /// When the next turn would be if turns were spread evenly.
    next: Instant,
}

impl Pace {
    /// At most `per_second` turns a second, once the burst is used up.
    pub fn new(per_second: u32) -> Pace {
        let gap = Duration::from_secs(1) / per_second.max(1);
        Pace {
            gap,
            burst: Duration::from_secs(1),
            next: Instant::now(),
        }
    }

    /// Waits for a turn.
    pub async fn turn(&mut self) {
        if let Some(until) = self.take_turn(Instant::now()) {
            tokio::time::sleep_until(until).await;
        }
    }

    /// Takes the next turn, and says until when it must wait if it must.
    fn take_turn(&mut self, now: Instant) -> Option<Instant> {
        let turn = self.next.max(now);
        self.next = turn + self.gap;
        let due = turn.checked_sub(self.burst)?;
        (due > now).then_some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_at_once_and_the_rest_is_spread() {
        let mut pace = Pace::new(10);
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
