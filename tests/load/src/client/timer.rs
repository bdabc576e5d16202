//! Waking up on time: an event loop waits in whole milliseconds, in which hundreds of calls may be due.

use std::io;
use std::time::Duration;

use mio::{Registry, Token};

/// The token of its events; no connection has that number.
pub const TIMER: Token = Token(usize::MAX);

/// A timer that wakes the event loop to the microsecond, where the system has one.
pub struct Timer {
    #[cfg(target_os = "linux")]
    file: std::os::fd::OwnedFd,
}

#[cfg(target_os = "linux")]
impl Timer {
    /// A timer that is not set.
    pub fn new(registry: &Registry) -> io::Result<Timer> {
        use std::os::fd::AsRawFd;

        use mio::Interest;
        use mio::unix::SourceFd;
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};

        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let file = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        registry.register(&mut SourceFd(&file.as_raw_fd()), TIMER, Interest::READABLE)?;
        Ok(Timer { file })
    }

    /// Wakes the loop after `wait`, and no more at what was set before.
    pub fn set(&self, wait: Duration) -> io::Result<()> {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};

        let never = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let wait = Timespec {
            tv_sec: wait.as_secs() as i64,
            // No time at all would mean never.
            tv_nsec: i64::from(wait.subsec_nanos()).max(1),
        };
        let at = Itimerspec {
            it_interval: never,
            it_value: wait,
        };
        timerfd_settime(&self.file, TimerfdTimerFlags::empty(), &at)?;
        Ok(())
    }
}

#[cfg(not(target_os = "linux"))]
impl Timer {
    /// Nothing: the loop wakes up to the millisecond.
    pub fn new(_: &Registry) -> io::Result<Timer> {
        Ok(Timer {})
    }

    /// Nothing.
    pub fn set(&self, _: Duration) -> io::Result<()> {
        Ok(())
    }
}
