//! How many mutations of one function run beside the lane at once: as many as seldom overtake each other.
//!
//! A run that is overtaken was for nothing. So a function whose mutations meet on the same documents runs fewer of them at
//! a time, down to one, and more again while none is overtaken. Functions whose mutations do not meet have no bound here.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use vestibule_schema::path::FunctionPath;

/// What a run that was taken on adds to its function's bound.
const STEP_UP: f32 = 1.0 / 32.0;
/// What a run that was overtaken takes from it. One in five keeps the bound where it is.
const STEP_DOWN: f32 = 4.0 * STEP_UP;
/// A run that takes longer holds up no other.
const HOLDS_UP_FOR: Duration = Duration::from_millis(20);

/// The functions whose mutations overtake each other, with those that wait.
pub(super) struct Contention<M> {
    /// The bound of a function that is unbounded so far, or is so again.
    bound_max: f32,
    contended: Mutex<Contended<M>>,
}

struct Contended<M> {
    functions: HashMap<FunctionPath, Runs<M>>,
    last: u64,
}

struct Runs<M> {
    bound: f32,
    /// Runs under way that hold up others: their numbers, and when they began.
    under_way: Vec<(u64, Duration)>,
    waiting: VecDeque<M>,
}

/// A run's part in its function's bound. [`Contention::ended`] must have it back.
#[derive(Debug)]
pub(super) struct Part(u64);

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunEnd {
    /// It was taken on.
    Placed,
    /// A commit overtook it.
    Overtaken,
    /// Neither, or nobody can say yet.
    Otherwise,
}

impl<M> Contention<M> {
    /// No function is bounded until mutations of it are overtaken, and then `at_once` run at first.
    pub fn new(at_once: usize) -> Contention<M> {
        Contention {
            bound_max: at_once.max(1) as f32,
            contended: Mutex::new(Contended {
                functions: HashMap::new(),
                last: 0,
            }),
        }
    }

    /// Takes note of a mutation that is ready to run. It comes back, if it may run now, with its part in the bound.
    /// One that ran before goes in front.
    pub fn arrive(
        &self,
        path: &FunctionPath,
        mutation: M,
        ran_before: bool,
        now: Duration,
    ) -> Option<(M, Option<Part>)> {
        let mut contended = self.contended.lock();
        let Contended { functions, last } = &mut *contended;
        let Some(runs) = functions.get_mut(path) else {
            return Some((mutation, None));
        };
        runs.forget_long(now);
        // Those that wait came first.
        if runs.has_room() && runs.waiting.is_empty() {
            return Some((mutation, Some(runs.begin(last, now))));
        }
        match ran_before {
            true => runs.waiting.push_front(mutation),
            false => runs.waiting.push_back(mutation),
        }
        None
    }

    /// Takes note of the end of a run. True if others wait: [`next`](Self::next) hands out those that may run now.
    pub fn ended(&self, path: &FunctionPath, part: Option<Part>, end: RunEnd) -> bool {
        let mut contended = self.contended.lock();
        let functions = &mut contended.functions;
        if end == RunEnd::Overtaken && !functions.contains_key(path) {
            functions.insert(path.clone(), Runs::up_to(self.bound_max));
        }
        let Some(runs) = functions.get_mut(path) else {
            return false;
        };
        if let Some(Part(number)) = part {
            runs.under_way.retain(|(other, _)| *other != number);
        }
        runs.bound = match end {
            RunEnd::Placed => runs.bound + STEP_UP,
            RunEnd::Overtaken => (runs.bound - STEP_DOWN).max(1.0),
            RunEnd::Otherwise => runs.bound,
        };
        let waits = !runs.waiting.is_empty();
        if runs.bound > self.bound_max && !waits {
            functions.remove(path);
        }
        waits
    }

    /// One that waited and may run now. Call it until it returns none.
    pub fn next(&self, path: &FunctionPath, now: Duration) -> Option<(M, Part)> {
        let mut contended = self.contended.lock();
        let Contended { functions, last } = &mut *contended;
        let runs = functions.get_mut(path)?;
        runs.next(last, now)
    }

    /// As [`next`](Self::next), of any function: for a clock that ticks while runs take long.
    pub fn next_of_any(&self, now: Duration) -> Option<(M, Part)> {
        let mut contended = self.contended.lock();
        let Contended { functions, last } = &mut *contended;
        let mut all = functions.values_mut();
        all.find_map(|runs| runs.next(last, now))
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        let contended = self.contended.lock();
        let all = contended.functions.values();
        all.map(|runs| runs.waiting.len()).sum()
    }

    /// How many functions have a bound.
    pub fn functions(&self) -> usize {
        self.contended.lock().functions.len()
    }
}

impl<M> Runs<M> {
    fn up_to(bound: f32) -> Runs<M> {
        Runs {
            bound,
            under_way: Vec::new(),
            waiting: VecDeque::new(),
        }
    }

