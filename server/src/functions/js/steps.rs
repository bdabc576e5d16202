//! The steps of actions that are in the engine now: how long each has been there, and which are stuck.
//!
//! An engine cannot be interrupted within one native operation. An action that stays there keeps its thread and its
//! memory until it comes to an end; its place is given to another one.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crossbeam_channel::{Sender, select, unbounded};
use parking_lot::Mutex;

use crate::clock::Clock;
use crate::executor::{Executor, STACK_BYTES};
use crate::functions::places::Places;

/// A step that goes on for so much longer than any may is stuck. Its time in the engine is the processor's, and this is
/// the clock's, so there is room for a busy machine.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// The steps under way.
pub(super) struct Steps {
    watched: Arc<Watched>,
    executor: Arc<dyn Executor>,
    /// Set with the first step. The watch ends when this is dropped.
    watch: OnceLock<Sender<()>>,
}

struct Watched {
    clock: Arc<dyn Clock>,
    places: Arc<Places>,
    longest: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When each step under way began, by the clock's elapsed time.
    began: HashMap<u64, Duration>,
    last: u64,
    /// Stuck steps that the log has told of.
    told: usize,
}

/// A step, until it is dropped.
pub(super) struct Step<'s> {
    watched: &'s Watched,
    number: u64,
}

impl Steps {
    /// Steps of actions in `places`, each of which may take `step_max` of the processor's time.
    pub fn new(
        step_max: Duration,
        places: Arc<Places>,
        clock: Arc<dyn Clock>,
        executor: Arc<dyn Executor>,
    ) -> Steps {
        Steps {
            watched: Arc::new(Watched {
                clock,
                places,
                longest: step_max.saturating_add(STUCK_AFTER),
                state: Mutex::default(),
            }),
            executor,
            watch: OnceLock::new(),
        }
    }

    /// Begins a step on this thread.
    pub fn begin(&self) -> Step<'_> {
        self.watch.get_or_init(|| self.start_watch());
        let mut state = self.watched.state.lock();
        state.last += 1;
        let number = state.last;
        state.began.insert(number, self.watched.clock.elapsed());
        Step {
            watched: &self.watched,
            number,
        }
    }

    /// Steps that are stuck.
    pub fn stuck(&self) -> usize {
        self.watched.stuck(&self.watched.state.lock())
    }

    fn start_watch(&self) -> Sender<()> {
        let (watch, ended) = unbounded::<()>();
        let watched = self.watched.clone();
        let body = move || {
            loop {
                let look = watched.clock.elapsed().saturating_add(STUCK_AFTER / 2);
                select! {
                    recv(ended) -> _ => return,
                    recv(watched.clock.alarm_at(look)) -> _ => watched.look(),
                }
            }
        };
        let started = self
            .executor
            .start("action-watch", STACK_BYTES, Box::new(body));
        if let Err(error) = started {
            tracing::error!(%error, "no thread watches for stuck actions");
        }
        watch
    }
}

impl Watched {
    fn stuck(&self, state: &State) -> usize {
        let now = self.clock.elapsed();
        let is_stuck = |began: &&Duration| now.saturating_sub(**began) > self.longest;
        state.began.values().filter(is_stuck).count()
    }

    /// Gives the places of stuck actions to others, and takes those back that go on.
    fn look(&self) {
        let mut state = self.state.lock();
        let stuck = self.stuck(&state);
        if stuck > state.told {
            tracing::error!(
                stuck,
                "an action is stuck in a native operation; another one takes its place"
            );
        }
        state.told = stuck;
        drop(state);
        self.places.replace_stuck(stuck);
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        self.watched.state.lock().began.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ManualClock, UnixNanos};
    use crate::executor::SystemExecutor;
    use crate::functions::JsOptions;

    #[tokio::test]
    async fn the_place_of_a_stuck_action_is_given_to_another() {
        let clock = Arc::new(ManualClock::at(UnixNanos::from_seconds(1)));
        let options = JsOptions {
            actions_max: 1,
            ..JsOptions::default()
        };
        let places = Places::new(&options);
        let step_max = Duration::from_secs(60);
        let executor = Arc::new(SystemExecutor);
        let steps = Steps::new(step_max, places.clone(), clock.clone(), executor);
        let place = places.take_own(1).await;
        let step = steps.begin();
        clock.advance(step_max);
        assert_eq!(steps.stuck(), 0);
        let mut waiting = Box::pin(places.take_own(1));
        // The watch may set its alarm after any one advance.
        let other = loop {
            clock.advance(STUCK_AFTER);
            tokio::select! {
                biased;
                other = &mut waiting => break other,
                () = tokio::task::yield_now() => {}
            }
        };
        assert_eq!(steps.stuck(), 1);
        drop(step);
        assert_eq!(steps.stuck(), 0);
        drop((place, other));
        assert_eq!(places.counts().running, 0);
    }
}
