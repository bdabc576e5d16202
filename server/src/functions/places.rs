//! Places of actions: how many run at once, and how much memory they may take together.
//!
//! Actions wait in the order in which they came. One that another action called must not wait for its own caller, so the
//! first call under way of each caller waits for nothing. Further ones of the same caller wait like others, and a caller
//! whose calls all wait gets one of them through. So each caller goes on, however many there are.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::error::{Error, Result};
use super::nesting::{self, DEPTH_MAX, TOO_DEEP};
use super::options::JsOptions;

/// Actions that may wait for a place.
pub(super) const ACTIONS_WAITING_MAX: usize = 16_384;
/// Places that are given again because their actions are stuck. With more stuck, actions wait.
const SPARES_MAX: usize = 16;
const TOO_MANY_CODE: &str = "TooManyActionsWaiting";

/// The places of a server's actions.
pub struct Places {
    at_once: usize,
    bytes_max: usize,
    time_max: Duration,
    state: Mutex<State>,
}

/// Actions at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlaceCounts {
    /// Actions that run in a place of their own.
    pub running: usize,
    /// Actions that wait.
    pub waiting: usize,
    /// Bytes of memory of all that run.
    pub bytes: usize,
    /// Bytes that those which wait are expected to take.
    pub waiting_bytes: usize,
}

#[derive(Default)]
struct State {
    counts: PlaceCounts,
    stuck: usize,
    last: u64,
    /// Actions that take no memory to speak of: they are in Rust.
    light: VecDeque<Waiter>,
    heavy: VecDeque<Waiter>,
    /// The calls of actions that call actions, by the number of their place.
    callers: HashMap<u64, Calls>,
}

#[derive(Default)]
struct Calls {
    running: usize,
    waiting: usize,
}

struct Waiter {
    number: u64,
    bytes: usize,
    caller: Option<u64>,
    admitted: oneshot::Sender<Place>,
}

/// A place, until it is dropped.
pub struct Place {
    places: Arc<Places>,
    number: u64,
    caller: Option<u64>,
    /// Whether it is one of those at once. A call for which none was free has none.
    is_counted: bool,
    bytes: usize,
}

/// Waiters that got their places, to be told once the lock is given up.
type Admitted = Vec<(oneshot::Sender<Place>, Place)>;

impl Places {
    /// Places within these bounds.
    pub fn new(options: &JsOptions) -> Arc<Places> {
        Arc::new(Places {
            at_once: options.actions_max,
            bytes_max: options.actions_bytes_max,
            time_max: options.action_time_max,
            state: Mutex::default(),
        })
    }

    /// The time that an action may take, its waits included.
    pub fn time_max(&self) -> Duration {
        self.time_max
    }

    /// Actions that run, and actions that wait.
    pub fn counts(&self) -> PlaceCounts {
        let state = self.state.lock();
        PlaceCounts {
            waiting: state.light.len() + state.heavy.len(),
            ..state.counts
        }
    }

    /// A place for an action that begins here, which is expected to take `bytes`. An action that another one calls
    /// is one of its caller's.
    pub(super) async fn take(self: &Arc<Self>, bytes: usize) -> Result<Place> {
        let caller = match nesting::here() {
            None => None,
            Some(here) if here.depth <= DEPTH_MAX => Some(here.caller),
            Some(_) => return Err(Error::plain(TOO_DEEP)),
        };
        if self.counts().waiting >= ACTIONS_WAITING_MAX {
            let text = format!(
                "At most {ACTIONS_WAITING_MAX} actions wait for their turn. Try again later."
            );
            return Err(Error::limit(TOO_MANY_CODE, text));
        }
        Ok(self.wait(bytes, caller).await)
    }

    /// A place for an action that no other one calls, however many wait.
    pub(super) async fn take_own(self: &Arc<Self>, bytes: usize) -> Place {
        self.wait(bytes, None).await
    }

