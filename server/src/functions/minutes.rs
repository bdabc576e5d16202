//! Calls by the minute, for tools that draw the last hour. Counted by comparing the functions' own counters at the
//! beginning of each minute, so that a call costs nothing more.

use std::collections::{BTreeMap, HashMap, VecDeque};

use parking_lot::Mutex;

use super::registry::Runs;

/// Minutes that are kept, the one under way not counted.
pub const MINUTES_KEPT: u64 = 60;
const MILLIS_PER_MINUTE: u64 = 60_000;

/// The calls of one function in one minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// How many there were.
    pub runs: u64,
    /// How many of them failed.
    pub errors: u64,
}

/// A function, by the name of its kind and its path.
pub type CalledFunction = (&'static str, String);

/// The calls of the last hour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastHour {
    /// The beginning of the first minute that was counted, in milliseconds since 1970.
    pub from_millis: u64,
    /// The beginning of the minute under way.
    pub until_millis: u64,
    /// By function, then by the beginning of the minute. Minutes without a call are left out.
    pub calls: BTreeMap<CalledFunction, BTreeMap<u64, Calls>>,
}

/// Counts calls by the minute.
#[derive(Default)]
pub struct CallMinutes(Mutex<Minutes>);

#[derive(Default)]
struct Minutes {
    /// The first minute that was counted, in minutes since 1970.
    first: Option<u64>,
    /// The minute under way.
    minute: u64,
    /// The counters at its beginning.
    base: HashMap<CalledFunction, Calls>,
    /// Earlier minutes, the oldest first.
    past: VecDeque<(u64, BTreeMap<CalledFunction, Calls>)>,
}

impl CallMinutes {
    /// Whether another minute has begun, so that the counters are to be looked at.
    pub fn is_due(&self, now_millis: u64) -> bool {
        let minutes = self.0.lock();
        minutes.first.is_none() || now_millis / MILLIS_PER_MINUTE > minutes.minute
    }

    /// Looks at the counters. Calls that were counted since the last minute's beginning are that minute's.
    pub fn count(&self, now_millis: u64, runs: &[Runs]) {
        self.0.lock().count(now_millis / MILLIS_PER_MINUTE, runs);
    }

    /// The calls of the last hour, up to this moment.
    pub fn last_hour(&self, now_millis: u64, runs: &[Runs]) -> LastHour {
        let mut minutes = self.0.lock();
        minutes.count(now_millis / MILLIS_PER_MINUTE, runs);
        let mut calls: BTreeMap<CalledFunction, BTreeMap<u64, Calls>> = BTreeMap::new();
        let now = (minutes.minute, minutes.since_base(runs));
        for (minute, counted) in minutes.past.iter().chain([&now]) {
            for (function, counted) in counted {
                let of_function = calls.entry(function.clone()).or_default();
                of_function.insert(minute * MILLIS_PER_MINUTE, *counted);
            }
        }
        let oldest = minutes.minute.saturating_sub(MINUTES_KEPT);
        let first = minutes.first.unwrap_or(minutes.minute).max(oldest);
        LastHour {
            from_millis: first * MILLIS_PER_MINUTE,
            until_millis: minutes.minute * MILLIS_PER_MINUTE,
            calls,
        }
    }
}

impl Minutes {
    fn count(&mut self, now: u64, runs: &[Runs]) {
        if self.first.is_none() {
            self.first = Some(now);
            self.minute = now;
        }
        // The clock may be set back.
        if now <= self.minute {
            return;
        }
        let counted = self.since_base(runs);
        if !counted.is_empty() {
            self.past.push_back((self.minute, counted));
        }
        self.base = runs.iter().map(counter).collect();
        self.minute = now;
        let oldest = now.saturating_sub(MINUTES_KEPT);
        while self
            .past
            .front()
            .is_some_and(|(minute, _)| *minute < oldest)
        {
            self.past.pop_front();
        }
    }

    fn since_base(&self, runs: &[Runs]) -> BTreeMap<CalledFunction, Calls> {
        let counters = runs.iter().map(counter);
        let since = counters.map(|(function, now)| {
            let before = self.base.get(&function).copied().unwrap_or_default();
            // A function that came back begins at zero.
            let calls = Calls {
                runs: now.runs.checked_sub(before.runs).unwrap_or(now.runs),
                errors: now.errors.checked_sub(before.errors).unwrap_or(now.errors),
            };
            (function, calls)
        });
        since.filter(|(_, calls)| calls.runs > 0).collect()
    }
}

fn counter(runs: &Runs) -> (CalledFunction, Calls) {
    let calls = Calls {
        runs: runs.runs,
        errors: runs.errors,
    };
    ((runs.kind, runs.path.clone()), calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(path: &str, runs: u64, errors: u64) -> Runs {
        Runs {
            path: path.to_owned(),
            kind: "Query",
            runs,
            errors,
        }
    }

    fn calls(hour: &LastHour, path: &str) -> Vec<(u64, u64, u64)> {
        let calls = hour.calls.get(&("Query", path.to_owned()));
        let calls = calls.into_iter().flatten();
        calls
            .map(|(at, calls)| (at / MILLIS_PER_MINUTE, calls.runs, calls.errors))
            .collect()
    }

    #[test]
    fn calls_are_of_the_minute_in_which_they_were_made() {
        let minutes = CallMinutes::default();
        assert!(minutes.is_due(600_000));
        minutes.count(600_000, &[]);
        assert!(!minutes.is_due(659_999) && minutes.is_due(660_000));
        minutes.count(660_000, &[runs("a", 3, 1)]);
        minutes.count(720_000, &[runs("a", 3, 1), runs("b", 2, 0)]);
        let hour = minutes.last_hour(730_000, &[runs("a", 4, 1), runs("b", 2, 0)]);
        assert_eq!(calls(&hour, "a"), [(10, 3, 1), (12, 1, 0)]);
        assert_eq!(calls(&hour, "b"), [(11, 2, 0)]);
        assert_eq!((hour.from_millis, hour.until_millis), (600_000, 720_000));
    }

    #[test]
    fn an_hour_is_kept_and_a_function_that_came_back_begins_anew() {
        let minutes = CallMinutes::default();
        for minute in 0..=100 {
            minutes.count(minute * 60_000, &[runs("a", minute, 0)]);
        }
        let hour = minutes.last_hour(100 * 60_000, &[runs("a", 2, 0)]);
        let counted = calls(&hour, "a");
        assert_eq!(counted.first(), Some(&(40, 1, 0)));
        assert_eq!(counted.last(), Some(&(100, 2, 0)));
        assert_eq!(hour.from_millis, 40 * 60_000);
    }
}
