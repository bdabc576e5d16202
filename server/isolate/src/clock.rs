//! The time spent in the engine.
//!
//! Asking for a thread's processor time is a call of the system, and a function enters and leaves the engine dozens of times. So a short
//! stay is measured by the wall clock, which costs a tenth. A stay that is long enough for the engine to ask whether it
//! should end is measured in processor time from there on. A sum of short stays that is over the budget is held against the
//! thread's processor time since the budget was set. So on a busy machine, waiting for the processor does not use up a
//! function's budget.

use std::cell::Cell;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

/// The time in the engine since the last restore.
pub(crate) struct Clock {
    used: Cell<Duration>,
    stay: Cell<Option<Stay>>,
    budget: Cell<Duration>,
    mark: Cell<Option<Mark>>,
}

/// The moment at which the budget was set.
#[derive(Clone, Copy)]
struct Mark {
    thread: ThreadId,
    thread_time: Duration,
    used: Duration,
}

/// The start of a stay, by the clock that measures it.
#[derive(Clone, Copy)]
enum Stay {
    Short(Instant),
    Long(Duration),
}

impl Stay {
    fn elapsed(self) -> Duration {
        match self {
            Stay::Short(since) => since.elapsed(),
            Stay::Long(since) => thread_time().saturating_sub(since),
        }
    }
}

impl Clock {
    pub(crate) fn new() -> Clock {
        Clock {
            used: Cell::new(Duration::ZERO),
            stay: Cell::new(None),
            budget: Cell::new(Duration::MAX),
            mark: Cell::new(None),
        }
    }

    /// Starts counting. Says whether it stood still before.
    pub(crate) fn start(&self) -> bool {
        let stood = self.stay.get().is_none();
        if stood {
            self.stay.set(Some(Stay::Short(Instant::now())));
        }
        stood
    }

    /// Stops counting. Says whether it was counting.
    pub(crate) fn stop(&self) -> bool {
        let stay = self.stay.take();
        if let Some(stay) = stay {
            self.used.set(self.used.get() + stay.elapsed());
        }
        stay.is_some()
    }

    /// Asked by the engine now and then: whether the budget is used up.
    pub(crate) fn is_used_up(&self) -> bool {
        if self.stop() {
            self.stay.set(Some(Stay::Long(thread_time())));
        }
        if self.used.get() > self.budget.get() {
            self.correct();
        }
        self.used.get() > self.budget.get()
    }

    /// No more can have been used than the thread has had.
    fn correct(&self) {
        let mark = self.mark.get();
        if let Some(mark) = mark.filter(|mark| mark.thread == thread::current().id()) {
            let had = thread_time().saturating_sub(mark.thread_time);
            self.used.set(self.used.get().min(mark.used + had));
        }
    }

    pub(crate) fn used(&self) -> Duration {
        let stay = self.stay.get();
        self.used.get() + stay.map_or(Duration::ZERO, Stay::elapsed)
    }

    pub(crate) fn set_budget(&self, budget: Duration) {
        self.budget.set(budget);
        self.mark.set(Some(Mark {
            thread: thread::current().id(),
            thread_time: thread_time(),
            used: self.used(),
        }));
    }

    pub(crate) fn reset(&self) {
        self.used.set(Duration::ZERO);
        self.mark.set(None);
    }
}

/// The processor time that this thread has had.
fn thread_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a timespec of ours. This clock exists wherever this package builds.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks as the engine does, after stays of which each waited for the processor.
    fn is_used_up_after_waits(clock: &Clock) -> bool {
        for _ in 0..4 {
            clock.start();
            thread::sleep(Duration::from_millis(5));
            clock.stop();
        }
        clock.start();
        let is_used_up = clock.is_used_up();
        clock.stop();
        is_used_up
    }

    #[test]
    fn waiting_for_the_processor_does_not_use_up_the_budget() {
        let clock = Clock::new();
        clock.set_budget(Duration::from_millis(15));
        assert!(!is_used_up_after_waits(&clock));
        assert!(clock.used() < Duration::from_millis(15));
    }

    #[test]
    fn work_uses_up_the_budget_in_short_stays_too() {
        let clock = Clock::new();
        clock.set_budget(Duration::from_millis(5));
        for _ in 0..2 {
            clock.start();
            let began = thread_time();
            while thread_time() - began < Duration::from_millis(5) {}
            clock.stop();
        }
        clock.start();
        assert!(clock.is_used_up());
    }
}
