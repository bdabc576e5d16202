//! How many mutations of one function run beside the lane at once: as many as seldom overtake each other.
//!
//! A run that is overtaken was for nothing. So a function whose mutations meet on the same documents runs fewer of them at
//! a time, down to one. It runs more again while none is overtaken. Functions whose mutations do not meet have no bound
//! here.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use vestibule_schema::path::FunctionPath;

/// A run that was taken on adds this to its function's bound.
const STEP_UP: f32 = 1.0 / 32.0;
/// A run that was overtaken takes this from it. One in five keeps the bound where it is.
const STEP_DOWN: f32 = 4.0 * STEP_UP;
/// A run that takes longer holds up no other.
const HOLDS_UP_FOR: Duration = Duration::from_millis(20);
/// A function that nobody has overtaken for so long, and of which nothing runs, has no bound.
const QUIET_AFTER: Duration = Duration::from_secs(10);
/// Functions that have a bound. Paths come from clients.
const FUNCTIONS_MAX: usize = 1_024;
/// Mutations of one function that may wait. Others find room all the same.
pub(super) const WAITING_MAX: usize = 8_192;

/// The functions whose mutations overtake each other, with those that wait.
pub(super) struct Contention<M> {
    /// The bound of a function that is unbounded so far, or is so again.
    bound_max: f32,
    contended: Mutex<Contended<M>>,
}

struct Contended<M> {
    functions: HashMap<FunctionPath, Runs<M>>,
    /// How many wait, of all functions.
    waiting: usize,
    last: u64,
}