    async fn wait(self: &Arc<Self>, bytes: usize, caller: Option<u64>) -> Place {
        let (admitted, place) = oneshot::channel();
        let number = self.arrive(bytes, caller, admitted);
        let _waiting = Waiting {
            places: self,
            number,
        };
        place
            .await
            .expect("a waiter is told, or takes itself out of the queue")
    }

    /// Queues an action, and lets in all that can go in.
    fn arrive(
        self: &Arc<Self>,
        bytes: usize,
        caller: Option<u64>,
        admitted: oneshot::Sender<Place>,
    ) -> u64 {
        let mut state = self.state.lock();
        state.last += 1;
        let number = state.last;
        let waiter = Waiter {
            number,
            bytes,
            caller,
            admitted,
        };
        let mut told = Admitted::new();
        let calls = caller.map(|caller| state.callers.entry(caller).or_default());
        if calls.is_some_and(|calls| calls.running == 0) {
            told.push(self.admit(&mut state, waiter));
        } else {
            state.queue(waiter);
            self.admit_all(&mut state, &mut told);
        }
        drop(state);
        tell(told);
        number
    }

    fn capacity(&self, state: &State) -> usize {
        self.at_once + state.stuck.min(SPARES_MAX)
    }

    /// Lets a waiter in, which has left its queue.
    fn admit(
        self: &Arc<Self>,
        state: &mut State,
        waiter: Waiter,
    ) -> (oneshot::Sender<Place>, Place) {
        let is_counted = state.counts.running < self.capacity(state);
        state.counts.running += usize::from(is_counted);
        state.counts.bytes += waiter.bytes;
        if let Some(caller) = waiter.caller {
            state.callers.entry(caller).or_default().running += 1;
        }
        let place = Place {
            places: self.clone(),
            number: waiter.number,
            caller: waiter.caller,
            is_counted,
            bytes: waiter.bytes,
        };
        (waiter.admitted, place)
    }

    fn admit_all(self: &Arc<Self>, state: &mut State, told: &mut Admitted) {
        while state.counts.running < self.capacity(state) {
            let Some(waiter) = state.next(self.bytes_max) else {
                return;
            };
            told.push(self.admit(state, waiter));
        }
    }

    /// Gives the places of this many stuck actions to others.
    pub(super) fn replace_stuck(self: &Arc<Self>, stuck: usize) {
        let mut told = Admitted::new();
        let mut state = self.state.lock();
        state.stuck = stuck;
        self.admit_all(&mut state, &mut told);
        drop(state);
        tell(told);
    }

    fn release(self: &Arc<Self>, place: &Place) {
        let mut told = Admitted::new();
        let mut state = self.state.lock();
        state.counts.running -= usize::from(place.is_counted);
        state.counts.bytes -= place.bytes;
        if let Some(next) = place.caller.and_then(|caller| state.call_ended(caller)) {
            told.push(self.admit(&mut state, next));
        }
        self.admit_all(&mut state, &mut told);
        drop(state);
        tell(told);
    }

    /// Takes a waiter out that waits no longer.
    fn leave(self: &Arc<Self>, number: u64) {
        let mut told = Admitted::new();
        let mut state = self.state.lock();
        if state.take_out(number).is_some() {
            // It may have kept those behind it.
            self.admit_all(&mut state, &mut told);
        }
        drop(state);
        tell(told);
    }
}

/// A waiter that has gone drops its place, which goes to the next one.
fn tell(told: Admitted) {
    for (admitted, place) in told {
        drop(admitted.send(place));
    }
}

impl State {
    fn queue(&mut self, waiter: Waiter) {
        self.counts.waiting_bytes += waiter.bytes;
        if let Some(caller) = waiter.caller {
            self.callers.entry(caller).or_default().waiting += 1;
        }
        match waiter.bytes {
            0 => self.light.push_back(waiter),
            _ => self.heavy.push_back(waiter),
        }
    }

