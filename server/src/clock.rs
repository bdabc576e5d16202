//! The time, taken at construction by every room that needs it, so that a test or a simulation can provide its own.
//!
//! Two questions are kept apart. "Which moment is it?" may jump when an operator sets the clock. Use it for times that
//! other machines chose by their own clocks, such as the expiry of an auth token. "How long ago was that?" never jumps;
//! it decides ages, limits and backoff.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use pin_project_lite::pin_project;
use tokio::sync::watch;

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

    /// Ends once [`elapsed`](Clock::elapsed) has reached `elapsed`.
    fn sleep_until(&self, elapsed: Duration) -> Sleep;

    /// The same for a thread that cannot await.
    fn alarm_at(&self, elapsed: Duration) -> Alarm;
}

/// Receives a message, or is disconnected, when its time has come.
pub type Alarm = crossbeam_channel::Receiver<Instant>;

/// A wait for a clock.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The output of `future`, or `None` when `future` does not finish within `limit` of the clock's time.
pub fn timeout<T>(
    clock: &dyn Clock,
    limit: Duration,
    future: impl Future<Output = T>,
) -> impl Future<Output = Option<T>> {
    Timeout {
        future,
        clock,
        limit,
        late: None,
    }
}

pin_project! {
    /// The future that [`timeout`] returns. An async function would keep room for `future` twice.
    struct Timeout<'c, F> {
        #[pin]
        future: F,
        clock: &'c dyn Clock,
        limit: Duration,
        // Made only when the future has to be waited for, which is rare.
        late: Option<Sleep>,
    }
}

impl<F: Future> Future for Timeout<'_, F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(context) {
            return Poll::Ready(Some(output));
        }
        let late = this.late.get_or_insert_with(|| {
            let until = this.clock.elapsed().saturating_add(*this.limit);
            this.clock.sleep_until(until)
        });
        late.as_mut().poll(context).map(|()| None)
    }
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
        // A machine set to a time before 1970 is taken to be at the epoch. Every token is then not yet expired but also
        // not yet valid, and commits keep their order by their own rule.
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        UnixNanos(0).plus(since_epoch)
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep_until(&self, elapsed: Duration) -> Sleep {
        // A time too far away to express is far enough away to count from now.
        let at = self
            .start
            .checked_add(elapsed)
            .map(tokio::time::Instant::from_std);
        Box::pin(async move {
            match at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => tokio::time::sleep(elapsed).await,
            }
        })
    }

    fn alarm_at(&self, elapsed: Duration) -> Alarm {
        let at = self.start.checked_add(elapsed);
        at.map_or_else(crossbeam_channel::never, crossbeam_channel::at)
    }
}

/// A clock that moves only when told to, for tests and simulation.
#[derive(Debug)]
pub struct ManualClock {
    now: Mutex<UnixNanos>,
    elapsed: watch::Sender<Duration>,
    /// The alarms of each time to come. They ring by losing their sender.
    alarms: Mutex<BTreeMap<Duration, (crossbeam_channel::Sender<Instant>, Alarm)>>,
}

impl ManualClock {
    /// A clock that stands at `now`.
    pub fn at(now: UnixNanos) -> ManualClock {
        ManualClock {
            now: Mutex::new(now),
            elapsed: watch::Sender::new(Duration::ZERO),
            alarms: Mutex::default(),
        }
    }

    /// Lets time pass.
    pub fn advance(&self, duration: Duration) {
        let mut now = self.now.lock();
        *now = now.plus(duration);
        self.elapsed
            .send_modify(|elapsed| *elapsed = elapsed.saturating_add(duration));
        self.ring();
    }

    fn ring(&self) {
        let elapsed = self.elapsed();
        self.alarms.lock().retain(|at, _| *at > elapsed);
    }

    /// Sets the present moment, as a person sets a wall clock: no time passes.
    pub fn jump_to(&self, now: UnixNanos) {
        *self.now.lock() = now;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixNanos {
        *self.now.lock()
    }

    fn elapsed(&self) -> Duration {
        *self.elapsed.borrow()
    }

    fn sleep_until(&self, until: Duration) -> Sleep {
        let mut elapsed = self.elapsed.subscribe();
        Box::pin(async move {
            if elapsed.wait_for(|elapsed| *elapsed >= until).await.is_err() {
                // The clock is gone: it will never be that late.
                std::future::pending().await
            }
        })
    }

    fn alarm_at(&self, elapsed: Duration) -> Alarm {
        let mut alarms = self.alarms.lock();
        let (_, alarm) = alarms
            .entry(elapsed)
            .or_insert_with(|| crossbeam_channel::bounded(0));
        let alarm = alarm.clone();
        drop(alarms);
        // Its time may have come already.
        self.ring();
        alarm
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

    #[tokio::test]
    async fn a_sleeper_wakes_when_its_time_has_come_and_not_before() {
        let clock = ManualClock::at(UnixNanos::from_seconds(1_000));
        let mut sleep = clock.sleep_until(Duration::from_secs(10));
        clock.advance(Duration::from_secs(9));
        assert!(futures_util::poll!(&mut sleep).is_pending());
        clock.advance(Duration::from_secs(1));
        sleep.await;
        clock.sleep_until(Duration::from_secs(3)).await;
    }

    #[tokio::test]
    async fn the_clock_of_the_machine_lets_sleepers_go_when_it_shows_their_time() {
        let clock = SystemClock::new();
        let until = clock.elapsed() + Duration::from_millis(2);
        clock.sleep_until(until).await;
        assert!(clock.elapsed() >= until);
        assert_eq!(
            timeout(&clock, Duration::ZERO, std::future::pending::<()>()).await,
            None
        );
        assert_eq!(timeout(&clock, Duration::ZERO, async { 1 }).await, Some(1));
    }
}