struct Runs<M> {
    bound: f32,
    /// Runs under way that hold up others: their numbers, and when they began.
    under_way: Vec<(u64, Duration)>,
    waiting: VecDeque<M>,
    /// When a run was last overtaken.
    overtaken_at: Duration,
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
                waiting: 0,
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
        let Contended {
            functions,
            waiting,
            last,
        } = &mut *contended;
        let Some(runs) = functions.get_mut(path) else {
            return Some((mutation, None));
        };
        runs.forget_long(now);
        // Those that wait came first.
        if runs.has_room() && runs.waiting.is_empty() {
            return Some((mutation, Some(runs.begin(last, now))));
        }
        *waiting += 1;
        match ran_before {
            true => runs.waiting.push_front(mutation),
            false => runs.waiting.push_back(mutation),
        }
        None
    }

    /// Takes note of the end of a run. True if others wait: [`next`](Self::next) hands out those that may run now.
    pub fn ended(
        &self,
        path: &FunctionPath,
        part: Option<Part>,
        end: RunEnd,
        now: Duration,
    ) -> bool {
        let mut contended = self.contended.lock();
        let functions = &mut contended.functions;
        let is_overtaken = end == RunEnd::Overtaken;
        if is_overtaken && functions.len() < FUNCTIONS_MAX && !functions.contains_key(path) {
            functions.insert(path.clone(), Runs::up_to(self.bound_max));
        }
        let Some(runs) = functions.get_mut(path) else {
            return false;
        };
        if let Some(Part(number)) = part {
            runs.under_way.retain(|(other, _)| *other != number);
        }
        match end {
            RunEnd::Placed => runs.bound = (runs.bound + STEP_UP).min(self.bound_max + STEP_UP),
            RunEnd::Overtaken => {
                runs.bound = (runs.bound - STEP_DOWN).max(1.0);
                runs.overtaken_at = now;
            }
            RunEnd::Otherwise => {}
        }
        let waits = !runs.waiting.is_empty();
        if runs.bound > self.bound_max && !waits {
            functions.remove(path);
        }
        waits
    }

    /// One that waited and may run now. Call it until it returns none.
    pub fn next(&self, path: &FunctionPath, now: Duration) -> Option<(M, Part)> {
        let mut contended = self.contended.lock();
        let Contended {
            functions,
            waiting,
            last,
        } = &mut *contended;
        let next = functions.get_mut(path)?.next(last, now)?;
        *waiting -= 1;
        Some(next)
    }

    /// As [`next`](Self::next), of any function: for a clock that ticks while there are runs. Functions that have become
    /// quiet are forgotten.
    pub fn next_of_any(&self, now: Duration) -> Option<(M, Part)> {
        let mut contended = self.contended.lock();
        let Contended {
            functions,
            waiting,
            last,
        } = &mut *contended;
        functions.retain(|_, runs| !runs.are_quiet(now));
        let next = functions
            .values_mut()
            .find_map(|runs| runs.next(last, now))?;
        *waiting -= 1;
        Some(next)
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.contended.lock().waiting
    }

    /// Whether as many of this function wait as may.
    pub fn is_full(&self, path: &FunctionPath) -> bool {
        let contended = self.contended.lock();
        let runs = contended.functions.get(path);
        runs.is_some_and(|runs| runs.waiting.len() >= WAITING_MAX)
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
            overtaken_at: Duration::ZERO,
        }
    }

    fn are_quiet(&mut self, now: Duration) -> bool {
        self.forget_long(now);
        let is_idle = self.under_way.is_empty() && self.waiting.is_empty();
        is_idle && now.saturating_sub(self.overtaken_at) > QUIET_AFTER
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
            all.ended(&path("a:f"), None, RunEnd::Overtaken, NOW);
        }
        all
    }

    #[test]
    fn a_function_that_nobody_overtakes_has_no_bound() {
        let all = Contention::new(1);
        for n in 0..100 {
            assert!(arrives(&all, "a:f", n).is_some_and(|part| part.is_none()));
            all.ended(&path("a:f"), None, RunEnd::Placed, NOW);
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
        all.ended(&path("a:f"), first, RunEnd::Placed, NOW);
        let (second, part) = all.next(&path("a:f"), NOW).unwrap();
        assert_eq!(second, 2);
        assert!(all.next(&path("a:f"), NOW).is_none(), "one at a time");
        assert!(arrives(&all, "a:f", 4).is_none(), "others wait already");
        // One that was overtaken runs again before those that never ran.
        all.ended(&path("a:f"), Some(part), RunEnd::Overtaken, NOW);
        assert!(all.arrive(&path("a:f"), 2, true, NOW).is_none());
        let order = std::iter::from_fn(|| {
            let (n, part) = all.next(&path("a:f"), NOW)?;
            all.ended(&path("a:f"), Some(part), RunEnd::Otherwise, NOW);
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
            all.ended(&path("a:f"), part, RunEnd::Placed, NOW);
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
        all.ended(&path("a:f"), long, RunEnd::Otherwise, NOW);
        assert!(all.arrive(&path("a:f"), 3, false, later).is_none());
    }

    #[test]
    fn nothing_that_waits_is_lost_when_a_function_becomes_unbounded() {
        let all = bounded_to_one(1);
        let first = arrives(&all, "a:f", 1).unwrap();
        assert!(arrives(&all, "a:f", 2).is_none());
        for _ in 0..100 {
            all.ended(&path("a:f"), None, RunEnd::Placed, NOW);
        }
        all.ended(&path("a:f"), first, RunEnd::Placed, NOW);
        assert_eq!(all.next(&path("a:f"), NOW).map(|(n, _)| n), Some(2));
    }

    #[test]
    fn a_function_that_has_become_quiet_is_forgotten_and_paths_do_not_pile_up() {
        let all = bounded_to_one(4);
        assert!(all.next_of_any(NOW + QUIET_AFTER).is_none());
        assert_eq!(all.functions(), 1);
        assert!(all.next_of_any(NOW + 2 * QUIET_AFTER).is_none());
        assert_eq!(all.functions(), 0);
        for n in 0..2 * FUNCTIONS_MAX {
            all.ended(&path(&format!("a:f{n}")), None, RunEnd::Overtaken, NOW);
        }
        assert_eq!(all.functions(), FUNCTIONS_MAX);
    }

    #[test]
    fn a_function_with_many_that_wait_is_full_and_others_are_not() {
        let all = bounded_to_one(1);
        let first = arrives(&all, "a:f", 0).unwrap();
        for n in 0..WAITING_MAX as u32 {
            assert!(!all.is_full(&path("a:f")));
            assert!(arrives(&all, "a:f", n).is_none());
        }
        assert!(all.is_full(&path("a:f")) && !all.is_full(&path("b:f")));
        assert_eq!(all.waiting(), WAITING_MAX);
        all.ended(&path("a:f"), first, RunEnd::Placed, NOW);
        assert!(all.next(&path("a:f"), NOW).is_some());
        assert!(!all.is_full(&path("a:f")));
    }

    #[test]
    fn many_that_wait_and_do_not_meet_lift_the_bound_no_higher_than_to_its_beginning() {
        let all = bounded_to_one(4);
        let _first = arrives(&all, "a:f", 0).unwrap();
        assert!(arrives(&all, "a:f", 1).is_none());
        for _ in 0..10_000 {
            all.ended(&path("a:f"), None, RunEnd::Placed, NOW);
        }
        let mut overtaken = 0;
        while all.contended.lock().functions[&path("a:f")].bound > 1.0 {
            all.ended(&path("a:f"), None, RunEnd::Overtaken, NOW);
            overtaken += 1;
        }
        assert!(overtaken <= 25, "{overtaken}");
    }
}