    fn has_room(&self) -> bool {
        self.under_way.len() < self.bound as usize
    }

    fn forget_long(&mut self, now: Duration) {
        self.under_way
            .retain(|(_, began)| now.saturating_sub(*began) < HOLDS_UP_FOR);
    }

    fn begin(&mut self, last: &mut u64, now: Duration) -> Part {
        *last += 1;
        self.under_way.push((*last, now));
        Part(*last)
    }

    fn next(&mut self, last: &mut u64, now: Duration) -> Option<(M, Part)> {
        self.forget_long(now);
        if !self.has_room() {
            return None;
        }
        let mutation = self.waiting.pop_front()?;
        Some((mutation, self.begin(last, now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1);

    fn path(name: &str) -> FunctionPath {
        name.parse().unwrap()
    }

    /// Arrives, and says whether it may run, with its part.
    fn arrives(all: &Contention<u32>, name: &str, n: u32) -> Option<Option<Part>> {
        let arrived = all.arrive(&path(name), n, false, NOW);
        arrived.map(|(_, part)| part)
    }

    /// A function of which one runs at a time.
    fn bounded_to_one(at_once: usize) -> Contention<u32> {
        let all = Contention::new(at_once);
        while all
            .contended
            .lock()
            .functions
            .values()
            .next()
            .is_none_or(|runs| runs.bound > 1.0)
        {
            all.ended(&path("a:f"), None, RunEnd::Overtaken);
        }
        all
    }

    #[test]
    fn a_function_that_nobody_overtakes_has_no_bound() {
        let all = Contention::new(1);
        for n in 0..100 {
            assert!(arrives(&all, "a:f", n).is_some_and(|part| part.is_none()));
            all.ended(&path("a:f"), None, RunEnd::Placed);
        }
        assert_eq!((all.functions(), all.waiting()), (0, 0));
    }

    #[test]
    fn an_overtaken_function_runs_one_at_a_time_and_others_run_as_before() {
        let all = bounded_to_one(4);
        let first = arrives(&all, "a:f", 1).unwrap();
        assert!(first.is_some());
        assert!(arrives(&all, "a:f", 2).is_none() && arrives(&all, "a:f", 3).is_none());
        assert!(arrives(&all, "b:f", 9).is_some());
        assert!(all.next(&path("a:f"), NOW).is_none());
        all.ended(&path("a:f"), first, RunEnd::Placed);
        let (second, part) = all.next(&path("a:f"), NOW).unwrap();
        assert_eq!(second, 2);
        assert!(all.next(&path("a:f"), NOW).is_none(), "one at a time");
        assert!(arrives(&all, "a:f", 4).is_none(), "others wait already");
        // One that was overtaken runs again before those that never ran.
        all.ended(&path("a:f"), Some(part), RunEnd::Overtaken);
        assert!(all.arrive(&path("a:f"), 2, true, NOW).is_none());
        let order = std::iter::from_fn(|| {
            let (n, part) = all.next(&path("a:f"), NOW)?;
            all.ended(&path("a:f"), Some(part), RunEnd::Otherwise);
            Some(n)
        });
        assert_eq!(order.collect::<Vec<_>>(), [2, 3, 4]);
        assert_eq!(all.waiting(), 0);
    }

    #[test]
    fn the_bound_rises_while_runs_are_taken_on_and_goes_in_the_end() {
        let all = bounded_to_one(2);
        let mut taken_on = 0;
        while all.functions() > 0 {
            let part = arrives(&all, "a:f", 0).unwrap();
            all.ended(&path("a:f"), part, RunEnd::Placed);
            taken_on += 1;
        }
        assert!((32..=64).contains(&taken_on), "{taken_on}");
    }

    #[test]
    fn a_long_run_holds_up_nobody() {
        let all = bounded_to_one(1);
        let long = arrives(&all, "a:f", 1).unwrap();
        assert!(arrives(&all, "a:f", 2).is_none());
        assert!(all.next_of_any(NOW).is_none());
        let later = NOW + HOLDS_UP_FOR;
        let (second, _) = all.next_of_any(later).unwrap();
        assert_eq!(second, 2);
        // Its end makes no more room than it took.
        all.ended(&path("a:f"), long, RunEnd::Otherwise);
        assert!(all.arrive(&path("a:f"), 3, false, later).is_none());
    }

    #[test]
    fn nothing_that_waits_is_lost_when_a_function_becomes_unbounded() {
        let all = bounded_to_one(1);
        let first = arrives(&all, "a:f", 1).unwrap();
        assert!(arrives(&all, "a:f", 2).is_none());
        for _ in 0..100 {
            all.ended(&path("a:f"), None, RunEnd::Placed);
        }
        all.ended(&path("a:f"), first, RunEnd::Placed);
        assert_eq!(all.next(&path("a:f"), NOW).map(|(n, _)| n), Some(2));
    }
}
