//! The time, taken at construction by every room that needs it, so that a test or a simulation can provide its own.
//!
//! Two questions are kept apart. "Which moment is it?" may jump when someone sets the clock; it decides what other
//! machines decided by their own clocks, such as the expiry of an auth token. "How long ago was that?" never jumps; it
//! decides ages, limits and backoff.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

/// A moment: nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixNanos(pub u64);

/// Nanoseconds in one second.
const NANOS_PER_SECOND: u64 = 1_000_000_000;

impl UnixNanos {
    /// The moment `seconds` after the epoch; one too far away to express becomes the last expressible moment.
    pub const fn from_seconds(seconds: u64) -> UnixNanos {
        UnixNanos(seconds.saturating_mul(NANOS_PER_SECOND))
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn seconds(self) -> u64 {
        self.0 / NANOS_PER_SECOND
    }

    /// The moment `duration` later, or the last expressible one.
    pub fn plus(self, duration: Duration) -> UnixNanos {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        UnixNanos(self.0.saturating_add(nanos))
    }
}

/// Where a room takes the time from.
pub trait Clock: Send + Sync {
    /// The present moment. It may jump in either direction between two calls.
    fn now(&self) -> UnixNanos;

    /// Time passed since an arbitrary start. It never goes backwards.
    fn elapsed(&self) -> Duration;
}

/// The clock of the machine.
#[derive(Clone, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose `elapsed` starts now.
    pub fn new() -> SystemClock {
        SystemClock {
            start: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> SystemClock {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> UnixNanos {
        // A machine set to a time before 1970 is taken to be at the epoch: every token is then not yet expired but
        // also not yet valid, and commits keep their order by their own rule.
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        UnixNanos(0).plus(since_epoch)
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A clock that moves only when told to, for tests and simulation.
#[derive(Debug)]
pub struct ManualClock {
    state: Mutex<ManualState>,
}

#[derive(Debug)]
struct ManualState {
    now: UnixNanos,
    elapsed: Duration,
}

impl ManualClock {
    /// A clock that stands at `now`.
    pub fn at(now: UnixNanos) -> ManualClock {
        ManualClock {
            state: Mutex::new(ManualState {
                now,
                elapsed: Duration::ZERO,
            }),
        }
    }

    /// Lets time pass.
    pub fn advance(&self, duration: Duration) {
        let mut state = self.state.lock();
        state.now = state.now.plus(duration);
        state.elapsed = state.elapsed.saturating_add(duration);
    }

    /// Sets the present moment, as a person sets a wall clock: no time passes.
    pub fn jump_to(&self, now: UnixNanos) {
        self.state.lock().now = now;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixNanos {
        self.state.lock().now
    }

    fn elapsed(&self) -> Duration {
        self.state.lock().elapsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_of_the_wall_clock_lets_no_time_pass() {
        let clock = ManualClock::at(UnixNanos::from_seconds(1_000));
        clock.advance(Duration::from_millis(1_500));
        assert_eq!(clock.now(), UnixNanos(1_001_500_000_000));
        clock.jump_to(UnixNanos::from_seconds(10));
        assert_eq!(clock.now().seconds(), 10);
        assert_eq!(clock.elapsed(), Duration::from_millis(1_500));
    }

    #[test]
    fn a_moment_too_far_away_becomes_the_last_one() {
        assert_eq!(UnixNanos::from_seconds(u64::MAX), UnixNanos(u64::MAX));
        assert_eq!(UnixNanos(u64::MAX).plus(Duration::MAX), UnixNanos(u64::MAX));
    }
}