    /// The waiter that has waited for longest, of those for whom there is memory.
    fn next(&mut self, bytes_max: usize) -> Option<Waiter> {
        let bytes = self.counts.bytes;
        // One alone runs whatever it takes.
        let fits = |waiter: &&Waiter| bytes == 0 || bytes.saturating_add(waiter.bytes) <= bytes_max;
        let number = |waiter: &Waiter| waiter.number;
        let heavy = self.heavy.front().filter(fits).map(number);
        let light = self.light.front().map(number);
        let first = [heavy, light].into_iter().flatten().min()?;
        self.take_out(first)
    }

    /// Takes a waiter out of its queue, if it is there.
    fn take_out(&mut self, number: u64) -> Option<Waiter> {
        let State { light, heavy, .. } = self;
        let taken = [light, heavy].into_iter().find_map(|queue| {
            let at = queue.binary_search_by_key(&number, |waiter| waiter.number);
            queue.remove(at.ok()?)
        });
        let waiter = taken?;
        self.counts.waiting_bytes -= waiter.bytes;
        if let Some(caller) = waiter.caller {
            let calls = self.callers.get_mut(&caller);
            calls
                .expect("a caller has an entry while it has a call")
                .waiting -= 1;
            self.forget_if_done(caller);
        }
        Some(waiter)
    }

    /// Notes the end of one of a caller's calls, and takes out the next one where all others wait.
    fn call_ended(&mut self, caller: u64) -> Option<Waiter> {
        let calls = self.callers.get_mut(&caller);
        let calls = calls.expect("a caller has an entry while it has a call");
        calls.running -= 1;
        let all_wait = calls.running == 0 && calls.waiting > 0;
        self.forget_if_done(caller);
        if !all_wait {
            return None;
        }
        let queues = self.light.iter().chain(&self.heavy);
        let its = queues.filter(|waiter| waiter.caller == Some(caller));
        let first = its.map(|waiter| waiter.number).min()?;
        self.take_out(first)
    }

    fn forget_if_done(&mut self, caller: u64) {
        let is_done = |calls: &Calls| calls.running == 0 && calls.waiting == 0;
        if self.callers.get(&caller).is_some_and(is_done) {
            self.callers.remove(&caller);
        }
    }
}

/// An action that waits for its place. It may stop waiting.
struct Waiting<'p> {
    places: &'p Arc<Places>,
    number: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.places.leave(self.number);
    }
}

impl Place {
    /// Tells it from all others.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Says how much memory its action takes by now.
    pub(super) fn set_bytes(&mut self, bytes: usize) {
        if bytes == self.bytes {
            return;
        }
        let mut told = Admitted::new();
        let mut state = self.places.state.lock();
        state.counts.bytes = state.counts.bytes - self.bytes + bytes;
        self.bytes = bytes;
        self.places.admit_all(&mut state, &mut told);
        drop(state);
        tell(told);
    }

    /// The memory that its action takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let places = self.places.clone();
        places.release(self);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::super::nesting::Nesting;
    use super::*;

    fn places(at_once: usize, bytes_max: usize) -> Arc<Places> {
        Places::new(&JsOptions {
            actions_max: at_once,
            actions_bytes_max: bytes_max,
            ..JsOptions::default()
        })
    }

    fn boxed(
        places: &Arc<Places>,
        bytes: usize,
        here: Option<Nesting>,
    ) -> super::super::BoxFuture<Place> {
        let places = places.clone();
        Box::pin(async move {
            let taking = async { places.take(bytes).await.unwrap() };
            match here {
                Some(here) => nesting::at(here, taking).await,
                None => taking.await,
            }
        })
    }

    fn within(place: &Place) -> Option<Nesting> {
        Some(Nesting {
            depth: 1,
            caller: place.number(),
        })
    }

