//! The due times of calls that wait for no answer.

use std::time::{Duration, Instant};

use clap::Args;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand_distr::{Distribution, Exp};

use crate::arguments::positive;

/// The flags that say when calls are made.
#[derive(Args, Clone, Copy, Debug)]
pub struct Arrivals {
    /// Calls arrive at this rate a second, however slow the answers are, and latency counts from the time at which each
    /// was due. Without it, each answer makes the next call.
    #[arg(long, value_name = "PER SECOND", value_parser = positive)]
    pub rate: Option<f64>,
    /// Arrivals at equal distances instead of by chance (Poisson).
    #[arg(long, requires = "rate")]
    pub even: bool,
}

/// Tells when the next call is due.
pub struct Clockwork {
    next: Instant,
    gap: Gap,
    rng: SmallRng,
}

enum Gap {
    Even(Duration),
    Chance(Exp<f64>),
}

impl Clockwork {
    /// The arrivals from `start` on, if they have a rate.
    pub fn new(arrivals: Arrivals, seed: u64, start: Instant) -> Option<Clockwork> {
        let rate = arrivals.rate?;
        let gap = match arrivals.even {
            true => Gap::Even(Duration::from_secs_f64(1.0 / rate)),
            false => Gap::Chance(Exp::new(rate).expect("the rate is positive")),
        };
        Some(Clockwork {
            next: start,
            gap,
            rng: SmallRng::seed_from_u64(seed),
        })
    }

    /// The next arrival that is due at `now`, which is then behind.
    pub fn due(&mut self, now: Instant) -> Option<Instant> {
        let due = self.next;
        if due > now {
            return None;
        }
        self.next += match self.gap {
            Gap::Even(gap) => gap,
            Gap::Chance(gaps) => Duration::from_secs_f64(gaps.sample(&mut self.rng)),
        };
        Some(due)
    }

    /// When the next one is due.
    pub fn next(&self) -> Instant {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_come_at_their_rate_and_none_is_left_out() {
        let start = Instant::now();
        for even in [true, false] {
            let rate = Some(1_000.0);
            let mut clockwork = Clockwork::new(Arrivals { rate, even }, 7, start).unwrap();
            assert_eq!(clockwork.due(start), Some(start));
            // A client that looks late finds all calls that were due meanwhile, each with its own time.
            let late = start + Duration::from_secs(10);
            let due: Vec<Instant> = std::iter::from_fn(|| clockwork.due(late)).collect();
            assert!((9_500..10_500).contains(&due.len()), "{}", due.len());
            assert!(due.is_sorted() && clockwork.next() > late);
        }
    }
}
