//! The machine's clock, which can be told that time has passed.

use std::time::Duration;

use tokio::sync::watch;
use vestibule_server::clock::{Alarm, Clock, Sleep, SystemClock, UnixNanos};

/// Runs as the machine's clock does, and skips ahead when told.
pub struct SkippingClock {
    machine: SystemClock,
    ahead: watch::Sender<Duration>,
}

impl SkippingClock {
    /// A clock that is ahead of the machine's.
    pub fn ahead(millis: u64) -> SkippingClock {
        SkippingClock {
            machine: SystemClock::new(),
            ahead: watch::Sender::new(Duration::from_millis(millis)),
        }
    }

    /// Skips ahead.
    pub fn advance(&self, millis: u64) {
        self.ahead
            .send_modify(|ahead| *ahead += Duration::from_millis(millis));
    }
}

impl Clock for SkippingClock {
    fn now(&self) -> UnixNanos {
        self.machine.now().plus(*self.ahead.borrow())
    }

    fn elapsed(&self) -> Duration {
        self.machine.elapsed() + *self.ahead.borrow()
    }

    // What is skipped after the alarm was set does not bring it forward: threads keep house by it and decide nothing.
    fn alarm_at(&self, elapsed: Duration) -> Alarm {
        self.machine
            .alarm_at(elapsed.saturating_sub(*self.ahead.borrow()))
    }

    fn sleep_until(&self, elapsed: Duration) -> Sleep {
        let mut ahead = self.ahead.subscribe();
        let machine = self.machine.clone();
        Box::pin(async move {
            loop {
                let skipped = *ahead.borrow_and_update();
                let at = elapsed.saturating_sub(skipped);
                tokio::select! {
                    () = machine.sleep_until(at) => return,
                    changed = ahead.changed() => if changed.is_err() {
                        return machine.sleep_until(at).await;
                    },
                }
            }
        })
    }
}
