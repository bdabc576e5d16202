//! At most one run at a time for each key, shared by every caller that asks while it is under way.
//!
//! It knows neither what a run does nor where: the first caller to board gets the [`Run`] and makes it. The file uses
//! nothing but `std`, or its stand-ins in loom, so that a test can try every order of its steps.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::pin::Pin;
use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};

#[cfg(loom)]
use loom::sync::{Arc, Mutex, MutexGuard};
#[cfg(not(loom))]
use std::sync::{Arc, Mutex, MutexGuard};

/// The runs under way.
pub struct Flights<K, T> {
    under_way: Arc<Mutex<HashMap<K, Arc<Flight<T>>>>>,
}

/// A run, to be made by the caller that received it. Dropped without landing, as by a panic, it ends without an
/// outcome.
pub struct Run<K: Hash + Eq, T> {
    key: K,
    under_way: Arc<Mutex<HashMap<K, Arc<Flight<T>>>>>,
    flight: Arc<Flight<T>>,
    outcome: Option<T>,
}

struct Flight<T> {
    state: Mutex<FlightState<T>>,
}

enum FlightState<T> {
    /// The wakers, by seat. A caller that leaves takes its waker along, so only those of waiting callers are here.
    UnderWay {
        next_seat: u64,
        wakers: BTreeMap<u64, Waker>,
    },
    /// How it ended; nothing if it ended without an outcome.
    Landed(Option<T>),
}

impl<K, T> Default for Flights<K, T> {
    fn default() -> Flights<K, T> {
        Flights {
            under_way: Arc::new(Mutex::new(HashMap::new())),
        }
    }
}

impl<K: Hash + Eq + Clone, T: Clone> Flights<K, T> {
    /// Waits for the outcome of a run for `key`: of one under way, if its outcome `suits`, or else of one that this
    /// asker starts. `boarded` is told of each flight that is waited for: it gets the run to make, or nothing where the
    /// asker joined. The answer is nothing when the run ended without an outcome.
    pub async fn share(
        &self,
        key: &K,
        suits: impl Fn(&T) -> bool,
        mut boarded: impl FnMut(Option<Run<K, T>>),
    ) -> Option<T> {
        loop {
            let (flight, run) = self.board(key);
            let is_own = run.is_some();
            let landed = Landed { flight, seat: None };
            boarded(run);
            match landed.await {
                Some(outcome) if !is_own && !suits(&outcome) => {}
                outcome => return outcome,
            }
        }
    }

    fn board(&self, key: &K) -> (Arc<Flight<T>>, Option<Run<K, T>>) {
        let mut under_way = lock(&self.under_way);
        if let Some(flight) = under_way.get(key) {
            return (flight.clone(), None);
        }
        let flight = Arc::new(Flight {
            state: Mutex::new(FlightState::UnderWay {
                next_seat: 0,
                wakers: BTreeMap::new(),
            }),
        });
        under_way.insert(key.clone(), flight.clone());
        let run = Run {
            key: key.clone(),
            under_way: self.under_way.clone(),
            flight: flight.clone(),
            outcome: None,
        };
        (flight, Some(run))
    }
}

impl<K: Hash + Eq, T> Run<K, T> {
    /// Ends the run: every waiting caller gets the outcome, and later callers start another.
    pub fn land(mut self, outcome: T) {
        self.outcome = Some(outcome);
    }
}

impl<K: Hash + Eq, T> Drop for Run<K, T> {
    fn drop(&mut self) {
        // First no caller can join any more, then it ends: a later caller never meets an outcome from before.
        lock(&self.under_way).remove(&self.key);
        self.flight.end(self.outcome.take());
    }
}

impl<T> Flight<T> {
    fn end(&self, outcome: Option<T>) {
        let before = std::mem::replace(&mut *lock(&self.state), FlightState::Landed(outcome));
        // Woken without the lock: a waker may run what waits at once.
        if let FlightState::UnderWay { wakers, .. } = before {
            wakers.into_values().for_each(Waker::wake);
        }
    }
}

/// Waits for the end of a flight.
struct Landed<T> {
    flight: Arc<Flight<T>>,
    seat: Option<u64>,
}

impl<T: Clone> Future for Landed<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let flight = self.flight.clone();
        let mut state = lock(&flight.state);
        match &mut *state {
            FlightState::Landed(outcome) => Poll::Ready(outcome.clone()),
            FlightState::UnderWay { next_seat, wakers } => {
                let seat = *self.seat.get_or_insert_with(|| {
                    *next_seat += 1;
                    *next_seat
                });
                wakers.insert(seat, context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Landed<T> {
    fn drop(&mut self) {
        if let Some(seat) = self.seat
            && let FlightState::UnderWay { wakers, .. } = &mut *lock(&self.flight.state)
        {
            wakers.remove(&seat);
        }
    }
}

/// A panic in a caller's `Clone` leaves nothing half done, so a poisoned lock is as good as any.
fn lock<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
