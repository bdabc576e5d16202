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
        Pace { gap, burst: Duration::from_secs(1), next: Instant::now() }
    }

    /// Waits for a turn.
    pub async fn turn(&mut self) {
        let now = Instant::now();
        if self.next > now + self.burst {
            tokio::time::sleep_until(self.next - self.burst).await;
        }
        self.next = self.next.max(now) + self.gap;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_at_once_and_the_rest_is_spread() {
        let start = Instant::now();
        let mut pace = Pace::new(10);
        for _ in 0..11 {
            pace.turn().await;
        }
        assert!(start.elapsed() < Duration::from_millis(10));
        for _ in 0..10 {
            pace.turn().await;
        }
        assert!((Duration::from_millis(900)..Duration::from_millis(1_100)).contains(&start.elapsed()));
    }
}
