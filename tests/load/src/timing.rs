//! The times of a run: connecting, warming up, the measured time, and waiting for due answers.

use std::time::{Duration, Instant};

use crate::arguments::Times;
use crate::measure::Window;
use crate::run::Measured;

/// Where a run is.
pub struct Timing {
    /// The measured time.
    pub window: Window,
    phase: Phase,
    warm_up: Duration,
    length: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    WarmingUp,
    Measuring,
    Draining,
}

/// How long answers are waited for when nothing is asked any more.
const DRAIN_MAX: Duration = Duration::from_secs(30);

impl Timing {
    /// A run of these times, once it has started.
    pub fn new(times: &Times) -> Timing {
        Timing {
            window: Window::new(Instant::now(), times.length()),
            phase: Phase::Connecting,
            warm_up: times.warm_up(),
            length: times.length(),
        }
    }

    /// All clients are connected.
    pub fn start(&mut self, now: Instant) {
        self.phase = Phase::WarmingUp;
        self.window = Window::new(now + self.warm_up, self.length);
    }

    /// Goes on when it is time, and lets `measured` know of the borders of the measured time.
    pub fn turn(&mut self, now: Instant, measured: &mut Measured<'_>) {
        if self.phase == Phase::WarmingUp && now >= self.window.start {
            self.phase = Phase::Measuring;
            measured.border();
        }
        if self.phase == Phase::Measuring && now >= self.window.end {
            self.phase = Phase::Draining;
            measured.border();
        }
    }

    /// Whether all clients were connected.
    pub fn has_started(&self) -> bool {
        self.phase != Phase::Connecting
    }

    /// Whether there is more to be asked.
    pub fn is_asking(&self) -> bool {
        matches!(self.phase, Phase::WarmingUp | Phase::Measuring)
    }

    /// Whether every call was made, and answered or waited for long enough.
    pub fn is_over(&self, now: Instant, is_idle: bool) -> bool {
        self.phase == Phase::Draining && (is_idle || now >= self.window.end + DRAIN_MAX)
    }

    /// When it goes on.
    pub fn next(&self) -> Option<Instant> {
        match self.phase {
            Phase::Connecting => None,
            Phase::WarmingUp => Some(self.window.start),
            Phase::Measuring => Some(self.window.end),
            Phase::Draining => Some(self.window.end + DRAIN_MAX),
        }
    }
}