    #[test]
    fn actions_beyond_the_bytes_wait_in_their_order_and_light_ones_pass_them() {
        let places = places(9, 100);
        let first = boxed(&places, 60, None).now_or_never().unwrap();
        let mut second = boxed(&places, 50, None);
        assert!((&mut second).now_or_never().is_none());
        let mut third = boxed(&places, 10, None);
        assert!(
            (&mut third).now_or_never().is_none(),
            "it waits behind the second"
        );
        let light = boxed(&places, 0, None).now_or_never().unwrap();
        let counts = places.counts();
        assert_eq!((counts.running, counts.waiting), (2, 2));
        assert_eq!((counts.bytes, counts.waiting_bytes), (60, 60));
        drop(first);
        let second = second.now_or_never().unwrap();
        let third = third.now_or_never().unwrap();
        assert_eq!(places.counts().bytes, 60);
        drop((second, third, light));
        assert_eq!(places.counts(), PlaceCounts::default());
    }

    #[test]
    fn an_action_that_gives_memory_back_makes_room_and_one_alone_may_take_all() {
        let places = places(9, 100);
        let mut first = boxed(&places, 500, None).now_or_never().unwrap();
        let mut second = boxed(&places, 50, None);
        assert!((&mut second).now_or_never().is_none());
        first.set_bytes(50);
        assert!(second.now_or_never().is_some());
    }

    #[test]
    fn a_waiter_that_goes_makes_room_for_those_behind_it() {
        let places = places(9, 100);
        let _first = boxed(&places, 60, None).now_or_never().unwrap();
        let mut second = boxed(&places, 50, None);
        let mut third = boxed(&places, 10, None);
        assert!((&mut second).now_or_never().is_none());
        assert!((&mut third).now_or_never().is_none());
        drop(second);
        assert!(third.now_or_never().is_some());
        // One that is told and does not look gives its place back.
        let mut fourth = boxed(&places, 60, None);
        assert!((&mut fourth).now_or_never().is_none());
        drop(_first);
        drop(fourth);
        assert_eq!(places.counts(), PlaceCounts::default());
    }

    #[test]
    fn one_call_of_each_caller_waits_for_nothing_and_the_others_for_room() {
        let places = places(1, 100);
        let caller = boxed(&places, 90, None).now_or_never().unwrap();
        let one = boxed(&places, 90, within(&caller)).now_or_never().unwrap();
        let mut two = boxed(&places, 90, within(&caller));
        assert!((&mut two).now_or_never().is_none());
        // A call of the call is the first of its own caller.
        let deeper = boxed(&places, 90, within(&one)).now_or_never().unwrap();
        assert_eq!(places.counts().bytes, 270);
        drop(deeper);
        assert!((&mut two).now_or_never().is_none());
        drop(one);
        let two = two.now_or_never().unwrap();
        drop((caller, two));
        assert_eq!(places.counts(), PlaceCounts::default());
        assert!(places.state.lock().callers.is_empty());
    }

    #[test]
    fn places_of_stuck_actions_are_given_again() {
        let places = places(1, 100);
        let stuck = boxed(&places, 1, None).now_or_never().unwrap();
        let mut next = boxed(&places, 1, None);
        assert!((&mut next).now_or_never().is_none());
        places.replace_stuck(1);
        let next = next.now_or_never().unwrap();
        places.replace_stuck(0);
        drop(stuck);
        // There was one too many.
        let mut last = boxed(&places, 1, None);
        assert!((&mut last).now_or_never().is_none());
        drop(next);
        assert!(last.now_or_never().is_some());
    }

    #[test]
    fn calls_nest_so_deep_and_no_deeper() {
        let places = places(1, 100);
        let nested = |depth| Some(Nesting { depth, caller: 7 });
        let taking = nesting::at(nested(DEPTH_MAX + 1).unwrap(), places.take(1));
        let refused = taking.now_or_never().unwrap().err().unwrap();
        assert_eq!(refused.into_thrown().message, TOO_DEEP);
        assert!(
            boxed(&places, 1, nested(DEPTH_MAX))
                .now_or_never()
                .is_some()
        );
    }
}
